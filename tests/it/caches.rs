//! Four caches that other people wrote, each set up as a CDN is: an origin path of its own, and an Authorization header that
//! replaces the viewer's. What they make of our headers is what a CDN makes of them.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::front::{self, free_port};
use crate::harness::{Finally, NAMESPACE, Origin, bytes, eventually};
use crate::programs::{is_root, program};
use crate::wire::{Answer, Request};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Nginx,
    Varnish,
    TrafficServer,
    Squid,
}

/// A running cache in front of an origin.
struct Cache {
    address: SocketAddr,
    child: Child,
    folder: tempfile::TempDir,
}

impl Cache {
    fn start(kind: Kind, origin: &Origin) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = match kind {
            Kind::Nginx => nginx(dir, address, origin),
            Kind::Varnish => varnish(dir, address, origin),
            Kind::TrafficServer => traffic_server(dir, address, origin),
            Kind::Squid => squid(dir, address, origin),
        };
        let log = fs::File::create(dir.join("out.txt")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let cache = Self { address, child, folder };
        // It listens before it is all there: wait for an answer from behind it.
        let up = eventually(Duration::from_secs(30), || {
            let connected = TcpStream::connect(address).is_ok();
            (connected && cache.try_get("/none").is_some_and(|answer| answer.status == 404)).then_some(())
        });
        assert!(up.is_some(), "{kind:?} does not come up:\n{}", cache.said());
        cache
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("out.txt")).unwrap_or_default()
    }

    fn try_get(&self, path: &str) -> Option<Answer> {
        let mut wire = crate::wire::Wire::open(self.address);
        wire.try_write(&Request::new("GET", path).to_bytes()).then_some(())?;
        wire.try_answer_to("GET")
    }

    /// As a viewer asks, with a credential of his own that means nothing.
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = Request::new(method, path).header("Authorization", "Bearer viewer");
        headers.iter().fold(request, |request, (name, value)| request.header(name, *value)).send(self.address)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[])
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // Told to end, and not killed, each ends its workers too.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        if eventually(Duration::from_secs(5), || self.child.try_wait().ok().flatten()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Started by root, some of them become another user, who needs the folder.
fn hand_to(user: &str, dir: &Path) {
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    if is_root() {
        let done = Command::new("chown").arg("-R").arg(user).arg(dir).status().unwrap();
        assert!(done.success());
    }
}

/// All of it is cached, and asked for once.
fn nginx(dir: &Path, address: SocketAddr, origin: &Origin) -> Command {
    let location = format!(
        "location / {{ include origin.conf; proxy_cache cache; proxy_cache_key $uri; proxy_cache_lock on; proxy_cache_revalidate on; \
         proxy_pass http://origin/cache/{NAMESPACE}$uri$is_args$args; }}"
    );
    front::nginx(dir, address, origin, &location)
}

fn varnish(dir: &Path, address: SocketAddr, origin: &Origin) -> Command {
    let (port, key) = (origin.address.port(), &origin.player);
    let config = format!(
        r#"
        vcl 4.1;
        backend default {{ .host = "127.0.0.1"; .port = "{port}"; }}
        sub vcl_recv {{ unset req.http.Authorization; }}
        sub vcl_backend_fetch {{
            set bereq.url = "/cache/{NAMESPACE}" + bereq.url;
            set bereq.http.Authorization = "{key}";
        }}
        # Nothing stale while it asks anew, but kept, so that it can ask with If-None-Match.
        sub vcl_backend_response {{ set beresp.grace = 0s; set beresp.keep = 60s; }}
        "#
    );
    fs::write(dir.join("cdn.vcl"), config).unwrap();
    let mut command = program("varnishd");
    command.args(["-F", "-j", "none", "-a", &address.to_string(), "-s", "malloc,64m", "-p", "thread_pool_min=5"]);
    command.arg("-f").arg(dir.join("cdn.vcl")).arg("-n").arg(dir.join("varnish"));
    command
}

