//! Harvests that are ordered from a running server (`/v1/harvest`): which are taken, how many run, what is remembered of them.
//!
//! Invariants: without a place in the settings none is taken, and none goes anywhere else. So many of a namespace run and wait at a time, and
//! keep no other's from being taken: the first of each always is, more of them as long as there are fewer than are remembered. They end with the
//! server and hold up nothing: ordered again, one goes on where it was.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::job::{Job, JobState, Out, is_name};
use super::remembered::RecordingLog;
use super::room::{ListLimits, ListRoom, long_turns};
use super::sink::{LocalFolder, Sink};
use super::source::{Inside, Source};
use super::turns::{AT_ONCE, HarvestTurns};
use super::window::{self, HarvestWindow};
use super::{CopyCounts, Harvest, HarvestRecord, NOWHERE, bucket, resume};
use crate::app::client::Url;
use crate::app::settings::HarvestSettings;
use crate::auth::grant::{Grant, KeyId, Role, Scope};
use crate::model::id::{Key, Namespace, ObjectId};
use crate::origin::{Origin, WindowWord, type_of_name};
use crate::store::{Access, Location};
use crate::web::admin::harvest::{Harvests, NotKept, Order, OrderRefused, Progress, RecordedFile};

/// How many more of a namespace may wait.
const WAITING: usize = 8;
/// How many are remembered, those that are over included.
const REMEMBERED: usize = 100;

/// All of a server's harvests: a cheap handle.
#[derive(Clone, Debug)]
pub(in crate::app) struct Jobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    origin: Origin,
    places: HarvestSettings,
    access: Access,
    /// Newest first.
    jobs: Mutex<VecDeque<Arc<Job>>>,
    /// What is known of those of processes before, and where those of now are written down.
    log: Option<RecordingLog>,
    turns: HarvestTurns,
    /// Of those among them that have many files.
    long: HarvestTurns,
    stop: CancellationToken,
    ordered: AtomicU64,
    /// Where they run: those who order them have a thread of their own, which is to have time for them.
    runtime: Option<Handle>,
}

impl Jobs {
    pub(in crate::app) fn new(origin: Origin, places: HarvestSettings, access: Access, log: Option<RecordingLog>) -> Self {
        let (turns, long) = (HarvestTurns::default(), long_turns());
        let (jobs, stop, ordered) = (Mutex::default(), CancellationToken::new(), AtomicU64::new(0));
        let runtime = Handle::try_current().ok();
        Self { inner: Arc::new(Inner { origin, places, access, jobs, log, turns, long, stop, ordered, runtime }) }
    }

    /// Ends all of them. What they have copied stays.
    pub(in crate::app) fn stop(&self) {
        self.inner.stop.cancel();
    }

    /// Where a recording lies.
    fn folder(&self, id: &str) -> Result<LocalFolder, NotKept> {
        let progress = self.find(id).ok_or(NotKept::Unknown)?;
        let name = progress.place();
        match &self.inner.places.folder {
            _ if name.contains("://") => Err(NotKept::Elsewhere),
            // It has never had its place: what is there is another's.
            _ if progress.total == 0 => Err(NotKept::Absent),
            Some(root) if is_name(name) => Ok(LocalFolder::new(root, name)),
            _ => Err(NotKept::Absent),
        }
    }

    fn job(&self, id: &str) -> Option<Arc<Job>> {
        self.inner.jobs.lock().iter().find(|job| job.id == id).cloned()
    }
}

