//! What whoever runs a server is told, and in time: keys that come, go and end, addresses that can't be had, health, signals.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::harness::{BINARY, NAMESPACE, Origin, Process, eventually};
use crate::wire::{Request, Wire};

/// The log line with this message about this key.
fn line_about(origin: &Origin, message: &str, key_id: &str) -> Value {
    let find = || origin.log().into_iter().find(|line| line["message"] == message && line["key_id"] == key_id);
    eventually(Duration::from_secs(10), find).unwrap_or_else(|| panic!("no line {message:?} about {key_id}: {:#?}", origin.log()))
}

#[test]
fn a_key_that_ends_is_announced_and_what_starts_or_stops_to_be_refused_is_a_line() {
    let mut origin = Origin::start();
    let make = |expires: &str, label: &str| {
        let arguments = ["--namespace", NAMESPACE, "--role", "readwrite", "--expires", expires, "--label", label];
        origin.make_key(&arguments).1
    };
    let (soon, later, brief) = (make("13d", "encoder 7"), make("15d", "encoder 8"), make("3s", "encoder 9"));
    let said = line_about(&origin, "an API key is on record: it is good from now on", &soon);
    assert_eq!(said["label"], "encoder 7");
    let message = "an API key ends soon: make another with 'springhead keys create' and give it to whoever uses this one";
    let said = line_about(&origin, message, &soon);
    assert_eq!((&said["level"], &said["label"], &said["role"]), (&"WARN".into(), &"encoder 7".into(), &"readwrite".into()));
    line_about(&origin, "an API key has ended: it is refused", &brief);
    assert!(!origin.log().iter().any(|line| line["message"] == message && line["key_id"] == later), "it is too early for that");
    for id in [&soon, &later] {
        let series = format!("springhead_api_key_expiry_timestamp_seconds{{key_id=\"{id}\"}}");
        assert!(origin.metric(&series) > 1.7e9, "{series}");
    }

    assert!(origin.run(&["keys", "revoke", &soon]).status.success());
    let said = line_about(&origin, "an API key is refused from now on: it was revoked", &soon);
    assert_eq!(said["label"], "encoder 7");
    let series = format!("springhead_api_key_expiry_timestamp_seconds{{key_id=\"{soon}\"}}");
    let gone = || (origin.metric(&series) < 1.0).then_some(());
    assert!(eventually(Duration::from_secs(5), gone).is_some(), "the end of a key that has ended by other means alarms nobody");
    fs::remove_file(origin.data_dir().join("revoked").join(&soon)).unwrap();
    line_about(&origin, "an API key is good again: its revocation is gone from the data directory", &soon);

    // At a start what is so already is no news, but for what ends.
    origin.stop();
    origin.launch();
    line_about(&origin, message, &soon);
    assert!(!origin.log().iter().any(|line| line["message"].as_str().unwrap().contains("on record")));
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    let origin = Origin::start();
    let record = origin.data_dir().join("keys/0123.json");
    fs::write(&record, "{\"key_id\": 7}").unwrap();
    let message = "a key record is of no use: its key's ingest password and Digest are refused until this is mended";
    let said = origin.wait_for_log(message);
    assert!(said["level"] == "WARN" && said["file"].as_str().unwrap().ends_with("keys/0123.json"), "{said}");
    let listed = origin.run(&["keys", "list"]);
    assert!(listed.status.success() && String::from_utf8_lossy(&listed.stderr).contains("keys/0123.json"), "{listed:?}");
}

