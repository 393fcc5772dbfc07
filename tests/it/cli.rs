//! The command line.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::harness::{BINARY, NAMESPACE, Origin, Process, eventually};
use crate::wire::Request;

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn keys_are_made_listed_inspected_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let made = run(&[
        "keys",
        "create",
        "--namespace",
        "a",
        "--namespace",
        "b",
        "--role",
        "readonly",
        "--prefix",
        "show/",
        "--expires",
        "7d",
        "--label",
        "for the CDN",
        "--data-dir",
        data,
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let json: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    for (key, expected) in [
        ("label", serde_json::json!("for the CDN")),
        ("namespaces", serde_json::json!(["a", "b"])),
        ("prefix", serde_json::json!("show/")),
        ("role", serde_json::json!("readonly")),
    ] {
        assert_eq!(json[key], expected);
    }
    let time = |key: &str| humantime::parse_rfc3339(json[key].as_str().unwrap()).unwrap();
    assert_eq!(time("expires_at").duration_since(time("issued_at")).unwrap().as_secs(), 7 * 86_400);
    let (key, id) = (json["api_key"].as_str().unwrap(), json["key_id"].as_str().unwrap());
    assert!(key.len() < 1000);

    let list = text(&run(&["keys", "list", "--data-dir", data]).stdout);
    assert!(list.contains(id) && list.contains("good") && list.contains("for the CDN") && list.contains("a,b"), "{list}");
    assert!(!list.contains(key) && !list.contains(key.rsplit('.').next().unwrap()), "never the key");

    let file = dir.path().join("key.json");
    fs::write(&file, &made.stdout).unwrap();
    for form in [key, file.to_str().unwrap()] {
        let inspected = run(&["keys", "inspect", form, "--data-dir", data]);
        assert!(inspected.status.success());
        let inspected: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
        assert_eq!((&inspected["status"], &inspected["key_id"]), (&serde_json::json!("good"), &json["key_id"]));
        assert!(inspected.get("api_key").is_none());
    }
    assert!(run(&["keys", "revoke", id, "--data-dir", data]).status.success());
    assert!(run(&["keys", "revoke", id, "--data-dir", data]).status.success(), "twice is no error");
    let inspected = run(&["keys", "inspect", key, "--data-dir", data]);
    assert_eq!(inspected.status.code(), Some(1));
    assert!(text(&inspected.stdout).contains("revoked"));
    assert!(text(&run(&["keys", "list", "--json", "--data-dir", data]).stdout).contains("\"status\":\"revoked\""));
    // One that is not on record may have been made elsewhere with the same signing key.
    let elsewhere = run(&["keys", "revoke", "0123456789abcdef", "--data-dir", data]);
    assert!(elsewhere.status.success() && text(&elsewhere.stderr).contains("no key of the id 0123456789abcdef"), "{elsewhere:?}");
    // What no key can be called is a slip of the pen, and somebody believes that a key has ended.
    for nobody in ["zz", "0123", &id[..15], "0123456789ABCDEF"] {
        let refused = run(&["keys", "revoke", nobody, "--data-dir", data]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(text(&refused.stderr).contains("nothing is revoked") && refused.stdout.is_empty(), "{refused:?}");
    }
    for form in [key, file.to_str().unwrap()] {
        assert!(text(&run(&["keys", "revoke", form, "--data-dir", data]).stdout).starts_with(&format!("{id} is revoked")));
    }

    let never = run(&["keys", "create", "--namespace", "*", "--role", "readwrite", "--expires", "never", "--data-dir", data]);
    let json: serde_json::Value = serde_json::from_slice(&never.stdout).unwrap();
    assert!(json["expires_at"].is_null() && json["prefix"].is_null() && json["label"].is_null());

    let out = dir.path().join("out.json");
    let out = out.to_str().unwrap();
    let made = run(&["keys", "create", "--namespace", "a", "--role", "readonly", "--out", out, "--data-dir", data]);
    assert!(made.status.success() && !text(&made.stdout).contains("eyJ"));
    assert!(fs::read_to_string(out).unwrap().contains("\"api_key\": \"eyJ"));
    let again = run(&["keys", "create", "--namespace", "a", "--role", "readonly", "--out", out, "--data-dir", data]);
    assert_eq!(again.status.code(), Some(2), "a key is not written over another");
}

#[test]
fn wrong_usage_is_status_2_and_says_what_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    for (arguments, part) in [
        (&["keys", "create", "--role", "readonly", "--data-dir", data][..], "--namespace"),
        (&["keys", "create", "--namespace", "no/name", "--role", "readonly", "--data-dir", data], "begins with a letter"),
        (&["keys", "create", "--namespace", "a", "--role", "readonly", "--expires", "soon", "--data-dir", data], "--expires"),
        (&["keys", "create", "--namespace", "a", "--role", "emperor"], "readwrite"),
        (&["keys", "revoke", "a.b.c", "--data-dir", data], "key_id"),
        (&["serve", "--listen", "here", "--namespace", "-", "--drain-timeout", "x"], "3 faults"),
        (&["serve", "--config", "/nonexistent/file.toml"], "can't be read"),
        (&["size", "--bitrates", "fast", "--segment", "2s", "--keep", "1m"], "--bitrates"),
        (&["frobnicate"], "Usage"),
        (&[], "Usage"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(part), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "complaints go to stderr");
    }
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "and nothing was begun");
}

