//! What the admin API has done on this floor: tickets, the audit log, keys; and, by the server's own loop, namespaces and settings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::access_log::Rotated;
use super::data_dir::DataDir;
use super::key_watch::ApiKeysInForce;
use super::reload::{LoopErrand, ReloadedSettings, Reloader};
use super::settings::{SettingChange, Settings};
use super::shared_made::SharedMade;
use super::{doctor, key_desk, tickets};
use crate::model::id::ObjectId;
use crate::store::shared::SharedStore;
use crate::web::admin::controls::{
    ChangeReport, Condition, ControlRefused, Controls, DoctorReport, Errand, KeyOrder, KeyReport, NamespaceChange,
    NamespaceReport, NewKeyReport, ReloadReport, RotateOrder, SettingReport,
};
use crate::web::problem::code::Code;

/// How long a printed link is good.
const TICKET: Duration = Duration::from_secs(120);
/// The audit log's files: so large, and so many older ones.
const AUDIT: (u64, u64) = (4 << 20, 4);
/// Errands that wait for the loop.
const ERRANDS: usize = 64;

/// The controls of a running server.
#[derive(Debug)]
pub(super) struct ServerControls {
    data: DataDir,
    audit: Arc<Mutex<Rotated>>,
    keys: ApiKeysInForce,
    errands: mpsc::Sender<LoopErrand>,
    drain: Arc<Notify>,
    /// What was made, where nodes share it.
    made: Option<SharedMade>,
    /// Where objects are served in clear, if they are.
    objects_at: Option<SocketAddr>,
    /// One stream is walked at a time.
    walk: Arc<Semaphore>,
}

impl ServerControls {
    /// The errands are for the server's loop, and so is the order to end.
    ///
    /// # Errors
    /// When the audit log can't be written: who changes something has to be told of.
    pub(super) fn new(
        data: DataDir,
        keys: ApiKeysInForce,
        shared: Option<&SharedStore>,
        objects_at: Option<SocketAddr>,
        drain: Arc<Notify>,
    ) -> anyhow::Result<(Self, mpsc::Receiver<LoopErrand>)> {
        let folder = data.audit();
        data.make_folder(&folder)?;
        let path = folder.join("audit.jsonl");
        let (limit, keep) = AUDIT;
        let audit = Rotated::open(&path, limit, keep).with_context(|| format!("can't write {}", path.display()))?;
        let (errands, received) = mpsc::channel(ERRANDS);
        let walk = Arc::new(Semaphore::new(1));
        let made = shared.map(|shared| SharedMade::new(shared.clone(), data.clone(), errands.clone()));
        Ok((Self { data, keys, audit: Arc::new(Mutex::new(audit)), errands, drain, made, objects_at, walk }, received))
    }

    /// What was made, where nodes share it.
    pub(super) fn shared(&self) -> Option<SharedMade> {
        self.made.clone()
    }

    /// Has the loop do something.
    fn ask<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut Reloader) -> Result<T, ControlRefused> + Send + 'static,
    ) -> Errand<'_, T> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let errand: LoopErrand = Box::new(move |reloader| drop(answer.send(errand(reloader))));
            let ends = || ControlRefused::new(Code::Draining, "the server is about to end: ask again when it is back");
            self.errands.send(errand).await.map_err(|_| ends())?;
            answered.await.map_err(|_| ends())?
        })
    }

    /// Does something with files where no request waits for it.
    fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DataDir) -> Result<T, ControlRefused> + Send + 'static,
    ) -> Errand<'_, T> {
        let data = self.data.clone();
        Box::pin(async move {
            match spawn_blocking(move || work(&data)).await {
                Ok(done) => done,
                Err(_) => Err(ControlRefused::new(Code::Internal, "this broke off: the log says why")),
            }
        })
    }

    /// The same for keys that are made: they are good when it is answered, if they can be read.
    fn with_keys<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DataDir) -> Result<T, ControlRefused> + Send + 'static,
    ) -> Errand<'_, T> {
        let keys = self.keys.clone();
        self.with_files(move |data| {
            let done = work(data)?;
            // What can't be read is said by who looks for ever.
            let _ = keys.look();
            Ok(done)
        })
    }
}

