//! Checking an API key: cold (signature and claims) and warm (remembered), and refusing a forged one.
//!
//! `cargo bench --bench auth`.

#![expect(clippy::unwrap_used, reason = "a bench that meets the unexpected ends there")]

use criterion::{Criterion, criterion_group, criterion_main};
use springhead::auth::grant::{Role, Scope};
use springhead::auth::key::{KeyRing, KeySpec};
use springhead::auth::secret::Secret;
use springhead::auth::signing::SigningKey;
use springhead::auth::verify::Verifier;
use springhead::model::clock::{Clock, WallTime};

fn auth(criterion: &mut Criterion) {
    let clock = Clock::system();
    let signer = [SigningKey::generate()];
    let ring = KeyRing::new(&signer).unwrap();
    let expires = Some(WallTime::from_millis((clock.wall().seconds() + 3600) * 1000));
    let spec =
        KeySpec { role: Role::Readonly, scope: Scope::parse(["live-origin"]).unwrap(), prefix: None, is_edge: false, expires };
    let token = ring.issue(&spec, clock.wall()).unwrap().token;
    criterion.bench_function("key, cold", |bencher| bencher.iter(|| ring.open(&token).unwrap()));
    let verifier = Verifier::new(KeyRing::new(&signer).unwrap(), clock);
    criterion.bench_function("key, warm", |bencher| bencher.iter(|| verifier.verify(&token).unwrap()));
    let forged = Secret::new(format!("{}x", &token.expose()[..token.expose().len() - 1]));
    criterion.bench_function("key, forged", |bencher| bencher.iter(|| verifier.verify(&forged).unwrap_err()));
}

criterion_group!(benches, auth);
criterion_main!(benches);