#[test]
fn what_fails_is_status_1_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = run(&["keys", "inspect", "eyJ.x.y", "--data-dir", dir.path().to_str().unwrap()]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("--data-dir"));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let no_dir =
        run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", file.to_str().unwrap()]);
    assert_eq!(no_dir.status.code(), Some(1));
    assert!(text(&no_dir.stderr).contains("SPRINGHEAD_DATA_DIR"), "{}", text(&no_dir.stderr));
    let origin = Origin::start();
    let taken = origin.address.to_string();
    let data = dir.path().join("data");
    let busy = run(&["serve", "--listen", &taken, "--admin-listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(busy.status.code(), Some(1));
    assert!(text(&busy.stderr).contains(&taken) && text(&busy.stderr).contains("--listen"), "{}", text(&busy.stderr));
}

#[test]
fn a_result_that_is_lost_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    for (arguments, part) in [
        (&["keys", "create", "--namespace", "a", "--role", "readonly", "--data-dir", data][..], "revoke it"),
        (&["keys", "list", "--data-dir", data], "standard output"),
        (&["config", "default"], "standard output"),
        (&["size", "--bitrates", "2500k", "--segment", "2s", "--keep", "1m"], "standard output"),
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(BINARY).args(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text(&output.stderr).contains(part), "{arguments:?}: {}", text(&output.stderr));
        // Nor is there a panic when nobody can be told either.
        let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = Command::new(BINARY).args(arguments).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}");
    }
}

#[test]
fn what_makes_state_where_none_was_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("elsewhere");
    let place = place.to_str().unwrap();
    let revoked = run(&["keys", "revoke", "0123", "--data-dir", place]);
    assert_eq!(revoked.status.code(), Some(1));
    assert!(text(&revoked.stderr).contains("there is no data directory") && !std::path::Path::new(place).exists());
    let create = || run(&["keys", "create", "--namespace", "a", "--role", "readonly", "--data-dir", place]);
    let first = create();
    assert!(first.status.success() && text(&first.stderr).contains("there was no signing key in"), "{first:?}");
    let second = create();
    assert!(second.status.success() && second.stderr.is_empty(), "{second:?}");
    let missing = run(&["keys", "inspect", "missing.json", "--data-dir", place]);
    assert!(text(&missing.stderr).contains("there is no file missing.json"), "{missing:?}");
}

#[test]
fn a_list_of_no_keys_asks_whether_that_is_the_right_directory() {
    let dir = tempfile::tempdir().unwrap();
    for (place, is_there) in [(dir.path().to_owned(), true), (dir.path().join("none"), false)] {
        let listed = run(&["keys", "list", "--data-dir", place.to_str().unwrap()]);
        let said = text(&listed.stderr);
        assert!(listed.status.success() && text(&listed.stdout).starts_with("KEY ID"), "{listed:?}");
        assert!(said.contains("is it the right directory?") && said.contains("no such directory") != is_there, "{said}");
        assert_eq!(place.exists(), is_there, "nothing is made");
    }
}

