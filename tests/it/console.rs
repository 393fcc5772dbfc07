//! The admin listener's door, from outside: who signs in, who may do what, what is written down, and that a hostile page reads and
//! changes nothing.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Origin, Process, eventually};
use crate::programs::{assert_is_here, kept, limited, program};
use crate::turns::BrowserTurn;
use crate::wire::{Answer, Request, Wire};

/// What a link's ticket is.
fn ticket(origin: &Origin) -> String {
    let printed = origin.run(&["console"]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let text = String::from_utf8(printed.stdout).unwrap();
    let link = text.lines().next().unwrap();
    assert!(link.starts_with(&format!("http://{}/#ticket=", origin.admin)), "{link}");
    link.split('=').nth(1).unwrap().to_owned()
}

/// And the whole link.
fn link(origin: &Origin) -> String {
    format!("http://{}/#ticket={}", origin.admin, ticket(origin))
}

fn sign_in(origin: &Origin, credentials: &Value) -> Answer {
    Request::new("POST", "/v1/session")
        .header("Content-Type", "application/json")
        .body(credentials.to_string())
        .send(origin.admin)
}

fn cookie(answer: &Answer) -> String {
    assert_eq!(answer.status, 204, "{answer:?}");
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

/// A request as a page of the listener makes it.
fn by_page(method: &str, path: &str, cookie: &str) -> Request {
    Request::new(method, path).header("Cookie", cookie).header("Sec-Fetch-Site", "same-origin")
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

#[test]
fn who_signs_in_has_the_role_of_the_key_until_it_is_revoked() {
    let origin = Origin::start();
    let (operator, id) = origin.make_key(&["--role", "operator", "--namespace", "live-origin"]);
    let signed_in = sign_in(&origin, &json!({ "key": operator }));
    let set = signed_in.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = cookie(&signed_in);
    let who = body(&by_page("GET", "/v1/session", &cookie).send(origin.admin));
    assert_eq!((&who["role"], &who["key_id"], &who["namespaces"]), (&json!("operator"), &json!(id), &json!(["live-origin"])));
    assert_eq!(by_page("GET", "/v1/audit", &cookie).send(origin.admin).status, 403, "that takes an administrator");
    // A change with a cookie and without a word of a browser on where it comes from is nobody's.
    let silent = Request::new("DELETE", "/v1/harvest/x").header("Cookie", cookie.clone()).send(origin.admin);
    assert_eq!((silent.status, silent.text().contains("foreign-origin")), (403, true));
    assert_eq!(by_page("DELETE", "/v1/harvest/x", &cookie).send(origin.admin).status, 404, "with it, it is looked for");
    assert!(origin.run(&["keys", "revoke", &id]).status.success());
    let ended = eventually(Duration::from_secs(5), || {
        body(&by_page("GET", "/v1/session", &cookie).send(origin.admin))["role"].is_null().then_some(())
    });
    assert!(ended.is_some(), "a session ends with its key");
    let link = ticket(&origin);
    let session = self::cookie(&sign_in(&origin, &json!({ "ticket": link })));
    assert_eq!(by_page("GET", "/v1/audit", &session).send(origin.admin).status, 200);
    assert_eq!(sign_in(&origin, &json!({ "ticket": link })).status, 401, "a link is followed once");
    let mut listener = Wire::open(origin.admin);
    listener.write(by_page("GET", "/v1/events/live", &session).to_bytes());
    assert_eq!(listener.head().unwrap().0, 200);
    assert_eq!(by_page("DELETE", "/v1/session", &session).send(origin.admin).status, 204);
    let ended = eventually(Duration::from_secs(10), || listener.chunk().is_none_or(|piece| piece.is_empty()).then_some(()));
    assert!(ended.is_some(), "who signs out hears no more");
    assert_eq!(by_page("GET", "/v1/audit", &session).send(origin.admin).status, 401);
    // Nothing of a session is told by those who are asked what was sent to them.
    let sent = Request::new("PUT", origin.path("a.ts")).header("Cookie", session.clone()).send(origin.address);
    assert_eq!(sent.status, 401);
    let kept = Request::new("GET", "/v1/ingest/rejected").send(origin.admin).text();
    assert!(!kept.contains(session.split('=').nth(1).unwrap()), "{kept}");
}

#[test]
fn sign_ins_that_fail_are_counted_and_say_nothing() {
    let origin = Origin::start();
    let wrong = json!({ "key": "eyJhbGciOiJIUzI1NiJ9.e30.x" });
    for _ in 0..10 {
        assert_eq!(sign_in(&origin, &wrong).status, 401);
    }
    let limited = sign_in(&origin, &json!({ "key": origin.administrator }));
    assert_eq!((limited.status, limited.header("retry-after")), (429, "60"));
    let other = Origin::start();
    assert_eq!(sign_in(&other, &json!({ "key": other.encoder })).status, 401, "an encoder looks after nothing");
    assert_eq!(sign_in(&other, &json!({})).status, 400);
    assert_eq!(sign_in(&other, &json!({ "key": 1 })).status, 400);
}

#[test]
fn each_role_may_what_the_description_says() {
    let origin = Origin::start_with(&["--admin-listen", "0.0.0.0:0"]);
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], origin.admin.port()));
    let make = |role: &str| origin.make_key(&["--role", role]).0;
    let keys = [("viewer", make("viewer")), ("operator", make("operator")), ("admin", origin.administrator.clone())];
    let rank = |role: &str| keys.iter().position(|(known, _)| *known == role);
    let description = body(&Request::new("GET", "/v1/openapi.json").bearer(&keys[0].1).send(at));
    let mut tried = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        // These end what the test needs.
        if path == "/v1/drain" || path.contains("/viewer-") || path.contains("/live") && path.starts_with("/v1/events") {
            continue;
        }
        let address = path.replace(['{', '}'], "");
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let role = operation["x-role"].as_str();
            let anonymous = Request::new(&method, &address).send(at).status;
            assert_eq!(anonymous == 401, role.is_some(), "{method} {path}: {anonymous}");
            for (number, (name, key)) in keys.iter().enumerate() {
                let status = Request::new(&method, &address).bearer(key).send(at).status;
                let is_refused = matches!(status, 401 | 403);
                let may = role.is_none_or(|role| Some(number) >= rank(role));
                // A recording may be refused for want of a place, too.
                assert!(is_refused != may || status == 403 && path.contains("harvest"), "{method} {path} as {name}: {status}");
                tried += 1;
            }
        }
    }
    assert!(tried > 40, "{tried}");
    for key in [&origin.encoder, &origin.player] {
        assert_eq!(Request::new("GET", "/v1/streams").bearer(key).send(at).status, 403);
    }
}