/// A record under another name would be a second one for the key, and one of a later form may say more than is understood here.
#[test]
fn of_two_records_the_one_of_the_keys_name_holds_and_a_later_form_is_left_alone() {
    let origin = Origin::start_with(&["--namespace", "a", "--namespace", "b"]);
    let made = origin.run(&["keys", "create", "--namespace", "a", "--role", "readwrite"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let text = |field: &str| made[field].as_str().unwrap().to_owned();
    let (user, password) = (text("ingest_user"), text("ingest_password"));
    let login = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let put = |namespace: &str| {
        let put = Request::new("PUT", format!("/cache/{namespace}/a.ts")).header("Authorization", login.clone());
        put.body("x").send(origin.address).status
    };
    assert!(eventually(Duration::from_secs(5), || (put("a") == 204).then_some(())).is_some());
    let message = "a key record is of no use: its key's ingest password and Digest are refused until this is mended";
    let record = origin.data_dir().join(format!("keys/{user}.json"));
    let kept = fs::read_to_string(&record).unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(other["format"], 1);
    other["namespaces"] = serde_json::json!(["b"]);
    for name in ["0-copy.json", "zz-copy.json"] {
        let copy = origin.data_dir().join("keys").join(name);
        fs::write(&copy, other.to_string()).unwrap();
        let said =
            || origin.log().into_iter().find(|line| line["message"] == message && line["file"].as_str().unwrap().ends_with(name));
        let said = eventually(Duration::from_secs(5), said).unwrap();
        assert!(said["error"].as_str().unwrap().contains(&format!("{user}.json")), "{said}");
        assert_eq!((put("a"), put("b")), (204, 403));
    }

    other["format"] = serde_json::json!(2);
    fs::write(&record, other.to_string()).unwrap();
    let later =
        |line: &serde_json::Value| line["error"].as_str().is_some_and(|error| error.contains("a newer Springhead wrote it"));
    assert!(eventually(Duration::from_secs(5), || origin.log().iter().any(later).then_some(())).is_some());
    assert_eq!((put("a"), put("b")), (503, 503), "what it allows is not known, and encoders go on trying");
    assert_eq!(fs::read_to_string(&record).unwrap(), other.to_string());
    // Of before the form was written down.
    fs::write(&record, kept.replace("\"format\": 1,", "")).unwrap();
    assert!(eventually(Duration::from_secs(5), || (put("a") == 204).then_some(())).is_some());
}

#[test]
fn what_others_can_write_or_read_in_the_data_directory_is_warned_of() {
    let mut origin = Origin::start();
    let made = origin.run(&["keys", "create", "--namespace", "live-origin", "--role", "readonly"]);
    assert!(made.status.success() && made.stderr.is_empty(), "nobody else can do anything there: {made:?}");
    let warned = |origin: &Origin| {
        let log = origin.log().into_iter().map(|line| line["message"].as_str().unwrap_or_default().to_owned());
        log.filter(|line| line.contains("other users of this machine")).collect::<Vec<_>>()
    };
    assert_eq!(warned(&origin), Vec::<String>::new());
    let data = origin.data_dir().to_owned();
    let record = fs::read_dir(data.join("keys")).unwrap().next().unwrap().unwrap().path();
    for (path, mode, words) in [
        (data.clone(), 0o770, "chmod go-w"),
        (data.join("keys"), 0o777, "chmod go-w"),
        (data.join("revoked"), 0o702, "chmod go-w"),
        (data.join("encoder_api_key.json"), 0o644, "chmod 600"),
        (record, 0o644, "1 key records"),
    ] {
        origin.stop();
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        origin.launch();
        let said = warned(&origin);
        let place = if words.contains("records") { data.join("keys") } else { path.clone() };
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains(words) && said[0].contains(place.to_str().unwrap()), "{said:?}");
        let made = origin.run(&["keys", "create", "--namespace", "live-origin", "--role", "readonly"]);
        assert!(made.status.success() && String::from_utf8_lossy(&made.stderr).contains(words), "{made:?}");
        fs::set_permissions(&path, before).unwrap();
    }
}

#[test]
fn a_signing_key_that_others_can_read_is_warned_of() {
    let mut origin = Origin::start();
    let exposed = |origin: &Origin| origin.log().iter().any(|line| line["message"].as_str().unwrap().contains("can read it"));
    assert!(!exposed(&origin));
    origin.stop();
    let file = origin.data_dir().join("signing.key");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    origin.launch();
    assert!(exposed(&origin));
    let made = origin.run(&["keys", "create", "--namespace", "a", "--role", "readonly"]);
    assert!(made.status.success() && String::from_utf8_lossy(&made.stderr).contains("chmod 600"), "{made:?}");
}

#[test]
fn a_signing_key_that_is_gone_is_told_when_keys_depend_on_it() {
    let mut origin = Origin::start();
    let told =
        |origin: &Origin| origin.log().iter().any(|line| line["message"].as_str().unwrap().starts_with("signing.key was gone"));
    assert!(!told(&origin), "at the first start none is lost");
    origin.stop();
    fs::remove_file(origin.data_dir().join("signing.key")).unwrap();
    origin.launch();
    assert!(told(&origin));
    assert_eq!(origin.get("a.ts").status, 401);
}

#[test]
fn health_is_asked_where_the_server_really_listens() {
    let mut origin = Origin::start();
    let configured = crate::front::free_port().to_string();
    let health = |origin: &Origin| origin.run(&["health", "--listen", &format!("127.0.0.1:{configured}")]);
    let said = health(&origin);
    assert!(said.status.success(), "the port is another one than the settings say: {said:?}");
    assert!(String::from_utf8_lossy(&said.stdout).contains(&origin.address.port().to_string()), "{said:?}");
    origin.stop();
    let said = health(&origin);
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stderr).contains("no server answers"), "{said:?}");
}