impl Harvests for Jobs {
    fn order(&self, order: Order) -> Result<Progress, OrderRefused> {
        let job = Arc::new(self.inner.read(order)?);
        {
            let mut jobs = self.inner.jobs.lock();
            let under_way = || jobs.iter().filter(|job| !job.state.lock().is_over());
            if under_way().any(|other| other.out == job.out) {
                return Err(OrderRefused::Taken);
            }
            let of_its_namespace = under_way().filter(|other| other.entry.namespace == job.entry.namespace).count();
            let is_full = of_its_namespace >= AT_ONCE + WAITING || of_its_namespace > 0 && under_way().count() >= REMEMBERED;
            if self.inner.stop.is_cancelled() || is_full {
                return Err(OrderRefused::Busy);
            }
            jobs.push_front(Arc::clone(&job));
            while jobs.len() > REMEMBERED {
                let Some(oldest) = jobs.iter().rposition(|job| job.state.lock().is_over()) else { break };
                jobs.remove(oldest);
            }
        }
        self.inner.note(&job);
        let (inner, ordered) = (Arc::clone(&self.inner), Arc::clone(&job));
        let work = async move { inner.carry_out(&ordered).await };
        match &self.inner.runtime {
            Some(runtime) => drop(runtime.spawn(work)),
            None => drop(tokio::spawn(work)),
        }
        Ok(job.progress())
    }

    fn recent(&self) -> Vec<Progress> {
        let jobs: Vec<_> = self.inner.jobs.lock().iter().cloned().collect();
        jobs.iter().map(|job| job.progress()).chain(self.inner.before().iter().cloned()).take(REMEMBERED).collect()
    }

    fn find(&self, id: &str) -> Option<Progress> {
        let before = || self.inner.before().iter().find(|progress| progress.id == id).cloned();
        self.job(id).map(|job| job.progress()).or_else(before)
    }

    fn cancel(&self, id: &str) -> Option<Progress> {
        if let Some(job) = self.job(id) {
            job.cancel.cancel();
            // Said at once; the task, which ends by itself, finds it so.
            self.inner.end(&job, JobState::Cancelled { at: self.inner.origin.clock().wall() });
        }
        self.find(id)
    }

    fn files(&self, id: &str) -> Result<Vec<String>, NotKept> {
        let lengths = self.folder(id)?.lengths().map_err(|error| NotKept::Unreadable(error.to_string()))?;
        let files = lengths.into_iter().filter(|(name, length)| *length != u64::MAX && !name.ends_with(".part"));
        let mut names: Vec<String> = files.map(|(name, _)| name).collect();
        names.sort();
        Ok(names)
    }

    fn file(&self, id: &str, name: &str) -> Result<RecordedFile, NotKept> {
        match self.folder(id)?.read(name) {
            Ok(body) => Ok(RecordedFile { content_type: type_of_name(name), body: body.into() }),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Err(NotKept::Absent),
            Err(error) => Err(NotKept::Unreadable(error.to_string())),
        }
    }
}

impl Inner {
    fn before(&self) -> &[Progress] {
        self.log.as_ref().map_or(&[], RecordingLog::before)
    }

    fn note(&self, job: &Job) {
        if let Some(log) = &self.log {
            log.note(|| job.progress());
        }
    }

    /// One is over, and that is written down.
    fn end(&self, job: &Job, end: JobState) {
        if job.end(end) {
            self.note(job);
        }
    }