#[test]
fn who_looks_on_in_one_namespace_sees_no_other() {
    let origin = Origin::start_with(&["--namespace", "one", "--namespace", "two"]);
    let (viewer, _) = origin.make_key(&["--role", "viewer", "--namespace", "one"]);
    for namespace in ["one", "two"] {
        let list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n";
        let put = Request::new("PUT", format!("/cache/{namespace}/{namespace}.m3u8")).bearer(&origin.encoder).body(list);
        assert_eq!(put.send(origin.address).status, 204);
    }
    let all = Request::new("GET", "/v1/streams").send(origin.admin).text();
    assert!(all.contains("one.m3u8") && all.contains("two.m3u8"), "{all}");
    let some = Request::new("GET", "/v1/streams").bearer(&viewer).send(origin.admin).text();
    assert!(some.contains("one.m3u8") && !some.contains("two"), "{some}");
}

/// Every route, every way in which a page from elsewhere shows, with and without a session: nothing but a refusal.
#[test]
fn no_route_answers_a_page_from_elsewhere() {
    let origin = Origin::start();
    let session = cookie(&sign_in(&origin, &json!({ "ticket": ticket(&origin) })));
    let description = body(&Request::new("GET", "/v1/openapi.json").send(origin.admin));
    let mut tried = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        if !path.starts_with("/v1") && path != "/metrics" {
            continue;
        }
        let address = path.replace(['{', '}'], "");
        for method in operations.as_object().unwrap().keys() {
            for (name, value, expected) in [
                ("Host", "evil.example", 421),
                ("Host", "127.0.0.1.evil.example:8081", 421),
                ("Sec-Fetch-Site", "same-site", 403),
                ("Sec-Fetch-Site", "cross-site", 403),
                ("Origin", "http://evil.example", 403),
                ("Origin", "null", 403),
            ] {
                for cookie in [None, Some(&session)] {
                    let mut request = Request::new(&method.to_uppercase(), &*address).header(name, value);
                    if let Some(cookie) = cookie {
                        request = request.header("Cookie", cookie.clone());
                    }
                    let answer = request.send(origin.admin);
                    assert_eq!(answer.status, expected, "{method} {path} {name}: {value}");
                    assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control") || name == "set-cookie"));
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 150, "{tried}");
}

#[test]
fn a_hostile_page_in_a_browser_reads_and_changes_nothing() {
    let _turn = BrowserTurn::wait();
    let origin = Origin::start();
    let modules = kept("SPRINGHEAD_TEST_PLAYERS", "players");
    assert_is_here("chromium");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/hostile.mjs");
    let order = json!({ "namespace": "live-origin", "playlist": "a.m3u8", "out": "x" }).to_string();
    let paths = json!([
        ["GET", "/v1/streams"],
        ["GET", "/v1/session"],
        ["GET", "/metrics"],
        ["GET", "/v1/audit"],
        ["POST", "/v1/harvest", order],
        ["POST", "/v1/session", "{\"key\": \"x\"}"],
        ["DELETE", "/v1/session"],
        ["DELETE", "/v1/harvest/x"],
    ]);
    let given = json!({ "admin": origin.admin.to_string(), "ticket": ticket(&origin), "paths": paths });
    let mut node = limited(120, "node").arg(script).arg(modules).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    node.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["signed_in"], &said["before"], &said["after"]), (&json!(204), &json!(200), &json!(200)), "{said:#}");
    assert_eq!(said["again"], 401, "the link was followed once, by its owner");
    let attempts = said["attempts"].as_array().unwrap();
    for attempt in attempts {
        let result = &attempt[4];
        let is_refused = result == "blocked" || result == 421 || result == 403;
        assert!(is_refused, "{attempt}");
    }
    assert!(attempts.len() > 30, "{attempts:?}");
    let audit = body(&Request::new("GET", "/v1/audit").bearer(&origin.administrator).send(origin.admin));
    assert_eq!(audit["lines"], json!([]), "nothing was done");
}

