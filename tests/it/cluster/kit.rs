//! Several nodes and their engine, each a process of its own, with a link of ours between each node and the engine.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::front::free_port;
use crate::harness::{NAMESPACE, Origin, Process, eventually};
use crate::programs::kept;
use crate::wire::Request;

/// One Valkey server.
pub(crate) struct Engine {
    pub(crate) address: SocketAddr,
    pub(super) options: Vec<String>,
    folder: tempfile::TempDir,
    process: Option<Process>,
}

impl Engine {
    pub(crate) fn start(options: &[&str]) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut engine = Self { address, options, folder: tempfile::tempdir().unwrap(), process: None };
        engine.launch();
        engine
    }

    /// Starts it where it was, with nothing in it.
    pub(crate) fn launch(&mut self) {
        let mut command = Command::new(kept("SPRINGHEAD_TEST_VALKEY", "valkey-server"));
        command.arg("--port").arg(self.address.port().to_string()).args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        let command = command.args(&self.options).current_dir(&self.folder).stdout(Stdio::null());
        self.process = Some(Process(command.spawn().unwrap()));
        let answers = eventually(Duration::from_secs(10), || self.ask("PING").filter(|said| said.contains("PONG")));
        assert!(answers.is_some(), "the engine does not start");
    }

    /// Ends it at once, with all that it has.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().0.id();
        assert!(Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().unwrap().success());
    }

    /// Sends a command, and reads what comes at once.
    pub(crate) fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).ok()?;
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        Some(String::from_utf8_lossy(&said).into_owned())
    }

    /// What stands in a list that nodes tell one another by it.
    pub(super) fn pooled(&self, list: &str) -> String {
        let names = self.ask(&format!("KEYS *p:{list}")).unwrap_or_default();
        let name = names.lines().find(|line| line.ends_with(&format!("p:{list}")));
        name.and_then(|name| self.ask(&format!("ZRANGE {name} 0 -1"))).unwrap_or_default()
    }
}

/// What a link does.
const PASSES: u8 = 0;
const HOLDS: u8 = 1;
const REFUSES: u8 = 2;

/// A way to the engine that can be cut and held.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    shared: Arc<LinkState>,
}

struct LinkState {
    to: SocketAddr,
    does: AtomicU8,
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Link {
    pub(crate) fn to(engine: &Engine) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(LinkState {
            to: engine.address,
            does: AtomicU8::new(PASSES),
            is_over: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let of = Arc::clone(&shared);
        thread::spawn(move || {
            for from in listener.incoming().flatten() {
                if of.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let Some(to) = (of.does.load(Ordering::SeqCst) != REFUSES).then(|| TcpStream::connect(of.to).ok()).flatten()
                else {
                    continue;
                };
                of.open.lock().extend([from.try_clone().unwrap(), to.try_clone().unwrap()]);
                for (from, to) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)] {
                    let of = Arc::clone(&of);
                    thread::spawn(move || of.carry(from, to));
                }
            }
        });
        Self { address, shared }
    }

    /// Nothing goes through until it is healed; nobody is told.
    pub(crate) fn hold(&self) {
        self.shared.does.store(HOLDS, Ordering::SeqCst);
    }

    /// Breaks all connections, and takes no others until it is healed.
    pub(crate) fn cut(&self) {
        self.shared.does.store(REFUSES, Ordering::SeqCst);
        self.reset();
    }

    /// Breaks all connections.
    pub(crate) fn reset(&self) {
        for stream in self.shared.open.lock().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn heal(&self) {
        self.shared.does.store(PASSES, Ordering::SeqCst);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.reset();
        let _ = TcpStream::connect(self.address);
    }
}

impl LinkState {
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            while self.does.load(Ordering::SeqCst) == HOLDS && !self.is_over.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(2));
            }
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}

/// Nodes that share one engine, each by a link of its own.
pub(crate) struct Cluster<E = Engine> {
    pub(crate) nodes: Vec<Origin>,
    pub(crate) links: Vec<Link>,
    pub(crate) engine: E,
    pub(super) folder: tempfile::TempDir,
    /// A rule that its nodes do not keep.
    pub(super) without: Option<&'static str>,
    /// What stands in the environment of its nodes.
    pub(super) environment: Vec<(String, String)>,
}

impl Cluster {
    /// So many nodes; `more` settings of the namespace.
    pub(crate) fn start(count: usize, more: &str) -> Self {
        Self::start_without(None, count, more)
    }

    /// The same, without a rule of the protocol.
    pub(crate) fn start_without(without: Option<&'static str>, count: usize, more: &str) -> Self {
        let mut cluster = Self {
            nodes: Vec::new(),
            links: Vec::new(),
            engine: Engine::start(&[]),
            folder: tempfile::tempdir().unwrap(),
            without,
            environment: Vec::new(),
        };
        for _ in 0..count {
            cluster.join(more);
        }
        cluster
    }

    /// One more.
    pub(crate) fn join(&mut self, more: &str) {
        let link = Link::to(&self.engine);
        self.add(&format!("valkey://{}", link.address), more);
        self.links.push(link);
    }
}

impl<E> Cluster<E> {
    /// The settings of a node.
    pub(crate) fn config(&self, node: usize) -> String {
        self.folder.path().join(format!("node-{node}.toml")).to_str().unwrap().to_owned()
    }

    pub(crate) fn is_without_rule(&self) -> bool {
        self.without.is_some()
    }

    /// One more, on the engine at this address.
    pub(super) fn add(&mut self, engine: &str, more: &str) {
        self.add_at_once(engine, more);
        let node = self.nodes.last().unwrap();
        let ready = || (Request::new("GET", "/readyz").send(node.admin).status == 200).then_some(());
        assert!(eventually(Duration::from_secs(20), ready).is_some(), "it does not join: {:?}", node.log());
    }

    /// The same, without asking whether it is ready.
    pub(super) fn add_at_once(&mut self, engine: &str, more: &str) {
        let settings = settings(engine, &format!("node-{}", self.nodes.len()), more);
        // It is read again when a node is started again.
        let path = self.folder.path().join(format!("node-{}.toml", self.nodes.len()));
        std::fs::write(&path, settings).unwrap();
        let arguments = ["--config", path.to_str().unwrap()];
        let without = self.without.iter().map(|rule| ("SPRINGHEAD_TEST_WITHOUT".to_owned(), (*rule).to_owned()));
        let environment: Vec<_> = without.chain(self.environment.iter().cloned()).collect();
        let node = match self.nodes.first() {
            Some(first) => Origin::start_like(first, &arguments, &environment),
            None => Origin::start_in(&arguments, &environment),
        };
        self.nodes.push(node);
    }
}

pub(crate) fn settings(engine: &str, node: &str, more: &str) -> String {
    let durable = if more.contains("durable = ") { "" } else { "durable = \"off\"\n" };
    format!(
        "drain_delay = \"2s\"\n[cluster]\nengine = \"{engine}\"\nnode = \"{node}\"\n[namespaces.{NAMESPACE}]\n{durable}{more}"
    )
}
