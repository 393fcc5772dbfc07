//! `springhead serve`: builds the house, opens the doors, and closes them in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::data_dir::DataDir;
use super::settings::Settings;
use super::{Failure, access_log, machine, print, telemetry, welcome};
use crate::auth::verify::Verifier;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::origin::Origin;
use crate::web::{Web, admin, server};

/// How often expired objects are looked for: memory comes back within a second of expiry, the allocator's own delay included.
const SWEEP_EVERY: Duration = Duration::from_millis(200);
/// How often revocations are looked for: a revoked key stops working within a second.
const REVOCATIONS_EVERY: Duration = Duration::from_millis(400);
/// Connections the kernel holds until they are accepted.
const BACKLOG: u32 = 4096;

/// Serves until SIGTERM or SIGINT.
pub(super) fn run(settings: Settings) -> Result<(), Failure> {
    let _logs = telemetry::start(settings.log_format, settings.log_level);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("can't start the runtime")?;
    let served = runtime.block_on(serve(settings));
    // A stuck file system must not keep a drained server from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(served?)
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    // First of all: in a container this is process 1, which the kernel shields from signals it has no handler for, so that a
    // SIGTERM that came earlier would be lost.
    let mut terminate = signal(SignalKind::terminate()).context("can't listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("can't listen for SIGINT")?;
    // Each connection takes a descriptor; the usual soft limit of 1,024 would be reached at an event's first minute.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let data = DataDir::new(&settings.data_dir);
    data.create()?;
    let ring = data.key_ring(true)?;
    let listeners = settings.listen.iter().map(|&address| bind(address)).collect::<anyhow::Result<Vec<_>>>()?;
    let admin_listener = bind(settings.admin_listen)?;
    let ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<anyhow::Result<Vec<_>>>()?;
    let welcome = welcome::first_start(&settings, &data, &ring, ports.first().copied().unwrap_or(0))?;

    let clock = Clock::system();
    let metrics = Arc::new(Metrics::new());
    let runtime = tokio::runtime::Handle::current().metrics();
    metrics.show_machine(move || machine::read(&runtime));
    let access_log = access_log::start(&settings.access_log, &metrics)?;
    let signing_key = ring.signer_id().to_owned();
    let verifier = Arc::new(Verifier::new(ring, clock.clone()));
    verifier.revoke(data.revoked().context("can't read the revocations")?);
    let origin = Origin::new(settings.namespaces.clone(), settings.max_in_flight, clock, &metrics);
    let lines = access_log.as_ref().map(|writer| Arc::clone(&writer.log));
    let web = Web::new(origin.clone(), Arc::clone(&verifier), metrics, settings.timeouts, lines);

    tokio::spawn(sweep(origin));
    tokio::spawn(watch_revocations(data, verifier));

    let (stop, stop_admin) = (CancellationToken::new(), CancellationToken::new());
    let admin_address = admin_listener.local_addr()?;
    let admin = tokio::spawn(admin::serve(admin_listener, web.clone(), settings.metrics_open, stop_admin.clone()));
    let mut servers = tokio::task::JoinSet::new();
    for listener in listeners {
        let address = listener.local_addr()?;
        servers.spawn(server::serve(listener, web.clone(), stop.clone(), settings.drain_timeout));
        tracing::info!(%address, "listening");
    }
    let version = env!("CARGO_PKG_VERSION");
    for (namespace, policy) in &settings.namespaces {
        tracing::info!(%namespace, hot_capacity_bytes = policy.hot_capacity, "namespace");
    }
    tracing::info!(version, %admin_address, signing_key, data_dir = %settings.data_dir.display(), "started");
    web.set_ready(true);
    if let Some(text) = welcome {
        print(&text);
    }

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("draining: no new connections; requests in flight may end");
    web.set_ready(false);
    stop.cancel();
    let drained = async {
        while servers.join_next().await.is_some() {}
        let _ = tokio::time::timeout(settings.drain_timeout, web.uploads_ended()).await;
    };
    tokio::select! {
        () = drained => tracing::info!("stopped"),
        _ = terminate.recv() => tracing::warn!("told twice: stopping at once"),
        _ = interrupt.recv() => tracing::warn!("told twice: stopping at once"),
    }
    stop_admin.cancel();
    admin.abort();
    Ok(())
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().with_context(|| format!("can't listen on {address}: is another server running there? Choose another with --listen"))
}

/// Brings back the memory of expired objects, in small steps, so that reads and writes go on in between.
async fn sweep(origin: Origin) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        while origin.sweep() {
            tokio::task::yield_now().await;
        }
    }
}

/// Puts new revocations in force. What can't be read is reported once, and the last known list stays.
async fn watch_revocations(data: DataDir, verifier: Arc<Verifier>) {
    let mut known = None;
    let mut trouble = false;
    loop {
        tokio::time::sleep(REVOCATIONS_EVERY).await;
        let reader = data.clone();
        match tokio::task::spawn_blocking(move || reader.revoked()).await {
            Ok(Ok(revoked)) => {
                trouble = false;
                if known.as_ref() != Some(&revoked) {
                    verifier.revoke(revoked.clone());
                    known = Some(revoked);
                }
            }
            Ok(Err(error)) => {
                if !trouble {
                    tracing::error!(%error, "can't read the revocations: new ones are not in force until this is mended");
                    trouble = true;
                }
            }
            Err(_) => return,
        }
    }
}