#[test]
fn keys_belong_to_the_data_directorys_owner() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    if chown(&data, Some(65_534), Some(65_534)).is_err() {
        eprintln!("only root gives files away: nothing to see for this user");
        return;
    }
    let path = data.to_str().unwrap();
    let out = dir.path().join("key.json");
    let made =
        run(&["keys", "create", "--namespace", "a", "--role", "readwrite", "--data-dir", path, "--out", out.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    assert!(run(&["keys", "revoke", "0123456789abcdef", "--data-dir", path]).status.success());
    let mut seen = 0;
    let mut folders = vec![data.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            assert_eq!((meta.uid(), meta.gid()), (65_534, 65_534), "{:?}", entry.path());
            assert_eq!(meta.mode() & 0o077, 0, "{:?}", entry.path());
            seen += 1;
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert_eq!(seen, 5, "the signing key, two folders, a record and a revocation");
    assert_eq!(fs::metadata(out).unwrap().uid(), fs::metadata(dir.path()).unwrap().uid(), "what goes elsewhere is its maker's");
}

/// A server that root starts by hand leaves the service's user nothing that this one can't write to.
#[test]
fn what_a_server_of_roots_makes_belongs_to_the_data_directorys_owner() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
    use std::os::unix::process::CommandExt as _;
    let dir = tempfile::tempdir().unwrap();
    let [data, settings, elsewhere] = ["data", "settings.toml", "elsewhere"].map(|name| dir.path().join(name));
    fs::create_dir(&data).unwrap();
    if chown(&data, Some(65_534), Some(65_534)).is_err() {
        eprintln!("only root gives files away: nothing to see for this user");
        return;
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // What was there before stays whose it is, and so does what a link leads to.
    fs::write(data.join("note"), "of root").unwrap();
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, data.join("history")).unwrap();
    fs::write(&settings, format!("data_dir = {data:?}\n[namespaces.live-origin]\ndurable = \"disk\"\nack = \"durable\"\n"))
        .unwrap();
    let log = dir.path().join("log.txt");
    let serve = |user: Option<u32>| {
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config"]).arg(&settings);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        command.current_dir("/").env_remove("SPRINGHEAD_DATA_DIR").stdin(Stdio::null()).stdout(Stdio::null());
        let mut server = Process(command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap());
        let said = || fs::read_to_string(&log).unwrap();
        let is_up = eventually(Duration::from_secs(60), || {
            assert!(server.0.try_wait().unwrap().is_none(), "{}", said());
            said().contains(" started ").then_some(())
        });
        assert!(is_up.is_some(), "{}", said());
        let address = fs::read_to_string(data.join("listening")).unwrap().lines().next().unwrap().parse().unwrap();
        let key: serde_json::Value = serde_json::from_slice(&fs::read(data.join("encoder_api_key.json")).unwrap()).unwrap();
        let key = key["api_key"].as_str().unwrap().to_owned();
        let put = |name: &str, body: &str| {
            let path = format!("/cache/{NAMESPACE}/{name}");
            assert_eq!(Request::new("PUT", path).bearer(&key).body(body).send(address).status, 204, "{}", said());
        };
        put("show/a0.ts", "media");
        put("show/p.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na0.ts\n");
        let read = Request::new("GET", format!("/cache/{NAMESPACE}/show/a0.ts")).bearer(&key).send(address);
        assert_eq!(read.status, 200, "{}", said());
        server
    };
    let root = serve(None);
    let history = || fs::read_dir(elsewhere.join(NAMESPACE)).is_ok_and(|mut files| files.next().is_some());
    assert!(eventually(Duration::from_secs(20), || history().then_some(())).is_some(), "the history is written");
    drop(root);
    let (mut seen, mut folders) = (Vec::new(), vec![data.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let name = entry.path().strip_prefix(&data).unwrap().display().to_string();
            let was_there = ["note", "history"].contains(&&*name);
            assert_eq!((meta.uid(), meta.gid()), if was_there { (0, 0) } else { (65_534, 65_534) }, "{name}");
            if meta.is_dir() {
                folders.push(entry.path());
            }
            seen.push(name);
        }
    }
    for name in ["lock", "format.json", "listening", "audit/audit.jsonl", "events/events.jsonl", "harvests/harvests.jsonl"] {
        assert!(seen.iter().any(|seen| seen == name), "{name}: {seen:?}");
    }
    assert!(seen.iter().any(|name| name.ends_with("show/a0.ts")), "{seen:?}");
    assert_eq!(fs::metadata(&elsewhere).unwrap().uid(), 0);
    fs::remove_file(data.join("history")).unwrap();
    drop(serve(Some(65_534)));
    // By hand it was another's once: a check says so, to that user and to root.
    chown(data.join("lock"), Some(0), Some(0)).unwrap();
    let check = |user: u32| {
        let mut command = Command::new(BINARY);
        command.args(["config", "check"]).arg(&settings).uid(user).gid(user).current_dir("/").env_remove("SPRINGHEAD_DATA_DIR");
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    for (user, code, part) in
        [(65_534, 1, "data_dir: this user can't write to what is there of lock"), (0, 0, "data_dir: lock in ")]
    {
        let (found, said) = check(user);
        assert!(found == Some(code) && said.contains(part) && said.contains("chown"), "{found:?} {said}");
    }
    // What it can't read it may read the next time: that is no wrong setting.
    fs::create_dir(data.join("namespaces")).unwrap_or_default();
    chown(data.join("namespaces"), Some(0), Some(0)).unwrap();
    fs::set_permissions(data.join("namespaces"), fs::Permissions::from_mode(0o700)).unwrap();
    let (code, said) = check(65_534);
    assert!(code == Some(1) && said.contains("namespaces: can't be read: "), "{code:?} {said}");
}

/// As Kubernetes leaves a volume for a pod with an `fsGroup`: root's still, and the group's to write in.
#[test]
fn a_volume_that_is_the_groups_alone_takes_a_server_and_its_starts_after_the_first() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    use std::os::unix::process::CommandExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    if chown(&data, Some(0), Some(65_532)).is_err() {
        eprintln!("only root starts a server as somebody else: nothing to see for this user");
        return;
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o2775)).unwrap();
    let log = dir.path().join("log.txt");
    for start in 1..=3 {
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
        command.uid(65_532).gid(65_532).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        let mut server = Process(command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap());
        let said = || fs::read_to_string(&log).unwrap();
        let is_up = eventually(Duration::from_secs(60), || {
            assert!(server.0.try_wait().unwrap().is_none(), "start {start}: {}", said());
            said().contains(" started ").then_some(())
        });
        assert!(is_up.is_some(), "start {start}: {}", said());
        let address = fs::read_to_string(data.join("listening")).unwrap().lines().next().unwrap().parse().unwrap();
        assert_eq!(Request::new("GET", "/readyz").send(address).status, 200);
        assert!(!said().contains("can write in it"), "by its group it is the server's: {}", said());
    }
    let create = |user: u32| {
        let mut command = Command::new(BINARY);
        command.args(["keys", "create", "--namespace", "a", "--role", "readonly", "--data-dir"]).arg(&data);
        command.uid(user).gid(65_532).current_dir("/").output().unwrap()
    };
    let made = create(0);
    assert!(made.status.success(), "{made:?}");
    for entry in fs::read_dir(data.join("keys")).unwrap() {
        let meta = entry.unwrap().metadata().unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o077), (65_532, 0), "the server reads what root has made");
    }
    assert!(!create(65_533).status.success(), "somebody else reads nothing there");
}