impl Controls for ServerControls {
    fn take_ticket(&self, ticket: String) -> BoxFuture<'_, bool> {
        let data = self.data.clone();
        Box::pin(async move { spawn_blocking(move || tickets::take(&data, &ticket, TICKET)).await.unwrap_or(false) })
    }

    fn note(&self, line: Value) -> BoxFuture<'_, ()> {
        let audit = Arc::clone(&self.audit);
        let write = move || {
            let mut audit = audit.lock();
            if let Err(error) = audit.write(format!("{line}\n").as_bytes()).and_then(|()| audit.sync()) {
                let (action, key_id) = (line["action"].as_str(), line["key_id"].as_str());
                tracing::error!(%error, action, key_id, "can't write the audit log: this change is told of here alone");
            }
        };
        // It fails where the process is about to end, and has written then or has not.
        Box::pin(async move { spawn_blocking(write).await.unwrap_or_default() })
    }

    fn noted(&self, limit: usize) -> BoxFuture<'_, Vec<Value>> {
        let audit = Arc::clone(&self.audit);
        let read = move || {
            let lines = audit.lock().last_lines(limit);
            lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>()
        };
        Box::pin(async move { spawn_blocking(read).await.unwrap_or_default() })
    }

    fn namespaces(&self) -> Errand<'_, Vec<NamespaceReport>> {
        self.ask(|reloader| Ok(reloader.namespaces()))
    }

    fn default_rules(&self) -> Map<String, Value> {
        Settings::default_rules()
    }

    fn change_namespace(
        &self,
        name: String,
        change: NamespaceChange,
        condition: Condition,
    ) -> Errand<'_, (Option<NamespaceReport>, Option<NamespaceReport>)> {
        match &self.made {
            Some(made) => Box::pin(made.change_namespace(name, change, condition)),
            None => self.ask(move |reloader| reloader.change_namespace(&name, &change, &condition)),
        }
    }

    fn may_remove_namespace(&self, name: String, condition: Condition) -> Errand<'_, ()> {
        match &self.made {
            Some(made) => Box::pin(made.may_remove_namespace(name, condition)),
            None => self.ask(move |reloader| reloader.judge(&name, &NamespaceChange::Removed, &condition).map(drop)),
        }
    }

    fn keys(&self) -> Errand<'_, Vec<KeyReport>> {
        self.with_files(key_desk::list)
    }

    fn make_key(&self, order: KeyOrder) -> Errand<'_, NewKeyReport> {
        self.with_keys(move |data| key_desk::make(data, order))
    }

    fn revoke_key(&self, key_id: String) -> Errand<'_, KeyReport> {
        let keys = self.keys.clone();
        self.with_files(move |data| {
            let revoked = key_desk::revoke(data, &key_id)?;
            key_desk::put_in_force(&keys)?;
            Ok(revoked)
        })
    }

    fn rotate_key(&self, key_id: String, order: RotateOrder) -> Errand<'_, NewKeyReport> {
        self.with_keys(move |data| key_desk::rotate(data, &key_id, &order))
    }

    fn settings(&self) -> Errand<'_, Vec<SettingReport>> {
        self.ask(|reloader| Ok(reloader.settings.reports(&reloader.places)))
    }

    fn check_settings(&self, text: String) -> Vec<String> {
        Settings::faults_of(&text)
    }

    fn reload(&self) -> Errand<'_, ReloadReport> {
        self.ask(|reloader| {
            let refused = |told: Vec<String>| ControlRefused::new(Code::InUse, told.join("; "));
            let ReloadedSettings { changed, waiting } = reloader.reload().map_err(refused)?;
            let report = |is_live| move |SettingChange { key, from, to }: SettingChange| ChangeReport { key, from, to, is_live };
            let mut changes: Vec<_> = changed.into_iter().map(report(true)).collect();
            changes.extend(waiting.into_iter().map(report(false)));
            changes.sort_by(|one, other| one.key.cmp(&other.key));
            Ok(ReloadReport { changes })
        })
    }

    fn examine(&self, object: ObjectId, prefix: Option<String>) -> Errand<'_, DoctorReport> {
        let (at, walk) = (self.objects_at, Arc::clone(&self.walk));
        self.with_files(move |data| {
            let in_use = |detail: &str| ControlRefused::new(Code::InUse, detail);
            let _turn = walk.try_acquire().map_err(|_| in_use("another stream is being walked: ask again in a moment"))?;
            let at = at.ok_or_else(|| {
                in_use("objects are served over TLS alone, by a name that is not known here: run 'springhead doctor https://HOST' instead")
            })?;
            doctor::examine_here(data, at, &object, prefix)
                .map_err(|error| ControlRefused::new(Code::Internal, format!("the stream can't be walked: {error:#}")))
        })
    }

    fn drain(&self) {
        self.drain.notify_one();
    }
}
