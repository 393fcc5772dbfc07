//! What a service manager like systemd hands over and wants to hear: sockets that are open already, and when the server is
//! ready, reloading or stopping. Without one, all of this is silent.

use std::net::TcpListener;

use anyhow::Context as _;
use listenfd::ListenFd;
use sd_notify::NotifyState;

/// Sockets that were open before the process began. With them the port is never closed: connections that come during a restart
/// wait in the kernel.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    pub(super) clear: Vec<TcpListener>,
    pub(super) tls: Vec<TcpListener>,
    pub(super) admin: Option<TcpListener>,
}

impl Sockets {
    /// Takes the sockets of `LISTEN_FDS`: those that `LISTEN_FDNAMES` names `tls` or `admin` are for that, all others for
    /// objects in clear. They stand in for the addresses in the settings.
    pub(super) fn take() -> anyhow::Result<Self> {
        // Read before the library clears the variables away.
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut passed = ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..passed.len() {
            let listener = passed.take_tcp_listener(index).context("a passed socket is no listening TCP socket")?;
            let Some(listener) = listener else { continue };
            listener.set_nonblocking(true).context("a passed socket can't be used")?;
            match names.split(':').nth(index) {
                Some("tls") => sockets.tls.push(listener),
                Some("admin") => sockets.admin = Some(listener),
                _ => sockets.clear.push(listener),
            }
        }
        Ok(sockets)
    }
}

/// Says that the server serves.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Says that the settings are being read again; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Says that the server drains.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    // Nobody listens, or not any more: the server goes on all the same.
    let _ = sd_notify::notify(states);
}
