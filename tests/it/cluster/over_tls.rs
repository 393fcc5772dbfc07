//! An engine that is spoken to over TLS and asks for a password: Redis as Debian has it, for the Valkey of the other tests has no TLS.

use std::process::Stdio;

use super::kit::settings;
use super::playlist;
use crate::front::free_port;
use crate::harness::{Origin, Process, bytes};
use crate::programs::program;
use crate::tls::Authority;

#[test]
fn an_engine_is_spoken_to_over_tls_and_by_its_password() {
    let (authority, other, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    authority.sign("cert.pem", "key.pem");
    let (port, place) = (free_port().to_string(), |name: &str| authority.path(name).to_str().unwrap().to_owned());
    let mut server = program("redis-server");
    server.args(["--port", "0", "--tls-port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    server.args([
        "--tls-cert-file",
        &place("cert.pem"),
        "--tls-key-file",
        &place("key.pem"),
        "--tls-ca-cert-file",
        &place("ca.pem"),
    ]);
    server.args(["--tls-auth-clients", "no", "--requirepass", "of-the-engine", "--maxmemory", "100mb"]);
    let _server = Process(server.current_dir(&folder).stdout(Stdio::null()).spawn().unwrap());
    let password = folder.path().join("password");
    std::fs::write(&password, "of-the-engine\n").unwrap();
    let config = |node: &str, authority: &str| {
        let more = format!("[cluster]\nca = \"{authority}\"\npassword_file = \"{}\"\n", password.display());
        let text = settings(&format!("valkeys://127.0.0.1:{port}"), node, "").replacen("[cluster]\n", &more, 1);
        let path = folder.path().join(format!("{node}.toml"));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let a = Origin::start_with(&["--config", &config("a", &place("ca.pem"))]);
    let b = Origin::start_like(&a, &["--config", &config("b", &place("ca.pem"))], &[]);
    a.store("tls/p.m3u8", playlist(0, 3));
    b.store("tls/segment-0.ts", bytes(1, 300_000));
    assert_eq!(b.get("tls/p.m3u8").text(), playlist(0, 3));
    assert_eq!(a.get("tls/segment-0.ts").body, bytes(1, 300_000));
    let status = a.run(&["cluster", "status", "--config", &config("c", &place("ca.pem"))]);
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains("primary of 12 lanes, redis 7") && said.contains("node    b "), "{said}");
    // One that an authority of ours has not signed is not believed.
    let status = a.run(&["cluster", "status", "--config", &config("d", other.path("ca.pem").to_str().unwrap())]);
    let said = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(status.status.code() == Some(1) && said.contains("certificate") && !said.contains("of-the-engine"), "{said}");
}
