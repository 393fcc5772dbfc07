//! Clients over TLS that hang up, or take nothing of what they asked for.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::harness::{bytes, eventually};
use crate::tls::Authority;
use crate::wire::Request;

/// A client of one version of TLS that trusts the authority.
fn connect(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
    address: SocketAddr,
    protocols: &[&[u8]],
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(authority.path("ca.pem")).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

#[test]
fn who_hangs_up_after_the_last_byte_loses_nothing() {
    let authority = Authority::new();
    let (origin, address) = authority.serve(&[]);
    let mut sent = Vec::new();
    for (name, version) in [("1.2", &TLS12), ("1.3", &TLS13)] {
        for length in [900, 800_000] {
            for n in 0..20u64 {
                let body = bytes(n, length);
                let key = format!("{name}-{length}-{n}.ts");
                let request = Request::new("PUT", origin.path(&key)).bearer(&origin.encoder);
                let request = if n % 2 == 0 { request.chunked(body.clone(), 0x2000) } else { request.body(body.clone()) };
                let mut client = connect(&authority, version, address, &[]);
                client.write_all(&request.to_bytes()).unwrap();
                client.flush().unwrap();
                if n % 4 < 2 {
                    client.conn.send_close_notify();
                    client.flush().unwrap();
                }
                // Closed without a look at anything the server has said.
                drop(client);
                sent.push((key, body));
            }
        }
    }
    let lost: Vec<_> = sent
        .iter()
        .filter(|(key, body)| eventually(Duration::from_secs(10), || (origin.get(key).body == *body).then_some(())).is_none())
        .map(|(key, _)| key)
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(origin.refusals().is_empty());
}

#[test]
fn a_reader_who_takes_nothing_is_given_up() {
    let authority = Authority::new();
    let settings = authority.path("settings.toml");
    fs::write(&settings, "[namespaces.live-origin]\n[timeouts]\ndownload_idle = \"1s\"\n").unwrap();
    let (origin, address) = authority.serve(&["--config", settings.to_str().unwrap()]);
    origin.store("a.ts", bytes(1, 20_000));
    let mut readers = Vec::new();
    for version in [&TLS12, &TLS13] {
        let mut reader = connect(&authority, version, address, &[]);
        let request = Request::new("GET", origin.path("a.ts")).bearer(&origin.player).to_bytes();
        // Enough that neither side's buffers hold the answers.
        for _ in 0..600 {
            reader.write_all(&request).unwrap();
        }
        reader.flush().unwrap();
        readers.push(reader);
    }
    let given_up = || origin.metric("springhead_answers_stalled_total");
    assert!(eventually(Duration::from_secs(60), || (given_up() == 2.0).then_some(())).is_some(), "{} of 2", given_up());
    drop(readers);
}

/// A frame's type, stream and payload.
type Frame = (u8, u32, Vec<u8>);

/// The whole frames of HTTP/2 that bytes begin with (RFC 9113 4.1), and what is left.
fn frames(mut bytes: &[u8]) -> (Vec<Frame>, &[u8]) {
    let mut frames = Vec::new();
    while let [a, b, c, kind, _flags, s0, s1, s2, s3, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        frames.push((*kind, u32::from_be_bytes([*s0, *s1, *s2, *s3]), payload.to_vec()));
        bytes = rest;
    }
    (frames, bytes)
}

#[test]
fn who_agreed_on_http_2_and_says_something_else_is_told_so_in_http_2() {
    let authority = Authority::new();
    let (_origin, address) = authority.serve(&[]);
    let mut client = connect(&authority, &TLS13, address, &[b"h2"]);
    client.write_all(b"GET /livez HTTP/1.1\r\nHost: any.example\r\n\r\n").unwrap();
    client.flush().unwrap();
    let mut said = Vec::new();
    // The server ends the connection.
    let _ = client.read_to_end(&mut said);
    // All it says are frames: its SETTINGS (4), if that, and GOAWAY (7) with PROTOCOL_ERROR (1), if that (RFC 9113 3.4).
    let (frames, rest) = frames(&said);
    assert!(rest.is_empty(), "{rest:?}");
    for (kind, stream, payload) in frames {
        assert!(stream == 0 && (kind == 4 || kind == 7 && payload[4..8] == [0, 0, 0, 1]), "{kind} {payload:?}");
    }
}

#[test]
fn data_on_a_stream_that_its_client_has_reset_is_refused() {
    const END_HEADERS: u8 = 4;
    let authority = Authority::new();
    let (_origin, address) = authority.serve(&[]);
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    let mut client = connect(&authority, &TLS13, address, &[b"h2"]);
    // POST, http, /, and an authority (RFC 7541 A); RST_STREAM with CANCEL; DATA.
    let head = [&[0x83, 0x86, 0x84, 0x41, 4][..], b"host"].concat();
    let all = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), frame(1, END_HEADERS, 1, &head)];
    // In one piece: else the server may have answered, and reset the stream itself, before the client does.
    let all = [all.concat(), frame(3, 0, 1, &[0, 0, 0, 8]), frame(0, 1, 1, b"test")].concat();
    client.write_all(&all).unwrap();
    client.flush().unwrap();
    client.sock.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut said = Vec::new();
    let refused = loop {
        let mut some = [0; 1024];
        let count = client.read(&mut some).expect("the refusal comes");
        assert!(count > 0, "the connection goes on");
        said.extend_from_slice(&some[..count]);
        // RST_STREAM (3) of the stream with STREAM_CLOSED (5), RFC 9113 5.1.
        if let Some(refused) = frames(&said).0.into_iter().find(|(kind, stream, _)| (*kind, *stream) == (3, 1)) {
            break refused;
        }
    };
    assert_eq!(refused.2, [0, 0, 0, 5]);
}
