//! `springhead serve`: builds the house, opens the doors, and closes them in order.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::OptionFuture;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::catch_up::CatchUp;
use super::certificates::{CertificateEnds, Certificates};
use super::controls::ServerControls;
use super::data_dir::DataDir;
use super::doors::Doors;
use super::duties::Duties;
use super::event_log::EventLog;
use super::harvest::{Jobs, RecordingLog};
use super::key_watch::KeyWatch;
use super::listeners::Listeners;
use super::node_peers::NodePeers;
use super::reload::{Load, Reloader, limits};
use super::resources::Resources;
use super::settings::{Loaded, MADE_FOLDER, Settings};
use super::shared_revocations::SharedRevocations;
use super::signals::Signals;
use super::supervisor::Sockets;
use super::telemetry::Logs;
use super::traces::Traces;
use super::viewer_revocations::RevocationList;
use super::webhooks::Webhooks;
use super::{
    Failure, access_log, buckets, check, cluster, exposure, history_log, machine, node_peers, print, signals, stamp, streams,
    supervisor, sweep, take_over, viewer_key, viewer_revocations, welcome,
};
use crate::auth::verify::Verifier;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::origin::Origin;
use crate::web::admin::events::EventRing;
use crate::web::admin::nodes::OtherNodes;
use crate::web::{Web, admin};

/// One thread for uploads to this many processors: a thread takes in more than a network card of 10 Gbit/s brings.
const ENCODERS_SHARE: usize = 4;
/// How long at least what waits for a durable tier is written when the server stops: clients that took all of the time to drain are no
/// reason to lose it.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// How long at most receivers of webhooks are waited for: the next process waits for this one.
const LAST_WEBHOOKS: Duration = Duration::from_secs(1);
/// The same for uploads whose bodies are complete to be committed.
const LAST_UPLOADS: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT. `warnings`: what is to be said of the environment.
pub(super) fn run(load: Load, warnings: &[String]) -> Result<(), Failure> {
    let mut loaded = load(None).map_err(|failure| match failure {
        Failure::Usage(faults) => Failure::Usage(format!("{faults}; nothing was started")),
        failed => failed,
    })?;
    let settings = &mut loaded.settings;
    let logs = Logs::start(settings.log_format, settings.log_level);
    // Each connection takes a descriptor; the usual soft limit of 1,024 would be reached at an event's first minute.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    for said in Resources::read(&settings.data_dir).fit(settings).iter().chain(&loaded.contradicted).chain(warnings) {
        tracing::warn!("{said}");
    }
    let metrics = Arc::new(Metrics::new());
    let traces = Traces::start(settings.otlp_endpoint.as_deref(), &metrics)?;
    let runtime = Builder::new_multi_thread().enable_all().build().context("can't start the runtime")?;
    // Beside as many threads as there are processors, not instead of some: they sleep most of the time.
    let threads = (std::thread::available_parallelism().map_or(1, NonZero::get) / ENCODERS_SHARE).max(1);
    let encoders = Builder::new_multi_thread().worker_threads(threads).thread_name("encoders").enable_all().build();
    let encoders = encoders.context("can't start the encoders' runtime")?;
    // What goes wrong with the last traces is logged, too.
    let until_the_end = logs.clone();
    let served = runtime.block_on(serve(loaded, load, (logs, metrics), traces.as_ref(), encoders.handle().clone()));
    // A stuck file system must not keep a drained server from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    encoders.shutdown_background();
    if let Some(traces) = &traces {
        traces.end();
    }
    drop(until_the_end);
    if served? { Ok(()) } else { Err(Failure::Told) }
}

