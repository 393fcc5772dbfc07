//! Changes without a restart, and a restart without a gap.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::front::free_port;
use crate::harness::{BINARY, Finally, NAMESPACE, Origin, Process, bytes, eventually};
use crate::programs::program;
use crate::wire::{Answer, Request, Wire};

fn reload(origin: &Origin, message: &str) {
    let count = || origin.log().iter().filter(|line| line["message"] == *message).count();
    let before = count();
    origin.signal("HUP");
    assert!(eventually(Duration::from_secs(10), || (count() > before).then_some(())).is_some(), "no {message:?}");
}

#[test]
fn sighup_takes_up_what_can_change_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    let write = |text: &str| fs::write(&file, text).unwrap();
    write("[namespaces.live-origin]\nhot_capacity = \"64MiB\"\n[namespaces.going]\n");
    let origin = Origin::start_with(&["--config", file.to_str().unwrap()]);
    let (writer, _) = origin.make_key(&["--namespace", "*", "--role", "readwrite"]);
    let ask = |method: &str, path: &str, size: usize| {
        Request::new(method, path).bearer(&writer).body(bytes(1, size)).send(origin.address).status
    };
    origin.store("kept.ts", bytes(1, 1000));
    assert_eq!(ask("PUT", "/cache/going/a.ts", 10), 204);
    assert_eq!(ask("PUT", "/cache/coming/a.ts", 10), 404);

    let done = AtomicBool::new(false);
    let asked = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut wire = Wire::open(origin.address);
                while !done.load(Ordering::SeqCst) {
                    let put = Request::new("PUT", origin.path("load.ts")).bearer(&origin.encoder).body(bytes(2, 5000));
                    assert_eq!(wire.ask(&put).status, 204);
                    let get = Request::new("GET", origin.path("kept.ts")).bearer(&origin.player);
                    assert!(wire.ask(&get).body == bytes(1, 1000));
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _finally = Finally(&done);
        write(
            "log_format = \"text\"\ndrain_timeout = \"7s\"\n[namespaces.live-origin]\nhot_capacity = \"32MiB\"\n\
             max_object_size = \"1MiB\"\n[namespaces.coming]\n[timeouts]\nkeep_alive = \"77s\"\n",
        );
        reload(&origin, "settings reloaded");
        for _ in 0..20 {
            reload(&origin, "settings reloaded");
        }
    });
    assert!(asked.load(Ordering::SeqCst) > 10);
    assert_eq!(ask("PUT", "/cache/coming/a.ts", 10), 204);
    assert_eq!(ask("GET", "/cache/going/a.ts", 0), 404);
    assert_eq!(ask("PUT", "/cache/live-origin/big.ts", 2 << 20), 413);
    let changed: Vec<String> = origin
        .log()
        .iter()
        .filter(|line| line["message"] == "changed")
        .map(|line| format!("{} {}", line["setting"].as_str().unwrap(), line["to"].as_str().unwrap()))
        .collect();
    for expected in [
        "drain_timeout \"7s\"",
        "timeouts.keep_alive \"77s\"",
        "namespaces.live-origin.hot_capacity \"32MiB\"",
        "namespaces.live-origin.max_object_size \"1MiB\"",
    ] {
        assert!(changed.iter().any(|line| line == expected), "{expected} is missing in {changed:#?}");
    }

    // A namespace that comes or goes is one line, and not one for each of its settings.
    assert!(!changed.iter().any(|line| line.contains("coming") || line.contains("going")), "{changed:#?}");
    for (message, name) in
        [("a namespace is new", "coming"), ("a namespace is gone, and with it what it held in memory", "going")]
    {
        let lines = origin.log().into_iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
        assert!(lines.len() == 1 && lines[0]["namespace"] == name, "{message}: {lines:?}");
    }

    // A smaller capacity evicts at once.
    for n in 0..25 {
        origin.store(&format!("{n}.ts"), bytes(n, 1 << 20));
    }
    write("[namespaces.live-origin]\nhot_capacity = \"8MiB\"\nmax_object_size = \"1MiB\"\n[namespaces.coming]\n");
    reload(&origin, "settings reloaded");
    let stored = origin.metric("springhead_hot_stored_bytes{namespace=\"live-origin\"}");
    assert!(stored <= f64::from(8 << 20) && stored > f64::from(6 << 20), "{stored}");

    // Wrong settings change nothing at all.
    write("[namespaces.live-origin]\nhot_capacity = \"9MiB\"\nmax_ttl = \"soon\"\n");
    reload(&origin, "the settings are not reloaded: what was in force stays");
    assert_eq!(ask("PUT", "/cache/coming/a.ts", 10), 204);
    let capacity = origin.metric("springhead_hot_capacity_bytes{namespace=\"live-origin\"}");
    assert!((capacity - f64::from(8 << 20)).abs() < f64::EPSILON);
}

