//! Viewers' tokens of any make, put together byte by byte (RFC 8949, RFC 9052, RFC 8392), so that what the server would never make can be
//! sent to it.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use springhead::auth::signing::{SigningKey, hmac_hex};
use springhead::model::clock::Clock;

use crate::harness::{NAMESPACE, Origin};
use crate::wire::Answer;

/// An item of CBOR.
#[derive(Clone, Debug)]
pub(crate) enum Cbor {
    Number(i64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Cbor>),
    Map(Vec<(Cbor, Cbor)>),
    Tag(u64, Box<Cbor>),
    Float(f64),
}

impl Cbor {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A map of numbers to something.
    pub(crate) fn map(pairs: &[(i64, Self)]) -> Self {
        Self::Map(pairs.iter().map(|(key, value)| (Self::Number(*key), value.clone())).collect())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let head = |major: u8, number: u64| {
            let (first, rest) = match number {
                0..=23 => (u8::try_from(number).unwrap(), Vec::new()),
                24..=0xff => (24, vec![u8::try_from(number).unwrap()]),
                0x100..=0xffff => (25, u16::try_from(number).unwrap().to_be_bytes().to_vec()),
                0x1_0000..=0xffff_ffff => (26, u32::try_from(number).unwrap().to_be_bytes().to_vec()),
                _ => (27, number.to_be_bytes().to_vec()),
            };
            [vec![major << 5 | first], rest].concat()
        };
        let length = |length: usize| u64::try_from(length).unwrap();
        match self {
            Self::Number(number) if *number >= 0 => head(0, number.unsigned_abs()),
            Self::Number(number) => head(1, number.unsigned_abs() - 1),
            Self::Bytes(bytes) => [head(2, length(bytes.len())), bytes.clone()].concat(),
            Self::Text(text) => [head(3, length(text.len())), text.clone().into_bytes()].concat(),
            Self::Array(list) => [head(4, length(list.len())), list.iter().flat_map(Self::encode).collect()].concat(),
            Self::Map(pairs) => {
                let encoded = pairs.iter().flat_map(|(key, value)| [key.encode(), value.encode()].concat()).collect();
                [head(5, length(pairs.len())), encoded].concat()
            }
            Self::Tag(tag, inner) => [head(6, *tag), inner.encode()].concat(),
            Self::Float(number) => [vec![0xfb], number.to_be_bytes().to_vec()].concat(),
        }
    }
}

/// What signs tokens.
#[derive(Clone, Debug)]
pub(crate) struct Minter {
    pub(crate) kid: String,
    pub(crate) secret: Vec<u8>,
}

/// What a token is made of, to be changed before it is made.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) protected: Cbor,
    pub(crate) unprotected: Cbor,
    pub(crate) claims: Vec<(i64, Cbor)>,
    pub(crate) tags: Vec<u64>,
    pub(crate) context: &'static str,
}

impl Draft {
    /// With this claim instead of any of its key before.
    pub(crate) fn claim(mut self, key: i64, value: Cbor) -> Self {
        self.claims.retain(|(known, _)| *known != key);
        self.claims.push((key, value));
        self
    }

    /// Without the claim of this key.
    pub(crate) fn without(mut self, key: i64) -> Self {
        self.claims.retain(|(known, _)| *known != key);
        self
    }
}

impl Minter {
    /// With the key of this server's viewers.
    pub(crate) fn of(origin: &Origin) -> Self {
        let text = fs::read_to_string(origin.data_dir().join("viewer.key")).unwrap();
        Self::with(&SigningKey::parse_all(&text).unwrap()[0])
    }

    pub(crate) fn with(key: &SigningKey) -> Self {
        Self { kid: key.id().to_owned(), secret: URL_SAFE_NO_PAD.decode(key.encode()).unwrap() }
    }