    /// Reads an order: what it means, and whether it is allowed.
    fn read(&self, order: Order) -> Result<Job, OrderRefused> {
        let wrong = |field: &str, error: &dyn std::fmt::Display| OrderRefused::Wrong(format!("\"{field}\": {error}"));
        let out = self.out(&order.out)?;
        let namespace = Namespace::parse(&order.namespace).map_err(|error| wrong("namespace", &error))?;
        if self.origin.namespace(&namespace).policy().is_none() {
            return Err(wrong("namespace", &"is not configured on this server"));
        }
        let key = Key::parse(&order.playlist).map_err(|error| wrong("playlist", &error))?;
        let now = self.origin.clock().wall();
        let asked = HarvestWindow { start: order.start, end: order.end, last: order.last };
        let window = asked.window(now).map_err(|error| {
            let field = match error.word {
                WindowWord::Start => "start",
                WindowWord::End => "end",
                WindowWord::Last => "last",
            };
            wrong(field, &error.why)
        })?;
        let base = order.base.as_deref().unwrap_or(NOWHERE);
        let url = Url::parse(base).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty());
        let url = url.filter(|url| url.password().is_none() && url.path() == "/" && url.query().is_none());
        let mut url = url.ok_or_else(|| wrong("base", &"takes a URL like https://live.example.com, without a path or key"))?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["cache", namespace.as_str()]).extend(key.as_str().split('/'));
        }
        let number = self.ordered.fetch_add(1, Ordering::Relaxed);
        Ok(Job {
            // Another one after a restart, too.
            id: format!("{:x}-{number}", now.millis()),
            entry: ObjectId { namespace, key },
            url,
            asked,
            window: Mutex::new(window),
            out,
            keys: order.keys,
            replaces: order.replace,
            by: order.by,
            at: now,
            counts: Arc::default(),
            cancel: self.stop.child_token(),
            state: Mutex::new(JobState::Waiting),
        })
    }

    fn out(&self, text: &str) -> Result<Out, OrderRefused> {
        if text.contains("://") {
            if self.places.buckets.is_empty() {
                let detail = "harvests into buckets are off: name the places that are allowed in the setting harvest.buckets";
                return Err(OrderRefused::Off(detail));
            }
            let location =
                Location::parse(text).map_err(|error| OrderRefused::Wrong(format!("\"out\": a bucket's URL {error}")))?;
            let allowed = self.places.buckets.iter().filter_map(|allowed| Location::parse(allowed).ok());
            if !allowed.into_iter().any(|allowed| allowed.contains(&location)) {
                let detail = "\"out\": is not below one of the places in the setting harvest.buckets";
                return Err(OrderRefused::Wrong(detail.to_owned()));
            }
            return Ok(Out::Bucket(location));
        }
        let Some(root) = self.places.folder.clone() else {
            let detail = "harvests into a folder are off: name one in the setting harvest.folder";
            return Err(OrderRefused::Off(detail));
        };
        if !is_name(text) {
            let detail = "\"out\": takes a name like show/2026-01-02 below the server's harvest folder: up to 200 of a-z A-Z 0-9 . _ -, \
                          with slashes between its parts, each of which begins with a letter or digit";
            return Err(OrderRefused::Wrong(detail.to_owned()));
        }
        // What is written later is looked at again.
        LocalFolder::new(&root, text).check().map_err(|error| OrderRefused::Wrong(format!("\"out\": can't be used: {error}")))?;
        Ok(Out::Folder { root, name: text.to_owned() })
    }

    async fn carry_out(&self, job: &Job) {
        let work = async {
            let _turn = self.turns.wait(&job.entry.namespace).await;
            {
                let mut state = job.state.lock();
                if state.is_over() {
                    return Ok(String::new());
                }
                *state = JobState::Running;
            }
            let (namespace, playlist) = (&job.entry.namespace, &job.entry.key);
            tracing::info!(id = job.id, %namespace, %playlist, out = job.out.shown(), "harvest begun");
            self.copy(job).await
        };
        let result = tokio::select! {
            biased;
            () = job.cancel.cancelled() => None,
            result = work => Some(result),
        };
        let at = self.origin.clock().wall();
        match result {
            None => {
                self.end(job, JobState::Cancelled { at });
                tracing::info!(id = job.id, "harvest cancelled: ordered again, it goes on where it was");
            }
            Some(Ok(playlist)) => {
                self.end(job, JobState::Done { at, playlist });
                let (files, bytes) = (job.counts.done(), CopyCounts::read(&job.counts.bytes));
                tracing::info!(id = job.id, files, bytes, gaps = CopyCounts::read(&job.counts.gaps), "harvest done");
            }
            Some(Err(error)) => {
                let error = format!("{error:#}");
                tracing::warn!(id = job.id, error, "harvest failed");
                self.end(job, JobState::Failed { at, error });
            }
        }
    }

    async fn copy(&self, job: &Job) -> anyhow::Result<String> {
        let sink = match &job.out {
            Out::Folder { root, name } => Sink::Folder(LocalFolder::new(root, name)),
            Out::Bucket(location) => bucket(location, &self.access)?,
        };
        let namespace = &job.entry.namespace;
        let (playlist, window) = (format!("{namespace}/{}", job.entry.key), *job.window.lock());
        let record = HarvestRecord::new(playlist, &job.asked, window);
        let mut room = ListRoom::of(&self.long, namespace, ListLimits::SERVER);
        let resumed = resume(&sink, record, job.replaces, |playlist| job.may_touch(playlist), &mut room).await?;
        let window = window::parse(&resumed.record.window).context("harvest.json is damaged: name another place")?;
        *job.window.lock() = window;
        // What who orders may read of the namespace, and nothing that its playlists name elsewhere.
        let grant = Grant {
            key_id: KeyId::parse("harvest")?,
            role: Role::Readonly,
            scope: Scope::Only(vec![namespace.clone()]),
            prefix: job.prefix(),
            paths: None,
            is_edge: false,
            ends: None,
        };
        let inside = Inside { origin: self.origin.clone(), grant, entry: job.entry.clone(), window };
        let (source, counts) = (Source::Inside(inside), Arc::clone(&job.counts));
        let harvest = Harvest { source, sink, keys: job.keys, counts };
        let prepared = harvest.prepare(&job.url, resumed, &mut room).await?;
        // Its place is its own from here on: what is there is given out, however this process ends.
        self.note(job);
        let name = harvest.copy(prepared).await?;
        Ok(job.out.below(&name))
    }
}