fn traffic_server(dir: &Path, address: SocketAddr, origin: &Origin) -> Command {
    for name in ["etc", "cache", "log", "run"] {
        fs::create_dir(dir.join(name)).unwrap();
    }
    let (at, port, upstream, key) = (dir.display(), address.port(), origin.address, &origin.player);
    let user = if is_root() { "trafficserver" } else { "#-1" };
    let layout = format!(
        "prefix: {at}\nsysconfdir: {at}/etc\nlocalstatedir: {at}/run\nruntimedir: {at}/run\nlogdir: {at}/log\n\
         cachedir: {at}/cache\ndatadir: {at}/cache\nbindir: /usr/bin\nlibexecdir: /usr/lib/trafficserver/modules\n"
    );
    fs::write(dir.join("runroot.yaml"), layout).unwrap();
    let records = format!(
        "CONFIG proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1\nCONFIG proxy.config.admin.user_id STRING {user}\n\
         CONFIG proxy.config.exec_thread.autoconfig INT 0\nCONFIG proxy.config.exec_thread.limit INT 1\n\
         CONFIG proxy.config.cache.ram_cache.size INT 16777216\nCONFIG proxy.config.http.wait_for_cache INT 2\n"
    );
    fs::write(dir.join("etc/records.config"), records).unwrap();
    let remap =
        format!("map / http://{upstream}/cache/{NAMESPACE}/ @plugin=header_rewrite.so @pparam={at}/etc/authorization.config\n");
    fs::write(dir.join("etc/remap.config"), remap).unwrap();
    fs::write(dir.join("etc/authorization.config"), format!("set-header Authorization \"{key}\"\n")).unwrap();
    fs::write(dir.join("etc/storage.config"), format!("{at}/cache 64M\n")).unwrap();
    fs::write(dir.join("etc/plugin.config"), "").unwrap();
    fs::write(dir.join("etc/ip_allow.yaml"), "ip_allow:\n  - {apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}\n")
        .unwrap();
    hand_to("trafficserver", dir);
    let mut command = program("traffic_server");
    command.arg(format!("--run-root={at}/runroot.yaml"));
    command
}

fn squid(dir: &Path, address: SocketAddr, origin: &Origin) -> Command {
    let (at, port, upstream, key) = (dir.display(), address.port(), origin.address.port(), &origin.player);
    let rewrite = format!(
        "#!/bin/sh\nexec sed -u -E 's#^http://[^/]*(/[^ ]*).*#OK rewrite-url=\"http://cdn.example/cache/{NAMESPACE}\\1\"#'\n"
    );
    fs::write(dir.join("rewrite"), rewrite).unwrap();
    fs::set_permissions(dir.join("rewrite"), Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "http_port 127.0.0.1:{port} accel defaultsite=cdn.example no-vhost\n\
         cache_peer 127.0.0.1 parent {upstream} 0 no-query originserver no-digest\n\
         never_direct allow all\nhttp_access allow all\nurl_rewrite_program {at}/rewrite\nurl_rewrite_children 1 startup=1\n\
         request_header_access Authorization deny all\nrequest_header_add Authorization \"{key}\" all\n\
         refresh_pattern . 0 0% 0\nminimum_expiry_time 0 seconds\ncache_mem 32 MB\nmaximum_object_size_in_memory 16 MB\n\
         memory_cache_shared off\npid_filename {at}/pid\naccess_log none\ncache_log {at}/cache.log\ncache_store_log none\n\
         coredump_dir {at}\nvisible_hostname cdn.example\nshutdown_lifetime 0 seconds\nmax_filedescriptors 1024\n\
         pinger_enable off\nnetdb_filename none\n"
    );
    fs::write(dir.join("squid.conf"), config).unwrap();
    hand_to("proxy", dir);
    let mut command = program("squid");
    command.args(["-N", "-n", &format!("cdn{port}")]).arg("-f").arg(dir.join("squid.conf"));
    command
}

/// How many requests of this method the origin has answered with this status.
fn answered(origin: &Origin, method: &str, status: u16) -> f64 {
    origin.metric(&format!("springhead_http_requests_total{{method=\"{method}\",status=\"{status}\"}}"))
}

/// The whole of it, for one cache.
fn stands_behind(kind: Kind) {
    let origin = Origin::start_with_settings(&format!("[namespaces.{NAMESPACE}]\nsegment_max_age = \"2s\"\n"));
    let cache = Cache::start(kind, &origin);
    keeps_and_revalidates_segments(kind, &origin, &cache);
    passes_parts_and_heads(kind, &origin, &cache);
    never_shows_an_old_playlist(kind, &origin, &cache);
}

fn keeps_and_revalidates_segments(kind: Kind, origin: &Origin, cache: &Cache) {
    // An absence is not kept: what is asked for a moment too early is there a moment later.
    assert_eq!(cache.get("/show/a.ts").status, 404, "{kind:?}");
    let body = bytes(1, 300_000);
    origin.store("show/a.ts", body.clone());
    let first = cache.get("/show/a.ts");
    assert!(first.status == 200 && first.body == body, "{kind:?}: {} {:?}", first.status, first.headers);
    assert_eq!(first.header("access-control-allow-origin"), "*");

    let (whole, unchanged) = (answered(origin, "GET", 200), answered(origin, "GET", 304));
    assert!((whole - 1.0).abs() < f64::EPSILON);
    let again = cache.get("/show/a.ts");
    assert!(again.body == body && again.header("etag") == first.header("etag"), "{kind:?}");
    assert!((answered(origin, "GET", 200) - whole).abs() < f64::EPSILON, "{kind:?} kept nothing");
    assert!((answered(origin, "GET", 304) - unchanged).abs() < f64::EPSILON, "{kind:?} asked at once");

    // When its time is up the cache asks whether it has changed, and is told that it has not, without the bytes.
    let asked = eventually(Duration::from_secs(10), || {
        assert!(cache.get("/show/a.ts").body == body);
        (answered(origin, "GET", 304) > unchanged).then_some(())
    });
    assert!(asked.is_some(), "{kind:?} never revalidates");
    assert!((answered(origin, "GET", 200) - whole).abs() < f64::EPSILON, "{kind:?} fetched again what had not changed");
    assert_eq!(origin.refusals().len(), 0);
}