#[test]
fn both_families_can_listen_on_one_port_and_peers_have_one_form() {
    let mut origin = Origin::start();
    let port = origin.address.port();
    origin.stop();
    let both = Origin::start_with(&["--listen", &format!("0.0.0.0:{port}"), "--listen", &format!("[::]:{port}")]);
    let ask = |address: String| Request::new("GET", "/livez").send(address.parse().unwrap()).status;
    assert_eq!((ask(format!("127.0.0.1:{port}")), ask(format!("[::1]:{port}"))), (200, 200));
    drop(both);
    let alone = Origin::start_with(&["--listen", &format!("[::]:{port}")]);
    let refused =
        Request::new("PUT", alone.path("a.ts")).bearer("no-key").body("x").send(format!("127.0.0.1:{port}").parse().unwrap());
    assert_eq!(refused.status, 401);
    let refusals = alone.refusals();
    assert!(refusals[0]["peer"].as_str().unwrap().starts_with("127.0.0.1"), "{refusals:?}");
}

#[test]
fn why_an_address_cannot_be_had_is_said() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    let start = |address: &str| {
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen", address, "--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let taken = start(&origin.address.to_string());
    assert!(taken.contains("something else listens there") && taken.contains("--listen"), "{taken}");
    // RFC 5737: no interface has it.
    let nowhere = start("203.0.113.7:8080");
    assert!(nowhere.contains("no interface of this machine has the address 203.0.113.7"), "{nowhere}");
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_end_and_a_stray_signal_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (_unread, stuck) = std::io::pipe().unwrap();
    let port = crate::front::free_port();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut command = Command::new(BINARY);
    command.args([
        "serve",
        "--listen",
        &address.to_string(),
        "--admin-listen",
        "127.0.0.1:0",
        "--access-log",
        "stderr",
        "--data-dir",
    ]);
    command.arg(folder.path().join("data")).stdin(Stdio::null()).stdout(fs::File::create(log).unwrap());
    let mut server = Process(command.stderr(Stdio::from(stuck)).spawn().unwrap());
    let ready = || std::net::TcpStream::connect(address).ok().map(drop);
    assert!(eventually(Duration::from_secs(15), ready).is_some());
    // Far more than a pipe holds.
    for _ in 0..800 {
        let _ = Request::new("GET", "/cache/live-origin/none.ts").send(address);
    }
    let tell =
        |signal: &str| assert!(Command::new("kill").args([signal, &server.0.id().to_string()]).status().unwrap().success());
    tell("-USR1");
    tell("-USR2");
    assert_eq!(Request::new("GET", "/livez").send(address).status, 200, "a signal that means nothing here ends nothing");
    tell("-TERM");
    let ended = eventually(Duration::from_secs(15), || server.0.try_wait().unwrap());
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
}