/// What somebody who walks through the console says.
struct Walk {
    node: Process,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Walk {
    /// From a printed link.
    fn begin(origin: &Origin) -> Self {
        Self::of("flow.mjs", origin)
    }

    fn of(script: &str, origin: &Origin) -> Self {
        let modules = kept("SPRINGHEAD_TEST_PLAYERS", "players");
        assert_is_here("chromium");
        let script = format!("{}/tests/console/{script}", env!("CARGO_MANIFEST_DIR"));
        let mut node =
            limited(600, "node").arg(script).arg(modules).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, lines) = (node.stdin.take().unwrap(), BufReader::new(node.stdout.take().unwrap()));
        let mut walk = Self { node: Process(node), input, lines };
        walk.tell(&json!({ "link": link(origin) }).to_string());
        walk
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// The next thing that is said: this.
    fn said(&mut self, event: &str) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(said["event"], event, "{said:#}");
        said
    }
}

#[test]
fn from_an_empty_data_directory_to_a_playing_stream_in_a_browser() {
    let _turn = BrowserTurn::wait();
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, format!("[harvest]\nfolder = \"{}\"\n", folder.path().join("recordings").display())).unwrap();
    let origin = Origin::start_with(&["--config", settings.to_str().unwrap()]);
    let mut walk = Walk::begin(&origin);
    let address = walk.said("signed-in")["address"].as_str().unwrap().to_owned();
    assert!(!address.contains("ticket"), "{address}");
    let keys = walk.said("keys");
    let (encoder, player) = (keys["encoder"].as_str().unwrap(), keys["player"].as_str().unwrap());
    let shown = keys["ffmpeg"].as_str().unwrap();
    assert!(shown.contains(encoder) && shown.contains("/cache/show/playlist.m3u8"), "{shown}");
    // The text that the page has made, with this server's address.
    let command = shown.replace("http://localhost:", "http://127.0.0.1:").replace("ffmpeg -re", "exec ffmpeg -v error -re");
    assert_is_here("ffmpeg");
    let mut encoder_process = Command::new("bash");
    encoder_process.arg("-c").arg(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let encoder_process = Process(encoder_process.spawn().unwrap());
    let signal = |name: &str| {
        let pid = encoder_process.0.id().to_string();
        assert!(program("kill").args(["-s", name, &pid]).status().unwrap().success());
    };
    let playing = walk.said("playing");
    assert!(playing["frames"].as_u64().unwrap() > 10 && playing["tiles"].as_u64().unwrap() > 0, "{playing}");
    let read = Request::new("GET", "/cache/show/playlist.m3u8").bearer(player).send(origin.address);
    assert_eq!(read.status, 200);
    signal("STOP");
    walk.tell("it is held");
    let finding = walk.said("finding");
    assert!(finding["advice"].as_str().unwrap().contains("encoder"), "{finding}");
    signal("CONT");
    walk.tell("it goes on");
    let clip = walk.said("clip");
    assert!(clip["steps"].as_u64().unwrap() > 5, "doctor has walked it: {clip}");
    let listed = program("tar").arg("-tf").arg(clip["archive"].as_str().unwrap()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("playlist.m3u8") && listed.matches(".ts").count() > 1, "{listed}");
    walk.tell("go on");
    let refused = walk.said("refused");
    assert!(refused["advice"].as_str().unwrap().contains("keys inspect"), "{refused}");
    let over = walk.said("over");
    assert_eq!((&over["elsewhere"], &over["wide"]), (&json!([]), &json!(false)), "{over:#}");
    // What was refused before anybody was signed in, and what is gone, browsers write to their console; policies they were asked to
    // keep are another matter.
    let complaints = over["complaints"].as_array().unwrap();
    let is_own = |complaint: &&Value| !complaint.as_str().unwrap().starts_with("Failed to load resource");
    assert_eq!(complaints.iter().filter(is_own).collect::<Vec<_>>(), [&json!(null); 0]);
    assert!(walk.node.0.wait().unwrap().success());
    let audit = body(&Request::new("GET", "/v1/audit").bearer(&origin.administrator).send(origin.admin));
    let actions: Vec<&str> = audit["lines"].as_array().unwrap().iter().map(|line| line["action"].as_str().unwrap()).collect();
    let expected = [
        "POST /v1/purge",
        "DELETE /v1/keys/{id}",
        "POST /v1/harvest",
        "POST /v1/keys",
        "POST /v1/keys",
        "PUT /v1/namespaces/{name}",
    ];
    assert_eq!(actions, expected);
    assert!(!audit.to_string().contains(encoder) && !audit.to_string().contains(player), "no key is written down");
}

