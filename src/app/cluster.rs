//! `[cluster]`: what this server shares with others, from the settings to the last request.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use super::catch_up::CatchUp;
use super::settings::Settings;
use super::told_reasons::ToldReasons;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::origin::Origin;
use crate::store::shared::{EngineTls, NodeIdentity, SharedStore, ValkeyAddress};
use crate::web::Web;

/// How often it is looked whether the engine answers.
const LOOK: Duration = Duration::from_millis(250);
/// What has not answered for so long is told to load balancers.
pub(super) const UNREADY: Duration = Duration::from_secs(3);
/// What `/readyz` says of a node that has not joined, where nothing is amiss.
pub(super) const JOINS: &str = "joining the other nodes";
/// A rule of the protocol that is not to hold: so that tests see what it is good for. A server that is built to serve does not heed it.
const WITHOUT: &str = "SPRINGHEAD_TEST_WITHOUT";
/// What the engine's keys begin with.
const PREFIX: &str = "sh";

/// Where the engine is, where the settings name one.
pub(super) fn address(settings: &Settings) -> anyhow::Result<Option<ValkeyAddress>> {
    let cluster = &settings.cluster;
    let Some(engine) = &cluster.engine else { return Ok(None) };
    let password = cluster.password_file.as_ref().map(|path| {
        let text = fs::read_to_string(path).with_context(|| format!("can't read the engine's password in {}", path.display()))?;
        anyhow::Ok(Arc::from(text.trim_end_matches(['\r', '\n'])))
    });
    let authorities = cluster.ca.as_ref().map(|path| {
        let pem = fs::read(path)
            .with_context(|| format!("can't read the authorities of the engine's certificate in {}", path.display()))?;
        anyhow::Ok(Arc::from(pem))
    });
    let authorities = authorities.transpose()?;
    Ok(Some(ValkeyAddress {
        servers: engine.servers.clone(),
        is_cluster: engine.is_cluster,
        tls: engine.is_tls.then_some(EngineTls { authorities }),
        copies: if engine.is_cluster { cluster.copies } else { 1 },
        user: cluster.user.clone(),
        password: password.transpose()?,
        prefix: PREFIX.to_owned(),
    }))
}

/// What this node is called. `port`: where it listens.
pub(super) fn node_name(settings: &Settings, port: u16) -> String {
    settings.cluster.node.clone().unwrap_or_else(|| {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}:{port}", host.trim())
    })
}

/// What is shared, where the settings name an engine. `port`: where this server listens, for its name. `keys`: the ids of those by which it
/// knows what was signed.
pub(super) fn shared(
    settings: &Settings,
    port: u16,
    keys: Vec<&str>,
    clock: &Clock,
    metrics: &Metrics,
) -> anyhow::Result<Option<SharedStore>> {
    let cluster = &settings.cluster;
    let (Some(engine), Some(address)) = (&cluster.engine, address(settings)?) else { return Ok(None) };
    let node = node_name(settings, port);
    // Read by what is built for tests alone.
    let without = std::env::var(WITHOUT).unwrap_or_default();
    let identity = NodeIdentity::new(&node, env!("CARGO_PKG_VERSION"), keys);
    tracing::info!(node, %engine, "this server shares its namespaces");
    // This one, before the engine says more: who watches over several has to see one that never came so far.
    metrics.cluster().members.set(1);
    Ok(Some(SharedStore::new(&address, &identity, clock.clone(), metrics.cluster(), &without)))
}

/// Waits until everything is known that other nodes have stored, and has `/readyz` say so. Cancel-safe.
///
/// # Errors
/// Where the engine is not as it has to be.
pub(super) async fn join(shared: &SharedStore, web: &Web) -> anyhow::Result<()> {
    let mut has_said = false;
    loop {
        if tokio::time::timeout(UNREADY, shared.opened()).await.is_ok() {
            web.hold_off(JOINS.to_owned());
            return Ok(());
        }
        match shared.trouble() {
            Some((trouble, true)) => bail!("{trouble}"),
            Some((trouble, false)) => {
                web.hold_off(format!("waiting for the engine that the nodes share: {trouble}"));
                if !std::mem::replace(&mut has_said, true) {
                    tracing::warn!(trouble, "waiting for the engine that the nodes share");
                }
            }
            None => {}
        }
    }
}

/// Says when the engine does not answer, and lets load balancers know, until `stop`: it is ready again when it has caught up, too. And when nodes
/// do not fit together.
pub(super) async fn watch(shared: SharedStore, web: Web, catch_up: CatchUp, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut silent: Option<tokio::time::Instant> = None;
    let mut is_told = false;
    let (mut faults, mut reasons) = (Vec::new(), ToldReasons::default());
    while !stop.is_cancelled() {
        let trouble = shared.trouble();
        metrics.cluster().up.set(u64::from(trouble.is_none()));
        let now = shared.faults();
        for fault in now.iter().filter(|fault| !faults.contains(*fault)) {
            tracing::warn!("{fault}");
        }
        faults = now;
        match (trouble, silent) {
            (None, None) => {}
            (None, Some(since)) => {
                // What was revoked meanwhile is in force before load balancers send anybody.
                let caught_up = if is_told { catch_up.once().await } else { Ok(()) };
                match caught_up {
                    Ok(()) => {
                        tracing::info!(
                            milliseconds = since.elapsed().as_millis(),
                            "the engine that the nodes share answers again"
                        );
                        (silent, reasons) = (None, ToldReasons::default());
                        if std::mem::take(&mut is_told) && !stop.is_cancelled() {
                            web.set_ready(true);
                        }
                    }
                    Err(error) if !stop.is_cancelled() => {
                        if reasons.is_new(&error) {
                            tracing::warn!(
                                error,
                                "the engine that the nodes share answers again; load balancers are sent away until what the other nodes have \
                                 revoked and made is in force here"
                            );
                        }
                        // Who asks there has no key: the log says which namespace it is, and what is wrong with it.
                        web.set_unready(
                            "waiting for what the other nodes have revoked and made: the log says what keeps it back".to_owned(),
                        );
                    }
                    Err(_) => {}
                }
            }
            (Some((trouble, _)), None) => {
                tracing::warn!(trouble, "the engine that the nodes share does not answer: uploads and playlists wait for it");
                silent = Some(tokio::time::Instant::now());
            }
            // Told again each time: what was wrong before may have been something else.
            (Some((trouble, _)), Some(since)) if since.elapsed() >= UNREADY && !stop.is_cancelled() => {
                is_told = true;
                web.set_unready(format!("the engine that the nodes share does not answer: {trouble}"));
            }
            (Some(_), Some(_)) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Opens the namespaces, shared where anything is.
pub(super) fn open(origin: &Origin, shared: Option<&SharedStore>, settings: &Settings) {
    if let Some(shared) = shared {
        origin.share(shared);
        origin.configure(settings.namespaces.clone(), settings.max_in_flight);
        origin.follow_shared();
    }
}