#[test]
fn under_a_journal_lines_carry_their_priority() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let place = fs::metadata(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&theirs))).unwrap();
    let mut command = Command::new(BINARY);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"));
    command.env("JOURNAL_STREAM", format!("{}:{}", place.dev(), place.ino())).stdin(Stdio::null()).stdout(Stdio::null());
    let server = Process(command.stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs))).spawn().unwrap());
    drop(command);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(ours)).map(Result::unwrap);
    let started = lines.find(|line| line.contains("started")).unwrap();
    assert!(started.starts_with("<6>"), "{started}");
    drop(server);
}

#[test]
fn options_of_the_whole_server_are_a_health_check() {
    let origin = Origin::start();
    let raw = |text: &str| {
        let mut wire = Wire::open(origin.address);
        wire.write(text.as_bytes());
        wire.answer_to("OPTIONS")
    };
    for text in ["OPTIONS / HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let answer = raw(text);
        assert_eq!((answer.status, answer.header("dav")), (204, "1"), "{text:?}");
    }
    let folder = raw("OPTIONS /cache/live-origin/show/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((folder.status, folder.header("dav")), (204, "1"));
}

#[test]
fn a_tier_that_has_never_worked_is_not_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    fs::write(&file, "[namespaces.live-origin]\ndurable = \"s3://bucket/prefix\"\n").unwrap();
    // Nobody listens there.
    let endpoint = format!("http://127.0.0.1:{}", crate::front::free_port());
    let variables =
        [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_REGION", "r"), ("AWS_ENDPOINT_URL_S3", &endpoint)];
    let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let origin = Origin::start_in(&["--config", file.to_str().unwrap()], &environment);
    let line = origin.wait_for_log("the durable tier fails: new objects are in memory only until it works again");
    assert!(line["error"].as_str().unwrap().contains("AWS_ENDPOINT_URL_S3"), "{line}");
    let ready = Request::new("GET", "/readyz").send(origin.address);
    assert!(ready.status == 200 && ready.text().contains("degraded: a durable tier"), "{}", ready.text());
    assert!(origin.metric("springhead_durable_up") < 0.5);
    assert!(!origin.log().iter().any(|line| line["message"] == "the durable tier is open"));
}

#[test]
fn too_few_descriptors_leave_room_for_encoders_files_and_keys() {
    let mut origin = Origin::start();
    origin.stop();
    origin.launch_under(&["sh", "-c", "ulimit -n 256; exec \"$0\" \"$@\""]);
    let said = |part: &str| {
        origin.log().into_iter().any(|line| line["level"] == "WARN" && line["message"].as_str().unwrap().contains(part))
    };
    assert!(said("connections.total is 16384, but this process may have 256 descriptors"), "{:#?}", origin.log());
    let ready = Request::new("GET", "/livez");
    let mut encoder = Wire::open(origin.address);
    let put = |wire: &mut Wire, key: &str| {
        wire.ask(&Request::new("PUT", origin.path(key)).bearer(&origin.encoder).body("media")).status
    };
    assert_eq!(put(&mut encoder, "0.ts"), 204);
    let mut idle: Vec<Wire> = (0..300).map(|_| Wire::open(origin.address)).collect();
    let mut served = 0;
    for wire in &mut idle {
        served += usize::from(wire.try_answer_to_sent(&ready).is_some_and(|answer| answer.status == 200));
    }
    assert!((100..200).contains(&served), "{served}");
    let mut other = Wire::open(origin.address);
    assert_eq!(put(&mut other, "1.ts"), 204, "idle readers shut out no encoder");
    assert_eq!(put(&mut encoder, "2.ts"), 204);
    let kept = origin.data_dir().join("objects/live-origin/2.ts");
    assert!(eventually(Duration::from_secs(10), || kept.exists().then_some(())).is_some(), "and nothing from the disk");
    let inspected = origin.run(&["keys", "inspect", origin.data_dir().join("encoder_api_key.json").to_str().unwrap()]);
    let key: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert!(origin.run(&["keys", "revoke", key["key_id"].as_str().unwrap()]).status.success());
    let refused = || (put(&mut encoder, "3.ts") == 401).then_some(());
    assert!(eventually(Duration::from_secs(5), refused).is_some(), "and no revocation");
}

#[test]
fn what_does_not_fit_the_machine_is_said_with_what_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        let output =
            Command::new(BINARY).args(["config", "check", file.to_str().unwrap()]).current_dir(folder.path()).output().unwrap();
        let [verdict, said] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), verdict.trim_end().to_owned(), said)
    };
    let (code, verdict, said) = check("[namespaces.a]\nhot_capacity = \"4TiB\"\ndurable_capacity = \"900TiB\"\n");
    assert!(code == Some(0) && said.contains("--namespace a=") && said.contains("durable_capacity = \""), "{said}");
    let warnings = said.lines().filter(|line| line.starts_with("warning: ")).count();
    assert!(verdict.ends_with(&format!("s.toml: a start with it would succeed; mind the {warnings} warnings")), "{verdict}");
    let origin = Origin::start_with(&["--namespace", "big=4TiB"]);
    let warned = origin
        .log()
        .into_iter()
        .any(|line| line["level"] == "WARN" && line["message"].as_str().unwrap().contains("--namespace big="));
    assert!(warned, "{:#?}", origin.log());
}

