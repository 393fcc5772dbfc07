//! A real server for each test: its own process, ports, folder and keys. When the test is over the server is stopped and its
//! log is searched for every key the test made: none may stand there.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::metrics_page;
use crate::wire::{Answer, Request};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_springhead");
pub(crate) const NAMESPACE: &str = "live-origin";

/// What is never put down to a busy machine: tests/report knows these words.
const KEY_TOLD: &str = "an API key stands in the log, or a part of one";
const PANICKED: &str = "something panicked";

const LOOPBACK_ADMIN: [&str; 2] = ["--admin-listen", "127.0.0.1:0"];

/// A running server.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The readwrite key of the first start.
    pub(crate) encoder: String,
    /// The readonly one.
    pub(crate) player: String,
    /// The administrator's.
    pub(crate) administrator: String,
    dir: tempfile::TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    secrets: Mutex<Vec<String>>,
    /// The metrics, as they were last asked for.
    shown: Mutex<String>,
    starts: u32,
    marks: AtomicU32,
}

impl Origin {
    /// On embedded defaults, but for the ports.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// With variables in its environment.
    pub(crate) fn start_in(arguments: &[&str], environment: &[(String, String)]) -> Self {
        Self::start_from(tempfile::tempdir().unwrap(), arguments, environment)
    }