#[test]
fn settings_are_checked_and_shown() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/springhead.toml");
    let checked = run(&["config", "check", shipped]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert_eq!(text(&run(&["config", "default"]).stdout).trim_end(), fs::read_to_string(shipped).unwrap().trim_end());
    assert_eq!(text(&run(&["config", "print"]).stdout), text(&run(&["config", "print", "--config", shipped]).stdout));
    let flags = run(&["config", "print", "--namespace", "show=64MiB", "--listen", "[::1]:80", "--listen", "127.0.0.1:1"]);
    let flags = text(&flags.stdout);
    for line in ["listen = [\"[::1]:80\", \"127.0.0.1:1\"]", "[namespaces.show]", "hot_capacity = \"64MiB\""] {
        assert!(flags.contains(line), "{line} is missing in\n{flags}");
    }
    assert!(!flags.contains("live-origin"));
    let twin = Command::new(BINARY).args(["config", "print"]).env("SPRINGHEAD_NAMESPACE", "show=64MiB,other").output().unwrap();
    assert!(text(&twin.stdout).contains("[namespaces.show]") && text(&twin.stdout).contains("[namespaces.other]"));
    let both = Command::new(BINARY)
        .args(["config", "print", "--listen", "127.0.0.1:9"])
        .env("SPRINGHEAD_LISTEN", "127.0.0.1:7")
        .env("SPRINGHEAD_LOG_FORMAT", "json")
        .output()
        .unwrap();
    assert!(text(&both.stdout).contains("127.0.0.1:9") && text(&both.stdout).contains("\"json\""), "flag > environment");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken.toml");
    let wrong = "listen = [\"nowhere\"]\nhot_capacity = \"1GiB\"\n[namespaces.x]\nmax_ttl = \"1 fortnight\"\n\
                 [namespaces.y]\nmax_ttl = \"10m\"\n";
    fs::write(&file, wrong).unwrap();
    let broken = run(&["config", "check", file.to_str().unwrap()]);
    assert_eq!(broken.status.code(), Some(2));
    let faults = text(&broken.stderr);
    for part in [
        "broken.toml:1: listen:",
        "broken.toml:2: hot_capacity: is not a setting",
        "broken.toml:4: namespaces.x.max_ttl:",
        "broken.toml:6: namespaces.y.default_ttl: is 1h; it has to be between 1s and max_ttl, 10m",
    ] {
        assert!(faults.contains(part), "{part} is missing in\n{faults}");
    }
    let refused = run(&["serve", "--config", file.to_str().unwrap()]);
    let said = format!("{}; nothing was started\n", faults.trim_end());
    assert_eq!((refused.status.code(), text(&refused.stderr)), (Some(2), said), "and nothing is started with them");
}

