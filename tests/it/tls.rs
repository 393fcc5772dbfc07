//! TLS and HTTP/2, as curl, openssl, h2load, nghttp and testssl.sh see them.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::harness::{Finally, Origin, bytes, eventually};
use crate::programs::{limited, program};

/// An authority, and the files of what it signs.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a certificate and its key, each as an administrator's tool does: a new file, moved into place.
    pub(crate) fn sign(&self, certificate: &str, key: &str) {
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let signed = params.signed_by(&pair, &self.issuer).unwrap();
        for (name, text) in [(certificate, signed.pem()), (key, pair.serialize_pem())] {
            fs::write(self.path("draft"), text).unwrap();
            fs::rename(self.path("draft"), self.path(name)).unwrap();
        }
    }

    pub(crate) fn serve(&self, more: &[&str]) -> (Origin, SocketAddr) {
        self.sign("cert.pem", "key.pem");
        let (certificate, key) = (self.path("cert.pem"), self.path("key.pem"));
        let certificate = ["--tls-certificate", certificate.to_str().unwrap()];
        let key = ["--tls-key", key.to_str().unwrap()];
        let origin = Origin::start_with(&[&["--tls-listen", "127.0.0.1:0"], &certificate[..], &key[..], more].concat());
        let line = origin.log().into_iter().find(|line| line["message"] == "listening" && line["tls"] == true).unwrap();
        let address = line["address"].as_str().unwrap().parse().unwrap();
        (origin, address)
    }
}