/// Serves until it is told to stop. Says whether everything that was answered is where the settings have it: what is not, and why, is in
/// the log.
async fn serve(
    loaded: Loaded,
    load: Load,
    (logs, metrics): (Logs, Arc<Metrics>),
    traces: Option<&Traces>,
    encoders: tokio::runtime::Handle,
) -> anyhow::Result<bool> {
    // First of all: in a container this is process 1, which the kernel shields from signals it has no handler for, so that a
    // SIGTERM that came earlier would be lost.
    let mut signals = Signals::listen()?;
    let Loaded { settings, mut places, mut made, declares, empty_file, .. } = loaded;
    if let Some(said) = check::harvest_folder(&settings) {
        tracing::warn!("{said}");
    }
    let data = DataDir::new(&settings.data_dir);
    data.create()?;
    let made_by_other = take_over::hold(&data, settings.reuse_port)?;
    if !declares && keep_built_in(&data, &settings) {
        // From now on they have a place, where the admin API can change them.
        if let Ok(again) = load(None) {
            (places, made) = (again.places, again.made);
        }
    }
    stamp::leave(&data);
    let lacks_signing_key = data.lacks_signing_key();
    let ring = data.key_ring(true)?;
    if lacks_signing_key {
        welcome::tell_of_lost_key(&data);
    }
    let viewer_keys = viewer_key::load(&data, ring.ids(), viewer_key::is_needed(&settings))?;
    let certificates = Certificates::load(&settings.tls)?;
    let of_admin = Certificates::of_admin(&settings.admin_tls)?;
    let listeners = Listeners::open(&settings, Sockets::take()?)?;
    // What is pasted into an encoder had better be encrypted, where that is offered.
    let port = listeners.tls.first().or(listeners.clear.first()).context("there is no listener")?.local_addr()?.port();
    let shown = welcome::Listener { secure: !listeners.tls.is_empty(), port };
    let welcome = welcome::first_start(&settings, &data, &ring, shown, std::io::stdout().is_terminal())?;

    let clock = Clock::system();
    let runtime = tokio::runtime::Handle::current().metrics();
    metrics.show_machine(move || machine::read(&runtime));
    let access_log = access_log::start(&settings.access_log, &metrics)?;
    let webhooks = Webhooks::start(&settings.webhooks, &data, &clock, &metrics)?;
    let signing_keys = ring.ids().collect::<Vec<_>>().join(",");
    for exposure in exposure::of(&data).into_iter().chain(exposure::shut(&data, settings.object_readers)) {
        tracing::warn!("{exposure}");
    }
    let folder = data.clone();
    let verifier = Arc::new(Verifier::new(ring, clock.clone()));
    let keys = KeyWatch::begin(data.clone(), Arc::clone(&verifier), Arc::clone(&metrics), clock.clone());
    let keys = keys.context("can't read the keys and revocations")?;
    let keys_in_force = keys.in_force();
    let viewer_ids = viewer_keys.ids().collect::<Vec<_>>().join(",");
    let key_ids = signing_keys.split(',').chain(viewer_keys.ids()).collect();
    let shared = cluster::shared(&settings, port, key_ids, &clock, &metrics)?;
    // Those that are shared are opened when it is known with whom.
    let namespaces = if shared.is_some() { BTreeMap::new() } else { settings.namespaces.clone() };
    let max_in_flight = settings.max_in_flight;
    let origin = Origin::with_objects_in(
        data.objects(),
        settings.object_readers,
        buckets::access(),
        namespaces,
        max_in_flight,
        clock.clone(),
        &metrics,
    );
    cluster::open(&origin, shared.as_ref(), &settings);
    let histories = history_log::start(data.histories(), &origin, &clock, &metrics).await?;
    let lines = access_log.as_ref().map(|writer| Arc::clone(&writer.log));
    let web = Web::new(origin.clone(), Arc::clone(&verifier), Arc::clone(&metrics), limits(&settings), lines);
    web.take_uploads_on(encoders);
    web.viewers().replace_keys(viewer_keys);
    viewer_key::warn_of_strays(web.viewers(), &settings);
    let revocations = RevocationList::new(data.clone(), clock.clone());
    revocations.look(&web).context("can't tell which viewers' tokens are revoked")?;
    if let Some(traces) = traces {
        web.trace_to(traces.spans());
    }

    let (leave, stop) = (CancellationToken::new(), CancellationToken::new());
    let duties = Duties::new(web.clone(), leave.clone());
    duties.begin("log", logs.lost().watch(Arc::clone(&metrics)));
    duties.begin("histories", async move { histories.await.unwrap_or_default() });
    duties.begin("sweep", sweep::watch(origin.clone()));
    let events = Arc::new(EventRing::default());
    let event_log = EventLog::start(&folder, Arc::clone(&events), &duties)?;
    duties.begin("streams", streams::watch(origin.clone(), webhooks.clone(), event_log));
    duties.begin("keys", keys.watch());
    duties.begin("viewer-revocations", revocations.clone().watch(web.clone()));
    let tls = certificates.as_ref().map(Certificates::tls);
    let admin_tls = of_admin.as_ref().map(Certificates::tls);
    let (look_now, ends): ([Arc<Notify>; 2], CertificateEnds) = Default::default();
    for (certificates, look_now) in [certificates, of_admin].into_iter().zip(&look_now) {
        if let Some(certificates) = certificates {
            duties.begin("certificates", certificates.watch(Arc::clone(&metrics), ends.clone(), Arc::clone(look_now)));
        }
    }

    let drain = Arc::new(Notify::new());
    let objects_at = listeners.clear.first().and_then(|listener| listener.local_addr().ok());
    let admin_address = listeners.admin.local_addr()?;
    let mut addresses = listeners.clear.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    addresses.push(admin_address);
    let (controls, mut errands) =
        ServerControls::new(folder.clone(), keys_in_force.clone(), shared.as_ref(), objects_at, Arc::clone(&drain))?;
    let made_by_all = controls.shared();
    let recordings = RecordingLog::open(&folder)?;
    let harvests = Jobs::new(origin.clone(), settings.harvest.clone(), buckets::access(), Some(recordings));
    let peers = shared.as_ref().map(|_| NodePeers::new(cluster::node_name(&settings, port), &clock)).transpose()?;
    let behind = admin::Behind {
        harvests: Arc::new(harvests.clone()),
        controls: Arc::new(controls),
        revokes: viewer_revocations::running(revocations.clone(), web.clone()),
        events,
        nodes: peers.clone().map(|peers| -> Arc<dyn OtherNodes> { peers }),
    };
    let admin_has_tls = admin_tls.is_some();
    let mut doors = Doors::new(listeners, (tls, admin_tls), &settings, behind, &web, (duties.clone(), stop.clone()));
    // However this ends, duties end in order then: before the admin listener does.
    let _over = leave.clone().drop_guard();
    let mut reloader = Reloader {
        load,
        settings,
        places,
        are_of_empty_file: empty_file.is_some(),
        made,
        unlike: Vec::new(),
        waiting: Vec::new(),
        origin: origin.clone(),
        web: web.clone(),
        logs,
        certificates: look_now,
        data: folder.clone(),
        verifier,
    };
    let catch_up = shared.clone().zip(made_by_all).map(|(shared, made)| {
        let revocations = SharedRevocations::new(shared, folder.clone(), keys_in_force, revocations, web.clone());
        CatchUp { revocations, made }
    });
    if shared.is_some() {
        web.hold_off(cluster::JOINS.to_owned());
    }
    {
        // What a restart brings back is known, and playlists are in memory, before the first reader asks; and of several nodes, what there is
        // at all, and who is let in.
        let mut known = pin!(async {
            if let Some(shared) = &shared {
                cluster::join(shared, &web).await?;
            }
            origin.opened().await;
            if let Some(catch_up) = &catch_up {
                web.hold_off("waiting for what the other nodes have revoked and made".to_owned());
                catch_up.whole().await;
            }
            anyhow::Ok(())
        });
        // A start as it should be sends nobody away who has connected. The engine may be away for long: then who looks after this node, and load
        // balancers, are told what it waits for.
        let mut late = pin!(tokio::time::sleep(cluster::UNREADY));
        let mut is_late = shared.is_none();
        let reuses_port = reloader.settings.reuse_port;
        loop {
            tokio::select! {
                done = &mut known => break done?,
                () = &mut late, if !is_late => {
                    // What else takes its time is over in a while, and who has connected had better wait for it.
                    if shared.as_ref().is_none_or(|shared| shared.trouble().is_none()) {
                        late.as_mut().reset(tokio::time::Instant::now() + cluster::UNREADY);
                        continue;
                    }
                    is_late = true;
                    doors.open_admin()?;
                    // Where another process takes connections of the same port, it is the one that can answer them.
                    if !reuses_port {
                        doors.open_data()?;
                    }
                    tracing::info!(%admin_address, "not joined yet: probes and /metrics are answered, and all else with 503");
                }
                () = reloader.run(&mut errands) => {}
                () = signals.end.told() => return Ok(true),
            }
        }
    }
    if let (Some(shared), Some(catch_up), Some(peers)) = (shared, catch_up, peers) {
        let own = node_peers::address(&reloader.settings.cluster, objects_at);
        node_peers::start(&peers, &shared, own, folder.clone(), clock.clone(), (&duties, stop.clone()));
        catch_up.go_on(&duties, &leave);
        duties.begin("engine", cluster::watch(shared, web.clone(), catch_up, Arc::clone(&metrics), leave.clone()));
    }
    // Everything is in place. Said before the first connection is taken: with a socket that was handed over, some wait already.
    web.set_ready(true);
    if let Err(error) = folder.listens(&addresses, admin_has_tls) {
        tracing::warn!(%error, "can't write down where this server listens: 'springhead health' goes by the settings alone");
    }
    doors.open_admin()?;
    doors.open_data()?;
    let version = env!("CARGO_PKG_VERSION");
    for (namespace, policy) in &reloader.settings.namespaces {
        tracing::info!(%namespace, hot_capacity_bytes = policy.hot_capacity, "namespace");
    }
    tracing::info!(version, %admin_address, signing_keys, viewer_keys = viewer_ids, data_dir = %reloader.settings.data_dir.display(), "started");
    supervisor::ready();
    if let Some(text) = welcome
        && let Err(error) = print(&text)
    {
        tracing::warn!(
            error = format!("{error:#}"),
            "what to paste where can't be shown; the API keys are in the data directory"
        );
    }

    let mut leaves_at = None;
    loop {
        tokio::select! {
            () = signals.end.told() => {}
            () = drain.notified() => {}
            Some(()) = OptionFuture::from(leaves_at.map(tokio::time::sleep_until)) => {}
            _ = signals.hang_up.recv() => {
                supervisor::reloading();
                // What is wrong is in the log.
                let _ = reloader.reload();
                supervisor::ready();
                continue;
            }
            Some(errand) = errands.recv() => {
                reloader.run_one(errand);
                continue;
            }
            () = made_by_other.notified() => {
                // What is wrong is in the log.
                reloader.run_one(Box::new(|reloader| drop(reloader.reload_settings())));
                continue;
            }
        }
        let delay = reloader.settings.leaves_after();
        if leaves_at.is_some() || delay.is_zero() {
            break;
        }
        leave.cancel();
        web.set_ready(false);
        let milliseconds = delay.as_millis();
        tracing::info!(milliseconds, "told to end: /readyz says so, and connections are taken until drain_delay is over");
        leaves_at = Some(tokio::time::Instant::now() + delay);
    }
    leave.cancel();
    web.set_ready(false);
    supervisor::stopping();
    tracing::info!("draining: no new connections; requests in flight may end");
    stop.cancel();
    origin.drain();
    harvests.stop();
    // Who asked, or asks yet, is told so instead of waiting for the end: each errand that is dropped is answered by that.
    errands.close();
    while errands.try_recv().is_ok() {}
    let until = tokio::time::Instant::now() + reloader.settings.drain_timeout;
    let drained = async {
        doors.data_closed().await;
        // What the last uploads brought is written below memory in the same time, and in a little more where slow clients took it all.
        let at_least = |span| until.max(tokio::time::Instant::now() + span);
        // One whose client was cut off may never end; it was not answered.
        let _ = tokio::time::timeout_at(at_least(LAST_UPLOADS), web.uploads_ended()).await;
        let (now, written) = (tokio::time::Instant::now(), tokio::time::timeout_at(at_least(LAST_WRITES), origin.close()));
        tokio::join!(written, webhooks.end(now + LAST_WEBHOOKS)).0.is_ok()
    };
    let ended = tokio::select! {
        ended = drained => Some(ended),
        () = signals.end.told() => None,
        () = signals::too_late(&mut signals.hang_up) => None,
    };
    webhooks.count_lost();
    let (objects, bytes) = origin.unwritten();
    match ended {
        Some(true) => tracing::info!("stopped"),
        Some(false) => {
            tracing::warn!(objects, bytes, "the time to drain is over: what waits for a durable tier still is not kept");
        }
        None => tracing::warn!(objects, bytes, "told twice: stopping at once; what waits for a durable tier still is not kept"),
    }
    // The admin listener ends by itself, and the process does not wait for it.
    drop(doors);
    Ok(objects == 0)
}

/// Writes down the namespaces that are built in, at the first start of a server that has declared none: so they can be changed and
/// removed, and do not come back then. Whether it was done.
fn keep_built_in(data: &DataDir, settings: &Settings) -> bool {
    let folder = settings.data_dir.join(MADE_FOLDER);
    if folder.is_dir() {
        return false;
    }
    let text = "# Built in; the admin API changes it.\n";
    let kept = data.make_folder(&folder).and_then(|()| {
        for name in settings.namespaces.keys() {
            data.replace(&folder.join(format!("{name}.toml")), text)?;
        }
        Ok(())
    });
    if let Err(error) = &kept {
        tracing::warn!(error = format!("{error:#}"), "the built-in namespaces can't be changed by the admin API");
    }
    kept.is_ok()
}
