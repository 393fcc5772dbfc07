//! Clients over TLS that hang up, or take nothing of what they asked for.

use std::fs;
use std::io::Write as _;
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
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(authority.path("ca.pem")).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
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
                let mut client = connect(&authority, version, address);
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
        let mut reader = connect(&authority, version, address);
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
