//! Buckets, on real servers: moto and `SeaweedFS` for S3, Azurite for Azure. Google's store has no server to run, and is not tried.
//!
//! `tests/run` installs moto. The others are larger, and tried where tests/optional's variables name them.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use parking_lot::Mutex;
use springhead::model::clock::Clock;
use springhead::model::id::{Key, Namespace};
use springhead::model::kind::Kind;
use springhead::store::cold::cloud::{Access, Cloud, Location};
use springhead::store::cold::{Attributes, Care, Cold, ColdError};

use crate::cold::conformance::{self, attributes, key, listed};
use crate::front::free_port;
use crate::harness::{Origin, Process, bytes, eventually};
use crate::programs::{kept, optional};
use crate::wire::{Answer, Request, Wire};

/// No call takes longer than this.
const DEADLINE: Duration = Duration::from_secs(10);
pub(crate) const BUCKET: &str = "live-bucket";
/// What must never be printed.
pub(crate) const SECRET: &str = "c3ByaW5naGVhZC10ZXN0LXNlY3JldA==";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kit {
    /// Keeps all in memory.
    Moto,
    SeaweedFs,
    Azurite,
}

/// A store of another's making, in a process of its own.
pub(crate) struct Server {
    kit: Kit,
    program: PathBuf,
    folder: tempfile::TempDir,
    address: SocketAddr,
    process: Option<Process>,
    /// What the parts of `SeaweedFS` talk to each other through.
    others: [u16; 7],
}

impl Server {
    /// Starts it with an empty bucket; nothing where it is one that may be missing, and is.
    pub(crate) fn start(kit: Kit) -> Option<Self> {
        let program = match kit {
            Kit::Moto => kept("SPRINGHEAD_TEST_MOTO", "python/bin/moto_server"),
            Kit::SeaweedFs => optional("SPRINGHEAD_TEST_WEED")?,
            Kit::Azurite => optional("SPRINGHEAD_TEST_AZURITE")?,
        };
        let mut server = Self {
            kit,
            program,
            folder: tempfile::tempdir().unwrap(),
            address: SocketAddr::from(([127, 0, 0, 1], lasting_port())),
            process: None,
            others: [0; 7].map(|_| lasting_port()),
        };
        server.launch();
        let created = eventually(Duration::from_secs(60), || {
            // Whoever listened a moment ago may have been another test that looked for a free port.
            TcpStream::connect(server.address).ok()?;
            let answer = server.create_bucket();
            (answer.status / 100 == 2).then_some(())
        });
        created.unwrap_or_else(|| panic!("{kit:?} makes no bucket: {}", server.log()));
        Some(server)
    }

    fn launch(&mut self) {
        let port = self.address.port().to_string();
        let folder = self.folder.path().to_str().unwrap();
        let mut command = Command::new(&self.program);
        match self.kit {
            Kit::Moto => command.args(["-H", "127.0.0.1", "-p", &port]),
            Kit::SeaweedFs => command.args([
                "server",
                "-filer",
                "-s3",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-master.volumeSizeLimitMB=64",
                "-volume.max=100",
                &format!("-dir={folder}"),
                &format!("-s3.port={port}"),
                &format!("-master.port={}", self.others[0]),
                &format!("-volume.port={}", self.others[1]),
                &format!("-filer.port={}", self.others[2]),
                &format!("-master.port.grpc={}", self.others[3]),
                &format!("-volume.port.grpc={}", self.others[4]),
                &format!("-filer.port.grpc={}", self.others[5]),
                &format!("-s3.port.grpc={}", self.others[6]),
            ]),
            Kit::Azurite => command.env("AZURITE_ACCOUNTS", format!("springhead:{SECRET}")).args([
                "--silent",
                "--skipApiVersionCheck",
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                &port,
                "--location",
                folder,
            ]),
        };
        let log = File::options().create(true).append(true).open(self.folder.path().join("log.txt")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(Process(command.spawn().unwrap()));
        eventually(Duration::from_secs(60), || TcpStream::connect(self.address).ok())
            .unwrap_or_else(|| panic!("{:?} does not listen: {}", self.kit, self.log()));
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.process = None;
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().0.id();
        assert!(Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status().unwrap().success());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log.txt")).unwrap_or_default()
    }

    fn create_bucket(&self) -> Answer {
        if self.kit != Kit::Azurite {
            return self.ask(&Request::new("PUT", format!("/{BUCKET}")));
        }
        // Azure lets nobody in without a signature: Shared Key, as its reference describes it.
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(Clock::system().wall().millis()));
        let signed = format!(
            "PUT{}x-ms-date:{date}\nx-ms-version:2021-12-02\n/springhead/springhead/{BUCKET}\nrestype:container",
            "\n".repeat(12)
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(SECRET).unwrap());
        let signature = BASE64.encode(hmac::sign(&key, signed.as_bytes()));
        let request = Request::new("PUT", format!("/springhead/{BUCKET}?restype=container"))
            .header("x-ms-date", date)
            .header("x-ms-version", "2021-12-02")
            .header("Authorization", format!("SharedKey springhead:{signature}"));
        self.ask(&request)
    }