#[test]
fn signing_keys_are_rotated_without_a_restart() {
    let origin = Origin::start();
    let (file, message) = (origin.data_dir().join("signing.key"), "the signing keys have changed");
    let old = fs::read_to_string(&file).unwrap();
    let put = |key: &str| Request::new("PUT", origin.path("a.ts")).bearer(key).body("x").send(origin.address).status;
    // Signed with a key that this server has never seen, by a command elsewhere.
    let elsewhere = Origin::start();
    let new = fs::read_to_string(elsewhere.data_dir().join("signing.key")).unwrap();
    assert_eq!((put(&origin.encoder), put(&elsewhere.encoder)), (204, 401));
    fs::write(&file, format!("{new}{old}")).unwrap();
    reload(&origin, message);
    assert_eq!((put(&origin.encoder), put(&elsewhere.encoder)), (204, 204), "all that are listed are good");
    let (fresh, _) = origin.make_key(&["--namespace", "*", "--role", "readwrite"]);
    assert_eq!(put(&fresh), 204);

    fs::write(&file, "of no use\n").unwrap();
    reload(&origin, "the signing keys are not reloaded: those that were in force stay");
    assert_eq!((put(&origin.encoder), put(&elsewhere.encoder), put(&fresh)), (204, 204, 204));
    // By the API that is said to who has it done, and written down.
    fs::write(origin.data_dir().join("viewer.key"), "no key\n").unwrap();
    let ask = |method: &str, path: &str| Request::new(method, path).bearer(&origin.administrator).send(origin.admin);
    let refused = ask("POST", "/v1/reload");
    let audit = ask("GET", "/v1/audit").text();
    assert_eq!(refused.status, 409, "{}", refused.text());
    for told in ["the signing keys are not reloaded", "the viewer keys are not reloaded", "nothing in them has changed"] {
        assert!(refused.text().contains(told) && audit.contains(told), "{told}: {} {audit}", refused.text());
    }
    fs::remove_file(origin.data_dir().join("viewer.key")).unwrap();
    fs::write(&file, format!("{new}{old}")).unwrap();
    assert_eq!(ask("POST", "/v1/reload").status, 200);
    fs::write(&file, &new).unwrap();
    reload(&origin, "the signing keys have changed: what those signed that are gone is refused from now on");
    assert_eq!((put(&origin.encoder), put(&elsewhere.encoder), put(&fresh)), (401, 204, 204), "the first one signs");
    assert!(!origin.log().iter().any(|line| line.to_string().contains(new.trim())), "an id is shown, and no key");
}

/// A start makes a key file that is not there; a server that has read one knows that it was.
#[test]
fn a_key_file_that_is_gone_is_refused_and_what_was_in_force_stays() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\n")).unwrap();
    let origin = Origin::start_with(&["--config", settings.to_str().unwrap()]);
    origin.store("a.ts", "media");
    let made = origin.run(&["token", "viewer", "--namespace", NAMESPACE]);
    let token = serde_json::from_slice::<serde_json::Value>(&made.stdout).unwrap()["token"].as_str().unwrap().to_owned();
    let put = || Request::new("PUT", origin.path("b.ts")).bearer(&origin.encoder).body("x").send(origin.address).status;
    let read = || Request::new("GET", format!("/cache/{NAMESPACE}/~{token}/a.ts")).send(origin.address).status;
    assert_eq!((put(), read()), (204, 200));
    for name in ["viewer.key", "signing.key"] {
        let file = origin.data_dir().join(name);
        let text = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let refused = order(&origin, "POST", "/v1/reload", "", &[]);
        assert_eq!((refused.status, put(), read()), (409, 204, 200), "{name}: {}", refused.text());
        let told = refused.text();
        assert!(told.contains(&format!("{name} any more: put it back")) && !told.contains("start the server"), "{told}");
        assert!(!file.exists(), "none is made in its place");
        fs::write(&file, text).unwrap();
        assert_eq!((order(&origin, "POST", "/v1/reload", "", &[]).status, put(), read()), (200, 204, 200), "{name}");
    }
}