    /// A good one for a path and namespace, with this end.
    pub(crate) fn draft(&self, namespace: &str, path: &str, expires: u64) -> Draft {
        let claims = vec![
            (3, Cbor::text(namespace)),
            (4, Cbor::Number(i64::try_from(expires).unwrap())),
            (7, Cbor::Bytes(b"a viewer".to_vec())),
            (310, Cbor::Number(1)),
            (312, Cbor::map(&[(3, Cbor::map(&[(1, Cbor::text(path))]))])),
        ];
        Draft {
            protected: Cbor::map(&[(1, Cbor::Number(5))]),
            unprotected: Cbor::map(&[(4, Cbor::Bytes(self.kid.clone().into_bytes()))]),
            claims,
            tags: vec![61, 17],
            context: "MAC0",
        }
    }

    /// A JWT with these claims.
    pub(crate) fn jwt(&self, claims: &serde_json::Value) -> String {
        let header = serde_json::json!({ "alg": "HS256", "kid": self.kid });
        let text = [header.to_string(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(bytes_of(&hmac_hex(&self.secret, text.as_bytes()))))
    }

    pub(crate) fn seal(&self, draft: &Draft) -> String {
        let claims = draft.claims.iter().map(|(key, value)| (Cbor::Number(*key), value.clone())).collect();
        let (protected, payload) = (Cbor::Bytes(draft.protected.encode()), Cbor::Bytes(Cbor::Map(claims).encode()));
        let text = Cbor::Array(vec![Cbor::text(draft.context), protected.clone(), Cbor::Bytes(Vec::new()), payload.clone()]);
        let mac = hmac_hex(&self.secret, &text.encode());
        let mac = bytes_of(&mac);
        let sealed = Cbor::Array(vec![protected, draft.unprotected.clone(), payload, Cbor::Bytes(mac)]);
        let tagged = draft.tags.iter().rev().fold(sealed, |inner, tag| Cbor::Tag(*tag, Box::new(inner)));
        URL_SAFE_NO_PAD.encode(tagged.encode())
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn now() -> u64 {
    Clock::system().wall().seconds()
}

/// The code of a problem.
pub(crate) fn code(answer: &Answer) -> String {
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    json["type"].as_str().unwrap().trim_start_matches("urn:springhead:problem:").to_owned()
}

/// A change of a good token, and the status and code that come of it.
pub(crate) type Row = (&'static str, String, u16, &'static str);

/// Every way to be refused by what a token says, of `show/a.ts` below this path.
pub(crate) fn rows(minter: &Minter, base: &str) -> Vec<Row> {
    let good = minter.draft(NAMESPACE, base, now() + 600);
    let mut rows = Vec::new();
    let mut row = |name, token: String, status, code| rows.push((name, token, status, code));
    let seal = |draft| minter.seal(&draft);
    let sealed = seal(good.clone());
    row("good", sealed.clone(), 200, "");
    row("cut off", sealed[..sealed.len() - 8].to_owned(), 401, "viewer-token-invalid");
    row("longer", format!("{sealed}AAAA"), 401, "viewer-token-invalid");
    row(
        "another kid",
        seal(Draft { unprotected: Cbor::map(&[(4, Cbor::Bytes(b"00000000".to_vec()))]), ..good.clone() }),
        401,
        "viewer-token-invalid",
    );
    row("no kid", seal(Draft { unprotected: Cbor::map(&[]), ..good.clone() }), 401, "viewer-token-invalid");
    row("tag of a signature", seal(Draft { tags: vec![61, 18], ..good.clone() }), 401, "viewer-token-invalid");
    row("no tag", seal(Draft { tags: vec![61], ..good.clone() }), 401, "viewer-token-invalid");
    row("tag of a CWT twice", seal(Draft { tags: vec![61, 61, 17], ..good.clone() }), 401, "viewer-token-invalid");
    row("signed as another structure", seal(Draft { context: "Signature1", ..good.clone() }), 401, "viewer-token-invalid");
    for alg in [4, 6, -7] {
        let protected = Cbor::map(&[(1, Cbor::Number(alg))]);
        row("another algorithm", seal(Draft { protected, ..good.clone() }), 401, "viewer-token-invalid");
    }
    let mut doubled = good.clone();
    doubled.claims.push((4, Cbor::Number(1)));
    row("a claim twice", seal(doubled), 401, "viewer-token-invalid");
    let foreign = Minter::with(&SigningKey::generate());
    row("another key", foreign.seal(&good), 401, "viewer-token-invalid");
    row("another key under our kid", Minter { kid: minter.kid.clone(), ..foreign }.seal(&good), 401, "viewer-token-invalid");
    row("ended", seal(minter.draft(NAMESPACE, base, now() - 61)), 401, "viewer-token-expired");
    row(
        "begins later",
        seal(good.clone().claim(5, Cbor::Number(i64::try_from(now() + 300).unwrap()))),
        401,
        "viewer-token-not-yet",
    );
    // A time to come at which it was made would outlive what is revoked by a prefix.
    for (name, made) in [("made later", now() + 300), ("made in milliseconds", now() * 1000)] {
        let later = good.clone().claim(5, Cbor::Number(1)).claim(6, Cbor::Number(i64::try_from(made).unwrap()));
        row(name, seal(later), 401, "viewer-token-not-yet");
    }
    row("made a little later", seal(good.clone().claim(6, Cbor::Number(i64::try_from(now() + 5).unwrap()))), 200, "");
    row("another namespace", seal(good.clone().claim(3, Cbor::text("other"))), 403, "viewer-token-scope");
    row("no namespace", seal(good.clone().without(3)), 403, "viewer-token-scope");
    row(
        "several namespaces",
        seal(good.clone().claim(3, Cbor::Array(vec![Cbor::text("other"), Cbor::text(NAMESPACE)]))),
        200,
        "",
    );
    row("another method", seal(good.clone().claim(313, Cbor::Array(vec![Cbor::text("HEAD")]))), 403, "viewer-token-scope");
    let path = |matching, text: &str| Cbor::map(&[(3, Cbor::map(&[(matching, Cbor::text(text))]))]);
    row("another path", seal(good.clone().claim(312, path(1, &format!("{base}other/")))), 403, "viewer-token-scope");
    row("this path alone", seal(good.clone().claim(312, path(0, &format!("{base}show/a.ts")))), 200, "");
    row("that path alone", seal(good.clone().claim(312, path(0, &format!("{base}show/b.ts")))), 403, "viewer-token-scope");
    row(
        "another host",
        seal(good.clone().claim(312, Cbor::map(&[(1, Cbor::map(&[(0, Cbor::text("elsewhere"))]))]))),
        403,
        "viewer-token-scope",
    );
    row("this host", seal(good.clone().claim(312, Cbor::map(&[(1, Cbor::map(&[(2, Cbor::text("host"))]))]))), 200, "");
    for (key, value) in [
        (4, Cbor::Float(4_000_000_000.0)),
        (310, Cbor::Number(2)),
        (308, Cbor::Number(1)),
        (312, path(4, ".*")),
        (312, path(3, "a")),
        (312, Cbor::map(&[(0, Cbor::map(&[(0, Cbor::text("https"))]))])),
        (312, Cbor::map(&[])),
        (312, Cbor::map(&[(3, Cbor::map(&[]))])),
        (312, Cbor::map(&[(1, Cbor::map(&[(2, Cbor::text("host"))])), (3, Cbor::map(&[]))])),
        (8, Cbor::map(&[])),
        (315, Cbor::map(&[])),
        (401, Cbor::map(&[])),
        (-65_537, Cbor::Number(1)),
    ] {
        row("what is not understood", seal(good.clone().claim(key, value)), 403, "viewer-token-unsupported");
    }
    row("no end", seal(good.clone().without(4)), 403, "viewer-token-unsupported");
    row("no id", seal(good.clone().without(7)), 403, "viewer-token-unsupported");
    for (key, value) in
        [(308, Cbor::Number(0)), (323, Cbor::map(&[])), (1, Cbor::text("me")), (2, Cbor::text("you")), (6, Cbor::Number(1))]
    {
        row("what restricts nothing", seal(good.clone().claim(key, value)), 200, "");
    }
    rows
}