    /// To these a host's name may name a bucket or an account, so it is the address.
    fn ask(&self, request: &Request) -> Answer {
        let request = request.to_bytes();
        let at = request.windows(9).position(|window| window == b"localhost").unwrap();
        let request = [&request[..at], self.address.to_string().as_bytes(), &request[at + 9..]].concat();
        Wire::open(self.address).write(request).answer_to("GET")
    }

    /// Asks as another tool would, that has no way of its own to write or sign.
    pub(crate) fn plain(&self, method: &str, name: &str, body: &[u8]) -> Answer {
        // moto lets in whoever shows a key, whatever it is.
        let signed = "AWS4-HMAC-SHA256 Credential=other/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        self.ask(&Request::new(method, format!("/{BUCKET}/{name}")).header("Authorization", signed).body(body))
    }

    pub(crate) fn access(&self) -> Access {
        let address = self.address;
        match self.kit {
            Kit::Azurite => access(&[
                ("AZURE_STORAGE_ENDPOINT", &format!("http://{address}/springhead")),
                ("AZURE_STORAGE_ACCOUNT_NAME", "springhead"),
                ("AZURE_STORAGE_ACCOUNT_KEY", SECRET),
            ]),
            _ => s3_access(&format!("http://{address}")),
        }
    }

    /// As a process that has just begun sees it.
    fn open(&self, prefix: &str) -> Cloud {
        self.open_within(prefix, DEADLINE)
    }

    fn open_within(&self, prefix: &str, deadline: Duration) -> Cloud {
        let scheme = if self.kit == Kit::Azurite { "az" } else { "s3" };
        let location = Location::parse(&format!("{scheme}://{BUCKET}/{prefix}")).unwrap();
        let namespace = Namespace::parse("live-origin").unwrap();
        let cloud = Cloud::open(&location, &namespace, &self.access(), deadline, Clock::system()).unwrap();
        assert!(!format!("{cloud:?}").contains(SECRET));
        cloud
    }
}