/// Pictures of every screen in both themes, wide and on a phone, are left in the folder that `SPRINGHEAD_TEST_PICTURES` names.
#[test]
fn every_screen_is_for_everybody_and_for_the_keyboard_alone() {
    let _turn = BrowserTurn::wait();
    let origin = Origin::start();
    let modules = kept("SPRINGHEAD_TEST_PLAYERS", "players");
    assert_is_here("chromium");
    for number in 0..6 {
        origin.store(&format!("show/{number}.ts"), vec![0x47; 1880]);
    }
    let list: String = (0..7).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
    origin.store("show/a.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{list}"));
    origin.store("other.ts", "x");
    let refused = Request::new("PUT", origin.path("show/x.ts")).bearer(&origin.player).body("x").send(origin.address);
    assert_eq!(refused.status, 403);
    let screens = [
        "overview",
        "streams",
        "stream/live-origin/show%2Fa.m3u8",
        "events",
        "ingest",
        "recordings",
        "objects",
        "namespaces",
        "keys",
        "settings",
        "start",
    ];
    let pictures = std::env::var("SPRINGHEAD_TEST_PICTURES").ok();
    let given = json!({ "link": link(&origin), "screens": screens, "pictures": pictures });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/access.mjs");
    let mut node = limited(600, "node").arg(script).arg(modules).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    node.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{said:#}");
    // Each screen in two sizes and each of five dialogs, in two themes; the overview in another language, and the help.
    let judged = 4 * screens.len() + 2 * 5 + 2;
    assert_eq!(said, json!({ "judged": judged, "violations": [], "wide": [], "keyboard": [] }), "{said:#}");
}