/// curl's exit status, and what it printed.
fn curl(ca: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = program("curl");
    command.args(["-s", "--max-time", "20", "--cacert", ca.to_str().unwrap()]).args(arguments);
    let output = command.output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn both_versions_of_tls_and_of_http_carry_uploads_and_downloads() {
    let authority = Authority::new();
    let (origin, tls) = authority.serve(&[]);
    let body = bytes(1, 3 << 20);
    let file = authority.path("body");
    fs::write(&file, &body).unwrap();
    let (write, read) = (format!("Authorization: {}", origin.encoder), format!("Authorization: {}", origin.player));
    let over_tls = format!("https://localhost:{}{}", tls.port(), origin.path("a.ts"));
    let in_clear = format!("http://{}{}", origin.address, origin.path("a.ts"));
    let out = authority.path("out");
    for (how, version, url) in [
        (&["--http1.1", "--tls-max", "1.2"][..], "1.1", &over_tls),
        (&["--http2", "--tls-max", "1.2"], "2", &over_tls),
        (&["--http1.1", "--tlsv1.3"], "1.1", &over_tls),
        (&["--http2", "--tlsv1.3"], "2", &over_tls),
        (&["--http2-prior-knowledge"], "2", &in_clear),
    ] {
        let run = |arguments: &[&str]| {
            let (exit, said) =
                curl(&authority.path("ca.pem"), &[how, arguments, &["-w", "%{http_code} %{http_version}", url]].concat());
            assert_eq!(exit, 0, "{how:?} {arguments:?}: {said}");
            said
        };
        let (file, out_name) = (file.to_str().unwrap(), out.to_str().unwrap());
        assert_eq!(run(&["-T", file, "-H", &write]), format!("204 {version}"));
        assert_eq!(run(&["-H", &read, "-o", out_name]), format!("200 {version}"));
        assert!(fs::read(&out).unwrap() == body, "{how:?}");
        assert_eq!(run(&["-H", &read, "-o", out_name, "-r", "100-199"]), format!("206 {version}"));
        assert!(fs::read(&out).unwrap() == body[100..200]);
        assert_eq!(run(&["-I", "-o", "/dev/null", "-H", &read]), format!("200 {version}"));
        assert_eq!(run(&["-X", "DELETE", "-H", &write]), format!("204 {version}"));
        assert_eq!(run(&["-o", "/dev/null", "-H", &read]), format!("404 {version}"));
        assert_eq!(run(&["-o", "/dev/null"]), format!("401 {version}"));
        // A stream may be reset behind its whole answer, and the answer counts (RFC 9113 8.1). curl 7.88 now and then takes the reset for
        // a failure, when it was about to send more: then it tries again.
        let refused = (0..5).find_map(|_| {
            let arguments = [how, &["-T", file, "-o", "/dev/null", "-H", &read, "-w", "%{http_code} %{http_version}", url]];
            let (exit, said) = curl(&authority.path("ca.pem"), &arguments.concat());
            assert!(exit == 0 || version == "2" && [16, 18, 55, 92].contains(&exit), "{how:?}: {exit} {said}");
            (exit == 0).then_some(said)
        });
        assert_eq!(refused, Some(format!("403 {version}")), "while it is being sent");
    }
    let expiry = origin.metric("springhead_tls_certificate_expiry_timestamp_seconds");
    assert!(expiry > 1.7e9, "{expiry}");
    assert_ne!(curl(Path::new("/dev/null"), &[&over_tls]).0, 0, "a client that does not know the authority");
}

#[test]
fn many_requests_share_a_connection() {
    let authority = Authority::new();
    let (origin, tls) = authority.serve(&[]);
    origin.store("a.ts", bytes(1, 100_000));
    for url in [format!("https://127.0.0.1:{}", tls.port()), format!("http://{}", origin.address)] {
        let output = limited(60, "h2load")
            .args(["-n", "2000", "-c", "10", "-m", "20", "-H", &format!("authorization: {}", origin.player)])
            .arg(format!("{url}{}", origin.path("a.ts")))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
        assert!(said.contains("2000 2xx"), "{said}");
    }
}

/// The serial number of the certificate a new connection is shown.
fn serial(tls: SocketAddr) -> String {
    let command = format!("openssl s_client -connect {tls} </dev/null 2>/dev/null | openssl x509 -noout -serial");
    let output = limited(20, "sh").args(["-c", &command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_certificate_is_renewed_in_the_middle_of_the_show() {
    let authority = Authority::new();
    let (origin, tls) = authority.serve(&[]);
    origin.store("a.ts", bytes(1, 10_000));
    let url = format!("https://localhost:{}{}?token={}", tls.port(), origin.path("a.ts"), origin.player);
    let (done, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    let ca = authority.path("ca.pem");
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let (exit, status) = curl(&ca, &["-o", "/dev/null", "-w", "%{http_code}", &url]);
                    assert_eq!((exit, &*status), (0, "200"), "a request failed while the certificate changed");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _finally = Finally(&done);
        for _ in 0..2 {
            let before = serial(tls);
            authority.sign("cert.pem", "key.pem");
            let renewed = eventually(Duration::from_secs(15), || (serial(tls) != before).then_some(()));
            assert!(renewed.is_some(), "the new certificate is not in force");
        }
        // A key that does not fit, and a file that is no certificate: refused, and the old pair stays.
        let before = serial(tls);
        let is_refused = |count: usize| {
            let lines = || origin.log().iter().filter(|line| line["level"] == "ERROR").count();
            let said = eventually(Duration::from_secs(15), || (lines() == count).then_some(()));
            assert!(said.is_some(), "the log says that it is refused");
        };
        authority.sign("other.pem", "key.pem");
        is_refused(1);
        fs::write(authority.path("cert.pem"), "not a certificate").unwrap();
        is_refused(2);
        assert_eq!(serial(tls), before);
    });
    assert!(asked.load(Ordering::SeqCst) > 20);
}

#[test]
fn a_key_that_was_no_good_at_first_is_looked_at_again() {
    let authority = Authority::new();
    let (origin, tls) = authority.serve(&[]);
    let before = serial(tls);
    authority.sign("new.pem", "new-key.pem");
    let key = fs::read(authority.path("new-key.pem")).unwrap();
    // As long as what comes, and as old: only that somebody was at it tells the two apart.
    let path = authority.path("key.pem");
    fs::write(&path, vec![b'x'; key.len()]).unwrap();
    fs::rename(authority.path("new.pem"), authority.path("cert.pem")).unwrap();
    let refused =
        |line: &&serde_json::Value| line["message"].as_str().is_some_and(|text| text.contains("certificate is refused"));
    let count = || origin.log().iter().filter(refused).count();
    assert!(eventually(Duration::from_secs(15), || (count() > 0).then_some(())).is_some(), "it is said");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    (&file).write_all(&key).unwrap();
    file.set_modified(modified).unwrap();
    let renewed = eventually(Duration::from_secs(15), || (serial(tls) != before).then_some(()));
    assert!(renewed.is_some(), "the new certificate is not in force");
    assert_eq!(count(), 1, "and is said once");
}

#[test]
fn a_client_may_have_to_present_a_certificate() {
    let authority = Authority::new();
    let settings = authority.path("settings.toml");
    authority.sign("client.pem", "client-key.pem");
    fs::write(&settings, format!("[tls]\nclient_ca = {:?}\n", authority.path("ca.pem"))).unwrap();
    let (origin, tls) = authority.serve(&["--config", settings.to_str().unwrap(), "--namespace", "live-origin"]);
    let url = format!("https://localhost:{}/livez", tls.port());
    let ca = authority.path("ca.pem");
    assert_ne!(curl(&ca, &[&url]).0, 0, "none presented");
    let stranger = Authority::new();
    stranger.sign("client.pem", "client-key.pem");
    for (from, welcome) in [(&authority, true), (&stranger, false)] {
        let (certificate, key) = (from.path("client.pem"), from.path("client-key.pem"));
        let arguments = ["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap(), &url];
        assert_eq!(curl(&ca, &arguments).0 == 0, welcome);
    }
    drop(origin);
}

#[test]
fn sigterm_lets_http_2_requests_end() {
    let authority = Authority::new();
    let (mut origin, tls) = authority.serve(&[]);
    let body = bytes(1, 8 << 20);
    origin.store("a.ts", body.clone());
    let out = authority.path("out");
    let url = format!("https://localhost:{}{}?token={}", tls.port(), origin.path("a.ts"), origin.player);
    let mut reader = program("curl");
    reader.args(["-s", "--http2", "--limit-rate", "8M", "--cacert", authority.path("ca.pem").to_str().unwrap(), "-o"]);
    let mut reader = reader.arg(&out).arg(&url).spawn().unwrap();
    let begun = eventually(Duration::from_secs(5), || fs::metadata(&out).is_ok_and(|meta| meta.len() > 0).then_some(()));
    assert!(begun.is_some());
    origin.signal("TERM");
    assert!(origin.wait().success());
    assert!(reader.wait().unwrap().success());
    assert!(fs::read(&out).unwrap() == body);
}

#[test]
fn a_listener_without_a_certificate_is_a_fault_found_before_anything_starts() {
    let run = |arguments: &[&str]| Command::new(crate::harness::BINARY).args(arguments).output().unwrap();
    let none = run(&["serve", "--tls-listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert_eq!(none.status.code(), Some(2));
    assert!(said.contains("tls.certificate") && said.contains("tls.key"), "{said}");
    let dir = tempfile::tempdir().unwrap();
    let (data, junk) = (dir.path().join("data"), dir.path().join("junk.pem"));
    fs::write(&junk, "junk").unwrap();
    let (data, junk) = (data.to_str().unwrap(), junk.to_str().unwrap());
    let useless = run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--tls-listen",
        "127.0.0.1:0",
        "--data-dir",
        data,
        "--tls-certificate",
        junk,
        "--tls-key",
        junk,
    ]);
    assert_eq!(useless.status.code(), Some(1));
    let said = String::from_utf8_lossy(&useless.stderr).into_owned();
    assert!(said.contains("no certificate in PEM"), "{said}");
}

/// What nghttp prints.
fn nghttp(arguments: &[&str]) -> Vec<u8> {
    let output = limited(60, "nghttp").arg("--no-dep").args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn nghttp_finds_http_2_by_alpn_and_by_prior_knowledge() {
    let authority = Authority::new();
    let (origin, tls) = authority.serve(&[]);
    let body = bytes(1, 300_000);
    let file = authority.path("body");
    fs::write(&file, &body).unwrap();
    let (write, read) = (format!("authorization: {}", origin.encoder), format!("authorization: {}", origin.player));
    let over_tls = format!("https://localhost:{}", tls.port());
    for (n, (base, alpn)) in [(over_tls, true), (format!("http://{}", origin.address), false)].iter().enumerate() {
        let url = format!("{base}{}", origin.path(&format!("{n}.ts")));
        let put = nghttp(&["-v", "-d", file.to_str().unwrap(), "-H", ":method: PUT", "-H", &write, &url]);
        let said = String::from_utf8_lossy(&put).into_owned();
        assert_eq!(said.contains("The negotiated protocol: h2"), *alpn, "{said}");
        assert!(said.contains(":status: 204") && said.contains("etag: "), "{said}");
        assert!(!said.contains("connection: ") && !said.contains("transfer-encoding: "), "{said}");
        assert!(nghttp(&["-H", &read, &url]) == body, "{url}");
        // Ten at once on one connection, each whole.
        let many = nghttp(&["-n", "-v", "-m", "10", "-H", &read, &url]);
        let said = String::from_utf8_lossy(&many).into_owned();
        let received = |what: &str| said.lines().filter(|line| line.contains("recv") && line.contains(what)).count();
        assert_eq!((received(":status: 200"), received("RST_STREAM"), received("GOAWAY")), (10, 0, 0), "{said}");
        assert_eq!(received("content-length: 300000"), 10, "{said}");
    }
}

#[test]
fn an_upgrade_to_http_2_is_answered_in_http_1() {
    // RFC 9113 3.1 has done away with it; a server may ignore an Upgrade (RFC 9110 7.8).
    let origin = Origin::start();
    origin.store("a.txt", "still here");
    let url = format!("http://{}{}", origin.address, origin.path("a.txt"));
    let said = nghttp(&["-v", "-u", "-H", &format!("authorization: {}", origin.player), &url]);
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("HTTP/1.1 200 OK") && said.contains("still here") && !said.contains("101 Switching"), "{said}");
}

#[test]
fn testssl_finds_nothing_weak() {
    let authority = Authority::new();
    let (_origin, tls) = authority.serve(&[]);
    let report = authority.path("testssl.json");
    // Protocols, classes of ciphers, forward secrecy: what depends on us and not on the certificate.
    let output = limited(150, "testssl")
        .args(["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "-p", "-s", "-f", "--jsonfile"])
        .args([report.to_str().unwrap(), &tls.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report = fs::read(&report).unwrap_or_else(|_| panic!("testssl.sh fails: {said}"));
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&report).unwrap();
    let finding = |id: &str| {
        let found = findings.iter().find(|finding| finding["id"] == id);
        found.unwrap_or_else(|| panic!("{id} is not in {said}"))["finding"].as_str().unwrap().to_owned()
    };
    for id in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
        assert_eq!(finding(id), "not offered", "{id}");
    }
    for id in ["NULL", "aNULL", "EXPORT", "LOW", "3DES_IDEA", "AVERAGE"] {
        assert_eq!(finding(&format!("cipherlist_{id}")), "not offered", "{id}");
    }
    for id in ["TLS1_2", "TLS1_3", "cipherlist_STRONG", "PFS"] {
        assert!(finding(id).starts_with("offered"), "{id}: {}", finding(id));
    }
    assert_eq!(finding("ALPN_HTTP2"), "h2");
    // It also remarks on the OpenSSL that it runs itself ("no GOST engine"), before it knows whom it asks: no word about a server.
    let (host, port) = (tls.ip().to_string(), tls.port().to_string());
    let is_about_us = |finding: &&serde_json::Value| {
        let asked = finding["ip"].as_str().unwrap().split('/').any(|name| name == host);
        asked && finding["port"] == *port
    };
    let ours: Vec<_> = findings.iter().filter(is_about_us).collect();
    assert!(ours.len() >= 10, "only {} findings are about this server: {said}", ours.len());
    for finding in ours {
        assert!(["OK", "INFO"].contains(&finding["severity"].as_str().unwrap()), "{finding}");
    }
}