fn access(variables: &[(&str, &str)]) -> Access {
    Access(variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn s3_access(endpoint: &str) -> Access {
    access(&[
        ("AWS_ENDPOINT_URL_S3", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "springhead"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ])
}

/// A free port that no outgoing connection is given, so that it is still free when its server comes back.
fn lasting_port() -> u16 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = u64::from(std::process::id()) * 97;
    let ports =
        std::iter::repeat_with(|| 20_000 + u16::try_from((start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000).unwrap());
    ports.take(1_000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// Attributes of an object that is of today: others would be left out of the index.
fn live(body: &Bytes, kind: Kind) -> Attributes {
    let now = Clock::system().wall().millis();
    let at = springhead::model::clock::WallTime::from_millis;
    Attributes { modified: at(now), expires: at(now + 3_600_000), ..attributes(body, kind) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_in_memory_conforms() {
    let namespace = Namespace::parse("live-origin").unwrap();
    let cloud = Cloud::open(&Location::memory(), &namespace, &Access::default(), DEADLINE, Clock::system()).unwrap();
    conformance::check(Arc::new(cloud)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_conforms() {
    let Some(server) = Server::start(Kit::Moto) else { return };
    // It closes the old version before it has the new one in place: a reader beside a writer may find nothing.
    conformance::check_alone(&server.open("a prefix/of two")).await;
    conformance::check_alone(&server.open("")).await;
    assert!(!server.log().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_conforms() {
    let Some(server) = Server::start(Kit::SeaweedFs) else { return };
    conformance::check(Arc::new(server.open("a prefix/of two"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azurite_conforms() {
    let Some(server) = Server::start(Kit::Azurite) else { return };
    conformance::check(Arc::new(server.open("a prefix/of two"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tools_find_plain_objects_and_theirs_are_left_alone() {
    let Some(server) = Server::start(Kit::Moto) else { return };
    let cloud = server.open("vod");
    let body = Bytes::from_static(b"#EXTM3U\n");
    let kept = attributes(&body, Kind::Playlist);
    cloud.put(&key("live/a.m3u8"), body.clone(), &kept, Care::Synced).await.unwrap();
    let seen = server.plain("GET", "vod/live-origin/live/a.m3u8", b"");
    assert_eq!((seen.status, seen.body.as_slice()), (200, &body[..]));
    assert_eq!(seen.header("content-type"), "video/mp2t; profile=\"a b\"");
    assert_eq!(seen.header("cache-control"), "public, max-age=7");
    assert_eq!(seen.header("content-encoding"), "gzip");
    assert_eq!(seen.header("x-amz-meta-expires"), kept.expires.millis().to_string());
    // Somebody else's, under a key of ours and under none.
    for name in ["live/b.ts", "c", "%25"] {
        assert_eq!(server.plain("PUT", &format!("vod/live-origin/{name}"), b"theirs").status, 200);
    }
    for theirs in ["live/b.ts", "c"] {
        assert_eq!(cloud.get(&key(theirs)).await, Ok(None));
        assert_eq!(cloud.head(&key(theirs)).await, Ok(None));
    }
    assert_eq!(listed(&cloud).await.into_iter().collect::<Vec<_>>(), [(key("live/a.m3u8"), kept)]);
    assert_eq!(server.plain("GET", "vod/live-origin/c", b"").body, b"theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_refused_and_never_means_absent() {
    let Some(server) = Server::start(Kit::Moto) else { return };
    let location = Location::parse("s3://another-bucket/x").unwrap();
    let namespace = Namespace::parse("live-origin").unwrap();
    let cloud = Cloud::open(&location, &namespace, &server.access(), DEADLINE, Clock::system()).unwrap();
    let body = Bytes::from_static(b"x");
    let put = cloud.put(&key("a.ts"), body.clone(), &attributes(&body, Kind::Segment), Care::Synced).await;
    assert!(matches!(put, Err(ColdError::Denied(_))), "{put:?}");
    assert!(matches!(cloud.get(&key("a.ts")).await, Err(ColdError::Denied(_))));
    assert!(matches!(cloud.list().recv().await, Some(Err(ColdError::Denied(_)))));
}

#[test]
fn a_server_with_a_bucket_outlives_its_memory_itself_and_its_machine() {
    let Some(server) = Server::start(Kit::Moto) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("springhead.toml");
    let namespace = "hot_capacity = \"4MiB\"\nmax_object_size = \"1MiB\"\nack = \"durable\"\n";
    let settings = format!("[namespaces.live-origin]\ndurable = \"s3://{BUCKET}/of one machine\"\n{namespace}");
    std::fs::write(&file, settings).unwrap();
    let mut origin = Origin::start_in(&["--config", file.to_str().unwrap()], &server.access().0);
    origin.store("live/master.m3u8", "#EXTM3U\n");
    for n in 0..30u64 {
        origin.store(&format!("live/{n}.ts"), bytes(n, 400_000));
    }
    let check = |origin: &Origin| {
        assert_eq!(origin.get("live/master.m3u8").body, b"#EXTM3U\n");
        for n in 0..30u64 {
            let answer = origin.get(&format!("live/{n}.ts"));
            assert!(answer.status == 200 && answer.body == bytes(n, 400_000), "{n}: {}", answer.text());
        }
        let part = Request::new("GET", origin.path("live/3.ts")).bearer(&origin.player).header("Range", "bytes=1000-1999");
        assert_eq!(part.send(origin.address).body, bytes(3, 400_000)[1000..2000]);
        assert_eq!(origin.get("live/none.ts").status, 404);
    };
    let first = origin.get("live/0.ts");
    assert!(first.header("cache-status").ends_with("; detail=durable"), "{}", first.header("cache-status"));
    check(&origin);
    // Killed; and again, with all that was local gone.
    for is_new_machine in [false, true] {
        origin.signal("KILL");
        origin.wait();
        if is_new_machine {
            std::fs::remove_dir_all(origin.data_dir().join("objects")).unwrap();
        }
        origin.launch();
        check(&origin);
    }
    let delete = Request::new("DELETE", origin.path("live/3.ts")).bearer(&origin.encoder).send(origin.address);
    assert_eq!(delete.status, 204);
    assert_eq!(origin.get("live/3.ts").status, 404);
    let log = format!("{:?}{}", origin.log(), origin.stdout());
    assert!(!log.contains(SECRET), "{log}");
}

/// A port where nobody listens, and one where somebody listens and never answers.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_outlasts_its_deadline() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let deadline = Duration::from_millis(700);
    for port in [free_port(), silent.local_addr().unwrap().port()] {
        let access = s3_access(&format!("http://127.0.0.1:{port}"));
        let (location, namespace) = (Location::parse("s3://bucket/x").unwrap(), Namespace::parse("n").unwrap());
        let cloud = Cloud::open(&location, &namespace, &access, deadline, Clock::system()).unwrap();
        let (body, key) = (Bytes::from_static(b"x"), key("a.ts"));
        let attributes = attributes(&body, Kind::Segment);
        let began = Instant::now();
        let results = tokio::join!(
            cloud.put(&key, body.clone(), &attributes, Care::Synced),
            async { cloud.get(&key).await.map(drop) },
            async { cloud.get_range(&key, 0..1).await.map(drop) },
            async { cloud.head(&key).await.map(drop) },
            cloud.delete(&key, Care::Synced),
            async { cloud.list().recv().await.unwrap().map(drop) },
        );
        let took = began.elapsed();
        assert!(took < deadline + Duration::from_secs(2), "{took:?}");
        for result in <[Result<(), ColdError>; 6]>::from(results) {
            let Err(ColdError::Unavailable(text)) = result else { panic!("{result:?}") };
            assert!(!text.contains(SECRET), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_asks_only_for_what_the_index_does_not_know() {
    let Some(server) = Server::start(Kit::Moto) else { return };
    restart(&server, 1_300).await;
    let asked = server.log().matches("\"HEAD ").count();
    assert!((1..=400).contains(&asked), "{asked} of 1,300 objects were asked for one by one");
}

/// As many objects as `SPRINGHEAD_TEST_OBJECTS` says, to measure a restart. Prints what it takes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn a_restart_is_measured() {
    let objects = std::env::var("SPRINGHEAD_TEST_OBJECTS").expect("SPRINGHEAD_TEST_OBJECTS says with how many objects");
    for kit in [Kit::SeaweedFs, Kit::Moto, Kit::Azurite] {
        if let Some(server) = Server::start(kit) {
            restart(&server, objects.parse().unwrap()).await;
        }
    }
}

async fn restart(server: &Server, objects: u64) {
    let cloud = Arc::new(server.open("x"));
    let began = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let pushers: Vec<_> = (0..8)
        .map(|_| {
            let (cloud, next) = (Arc::clone(&cloud), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= objects {
                        break;
                    }
                    let body = Bytes::from(bytes(n, 100));
                    let key = key(&format!("live/segment_{n:07}.ts"));
                    cloud.put(&key, body.clone(), &live(&body, Kind::Segment), Care::Synced).await.unwrap();
                }
            })
        })
        .collect();
    for pusher in pushers {
        pusher.await.unwrap();
    }
    // Rewritten with the same bytes and another time to live: the older note must not be believed.
    let again = key("live/segment_0000007.ts");
    let body = Bytes::from(bytes(7, 100));
    let mut longer = live(&body, Kind::Segment);
    longer.expires = springhead::model::clock::WallTime::from_millis(longer.expires.millis() + 7_200_000);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    cloud.put(&again, body, &longer, Care::Synced).await.unwrap();
    let pushed = began.elapsed();
    // The piece is written beside the puts.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for open in [Arc::new(server.open("x")), cloud] {
        let began = Instant::now();
        let (mut list, mut found, mut first) = (open.list(), BTreeMap::new(), None);
        while let Some(object) = list.recv().await {
            first.get_or_insert_with(|| began.elapsed());
            let object = object.unwrap();
            found.insert(object.key, object.attributes.unwrap().unwrap());
        }
        eprintln!(
            "{:?}: {objects} objects put in {pushed:?}, listed in {:?}, the first after {first:?}",
            server.kit,
            began.elapsed()
        );
        assert_eq!(found.len() as u64, objects);
        for n in [0, 1, objects / 2, objects - 1] {
            let attributes = &found[&key(&format!("live/segment_{n:07}.ts"))];
            assert!(attributes.fits(&Bytes::from(bytes(n, 100))));
        }
        if objects < 5_000 {
            assert_eq!(open.head(&again).await.unwrap().unwrap(), longer);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_killed_in_the_middle_of_a_push_keeps_what_was_acknowledged() {
    let Some(server) = Server::start(Kit::SeaweedFs) else { return };
    killed(server, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azurite_killed_in_the_middle_of_a_push_is_missed_and_met_again() {
    let Some(server) = Server::start(Kit::Azurite) else { return };
    killed(server, 2).await;
}

/// It forgets everything, so what is looked at is ourselves: each push ends in time, and the next one works.
#[tokio::test(flavor = "multi_thread")]
async fn moto_killed_in_the_middle_of_a_push_is_missed_and_met_again() {
    let Some(server) = Server::start(Kit::Moto) else { return };
    killed(server, 2).await;
}

async fn killed(mut server: Server, rounds: u64) {
    // Azurite writes its list of objects now and then only.
    let forgets = server.kit != Kit::SeaweedFs;
    let cloud = Arc::new(server.open_within("x", Duration::from_secs(3)));
    let acknowledged: Arc<Mutex<BTreeMap<Key, (u64, usize)>>> = Arc::default();
    for round in 0..rounds {
        let stop = Arc::new(AtomicBool::new(false));
        let pushers: Vec<_> = (0..6)
            .map(|pusher| {
                let (cloud, acknowledged, stop) = (Arc::clone(&cloud), Arc::clone(&acknowledged), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut failed = false;
                    for n in 0.. {
                        let seed = round << 32 | pusher << 24 | n;
                        let length = 20_000 + usize::try_from(seed % 7).unwrap() * 100_000;
                        let (key, body) = (key(&format!("live/{seed:x}.ts")), Bytes::from(bytes(seed, length)));
                        let began = Instant::now();
                        match cloud.put(&key, body.clone(), &live(&body, Kind::Segment), Care::Synced).await {
                            Ok(()) => drop(acknowledged.lock().insert(key, (seed, length))),
                            Err(ColdError::Unavailable(_)) => failed = true,
                            Err(error) => panic!("{error}"),
                        }
                        assert!(began.elapsed() < Duration::from_secs(5), "a push outlasts its deadline");
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                    }
                    failed
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(900 + round * 130)).await;
        server.kill();
        stop.store(true, Ordering::SeqCst);
        let mut failed = 0;
        for pusher in pushers {
            failed += u32::from(pusher.await.unwrap());
        }
        assert!(failed > 0, "the kill came while something was pushed");
        server.launch();
        let back = key("back.ts");
        let body = Bytes::from_static(b"back");
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if forgets {
                server.create_bucket();
            }
            match cloud.put(&back, body.clone(), &live(&body, Kind::Segment), Care::Synced).await {
                Ok(()) => break,
                Err(error) => assert!(Instant::now() < deadline, "{:?} does not come back: {error}", server.kit),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if forgets {
            acknowledged.lock().clear();
            continue;
        }
        // What was acknowledged is whole; and so is all the rest that is there.
        let expected = acknowledged.lock().clone();
        for (key, (seed, length)) in &expected {
            let (attributes, body) = cloud.get(key).await.unwrap().unwrap_or_else(|| panic!("{key} is gone"));
            assert!(body == bytes(*seed, *length) && attributes.fits(&body), "{key} is damaged");
        }
        let found = listed(&server.open("x")).await;
        assert!(expected.keys().all(|key| found.contains_key(key)));
        for (key, listed) in found {
            let (attributes, body) = cloud.get(&key).await.unwrap().unwrap();
            assert!(attributes == listed && attributes.fits(&body), "{key} is half");
        }
        eprintln!("{:?}: {} objects are there after kill {}", server.kit, expected.len(), round + 1);
    }
}