/// An editor empties a file before it writes it, and a full disk leaves it so.
#[test]
fn a_settings_file_that_was_emptied_is_refused_and_one_that_was_empty_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    let full = "[namespaces.live-origin]\n[namespaces.other]\n";
    fs::write(&file, full).unwrap();
    let mut origin = Origin::start_with(&["--config", file.to_str().unwrap()]);
    let (writer, _) = origin.make_key(&["--namespace", "*", "--role", "readwrite"]);
    let put = |origin: &Origin| Request::new("PUT", "/cache/other/a.ts").bearer(&writer).body("x").send(origin.address).status;
    for emptied in ["", "# nothing but a remark\n"] {
        fs::write(&file, emptied).unwrap();
        reload(&origin, "the settings are not reloaded: what was in force stays");
        let refused = order(&origin, "POST", "/v1/reload", "", &[]);
        assert_eq!((refused.status, put(&origin)), (409, 204), "{}", refused.text());
        assert!(refused.text().contains("settings.toml: there is no setting in it any more"), "{}", refused.text());
    }
    fs::write(&file, full).unwrap();
    assert_eq!(order(&origin, "POST", "/v1/reload", "", &[]).status, 200);
    // Who starts with it means it.
    fs::write(&file, "").unwrap();
    origin.stop();
    origin.launch();
    assert_eq!((order(&origin, "POST", "/v1/reload", "", &[]).status, put(&origin)), (200, 404));
    fs::write(&file, full).unwrap();
    assert_eq!((order(&origin, "POST", "/v1/reload", "", &[]).status, put(&origin)), (200, 204));
    fs::write(&file, "").unwrap();
    assert_eq!(order(&origin, "POST", "/v1/reload", "", &[]).status, 409);
}

#[test]
fn what_waits_for_a_restart_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    fs::write(&file, "").unwrap();
    let origin = Origin::start_with(&["--config", file.to_str().unwrap()]);
    fs::write(&file, "reuse_port = true\n").unwrap();
    reload(&origin, "settings reloaded");
    let line = origin.wait_for_log("takes effect at the next start only");
    assert_eq!((line["setting"].as_str(), line["to"].as_str()), (Some("reuse_port"), Some("true")));
}

/// What is asked of the admin listener by JSON.
fn order(origin: &Origin, method: &str, path: &str, order: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::new(method, path).bearer(&origin.administrator);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    if !order.is_empty() {
        request = request.header("Content-Type", "application/json").body(order);
    }
    request.send(origin.admin)
}

