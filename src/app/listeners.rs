//! The listeners: bound here, or handed over by a service manager; and why an address can't be had. The only module that knows
//! socket2.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use anyhow::Context as _;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::settings::Settings;
use super::supervisor::Sockets;
#[cfg(target_os = "linux")]
use crate::web::KERNEL_UNSENT;

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;

/// The open listeners.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) clear: Vec<TcpListener>,
    pub(super) tls: Vec<TcpListener>,
    pub(super) admin: TcpListener,
}

impl Listeners {
    /// Opens them. Sockets that were handed over stand in for the addresses of their kind.
    ///
    /// # Errors
    /// The address that can't be had, why, and what to do.
    pub(super) fn open(settings: &Settings, passed: Sockets) -> anyhow::Result<Self> {
        let all: Vec<SocketAddr> =
            settings.listen.iter().chain(&settings.tls.listen).copied().chain([settings.admin_listen]).collect();
        let bind = |&address: &SocketAddr, flag: &str| {
            let listener = bind(address, settings.reuse_port, shares_port(address, &all)).and_then(take_over);
            listener.map_err(|error| anyhow::anyhow!("{}", explain(&error, address, flag)))
        };
        let take =
            |passed: Vec<StdListener>, addresses: &[SocketAddr], (flag, key): (&str, &str)| -> anyhow::Result<Vec<TcpListener>> {
                if passed.is_empty() {
                    return addresses.iter().map(|address| bind(address, flag)).collect();
                }
                let open: Vec<_> = passed.iter().filter_map(|listener| listener.local_addr().ok()).collect();
                if let Some(said) = stands_in(key, addresses, &open) {
                    tracing::warn!("{said}");
                }
                passed.into_iter().map(|listener| take_over(listener).context("a passed socket can't be used")).collect()
            };
        Ok(Self {
            clear: take(passed.clear, &settings.listen, ("--listen", "listen"))?,
            tls: take(passed.tls, &settings.tls.listen, ("--tls-listen", "tls.listen"))?,
            admin: {
                let admin = Vec::from_iter(passed.admin);
                let mut taken = take(admin, &[settings.admin_listen], ("--admin-listen", "admin_listen"))?;
                taken.pop().context("there is no admin listener")?
            },
        })
    }
}

/// Says that other ports are open than the settings name, where sockets that were handed over are of others.
fn stands_in(key: &str, named: &[SocketAddr], open: &[SocketAddr]) -> Option<String> {
    let ports = |addresses: &[SocketAddr]| addresses.iter().map(SocketAddr::port).collect::<BTreeSet<_>>();
    let shown = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    (ports(named) != ports(open)).then(|| {
        let named = if named.is_empty() { "no address".to_owned() } else { shown(named) };
        format!(
            "the service manager has opened {} in place of {key} in the settings, which names {named}: only what it has opened is listened on. \
             Name the same ports in its socket unit ('systemctl edit springhead.socket'), or disable that",
            shown(open)
        )
    })
}

/// Whether an IPv6 address has to leave IPv4 alone, because its port is also wanted for IPv4.
fn shares_port(address: SocketAddr, all: &[SocketAddr]) -> bool {
    address.is_ipv6() && address.port() != 0 && all.iter().any(|other| other.is_ipv4() && other.port() == address.port())
}

fn bind(address: SocketAddr, reuse_port: bool, only_v6: bool) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Only when asked for: two servers that share a port by mistake would each get half of every stream.
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    // Else the system's own default stands, which on most takes IPv4 too.
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Listens on it here. Its connections take from it what the kernel is to hold for each.
fn take_over(listener: StdListener) -> io::Result<TcpListener> {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(&listener).set_tcp_notsent_lowat(KERNEL_UNSENT) {
        tracing::warn!(%error, "can't bound what the kernel holds for readers that take nothing: that may be megabytes for each");
    }
    TcpListener::from_std(listener)
}

/// Why it can't be listened on, and what to do about that.
fn explain(error: &io::Error, address: SocketAddr, flag: &str) -> String {
    let port = address.port();
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "something else listens there; 'ss -ltnp sport = :{port}' shows what. Stop it, or choose another address with {flag}"
            )
        }
        io::ErrorKind::PermissionDenied if port < 1024 => format!(
            "a port below 1024 takes the capability CAP_NET_BIND_SERVICE (config/springhead.service gives it); or choose a higher one \
             with {flag}"
        ),
        io::ErrorKind::PermissionDenied => format!("this user may not listen there; choose another address with {flag}"),
        io::ErrorKind::AddrNotAvailable => format!(
            "no interface of this machine has the address {}; 'ip address' shows those there are. Choose one of them with {flag}, or \
             0.0.0.0 or [::] for all",
            address.ip()
        ),
        // EAFNOSUPPORT
        _ if address.is_ipv6() && error.raw_os_error() == Some(97) => {
            format!("this machine has no IPv6; choose an IPv4 address like 0.0.0.0:{port} with {flag}")
        }
        _ => format!("choose another address with {flag}"),
    };
    format!("can't listen on {address}: {error}: {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_fits_the_error() {
        let address: SocketAddr = "10.255.255.1:80".parse().unwrap();
        let said = |kind: io::ErrorKind| explain(&kind.into(), address, "--listen");
        assert!(said(io::ErrorKind::AddrInUse).contains("ss -ltnp"));
        assert!(said(io::ErrorKind::PermissionDenied).contains("CAP_NET_BIND_SERVICE"));
        assert!(said(io::ErrorKind::AddrNotAvailable).contains("no interface of this machine has the address 10.255.255.1"));
        assert!(said(io::ErrorKind::Other).contains("--listen"));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn connections_take_the_bound_on_what_the_kernel_holds_from_their_listener() {
        let listener = take_over(bind("127.0.0.1:0".parse().unwrap(), false, false).unwrap()).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert_eq!(SockRef::from(&accepted).tcp_notsent_lowat().unwrap(), KERNEL_UNSENT);
    }

    #[test]
    fn other_ports_than_the_settings_name_are_told() {
        let of = |addresses: &[&str]| addresses.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let said = |named: &[&str], open: &[&str]| stands_in("listen", &of(named), &of(open));
        assert_eq!(said(&["0.0.0.0:8080"], &["[::]:8080"]), None, "another address of the same port");
        for (named, part) in [(&["0.0.0.0:80", "0.0.0.0:8080"][..], "0.0.0.0:80, 0.0.0.0:8080"), (&[], "no address")] {
            let told = said(named, &["[::]:8080"]).unwrap();
            assert!(told.contains(part) && told.contains("opened [::]:8080") && told.contains("systemctl edit"), "{told}");
        }
    }

    #[test]
    fn ipv6_leaves_ipv4_alone_only_where_both_are_wanted() {
        let all = ["0.0.0.0:80", "[::]:80", "[::]:81", "[::]:0", "127.0.0.1:0"].map(|text| text.parse().unwrap());
        let apart: Vec<bool> = all.iter().map(|&address| shares_port(address, &all)).collect();
        assert_eq!(apart, [false, true, false, false, false]);
    }
}
