//! Viewers' tokens of other people's libraries are good here, and ours there: in Node (@eyevinn/cat), and in Python (python-cwt), which signs with ES256,
//! too.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{NAMESPACE, Origin, eventually};
use crate::programs::program;
use crate::tokens::{Cbor, Minter, now};
use crate::wire::Request;

/// The vector of the facts, and the key that it was made with.
const VECTOR: &str = "2D3RhEOhAQWhBEJ2MVhPpgFqc3ByaW5naGVhZAQacT-zAAdIAQIDBAUGBwgZATYBGQE4oQOhAXgYL2NhY2hlL2xpdmUtb3JpZ2luL3Nob3cvGQE5gmNHRVRkSEVBRFggiQgUQSoGoaKMXx_mqmuAyapH_C0iiFGZDoqa3zMzcB4";
const SECRET: &str = "403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388";

fn ask(command: &mut Command, what: &Value) -> Value {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(what.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/edge").join(name)
}

fn in_node(what: &Value) -> Value {
    let library = std::env::var("SPRINGHEAD_TEST_TOKENS").expect("tests/run installs the library");
    ask(program("node").arg(script("foreign.mjs")).arg(library), what)
}

fn in_python(what: &Value) -> Value {
    let python = std::env::var("SPRINGHEAD_TEST_PYTHON").expect("tests/run installs the library");
    ask(program(&python).arg(script("foreign.py")), what)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a server says to each token, of an object below `show/`.
fn statuses(origin: &Origin, tokens: &Value) -> Vec<u16> {
    let tokens = tokens.as_array().unwrap().iter().map(|token| token.as_str().unwrap());
    tokens
        .map(|token| Request::new("GET", format!("/cache/{NAMESPACE}/~{token}/show/a.ts")).send(origin.address).status)
        .collect()
}

fn origin() -> Origin {
    let origin = Origin::start_with_settings(&format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\n"));
    origin.store("show/a.ts", "segment");
    origin
}

#[test]
fn a_library_for_node_reads_our_tokens_and_makes_such_as_are_read() {
    let told = in_node(&json!({
        "kid": "v1", "secret": SECRET, "issuer": "springhead", "make": [],
        "read": [
            { "token": VECTOR, "url": format!("https://a.example/cache/{NAMESPACE}/show/a.ts") },
            { "token": VECTOR, "url": "https://a.example/other/a.ts" },
        ],
    }));
    assert!(told["read"][0]["exp"] == 1_900_000_000 && told["read"][1].is_null(), "{told}");

    let origin = origin();
    let minter = Minter::of(&origin);
    let base = format!("/cache/{NAMESPACE}/show/");
    // Ten of ours, by the command line; one of them changed.
    let mut ours: Vec<String> = (0..10)
        .map(|number| {
            let made =
                origin.run(&["token", "viewer", "--namespace", NAMESPACE, "--prefix", "show/", "--id", &format!("id-{number}")]);
            let made: Value = serde_json::from_slice(&made.stdout).unwrap();
            made["token"].as_str().unwrap().to_owned()
        })
        .collect();
    let middle = ours[9].len() / 2;
    let other = if &ours[9][middle..=middle] == "A" { "B" } else { "A" };
    ours[9].replace_range(middle..=middle, other);
    // The library wants an issuer.
    let issued = minter.seal(&minter.draft(NAMESPACE, &base, now() + 600).claim(1, Cbor::text("springhead")));
    ours.push(issued);
    let read: Vec<Value> =
        ours.iter().map(|token| json!({ "token": token, "url": format!("https://a.example{base}a.ts") })).collect();
    let claims = |change: Value| {
        let mut claims = json!({
            "iss": "springhead", "aud": NAMESPACE, "exp": now() + 600, "iat": now(), "cti": "0102030405060708", "catv": 1,
            "catu": { "path": { "prefix-match": base } }, "catm": ["GET", "HEAD"],
        });
        change.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
        claims
    };
    let make: Vec<Value> = (0..10).map(|number| claims(json!({ "cti": format!("00000000000000{number:02}") }))).collect();
    let bad = [
        json!({ "aud": "other" }),
        json!({ "exp": now() - 600 }),
        json!({ "catm": ["HEAD"] }),
        json!({ "catu": { "path": { "prefix-match": "/elsewhere/" } } }),
    ];
    let make = make.into_iter().chain(bad.map(claims)).collect::<Vec<_>>();
    let told =
        in_node(&json!({ "kid": minter.kid, "secret": hex(&minter.secret), "issuer": "springhead", "make": make, "read": read }));
    let there: Vec<bool> = told["read"].as_array().unwrap().iter().map(|claims| !claims.is_null()).collect();
    assert_eq!(there[9..], [false, true], "{told}");
    assert_eq!(statuses(&origin, &told["made"]), [&[200; 10][..], &[403, 401, 403, 403]].concat());
}

#[test]
fn a_library_for_python_reads_our_tokens_and_signs_such_as_are_read() {
    let origin = origin();
    let minter = Minter::of(&origin);
    let base = format!("/cache/{NAMESPACE}/show/");
    let ours: Vec<String> = (0..10)
        .map(|number| {
            let id = Cbor::Bytes(vec![number; 8]);
            minter.seal(
                &minter.draft(NAMESPACE, &base, now() + 600).claim(7, id).claim(6, Cbor::Number(i64::try_from(now()).unwrap())),
            )
        })
        .collect();
    let made = origin.run(&["token", "viewer", "--namespace", NAMESPACE, "--prefix", "show/"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let by_command = made["token"].as_str().unwrap().to_owned();
    let forged = format!("{}AAAA{}", &ours[0][..60], &ours[0][64..]);
    let read: Vec<&String> = ours.iter().chain([&by_command, &forged]).collect();
    let claims = |number: u8, expires: u64, path: &str| {
        json!([
            [1, "partner"], [3, NAMESPACE], [4, expires], [7, { "hex": hex(&[number; 8]) }], [310, 1],
            [312, { "map": [[3, { "map": [[1, path]] }]] }], [313, ["GET", "HEAD"]],
        ])
    };
    let mut make: Vec<Value> = (0..10).map(|number| claims(number, now() + 600, &base)).collect();
    make.extend([claims(10, now() - 600, &base), claims(11, now() + 600, "/elsewhere/")]);
    let told = in_python(&json!({ "kid": minter.kid, "secret": hex(&minter.secret), "make": make, "read": read }));
    let there: Vec<&Value> = told["read"].as_array().unwrap().iter().collect();
    assert!(there[..11].iter().all(|claims| claims["3"] == NAMESPACE) && there[11].is_null(), "{told}");
    let expected = [&[200; 10][..], &[401, 403]].concat();
    assert_eq!(statuses(&origin, &told["made"]), expected);

    // What it signed is not known here, until its public key is.
    assert_eq!(statuses(&origin, &told["signed"]), [401; 12]);
    let file = origin.data_dir().join("viewer.key");
    let key: String = told["public"].as_str().unwrap().lines().filter(|line| !line.starts_with('-')).collect();
    let keys = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{keys}es256:partner:{key}\n")).unwrap();
    origin.signal("HUP");
    assert!(eventually(Duration::from_secs(20), || (statuses(&origin, &told["signed"]) == expected).then_some(())).is_some());
    assert_eq!(statuses(&origin, &told["signed"]), expected, "remembered, too");
    assert_eq!(statuses(&origin, &told["made"]), expected);
}