/// Names come from whoever may upload, and what is copied here is run by whoever looks after the server. And a key's texts are for what it
/// is for.
#[test]
fn what_is_to_be_copied_is_one_word_to_a_shell_and_works() {
    let settings =
        "[namespaces.live-origin]\ndefault_ttl = \"7m\"\nmax_ttl = \"30m\"\n[namespaces.live-origin.viewers]\nmode = \"edge\"\n";
    let origin = Origin::start_with_settings(settings);
    assert_is_here("node");
    let make = |role: &str| {
        let prefix = matches!(role, "readwrite" | "readonly" | "vendor").then_some("show/it's $(exit 9)/");
        let order = json!({ "role": role, "namespaces": ["live-origin"], "prefix": prefix, "label": role });
        let answer = Request::new("POST", "/v1/keys").bearer(&origin.administrator).header("Content-Type", "application/json");
        let answer = answer.body(order.to_string()).send(origin.admin);
        assert_eq!(answer.status, 201, "{answer:?}");
        body(&answer)
    };
    let made = ["readwrite", "readonly", "vendor", "viewer"].map(make);
    let given = json!({
        "made": made, "namespace": "live-origin",
        "origin": format!("http://{}", origin.address), "here": format!("http://{}", origin.admin),
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/commands.mjs");
    let mut node = limited(120, "node").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    node.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "node says why");
    let texts: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |key: usize, label: &str| -> String {
        let found = texts[key].as_array().unwrap().iter().find(|text| text[0] == label);
        found.unwrap_or_else(|| panic!("{label}: {texts}"))[1].as_str().unwrap().to_owned()
    };
    let base = format!("http://{}", origin.address);
    let destination = text(0, "MediaLive");
    let destination = destination.split_whitespace().find_map(|word| word.strip_prefix(&base)).unwrap();
    let uploaded = Request::new("PUT", destination).bearer(made[0]["api_key"].as_str().unwrap());
    assert_eq!(uploaded.body("#EXTM3U\n#EXT-X-TARGETDURATION:2\n").send(origin.address).status, 204, "{destination}");
    for (key, says) in [(1, "#EXTM3U"), (2, "token"), (3, "streams")] {
        let command = text(key, "curl").replacen("curl ", "curl -sf ", 1);
        let done = program("bash").arg("-c").arg(&command).output().unwrap();
        assert!(done.status.success() && String::from_utf8_lossy(&done.stdout).contains(says), "{key}: {done:?}");
    }
}

/// What a line for a shell asks for, as [method, path, body].
fn command(line: &str, origin: &str) -> [String; 3] {
    // Nothing in these tests has a quotation mark in it but JSON's.
    let words: Vec<&str> = line.split('\'').collect();
    let method = line.split(" -X ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("GET");
    let path = words.iter().rev().find_map(|word| word.strip_prefix(origin)).unwrap_or_default();
    let body = words.iter().position(|word| word.ends_with(" -d ")).map_or("", |at| words[at + 1]);
    [method.to_owned(), path.to_owned(), body.to_owned()]
}

#[test]
fn everything_that_a_screen_asks_for_is_there_as_a_command_and_works() {
    let _turn = BrowserTurn::wait();
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, format!("[harvest]\nfolder = \"{}\"\n", folder.path().join("recordings").display())).unwrap();
    let origin = Origin::start_with(&["--config", settings.to_str().unwrap()]);
    let modules = kept("SPRINGHEAD_TEST_PLAYERS", "players");
    assert_is_here("chromium");
    (0..3).for_each(|number| origin.store(&format!("show/{number}.ts"), vec![0x47; 1880]));
    let list: String = (0..3).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
    origin.store("show/a.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{list}#EXT-X-ENDLIST\n"));
    origin.store("z.ts", "x");
    // Whoever may upload names a stream like this.
    origin.store(
        "show/b'%24(touch%20HERE)%60touch%20HERE%60%22!!.m3u8",
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{list}#EXT-X-ENDLIST\n"),
    );
    let worst = "live-origin/show%2Fb'%24(touch%20HERE)%60touch%20HERE%60%22!!.m3u8";
    let given = json!({ "link": link(&origin), "stream": "live-origin/show%2Fa.m3u8", "worst": worst });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/curls.mjs");
    let mut node = limited(600, "node").arg(script).arg(modules).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    node.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{said:#}");
    let here = format!("http://{}", origin.admin);
    let (mut screens, mut changes) = (0, BTreeSet::new());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for pasted in said["pasted"].as_array().unwrap() {
        let stubs = "set -u; curl() { echo called; }; ffplay() { curl; }; springhead() { curl; }; KEY=k PLAYER_KEY=k\n";
        let mut shell = program("bash");
        shell.arg("-c").arg(format!("{stubs}{}", text(pasted))).current_dir(folder.path());
        let done = shell.output().unwrap();
        assert!(done.status.success() && done.stdout.starts_with(b"called"), "{pasted}: {done:?}");
        assert!(!folder.path().join("HERE").exists(), "a name is no command: {pasted}");
    }
    for (screen, found) in said["screens"].as_object().unwrap() {
        screens += 1;
        let shown: Vec<String> = found["shown"].as_array().unwrap().iter().map(text).collect();
        let commands: Vec<_> = shown.iter().map(|line| command(line, &here)).collect();
        for asked in found["asked"].as_array().unwrap() {
            let [method, path, body] = [text(&asked[0]), text(&asked[1]), text(&asked[2])];
            // Signing in is the key's part there; and what a player asks for begins with what is shown.
            let of_player = ["/v1/preview/", "/v1/harvest/"].iter().any(|begin| path.starts_with(begin)) && method == "GET";
            if path == "/v1/session" || of_player && path.contains("files/") || of_player && path.ends_with(".ts") {
                continue;
            }
            let is_shown = commands.contains(&[method.clone(), path.clone(), body.clone()]);
            assert!(is_shown, "{screen}: {method} {path} {body} is no command among {shown:#?}");
            if method != "GET" {
                changes.insert(format!("{method} {}", path.split('?').next().unwrap()));
            }
        }
        for (line, [method, path, _]) in shown.iter().zip(&commands) {
            // What was removed in the end is gone by curl, too; what is told as it happens does not end.
            let is_removed = path.contains("/preview/") || path.starts_with("/v1/stream?") || path.starts_with("/v1/stream/");
            if method != "GET" || path.ends_with("/live") || is_removed {
                continue;
            }
            let line = line.replacen("curl", "curl -sf -o /dev/null", 1);
            let done = program("bash").arg("-c").arg(&line).env("KEY", &origin.administrator).status().unwrap();
            assert!(done.success(), "{screen}: {line}");
        }
    }
    assert_eq!(screens, 11, "{said:#}");
    assert!(changes.len() >= 11, "{changes:#?}");
    assert!(!said.to_string().contains("eyJ"), "no key stands in a command");
}

#[test]
fn what_happens_while_nobody_looks_is_in_the_list_of_events_afterwards() {
    let _turn = BrowserTurn::wait();
    let origin = Origin::start();
    let begin = |name: &str| origin.store(name, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n");
    let is_told = |name: &str| {
        let told = || {
            let path = format!("/v1/events?stream={name}");
            let events = body(&Request::new("GET", &*path).bearer(&origin.administrator).send(origin.admin));
            let events = events["events"].as_array().unwrap().clone();
            events.iter().any(|event| event["event"] == "started").then_some(())
        };
        eventually(Duration::from_secs(20), told).expect("the server has it");
    };
    begin("before.m3u8");
    is_told("before.m3u8");
    let mut walk = Walk::of("away.mjs", &origin);
    assert_eq!(walk.said("hidden")["hears"], 0, "a page that nobody sees hears nothing");
    begin("meanwhile.m3u8");
    is_told("meanwhile.m3u8");
    walk.tell("it is seen again");
    walk.said("held");
    begin("held.m3u8");
    is_told("held.m3u8");
    walk.tell("it is seen again");
    let over = walk.said("over");
    assert!(over["rows"].as_u64().unwrap() > 0 && over["before"].as_u64().unwrap() > 0 && over["held"] == 0, "{over}");
    assert!(walk.node.0.wait().unwrap().success());
}

#[test]
fn who_is_signed_out_or_refused_is_not_told_that_the_server_is_gone() {
    let _turn = BrowserTurn::wait();
    let origin = Origin::start();
    let mut walk = Walk::of("session.mjs", &origin);
    walk.said("over");
    assert!(walk.node.0.wait().unwrap().success());
}

#[test]
fn forms_keep_what_they_promise() {
    let _turn = BrowserTurn::wait();
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    // The first namespace is no model for others.
    let first = "[namespaces.a]\nhot_capacity = \"64MiB\"\ndefault_ttl = \"7m\"\nmax_ttl = \"30m\"\ndurable = \"off\"\n";
    std::fs::write(&settings, first).unwrap();
    let origin = Origin::start_with(&["--config", settings.to_str().unwrap()]);
    let defaults =
        body(&Request::new("GET", "/v1/namespaces").bearer(&origin.administrator).send(origin.admin))["defaults"].clone();
    let mut walk = Walk::of("forms.mjs", &origin);
    let over = walk.said("over");
    let promised = json!({ "default_ttl": "1h", "durable": "disk", "hot_capacity": "auto" });
    assert_eq!(over["promised"], promised, "{over}");
    assert!(promised.as_object().unwrap().iter().all(|(rule, value)| defaults[rule] == *value), "{defaults}");
    assert_eq!((&over["max_ttl"], &over["max_ttl_when_empty"]), (&json!("2h"), &defaults["max_ttl"]), "{over}");
    let sizes = over["sizes"].as_array().unwrap();
    assert!(sizes[0] == sizes[1] && sizes[0].as_str().unwrap().contains("MiB"), "{over}");
    assert!(sizes[2].as_str().unwrap().starts_with("Numbers"), "{over}");
    assert_eq!(over["counted"], 1, "one look through all that is stored: {over}");
    assert_eq!(over["ordered"], json!(["readwrite", "readonly", "readonly"]), "{over}");
    assert_eq!((&over["is_kept"], &over["reloaded"]), (&json!(true), &json!([0, 1])), "{over}");
    assert_eq!(over["broken"], json!([]), "{over}");
    assert!(walk.node.0.wait().unwrap().success());
}