#[test]
fn the_file_that_a_start_would_read_is_the_one_that_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("good.toml"), "").unwrap();
    fs::write(dir.path().join("bad.toml"), "junk = 1\n").unwrap();
    let check = |named: Option<&str>, args: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["config", "check", "--text-only"]).args(args).current_dir(dir.path()).env_remove("SPRINGHEAD_CONFIG");
        let output = command.envs(named.map(|file| ("SPRINGHEAD_CONFIG", file))).output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    assert_eq!(check(Some("good.toml"), &[]), (Some(0), "good.toml: good\n".to_owned()));
    let (code, said) = check(Some("bad.toml"), &[]);
    assert!(code == Some(2) && said.starts_with("bad.toml:1: junk: "), "{said}");
    assert_eq!(check(Some("bad.toml"), &["good.toml"]).0, Some(0), "what stands on the command line counts more");
    let (code, said) = check(None, &[]);
    assert!(code == Some(2) && said.contains("<FILE>"), "{said}");
}

#[test]
fn a_check_sees_what_a_start_sees_beside_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("good.toml"), dir.path().join("data"));
    fs::create_dir_all(data.join("namespaces")).unwrap();
    fs::write(data.join("namespaces/made.toml"), "junk = 1\n").unwrap();
    fs::write(&file, "data_dir = \"/elsewhere\"\nlog_level = \"info\"\n[namespaces.live]\n").unwrap();
    let check = |variables: &[(&str, &str)], more: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["config", "check"]).arg(&file).args(more).current_dir(dir.path()).envs(variables.iter().copied());
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let data = data.to_str().unwrap();
    for (name, value, part) in [
        ("SPRINGHEAD_DRAIN_TIMEOUT", "soon", "SPRINGHEAD_DRAIN_TIMEOUT: "),
        ("SPRINGHEAD_DATA_DIR", data, "made.toml:1: namespaces.made.junk: "),
    ] {
        let (code, said) = check(&[(name, value)], &[]);
        assert!(code == Some(2) && said.contains(part), "{said}");
        assert_eq!(check(&[(name, value)], &["--text-only"]), (Some(0), String::new()), "the text is good");
    }
    // Two that say different things: one of them does nothing, and it is told which.
    let elsewhere = dir.path().join("free");
    let elsewhere = elsewhere.to_str().unwrap();
    let (code, said) = check(&[("SPRINGHEAD_DATA_DIR", elsewhere), ("SPRINGHEAD_LOG_LEVEL", "debug")], &[]);
    let told =
        "warning: data_dir: \"/elsewhere\" in the settings file is not in force: the variable SPRINGHEAD_DATA_DIR lies over it";
    assert!(code == Some(0) && said.contains(told) && !said.contains("log_level"), "{said}");
    assert!(!check(&[], &[]).1.contains("not in force"), "{said}");
}

