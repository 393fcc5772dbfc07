//! The listeners at work. Each is served from when it is opened: as a rule when everything is in place, by a node that waits for its engine
//! before that, so that it can say so ([`Web::hold_off`]).

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::duties::Duties;
use super::listeners::Listeners;
use super::settings::Settings;
use crate::web::connection::tls::Tls;
use crate::web::{Web, admin};

/// The listeners, those that are served and those that are not yet.
#[derive(Debug)]
pub(super) struct Doors {
    web: Web,
    duties: Duties,
    /// Those for objects that are not served yet.
    data: Vec<(TcpListener, Option<Arc<Tls>>)>,
    /// Those that are.
    servers: JoinSet<()>,
    /// Ends these.
    stop: CancellationToken,
    /// The admin listener, as long as it is not served.
    admin: Option<AdminDoor>,
    stop_admin: CancellationToken,
}

#[derive(Debug)]
struct AdminDoor {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    rules: admin::Rules,
    behind: admin::Behind,
}

impl Doors {
    /// None of them is served yet. Those for objects are to be until `stop`, the admin listener as long as this lives. What TLS listeners
    /// present: for objects, and the admin listener.
    pub(super) fn new(
        listeners: Listeners,
        (tls, admin_tls): (Option<Arc<Tls>>, Option<Arc<Tls>>),
        settings: &Settings,
        behind: admin::Behind,
        web: &Web,
        (duties, stop): (Duties, CancellationToken),
    ) -> Self {
        let Listeners { clear, tls: secured, admin: listener } = listeners;
        let of = |scheme: &str, listeners: &[TcpListener]| -> Vec<String> {
            let ports = listeners.iter().filter_map(|listener| Some(listener.local_addr().ok()?.port()));
            ports.map(|port| format!("{scheme}://*:{port}")).collect()
        };
        // What is pasted into an encoder had better be encrypted, where that is offered.
        let data_listeners = [of("https", &secured), of("http", &clear)].concat();
        let rules = admin::Rules { metrics_open: settings.metrics_open, hosts: settings.admin_hosts.clone(), data_listeners };
        let secured = secured.into_iter().map(|listener| (listener, tls.clone()));
        let data = clear.into_iter().map(|listener| (listener, None)).chain(secured).collect();
        let admin = Some(AdminDoor { listener, tls: admin_tls, rules, behind });
        Self { web: web.clone(), duties, data, servers: JoinSet::new(), stop, admin, stop_admin: CancellationToken::new() }
    }

    /// Has the admin listener served, if it is not yet.
    ///
    /// # Errors
    /// When it can't be.
    pub(super) fn open_admin(&mut self) -> anyhow::Result<()> {
        let Some(AdminDoor { listener, tls, rules, behind }) = self.admin.take() else { return Ok(()) };
        // On a thread of its own: it answers while readers take all processors, and takes none from them.
        let runtime = Builder::new_current_thread().enable_all().build().context("can't start the admin listener's runtime")?;
        let (socket, web, stop) = (listener.into_std()?, self.web.clone(), self.stop_admin.clone());
        let served = tokio::task::spawn_blocking(move || {
            runtime.block_on(async move {
                let listener = TcpListener::from_std(socket)?;
                admin::serve(listener, tls, web, rules, behind, stop).await
            })
        });
        self.duties.begin("admin-listener", async move {
            if let Ok(Err(error)) = served.await {
                tracing::error!(%error, "the admin listener can't be served");
            }
        });
        Ok(())
    }

    /// Has those for objects served, if they are not yet.
    ///
    /// # Errors
    /// When one of them does not say where it listens.
    pub(super) fn open_data(&mut self) -> anyhow::Result<()> {
        for (listener, tls) in self.data.drain(..) {
            let (address, is_tls) = (listener.local_addr()?, tls.is_some());
            self.servers.spawn(self.duties.watched("data-listener", self.web.clone().serve(listener, tls, self.stop.clone())));
            tracing::info!(%address, tls = is_tls, "listening");
        }
        Ok(())
    }

    /// Waits until all connections for objects are over, after they were told to end. Cancel-safe.
    pub(super) async fn data_closed(&mut self) {
        while self.servers.join_next().await.is_some() {}
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.stop_admin.cancel();
    }
}