#[test]
fn a_check_finds_what_a_start_fails_of_and_what_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    fs::write(folder.path().join("taken"), "").unwrap();
    let pair = "[[namespaces.a.pairs]]\npublic = \"x/\"\nsources = [\"y/\", \"z/\"]\nreturn_after = \"5m\"\n";
    let engine = "[cluster]\nengine = \"valkeys://127.0.0.1:1\"\n";
    let in_memory = "[namespaces.a]\ndurable = \"off\"\n";
    let tls = "[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
    for (text, is_fault, part) in [
        ("listen = [\"127.0.0.1:7\", \"127.0.0.1:7\"]\n".to_owned(), true, "listen: 127.0.0.1:7 is in listen as well"),
        (
            "listen = [\"127.0.0.1:7\"]\nadmin_listen = \"127.0.0.1:7\"\n".to_owned(),
            true,
            "admin_listen: 127.0.0.1:7 is in listen",
        ),
        ("reuse_port = true\nlisten = [\"127.0.0.1:7\", \"127.0.0.1:7\"]\n".to_owned(), false, "is in listen as well"),
        ("data_dir = \"taken/data\"\n".to_owned(), true, "taken is no folder"),
        (format!("{engine}ca = \"none.pem\"\n{in_memory}"), true, "cluster.ca: can't read none.pem"),
        (format!("{engine}password_file = \"none\"\n{in_memory}"), true, "cluster.password_file: can't read none"),
        ("[cluster]\nnode = \"n\"\nuser = \"u\"\n".to_owned(), false, "cluster.user does nothing without cluster.engine"),
        (tls.to_owned(), false, "tls.certificate does nothing without tls.listen"),
        (pair.to_owned(), false, "namespaces.a.pairs.1.return_after does nothing without prefer"),
        (format!("{pair}prefer = \"first\"\n"), false, ""),
        (
            format!("{engine}[namespaces.a]\ndurable = \"s3://bucket\"\ndurable_capacity = \"1GiB\"\n"),
            false,
            "namespaces.a.durable_capacity does nothing where nodes share",
        ),
        (
            format!("{engine}{in_memory}shared_capacity = \"1GiB\"\n[namespaces.b]\ndurable = \"off\"\n"),
            false,
            "namespaces.b has no shared_capacity, and may fill the engine; others, as a, remove",
        ),
        (
            format!("{engine}{in_memory}"),
            false,
            "namespaces.a has no shared_capacity, and may fill the engine; uploads are refused then",
        ),
    ] {
        fs::write(&file, &text).unwrap();
        let output =
            Command::new(BINARY).args(["config", "check", file.to_str().unwrap()]).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(is_fault)), "{text}: {said}");
        assert!(said.contains(part) && (!part.is_empty() || !said.contains("does nothing")), "{text}: {said}");
    }
    for (origins, is_good) in [
        ("\"https://player.example\", \"http://localhost:3000\", \"null\"", true),
        ("\"*\"", true),
        ("\"https://player.example/\"", false),
        ("\"player.example\"", false),
        ("\"https://*.example\"", false),
    ] {
        fs::write(&file, format!("[namespaces.a]\ncors_origins = [{origins}]\n")).unwrap();
        let output = Command::new(BINARY).args(["config", "check", "--text-only", file.to_str().unwrap()]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() == is_good && said.contains("is no origin") != is_good, "{origins}: {said}");
    }
}

