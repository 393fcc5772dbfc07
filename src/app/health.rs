//! `springhead health`: is the server on this machine ready? Asked of a data listener in clear, as its clients would. Where there is
//! none, the admin listener is asked, which wants neither a certificate nor a key to tell this. Where nobody answers at the address in
//! the settings, the data directory says where its server really listens: on sockets that a service manager has handed over, or on
//! ports of the system's choice.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::anyhow;

use super::client::{Call, HttpClient, TlsRules, Url};
use super::data_dir::DataDir;
use super::settings::Settings;
use super::{Failure, print};
use crate::model::clock::Clock;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(3);

/// Fails unless `/readyz` answers 200 on the first listener that answers at all.
pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    // Behind TLS one would need a certificate of the right name, or one of one's own.
    let configured = if settings.listen.is_empty() { vec![settings.admin_listen] } else { settings.listen.clone() };
    let data = DataDir::new(&settings.data_dir);
    let real = data.listening();
    let admin_has_tls = settings.admin_tls.certificate.is_some() || data.admin_has_tls();
    let admin = [Some(settings.admin_listen), real.last().copied()].map(|address| address.map(reachable));
    let mut tried = Vec::new();
    for address in configured.into_iter().filter(|address| address.port() != 0).chain(real).map(reachable) {
        let answer = if admin_has_tls && admin.contains(&Some(address)) { ask_over_tls(address) } else { ask(address) };
        match answer {
            Ok(Readiness::Ready) => return Ok(print(&format!("ready at {address}"))?),
            Ok(Readiness::Other(what)) => return Err(anyhow!("the server at {address} is not ready: it answers {what}").into()),
            Err(error) => tried.push(format!("{address}: {error}")),
        }
    }
    let tried = tried.join("; ");
    Err(anyhow!("no server answers ({tried}): give this the --config, --listen or --data-dir that the server was started with")
        .into())
}

/// What a listener said.
enum Readiness {
    Ready,
    Other(String),
}

/// An address to connect to, for one to listen on.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Whatever certificate is shown: it is this machine's own, and nothing is told to who shows it.
///
/// # Errors
/// When nobody answers.
fn ask_over_tls(address: SocketAddr) -> std::io::Result<Readiness> {
    let client = HttpClient::new(TlsRules { believe_anyone: true, ..TlsRules::default() }, Clock::system());
    let client = client.map_err(std::io::Error::other)?;
    let url = Url::parse(&format!("https://{address}/readyz")).map_err(std::io::Error::other)?;
    let (headers, body) = (http::HeaderMap::new(), bytes::Bytes::new());
    let call = Call { method: http::Method::GET, url: &url, headers, body, timeout: LIMIT, max_body: 4096 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(client.ask(call)).map_err(std::io::Error::other)?;
    Ok(if answer.status == 200 { Readiness::Ready } else { Readiness::Other(answer.status.to_string()) })
}

/// # Errors
/// When nobody answers.
fn ask(address: SocketAddr) -> std::io::Result<Readiness> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(match answer.split_whitespace().nth(1) {
        Some("200") => Readiness::Ready,
        Some(status) => Readiness::Other(status.to_owned()),
        None => Readiness::Other("in no HTTP".to_owned()),
    })
}