/// What an order means to a server with these places: whose playlist, at which URL, of which window, to where. For `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(super) fn meant(jobs: &Jobs, order: Order) -> Option<(ObjectId, Url, crate::hls::shift::Window, String)> {
    let job = jobs.inner.read(order).ok()?;
    let window = *job.window.lock();
    Some((job.entry, job.url, window, job.out.shown()))
}

/// Whether an order may name such a place below the folder, for `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(super) fn may_be_called(text: &str) -> bool {
    is_name(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::origin::policy::NamespacePolicy;

    /// On one thread, and nothing gives way to them: none of them begins.
    #[tokio::test]
    async fn the_first_of_a_namespace_is_taken_however_many_others_have() {
        let names: Vec<Namespace> = (0..12).map(|number| Namespace::parse(&format!("n{number}")).unwrap()).collect();
        let namespaces = names.iter().map(|name| (name.clone(), NamespacePolicy::default()));
        let origin = Origin::new(namespaces, 1 << 20, Clock::manual(), &Arc::new(Metrics::new()));
        let places = HarvestSettings { folder: None, buckets: vec!["s3://bucket/vod/".to_owned()] };
        let jobs = Jobs::new(origin, places, Access(Vec::new()), None);
        let mut ordered = 0;
        let mut order = |name: &Namespace| {
            ordered += 1;
            let order = serde_json::json!({"namespace": name.as_str(), "playlist": "p.m3u8", "out": format!("s3://bucket/vod/{ordered}")});
            jobs.order(serde_json::from_value(order).unwrap()).map(|progress| progress.id)
        };
        let mut ids = Vec::new();
        for name in &names[..10] {
            ids.extend((0..AT_ONCE + WAITING).map(|_| order(name).unwrap()));
            assert_eq!(order(name), Err(OrderRefused::Busy));
        }
        assert_eq!(ids.len(), REMEMBERED);
        for name in &names[10..] {
            ids.push(order(name).unwrap());
            assert_eq!(order(name), Err(OrderRefused::Busy), "more only when there are fewer");
        }
        assert!(ids.iter().all(|id| jobs.find(id).is_some_and(|progress| progress.state == "waiting")), "none is forgotten");
        for id in &ids[..3] {
            jobs.cancel(id);
        }
        order(&names[11]).unwrap();
    }
}