#[test]
fn a_check_opens_what_a_start_opens() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let check = |text: &str, flags: &[&str]| {
        fs::write(place("s.toml"), text).unwrap();
        let mut command = Command::new(BINARY);
        command.args(["config", "check"]).args(flags).arg(place("s.toml")).current_dir(folder.path());
        let output =
            command.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b").env("AWS_REGION", "r").output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(place("c.pem"), certificate.pem()).unwrap();
    fs::write(place("k.pem"), key.serialize_pem()).unwrap();
    fs::write(place("other.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    fs::write(place("locked.pem"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n").unwrap();
    let tls = |certificate: &str, key: &str| {
        format!("[tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n[namespaces.a]\n")
    };
    assert_eq!(check(&tls("c.pem", "k.pem"), &[]).0, Some(0));
    for (certificate, key, part) in [
        ("c.pem", "missing.pem", "can't read tls.key, missing.pem"),
        ("c.pem", "other.pem", "can't be used together"),
        ("c.pem", "other.pem", "tls: TLS can't be offered with c.pem and other.pem"),
        ("c.pem", "locked.pem", "protected by a password"),
        ("k.pem", "k.pem", "no certificate in PEM"),
    ] {
        let (code, said) = check(&tls(certificate, key), &[]);
        assert!(code == Some(1) && said.contains(part), "{said}");
        assert_eq!(check(&tls(certificate, key), &["--text-only"]), (Some(0), String::new()));
    }
    let (code, said) = check("[access_log]\noutput = \"nowhere/a.log\"\n[harvest]\nfolder = \"recordings\"\n", &[]);
    assert!(code == Some(1) && said.contains("no folder nowhere") && said.contains("harvest.folder: there is no"), "{said}");
    // The viewers' keys are read: each line that is of no use with its number and what would be, and none of it shown.
    fs::create_dir(place("data")).unwrap();
    let viewers = "data_dir = \"data\"\n[namespaces.a.viewers]\nmode = \"required\"\n";
    assert_eq!(check(viewers, &[]).0, Some(0), "a start makes one");
    let good = springhead::auth::signing::SigningKey::generate();
    let key_file = |text: &str| fs::write(place("data/viewer.key"), text).unwrap();
    key_file(&format!(
        "{}\nes256:partner:c2VjcmV0LW9mLXNvbWVib2R5\n# ours\nakamai:a:secret-of-another\ntoo-short\n",
        good.encode()
    ));
    let (code, said) = check(viewers, &[]);
    for part in [
        "viewer.key: line 2 is no public key",
        "viewer.key: line 4 is no key of Akamai's",
        "viewer.key: line 5 is no key: it takes",
        "would fail",
    ] {
        assert!(code == Some(1) && said.contains(part), "{part}: {said}");
    }
    let secret = good.encode();
    assert!(!["secret-of", "c2VjcmV0", "too-short", &secret[..12]].iter().any(|part| said.contains(part)), "{said}");
    assert_eq!(check(viewers, &["--text-only"]).0, Some(0));
    key_file(&format!("{secret}\nakamai:b:{}\n", "52a1".repeat(8)));
    let (code, said) = check(viewers, &[]);
    assert!(code == Some(0) && said.contains("namespace b, which does not exist"), "{said}");
    fs::write(place("data/signing.key"), format!("{secret}\n")).unwrap();
    let (code, said) = check(viewers, &[]);
    assert!(code == Some(1) && said.contains("viewer key and a signing key") && !said.contains(&secret), "{said}");
    // So are those that sign API keys, from wherever a start would read them.
    fs::write(place("data/viewer.key"), format!("{}\n", springhead::auth::signing::SigningKey::generate().encode())).unwrap();
    assert_eq!(check(viewers, &[]).0, Some(0));
    fs::write(place("data/signing.key"), "too-short\n").unwrap();
    let (code, said) = check(viewers, &[]);
    assert!(code == Some(1) && said.contains("data/signing.key is of no use: ") && !said.contains("too-short"), "{said}");
    fs::remove_file(place("data/signing.key")).unwrap();
    assert_eq!(check(viewers, &[]).0, Some(0), "a start makes one");
    for (name, value, part) in [
        ("SPRINGHEAD_SIGNING_KEY", "abc", "SPRINGHEAD_SIGNING_KEY is of no use: "),
        ("SPRINGHEAD_VIEWER_KEY", "abc", "SPRINGHEAD_VIEWER_KEY: the key on line 1"),
        // Where no folder can be made, whoever asks.
        ("SPRINGHEAD_DATA_DIR", "/proc/none", "data_dir: this user can't make a folder in /proc"),
    ] {
        let mut command = Command::new(BINARY);
        command.args(["config", "check"]).arg(place("s.toml")).current_dir(folder.path()).env(name, value);
        let said = String::from_utf8(command.output().unwrap().stderr).unwrap();
        let is_elsewhere = name == "SPRINGHEAD_DATA_DIR";
        assert!(said.contains(part) && !(is_elsewhere && said.contains("durable_capacity")), "{name}: {said}");
        let is_ours = fs::metadata("/proc").unwrap().uid() == fs::metadata(folder.path()).unwrap().uid();
        assert_eq!(said.contains("would fail"), is_ours || !is_elsewhere, "{name}: {said}");
    }
    assert_eq!(check("data_dir = \"new/data\"\n", &[]).0, Some(0));
    assert!(
        !place("new").exists()
            && fs::read_dir(folder.path()).unwrap().flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
    );
    // No name begins with what is read as a token.
    let token = format!("~{}", "a".repeat(60));
    for pair in [format!("public = \"{token}/\"\nsources = [\"x/\"]"), format!("public = \"p/\"\nsources = [\"{token}/b/\"]")] {
        let (code, said) = check(&format!("[namespaces.a]\n[[namespaces.a.pairs]]\n{pair}\n"), &[]);
        assert!(code == Some(2) && said.contains("viewer's token") && !said.contains(&token), "{code:?} {said}");
    }
    // Nobody listens there: without being asked to, nobody is asked either.
    let bucket = "[namespaces.a]\ndurable = \"s3://bucket/prefix\"\n";
    assert_eq!(check(bucket, &[]).0, Some(0));
    let endpoint = format!("http://127.0.0.1:{}", crate::front::free_port());
    let mut command = Command::new(BINARY);
    command.args(["config", "check", "--reach"]).arg(place("s.toml")).current_dir(folder.path());
    for (name, value) in
        [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_REGION", "r"), ("AWS_ENDPOINT_URL_S3", &endpoint)]
    {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && said.contains("s3://bucket/prefix") && said.contains("AWS_ENDPOINT_URL_S3"),
        "{said}"
    );
}