    /// With the keys by which another knows what was signed, so that what is good there is good here.
    pub(crate) fn start_like(other: &Self, arguments: &[&str], environment: &[(String, String)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::copy(other.data_dir().join("signing.key"), data.join("signing.key")).unwrap();
        // Made where viewers hold tokens.
        let viewers = other.data_dir().join("viewer.key");
        if viewers.exists() {
            fs::copy(viewers, data.join("viewer.key")).unwrap();
        }
        Self::start_from(dir, arguments, environment)
    }

    fn start_from(dir: tempfile::TempDir, arguments: &[&str], environment: &[(String, String)]) -> Self {
        let mut origin = Self {
            address: SocketAddr::from(([0; 4], 0)),
            admin: SocketAddr::from(([0; 4], 0)),
            encoder: String::new(),
            player: String::new(),
            administrator: String::new(),
            dir,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: environment.to_vec(),
            child: None,
            secrets: Mutex::default(),
            shown: Mutex::default(),
            starts: 0,
            marks: AtomicU32::new(0),
        };
        origin.launch();
        origin.encoder = origin.read_key(&origin.data_dir().join("encoder_api_key.json"));
        origin.player = origin.read_key(&origin.data_dir().join("player_api_key.json"));
        origin.administrator = origin.read_key(&origin.data_dir().join("admin_api_key.json"));
        origin
    }

    /// With a settings file.
    pub(crate) fn start_with_settings(settings: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), settings).unwrap();
        Self::start_with(&["--config", file.path().to_str().unwrap()])
    }

    /// Starts the process in the same folder as before and waits until it listens.
    pub(crate) fn launch(&mut self) {
        self.launch_under(&[]);
    }

    /// The same, as what this command runs.
    pub(crate) fn launch_under(&mut self, command: &[&str]) {
        self.starts += 1;
        let (log, out) = (File::create(self.log_path()).unwrap(), File::create(self.dir.path().join("out.txt")).unwrap());
        let program = [command, &[BINARY]].concat();
        let child = Command::new(program[0])
            .args(&program[1..])
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .args(["--log-level", "debug", "--data-dir"])
            .arg(self.data_dir())
            .args(if self.arguments.iter().any(|argument| argument == "--admin-listen") { &[][..] } else { &LOOPBACK_ADMIN })
            .args(&self.arguments)
            // Each test's access log is searched for keys too.
            .env("SPRINGHEAD_ACCESS_LOG", self.access_log_path())
            .env_remove("SPRINGHEAD_SIGNING_KEY")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let started = self.wait_for_log("started");
        self.admin = started["admin_address"].as_str().unwrap().parse().unwrap();
        let in_clear = self.log().into_iter().find(|line| line["message"] == "listening" && line["tls"] == false).unwrap();
        self.address = in_clear["address"].as_str().unwrap().parse().unwrap();
    }

    /// Starts another process in the same folder, which takes this one's place here. The one before is handed over, with its
    /// address.
    pub(crate) fn launch_beside(&mut self) -> (Process, SocketAddr) {
        let (before, address) = (self.child.take().unwrap(), self.address);
        self.launch();
        (Process(before), address)
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join(format!("log-{}.txt", self.starts))
    }

    /// Where the access log is written, unless the test says otherwise.
    pub(crate) fn access_log_path(&self) -> PathBuf {
        self.dir.path().join("access.log")
    }

    /// The access log, once it has a line that `is` the one that is waited for.
    pub(crate) fn wait_for_access(&self, is: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let lines = || -> Vec<serde_json::Value> {
            let text = fs::read_to_string(self.access_log_path()).unwrap_or_default();
            text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
        };
        let found = eventually(Duration::from_secs(10), || lines().into_iter().find(|line| is(line)));
        found.unwrap_or_else(|| panic!("no such line in the access log: {:#?}", lines()))
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A folder that goes with the server.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.dir.path().join("out.txt")).unwrap()
    }

    /// The log of the present process, as JSON lines.
    pub(crate) fn log(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.log_path()).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first log line with this message, once it is there.
    pub(crate) fn wait_for_log(&self, message: &str) -> serde_json::Value {
        let text = || fs::read_to_string(self.log_path()).unwrap_or_default();
        let found = eventually(Duration::from_secs(60), || self.log().into_iter().find(|line| line["message"] == message));
        found.unwrap_or_else(|| panic!("no log line {message:?} in\n{}", text()))
    }

    /// Log lines that tell of a refused or failed upload, all up to now: lines are written in order, by a thread of their own, so
    /// the one of an upload made now is waited for.
    pub(crate) fn refusals(&self) -> Vec<serde_json::Value> {
        let mark = format!("mark-{}", self.marks.fetch_add(1, Ordering::Relaxed));
        self.store(&mark, "");
        let log = eventually(Duration::from_secs(10), || {
            let log = self.log();
            log.iter().any(|line| line["message"] == "stored" && line["key"] == *mark).then_some(log)
        });
        log.expect("the mark is logged").into_iter().filter(|line| line["message"] == "upload refused").collect()
    }

    /// Runs a command of the binary with this server's data directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let output = Command::new(BINARY).args(arguments).arg("--data-dir").arg(self.data_dir()).output().unwrap();
        if arguments.get(..2) == Some(&["keys", "create"])
            && let Ok(json) = serde_json::from_slice::<serde_json::Value>(&output.stdout)
        {
            self.keep_secret(&json);
        }
        output
    }

    /// Makes a key and returns it with its id.
    pub(crate) fn make_key(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(&[&["keys", "create"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (json["api_key"].as_str().unwrap().to_owned(), json["key_id"].as_str().unwrap().to_owned())
    }

    fn read_key(&self, path: &Path) -> String {
        let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        self.keep_secret(&json);
        json["api_key"].as_str().unwrap().to_owned()
    }

    /// Remembers what may not stand in the log.
    fn keep_secret(&self, key: &serde_json::Value) {
        let secrets = ["api_key", "ingest_password"].map(|name| key[name].as_str().map(str::to_owned));
        self.secrets.lock().extend(secrets.into_iter().flatten());
    }

    /// What no log may have in it.
    fn wrong_in(&self, logs: &str) -> Option<&'static str> {
        // Its signature is a part that nothing else has.
        let is_told = |secret: &String| logs.contains(secret.rsplit('.').next().unwrap_or(secret));
        let is_key_told = self.secrets.lock().iter().any(is_told);
        let panicked = logs.contains("\"panic\"").then_some(PANICKED);
        if is_key_told { Some(KEY_TOLD) } else { panicked }
    }

    pub(crate) fn path(&self, key: &str) -> String {
        format!("/cache/{NAMESPACE}/{key}")
    }

    pub(crate) fn get(&self, key: &str) -> Answer {
        Request::new("GET", self.path(key)).bearer(&self.player).send(self.address)
    }

    pub(crate) fn put(&self, key: &str, body: impl Into<Vec<u8>>) -> Answer {
        Request::new("PUT", self.path(key)).bearer(&self.encoder).body(body).send(self.address)
    }

    /// Stores an object, or ends the test.
    pub(crate) fn store(&self, key: &str, body: impl Into<Vec<u8>>) {
        let answer = self.put(key, body);
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    pub(crate) fn metrics(&self) -> String {
        let answer = Request::new("GET", "/metrics").send(self.admin);
        assert_eq!(answer.status, 200);
        let text = answer.text();
        self.shown.lock().clone_from(&text);
        text
    }

    /// The sum of all series of this name that have these labels, at least.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let parts = |series: &str| -> (String, Vec<String>) {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
            (name.to_owned(), labels)
        };
        let (name, wanted) = parts(series);
        metrics_page::assert_told(&name, &wanted);
        let text = self.metrics();
        let values = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = parts(series);
            (found == name && wanted.iter().all(|label| labels.contains(label))).then(|| value.parse::<f64>().unwrap())
        });
        values.sum()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().unwrap();
        let ended = eventually(Duration::from_secs(40), || child.try_wait().unwrap());
        ended.unwrap_or_else(|| {
            let _ = child.kill();
            panic!("the server does not end")
        })
    }

    /// Stops the process in order.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        assert!(self.wait().success());
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let mut logs: String = (1..=self.starts)
            .map(|n| fs::read_to_string(self.dir.path().join(format!("log-{n}.txt"))).unwrap_or_default())
            .collect();
        // Access logs of all numbers.
        for entry in fs::read_dir(self.dir.path()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains("access") {
                logs += &fs::read_to_string(entry.path()).unwrap_or_default();
            }
        }
        let wrong = self.wrong_in(&logs);
        if thread::panicking() {
            let from = logs.len().saturating_sub(4000);
            eprintln!("--- end of the server's log\n{}", logs.get(from..).unwrap_or(&logs));
            // Whatever else the test has found: tests/report looks for it.
            wrong.into_iter().for_each(|wrong| eprintln!("--- {wrong}"));
            return;
        }
        if let Some(wrong) = wrong {
            let log = if wrong == PANICKED { &*logs } else { "" };
            panic!("{wrong}\n{log}");
        }
        assert_eq!(metrics_page::wrong_labels_of(&self.shown.lock()), [""; 0]);
    }
}

/// Asks again and again until there is an answer or the time is up.
pub(crate) fn eventually<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Says that all is done, also when the test has failed: nobody is to go on for ever.
pub(crate) struct Finally<'a>(pub(crate) &'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A process that ends with the test.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes that differ from place to place and from seed to seed, so that a torn or mixed body shows.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