fn passes_parts_and_heads(kind: Kind, origin: &Origin, cache: &Cache) {
    let body = bytes(2, 200_000);
    for name in ["cold.mp4", "warm.mp4"] {
        origin.store(name, body.clone());
    }
    assert!(cache.get("/warm.mp4").body == body);
    for name in ["/warm.mp4", "/cold.mp4"] {
        let part = cache.ask("GET", name, &[("Range", "bytes=1000-1999")]);
        assert_eq!((part.status, part.header("content-range")), (206, "bytes 1000-1999/200000"), "{kind:?} {name}");
        assert!(part.body == body[1000..2000], "{kind:?} {name}");
    }
    origin.store("head.mp4", body);
    for _cold_then_warm in 0..2 {
        let head = cache.ask("HEAD", "/head.mp4", &[]);
        assert_eq!((head.status, head.header("content-length")), (200, "200000"), "{kind:?}");
        assert!(head.header("etag").starts_with('"') && head.header("content-type") == "video/mp4", "{kind:?}");
    }
    assert_eq!(cache.ask("HEAD", "/none.mp4", &[]).status, 404);
    let outside = cache.ask("GET", "/head.mp4", &[("Range", "bytes=200000-")]);
    assert_eq!(outside.status, 416, "{kind:?}");
}

fn never_shows_an_old_playlist(kind: Kind, origin: &Origin, cache: &Cache) {
    // Caches count in whole seconds, and some of them round up: so a second may become two, and never more.
    let limit = Duration::from_millis(1000 + 1000 + 250);
    let path = "/live.m3u8";
    let playlist = |n: usize| format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{n}\n#EXTINF:2,\n{n}.ts\n");
    let written = Mutex::new(Vec::new());
    let write = |n: usize| {
        origin.store("live.m3u8", playlist(n));
        written.lock().push(Instant::now());
    };
    let read = || -> usize {
        let answer = cache.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/vnd.apple.mpegurl"), "{kind:?}");
        let text = answer.text();
        let n = text.split("SEQUENCE:").nth(1).unwrap().split('\n').next().unwrap().parse().unwrap();
        assert_eq!(text, playlist(n), "{kind:?}: a whole one");
        n
    };
    write(0);
    let done = AtomicBool::new(false);
    let mut seen = std::collections::BTreeSet::new();
    let fetched = answered(origin, "GET", 200);
    let mut reads = 0.0;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !done.load(Ordering::SeqCst) {
                n += 1;
                write(n);
                thread::sleep(Duration::from_millis(40));
            }
        });
        let guard = Finally(&done);
        let end = Instant::now() + Duration::from_millis(3500);
        while Instant::now() < end {
            let asked = Instant::now();
            let n = read();
            reads += 1.0;
            seen.insert(n);
            // How long the next one had been there when this one was asked for.
            let age = written.lock().get(n + 1).map_or(Duration::ZERO, |next| asked.saturating_duration_since(*next));
            assert!(age <= limit, "{kind:?}: playlist {n} had been replaced for {age:?}");
        }
        drop(guard);
    });
    assert!(seen.len() >= 2, "{kind:?} shows new ones: {seen:?}");
    let fetched = answered(origin, "GET", 200) - fetched;
    assert!(fetched < reads / 2.0, "{kind:?} keeps a playlist for its second: {fetched} of {reads}");
    let last = written.lock().len() - 1;
    assert!(eventually(limit, || (read() == last).then_some(())).is_some(), "{kind:?} shows the last one");
}

#[test]
fn nginx_caches_as_it_should() {
    stands_behind(Kind::Nginx);
}

#[test]
fn varnish_caches_as_it_should() {
    stands_behind(Kind::Varnish);
}

#[test]
fn traffic_server_caches_as_it_should() {
    stands_behind(Kind::TrafficServer);
}

#[test]
fn squid_caches_as_it_should() {
    stands_behind(Kind::Squid);
}