/// Who sets a variable takes it to be in force, and nothing else says that it is not.
#[test]
fn a_variable_that_nothing_reads_is_told_by_its_name_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("good.toml");
    fs::write(&file, "[namespaces.live]\n").unwrap();
    let check = |variables: &[(&str, &str)], more: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["config", "check"]).arg(&file).args(more).current_dir(dir.path()).envs(variables.iter().copied());
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let told = "the variable SPRINGHEAD_ACK is set, and nothing reads it";
    let (code, said) = check(&[("SPRINGHEAD_ACK", "of-no-use")], &[]);
    assert!(code == Some(0) && said.contains(&format!("warning: {told}")) && !said.contains("of-no-use"), "{said}");
    assert_eq!(check(&[("SPRINGHEAD_ACK", "of-no-use")], &["--text-only"]), (Some(0), String::new()), "the text is good");
    // Those that are read, by this command or another one, and what Kubernetes says of a service that is called as we are.
    for variables in [
        &[("SPRINGHEAD_DRAIN_TIMEOUT", "20s"), ("SPRINGHEAD_KEY", "of-no-use")][..],
        &[("SPRINGHEAD_SERVICE_HOST", "10.0.0.1"), ("SPRINGHEAD_PORT", "tcp://10.0.0.1:8080")],
    ] {
        let (code, said) = check(variables, &[]);
        assert!(code == Some(0) && !said.contains("nothing reads it"), "{said}");
    }
    let origin = Origin::start_in(&[], &[("SPRINGHEAD_ACK".to_owned(), "of-no-use".to_owned())]);
    let log = origin.log();
    let warned = |line: &serde_json::Value| line["level"] == "WARN" && line["message"].as_str().unwrap().starts_with(told);
    assert_eq!(log.iter().filter(|line| warned(line)).count(), 1, "{log:#?}");
    assert!(!log.iter().any(|line| line.to_string().contains("of-no-use")), "{log:#?}");
}