fn json(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// Where a namespace keeps its objects is settled when it is opened, and with it what an answer may promise.
#[test]
fn a_durable_tier_waits_for_the_restart_and_so_does_the_promise() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    let write = |rules: &str| fs::write(&file, format!("[namespaces.live-origin]\n{rules}")).unwrap();
    write("durable = \"off\"\n");
    let mut origin = Origin::start_with(&["--config", file.to_str().unwrap()]);
    write("durable = \"disk\"\nack = \"durable\"\ndefault_ttl = \"2h\"\n");
    let settings = |origin: &Origin| {
        let all = json(&order(origin, "GET", "/v1/settings", "", &[]));
        let value = |rule: &str| {
            let key = format!("namespaces.live-origin.{rule}");
            all["settings"].as_array().unwrap().iter().find(|one| one["key"] == *key).unwrap()["value"].clone()
        };
        ["durable", "ack", "default_ttl"].map(value)
    };
    for round in 0..3 {
        let reloaded = json(&order(&origin, "POST", "/v1/reload", "", &[]));
        let mut changes: Vec<_> =
            reloaded["changes"].as_array().unwrap().iter().map(|one| (&one["key"], &one["is_live"])).collect();
        changes.retain(|(key, _)| *key != "namespaces.live-origin.default_ttl");
        let waiting = ["ack", "durable"].map(|rule| serde_json::Value::from(format!("namespaces.live-origin.{rule}")));
        assert_eq!(changes, [(&waiting[0], &false.into()), (&waiting[1], &false.into())], "round {round}");
        assert_eq!(settings(&origin), ["\"off\"", "\"hot\"", "\"2h\""], "round {round}");
        let pending = &json(&order(&origin, "GET", "/v1/namespaces", "", &[]))["namespaces"][0]["pending_restart"];
        assert_eq!(*pending, serde_json::json!(["ack", "durable"]), "round {round}");
    }
    // Of one that is made here what is said last is what the next change begins with.
    let made = order(&origin, "PUT", "/v1/namespaces/a.b", r#"{"durable": "off"}"#, &[]);
    let etag = |answer: &Answer| answer.header("etag").to_owned();
    let changed = order(&origin, "PATCH", "/v1/namespaces/a.b", r#"{"durable": "disk"}"#, &[("If-Match", &etag(&made))]);
    assert_ne!(etag(&made), etag(&changed), "{}", changed.text());
    let changed = order(&origin, "PATCH", "/v1/namespaces/a.b", r#"{"max_ttl": "2d"}"#, &[("If-Match", &etag(&changed))]);
    let report = json(&changed);
    assert_eq!((&report["rules"]["durable"], &report["pending_restart"]), (&"disk".into(), &serde_json::json!(["durable"])));
    origin.stop();
    origin.launch();
    assert_eq!(settings(&origin), ["\"disk\"", "\"durable\"", "\"2h\""]);
    let list = json(&order(&origin, "GET", "/v1/namespaces", "", &[]));
    for namespace in list["namespaces"].as_array().unwrap() {
        assert_eq!((&namespace["rules"]["durable"], &namespace["pending_restart"]), (&"disk".into(), &serde_json::json!([])));
    }
}

/// Another data directory waits for the restart, and so does what is in it.
#[test]
fn what_the_admin_api_has_made_outlives_a_reload_with_another_data_dir() {
    let folder = tempfile::tempdir().unwrap();
    let (file, log) = (folder.path().join("settings.toml"), folder.path().join("log"));
    let [data, other] = ["data", "other"].map(|name| folder.path().join(name));
    let write = |data: &std::path::Path| fs::write(&file, format!("data_dir = \"{}\"\n", data.display())).unwrap();
    write(&data);
    let mut command = Command::new(BINARY);
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json", "--config"]);
    command.arg(&file).env_remove("SPRINGHEAD_DATA_DIR").stdin(Stdio::null()).stdout(Stdio::null());
    let server = Process(command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap());
    let line = |message: &str, is: &dyn Fn(&serde_json::Value) -> bool| {
        eventually(Duration::from_secs(10), || {
            let text = fs::read_to_string(&log).unwrap();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            lines.into_iter().find(|line| line["message"] == message && is(line))
        })
    };
    let address = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap().parse::<std::net::SocketAddr>().unwrap();
    let admin = address(&line("started", &|_| true).unwrap(), "admin_address");
    let objects = address(&line("listening", &|_| true).unwrap(), "address");
    let key = |name: &str| {
        let text = fs::read_to_string(data.join(format!("{name}_api_key.json"))).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["api_key"].as_str().unwrap().to_owned()
    };
    let administrator = key("admin");
    let ask = |method: &str, path: &str, order: &str| {
        let request = Request::new(method, path).bearer(&administrator).header("Content-Type", "application/json");
        if order.is_empty() { request } else { request.body(order) }.send(admin)
    };
    assert_eq!(ask("PUT", "/v1/namespaces/show", "{}").status, 200);
    let made = ask("POST", "/v1/keys", r#"{"role": "readwrite", "namespaces": ["*"]}"#);
    let writer = json(&made)["api_key"].as_str().unwrap().to_owned();
    let put =
        |namespace: &str| Request::new("PUT", format!("/cache/{namespace}/a.ts")).bearer(&writer).body("x").send(objects).status;
    assert_eq!((put("show"), put("live-origin")), (204, 204));
    write(&other);
    assert!(Command::new("kill").args(["-HUP", &server.0.id().to_string()]).status().unwrap().success());
    assert!(line("takes effect at the next start only", &|line| line["setting"] == "data_dir").is_some());
    let lost = line("settings reloaded", &|_| true).and_then(|_| {
        let text = fs::read_to_string(&log).unwrap();
        text.contains("a namespace is gone").then_some(text)
    });
    assert_eq!((lost, put("show"), put("live-origin")), (None, 204, 204));
    assert_eq!((ask("PUT", "/v1/namespaces/late", "{}").status, put("late")), (200, 204), "and others come");
    assert!(!other.exists() && data.join("namespaces/late.toml").exists());
}

#[test]
fn a_second_server_takes_over_the_port_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let listen = address.to_string();
    let start = |name: &str| {
        let log = fs::File::create(folder.path().join(name)).unwrap();
        let mut command = Command::new(BINARY);
        command.args(["serve", "--reuse-port", "--listen", &listen, "--admin-listen", "127.0.0.1:0", "--log-format", "json"]);
        command.arg("--data-dir").arg(folder.path().join("data"));
        let process = Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let started = || fs::read_to_string(folder.path().join(name)).unwrap().contains("\"started\"").then_some(());
        assert!(eventually(Duration::from_secs(10), started).is_some(), "{name} does not start");
        process
    };
    let mut servers = vec![start("0")];
    let key = fs::read_to_string(folder.path().join("data/encoder_api_key.json")).unwrap();
    let key: serde_json::Value = serde_json::from_str(&key).unwrap();
    let key = key["api_key"].as_str().unwrap();
    let done = AtomicBool::new(false);
    let asked = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let put = Request::new("PUT", "/cache/live-origin/a.ts").bearer(key).body(bytes(1, 50_000));
                    let mut wire = Wire::open(address);
                    assert_eq!(wire.ask(&put).status, 204, "an upload was lost in the hand-over");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _finally = Finally(&done);
        for number in 1..4 {
            let before = asked.load(Ordering::SeqCst);
            servers.push(start(&number.to_string()));
            let mut old = servers.remove(0);
            assert!(Command::new("kill").arg(old.0.id().to_string()).status().unwrap().success());
            let ended = eventually(Duration::from_secs(20), || old.0.try_wait().unwrap());
            let on = eventually(Duration::from_secs(10), || (asked.load(Ordering::SeqCst) > before + 20).then_some(()));
            assert!(ended.is_some_and(|status| status.success()) && on.is_some(), "the hand-over to server {number} failed");
            // Until it has what the one before kept, it had better not be handed over from.
            let log = || fs::read_to_string(folder.path().join(number.to_string())).unwrap();
            let taken = || log().contains("the durable tier is open").then_some(());
            assert!(eventually(Duration::from_secs(10), taken).is_some(), "server {number} has not taken over the tier");
        }
    });
}

#[test]
fn a_service_manager_hands_over_the_port_and_hears_how_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (data, told) = (folder.path().join("data"), folder.path().join("notify"));
    let notify = std::os::unix::net::UnixDatagram::bind(&told).unwrap();
    notify.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let hear = || {
        let mut buffer = [0; 500];
        let length = notify.recv(&mut buffer).expect("the server says something");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    // The manager: it opens the port, and starts the server twice on it, as file descriptor 3.
    let manager = r#"
import os, socket, sys
binary, data, port = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", int(port)))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        os.execv(binary, [binary, "serve", "--listen", "127.0.0.1:1", "--admin-listen", "127.0.0.1:0", "--data-dir", data])
    print(pid, flush=True)
    os.waitpid(pid, 0)
"#;
    let port = free_port();
    let mut command = program("python3");
    command.args(["-c", manager, BINARY]).arg(&data).arg(port.to_string()).env("NOTIFY_SOCKET", &told);
    let log = folder.path().join("log.txt");
    let mut manager = Process(command.stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap());
    let mut said = std::io::BufReader::new(manager.0.stdout.take().unwrap());
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let ready = Request::new("GET", "/readyz");
    for round in 0..2 {
        // Asked while one server goes and the next comes: the last look of the one takes the connection, or it waits for the other.
        let mut early = None;
        if round > 0 {
            let mut wire = Wire::open(address);
            wire.write(Request::new("GET", "/livez").to_bytes());
            early = Some(wire);
        }
        let mut pid = String::new();
        // The first line is what print said on its way, and what the server prints at a first start follows.
        while pid.trim().parse::<u32>().is_err() {
            pid.clear();
            assert!(std::io::BufRead::read_line(&mut said, &mut pid).unwrap() > 0);
        }
        assert_eq!(hear(), "READY=1\n");
        if let Some(mut wire) = early {
            assert_eq!(wire.answer_to("GET").status, 200);
        }
        assert_eq!(ready.send(address).status, 200);
        let kill = |signal: &str| assert!(Command::new("kill").args([signal, pid.trim()]).status().unwrap().success());
        kill("-HUP");
        assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(hear(), "READY=1\n");
        kill("-TERM");
        assert_eq!(hear(), "STOPPING=1\n");
    }
    assert!(eventually(Duration::from_secs(10), || manager.0.try_wait().unwrap()).is_some());
    let (said, told) = (
        fs::read_to_string(log).unwrap(),
        format!("opened {address} in place of listen in the settings, which names 127.0.0.1:1:"),
    );
    assert!(said.contains(&told), "{said}");
}