#[test]
fn what_root_reads_and_the_server_may_not_is_told_by_a_check() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    let dir = tempfile::tempdir().unwrap();
    let [file, data, closed] = ["settings.toml", "data", "closed"].map(|name| dir.path().join(name));
    fs::create_dir(&data).unwrap();
    if chown(&data, Some(65_534), Some(65_534)).is_err() {
        eprintln!("only root reads what others can't: nothing to see for this user");
        return;
    }
    fs::create_dir(&closed).unwrap();
    let password = closed.join("password");
    fs::write(&password, "secret").unwrap();
    let engine = format!("[cluster]\nengine = \"valkey://127.0.0.1:1\"\npassword_file = {password:?}\n");
    fs::write(&file, format!("data_dir = {data:?}\n{engine}[namespaces.live]\ndurable = \"off\"\n")).unwrap();
    let mode = |path: &std::path::Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let told = || {
        let output = run(&["config", "check", file.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        text(&output.stderr)
    };
    mode(dir.path(), 0o755);
    for (folder, mode_of_file, part) in [
        (0o700, 0o644, Some(closed.display().to_string() + ";")),
        (0o755, 0o600, Some(password.display().to_string() + ";")),
        (0o755, 0o644, None),
    ] {
        mode(&closed, folder);
        mode(&password, mode_of_file);
        let said = told();
        let is_told = said.contains("cluster.password_file: the user with the id 65534");
        assert!(is_told == part.is_some() && part.is_none_or(|part| said.contains(&part)), "{said}");
    }
    chown(&password, Some(65_534), Some(65_534)).unwrap();
    mode(&password, 0o600);
    assert!(!told().contains("cluster.password_file"), "its own");
}

#[test]
fn the_arithmetic_of_a_channel() {
    let output = run(&["size", "--bitrates", "2500k,1500k,750k", "--segment", "2.5s", "--keep", "5m"]);
    let output = text(&output.stdout);
    assert!(output.contains("hot_capacity to set               200MiB"), "{output}");
}

#[test]
fn health_is_that_of_the_running_server() {
    let mut origin = Origin::start();
    let listen = origin.address.to_string();
    let healthy = run(&["health", "--listen", &listen]);
    assert!(healthy.status.success(), "{}", text(&healthy.stderr));
    origin.stop();
    let gone = run(&["health", "--listen", &listen]);
    assert_eq!(gone.status.code(), Some(1));
}

#[test]
fn the_environment_may_hold_the_signing_key() {
    let mut origin = Origin::start();
    let (key, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readonly"]);
    let signer = fs::read_to_string(origin.data_dir().join("signing.key")).unwrap();
    origin.stop();
    let inspect = |signer: &str| {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().to_str().unwrap().to_owned();
        let mut command = Command::new(BINARY);
        command.args(["keys", "inspect", &key, "--data-dir", &data]).env("SPRINGHEAD_SIGNING_KEY", signer);
        command.output().unwrap()
    };
    assert!(inspect(signer.trim()).status.success(), "with nothing in the folder");
    let useless = inspect("too-short");
    assert_eq!(useless.status.code(), Some(1));
    assert!(!text(&useless.stderr).contains("too-short"), "a signing key is not shown, even a useless one");
}

#[test]
fn packages_get_their_manual_pages_and_completions_from_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let (man, completions) = (folder.path().join("man"), folder.path().join("completions"));
    for (what, place) in [("man", &man), ("completions", &completions)] {
        let made = run(&["generate", what, place.to_str().unwrap()]);
        assert!(made.status.success(), "{}", text(&made.stderr));
    }
    let help = text(&run(&["--help"]).stdout);
    assert!(!help.contains("generate"), "it is for those who make packages");
    for line in help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  ")) {
        if let Some(command) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) {
            let command = command.split_whitespace().next().unwrap();
            assert!(man.join(format!("springhead-{command}.1")).is_file(), "there is no page of {command}");
        }
    }
    assert!(man.join("springhead.1").is_file() && man.join("springhead-keys-create.1").is_file());
    let page = fs::read_to_string(man.join("springhead.toml.5")).unwrap();
    assert!(page.contains("drain_timeout") && page.contains("[namespaces.live-origin]"), "{page}");
    let bash = fs::read_to_string(completions.join("springhead.bash")).unwrap();
    assert!(bash.contains("--data-dir"), "{bash}");
    let refused = run(&["generate", "man", "/dev/null/here"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("/dev/null/here"), "{}", text(&refused.stderr));
}

#[test]
fn what_is_linked_in_is_told_with_its_licences() {
    let told = text(&run(&["licenses"]).stdout);
    for part in
        ["\ntokio ", "\naws-lc-sys ", "\ntikv-jemalloc-sys ", "\nhls.js ", "Permission is hereby granted", "Apache License"]
    {
        assert!(told.contains(part), "{part:?} is not there");
    }
}

#[test]
fn a_label_breaks_no_table() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let make = |label: &str| run(&["keys", "create", "--role", "viewer", "--label", label, "--data-dir", data]);
    for label in ["a\nb", "\u{1b}[2J", &"x".repeat(201)] {
        let refused = make(label);
        assert_eq!(refused.status.code(), Some(2), "{label:?}");
        assert!(text(&refused.stderr).contains("--label: has "), "{}", text(&refused.stderr));
    }
    let made: serde_json::Value = serde_json::from_slice(&make("it was a good one").stdout).unwrap();
    // Others were taken before.
    let record = dir.path().join("keys").join(format!("{}.json", made["key_id"].as_str().unwrap()));
    let kept = fs::read_to_string(&record).unwrap();
    assert!(kept.contains("it was a good one"), "{kept}");
    fs::write(&record, kept.replace("it was a good one", "\\u001b[2Jno\\none")).unwrap();
    let list = text(&run(&["keys", "list", "--data-dir", data]).stdout);
    assert!(list.contains("\\u{1b}[2Jno\\none") && !list.contains('\u{1b}') && list.lines().count() == 2, "{list:?}");
}
