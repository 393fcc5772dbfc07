//! What the admin API has made, namespaces and the records of keys, which holds on all nodes: each node has it in its data directory, as a
//! server by itself does, and all of them have it at the engine.
//!
//! Namespaces are changed at the engine first, under the condition that they are as the node has judged them by; then every node writes down
//! what has come of it and puts it in force. Where a node finds others in its data directory when it joins, those of the engine count. Records
//! of keys are made and never removed: what one node has, all of them get.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::data_dir::{DataDir, KeyRecord};
use super::namespaces::{JudgedChange, unreadable};
use super::reload::{LoopErrand, Reloader};
use super::told_reasons::ToldReasons;
use crate::auth::grant::KeyId;
use crate::model::id::Namespace;
use crate::store::StoreError;
use crate::store::shared::SharedStore;
use crate::web::admin::controls::{Condition, ControlRefused, NamespaceChange, NamespaceReport};
use crate::web::problem::code::Code;

/// How often the data directory is looked at, where commands write records of keys.
const EVERY: Duration = Duration::from_millis(250);
/// How long after a try that failed it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// So often a change is judged anew, where others come in between.
const TRIES: usize = 8;
/// The names of texts: of namespaces, of records of keys; and the one that says that namespaces are there as the nodes have them.
const NAMESPACES: &str = "namespaces/";
const KEYS: &str = "keys/";
const BEGUN: &str = "namespaces";

/// What was made, as all nodes have it. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct SharedMade {
    shared: SharedStore,
    data: DataDir,
    errands: mpsc::Sender<LoopErrand>,
}

/// How a namespace was, and how it is.
type ChangedNamespace = (Option<NamespaceReport>, Option<NamespaceReport>);

fn ends() -> ControlRefused {
    ControlRefused::new(Code::Draining, "the server is about to end: ask again when it is back")
}

fn unshared(error: &StoreError) -> ControlRefused {
    match error {
        StoreError::Busy => {
            ControlRefused::new(Code::EngineFull, "the engine that the nodes share has no room: nothing is changed")
        }
        _ => ControlRefused::new(
            Code::EngineUnreachable,
            "the engine that the nodes share does not answer: this may or may not have happened; look, and try again",
        ),
    }
}

impl SharedMade {
    pub(super) fn new(shared: SharedStore, data: DataDir, errands: mpsc::Sender<LoopErrand>) -> Self {
        Self { shared, data, errands }
    }

    /// The namespaces that were made, by all nodes; `None`, as long as none of them has said which those are.
    fn namespaces(&self) -> Option<BTreeMap<Namespace, String>> {
        let texts = self.shared.texts();
        texts.iter().any(|(name, _)| name == BEGUN).then_some(())?;
        let named = |(name, text): (String, String)| Some((Namespace::parse(name.strip_prefix(NAMESPACES)?).ok()?, text));
        Some(texts.into_iter().filter_map(named).collect())
    }

    /// Has the server's loop do something.
    async fn ask<T: Send + 'static>(
        &self,
        errand: impl FnOnce(&mut Reloader) -> T + Send + 'static,
    ) -> Result<T, ControlRefused> {
        let (answer, answered) = oneshot::channel();
        let errand: LoopErrand = Box::new(move |reloader| drop(answer.send(errand(reloader))));
        self.errands.send(errand).await.map_err(|_| ends())?;
        answered.await.map_err(|_| ends())
    }

    /// Brings what is in force here to what all nodes have, which this hands over. By the server's loop alone, one after the other: so nothing
    /// older comes in force after something newer.
    ///
    /// # Errors
    /// Why not all of it is in force here: it is to be tried again.
    fn brought_to(&self, reloader: &mut Reloader) -> Result<BTreeMap<Namespace, String>, String> {
        let all = self.namespaces().unwrap_or_default();
        reloader.make_as(&all)?;
        Ok(all)
    }

    /// Makes, changes or removes a namespace, on all nodes.
    pub(super) async fn change_namespace(
        &self,
        name: String,
        change: NamespaceChange,
        condition: Condition,
    ) -> Result<ChangedNamespace, ControlRefused> {
        let text_name = format!("{NAMESPACES}{name}");
        for _ in 0..TRIES {
            let judged = self.judged(name.clone(), change.clone(), condition.clone()).await?;
            let (JudgedChange { name, before, text }, standing) = judged;
            let changed = self.shared.change_text(&text_name, standing.as_deref(), text.as_deref()).await;
            if changed.map_err(|error| unshared(&error))? {
                let made = self.clone();
                let after = self.ask(move |reloader| -> Result<_, ControlRefused> {
                    made.brought_to(reloader).map_err(|error| {
                        let detail = format!(
                            "the other nodes have this change; this one has not, and takes it up by itself when what is wrong is mended: {error}"
                        );
                        ControlRefused::new(Code::InUse, detail)
                    })?;
                    Ok(reloader.report_of(&name))
                });
                return Ok((before, after.await??));
            }
        }
        Err(ControlRefused::new(Code::InUse, "others change this namespace all the time: nothing is changed, ask again"))
    }

    /// Refuses what a removal would be refused for, and changes nothing.
    pub(super) async fn may_remove_namespace(&self, name: String, condition: Condition) -> Result<(), ControlRefused> {
        self.judged(name, NamespaceChange::Removed, condition).await.map(drop)
    }

    /// What a change comes to by what all nodes have now, and the rules that they have of this name.
    async fn judged(
        &self,
        name: String,
        change: NamespaceChange,
        condition: Condition,
    ) -> Result<(JudgedChange, Option<String>), ControlRefused> {
        self.shared.fresh_text(&format!("{NAMESPACES}{name}")).await.map_err(|error| unshared(&error))?;
        self.begun().await.map_err(|error| unshared(&error))?;
        let made = self.clone();
        let judged = move |reloader: &mut Reloader| {
            let all = made.brought_to(reloader).map_err(|error| {
                ControlRefused::new(Code::InUse, format!("nothing is changed, for this node is not as the others are: {error}"))
            })?;
            // Else the others would have it, and this one would not.
            reloader.read_settings().map_err(|faults| unreadable(&faults))?;
            let standing = all.iter().find(|(known, _)| known.as_str() == name).map(|(_, text)| text.clone());
            Ok((reloader.judge(&name, &change, &condition)?, standing))
        };
        self.ask(judged).await?
    }

    /// Sees to it that the engine has the namespaces that were made: of all nodes the first says which those are.
    async fn begun(&self) -> Result<(), StoreError> {
        if self.namespaces().is_some() {
            return Ok(());
        }
        // About to end: another node may say it.
        let Ok(own) = self.ask(|reloader| reloader.made_here()).await else { return Ok(()) };
        for (name, text) in own {
            // Where another node has one of this name, that one counts.
            self.shared.change_text(&format!("{NAMESPACES}{name}"), None, Some(&text)).await?;
        }
        self.shared.change_text(BEGUN, None, Some("1")).await?;
        Ok(())
    }

    /// Brings what was made to the data directory and to the engine, once, whatever was known before. Namespaces are in force then; keys are when
    /// the data directory is looked at.
    ///
    /// # Errors
    /// Why not all of it is there now.
    pub(super) async fn exchange_all(&self) -> Result<(), String> {
        // Where the engine has no room for what is made here it is told later: nobody waits for that before he serves.
        self.exchange(&mut None, &mut None).await.map(drop)
    }

    /// Brings what was made to the data directory and to the engine, until `stop`.
    pub(super) async fn share(self, stop: CancellationToken) {
        let (mut reasons, mut known, mut seen) = (ToldReasons::default(), None, None);
        while !stop.is_cancelled() {
            let told = match self.exchange(&mut known, &mut seen).await {
                Ok(true) => None,
                Ok(false) => Some("the engine that the nodes share has no room".to_owned()),
                Err(error) => Some(error),
            };
            match &told {
                // One that is about to end has nobody any more who would put it in force.
                Some(error) if !stop.is_cancelled() && reasons.is_new(error) => tracing::warn!(
                    error,
                    "namespaces and keys that the admin API makes are not shared with the other nodes until they are again"
                ),
                None if reasons.are_over() => {
                    tracing::info!("namespaces and keys that the admin API makes are shared with the other nodes again");
                }
                _ => {}
            }
            // What could not be put in force is written and taken back with each try.
            let rest = if told.is_some() { AGAIN } else { EVERY };
            tokio::select! {
                () = self.shared.text_changed() => {}
                () = tokio::time::sleep(rest) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// `false`: what others have is here, and the engine has no room for all that is made here.
    async fn exchange(
        &self,
        known: &mut Option<BTreeMap<Namespace, String>>,
        seen: &mut Option<SeenKeys>,
    ) -> Result<bool, String> {
        let has_begun = has_room(&self.begun().await)?;
        let are_in_force = self.exchange_namespaces(known).await;
        // Keys are in force also where namespaces are not.
        let have_room = self.exchange_keys(seen).await?;
        are_in_force?;
        Ok(have_room && has_begun)
    }

    async fn exchange_namespaces(&self, known: &mut Option<BTreeMap<Namespace, String>>) -> Result<(), String> {
        if *known != self.namespaces() {
            let made = self.clone();
            let all = self.ask(move |reloader| made.brought_to(reloader)).await.map_err(|refused| refused.detail)?;
            *known = Some(all?);
        }
        Ok(())
    }

    async fn exchange_keys(&self, seen: &mut Option<SeenKeys>) -> Result<bool, String> {
        let theirs = self.shared.texts().into_iter();
        let theirs: BTreeMap<_, _> =
            theirs.filter_map(|(name, text)| Some((name.strip_prefix(KEYS)?.to_owned(), text))).collect();
        let data = self.data.clone();
        let stamp = on_disk(move || Ok(data.records_stamp()?)).await?;
        if seen.as_ref().is_some_and(|seen| seen.stamp == stamp && seen.theirs == theirs) {
            return Ok(true);
        }
        let (data, all) = (self.data.clone(), theirs.clone());
        let unknown = on_disk(move || take_keys(&data, all)).await?;
        for (id, before, text) in unknown {
            let changed = self.shared.change_text(&format!("{KEYS}{id}"), before.as_deref(), Some(&text)).await;
            if !has_room(&changed)? {
                return Ok(false);
            }
        }
        *seen = Some(SeenKeys { stamp, theirs });
        Ok(true)
    }
}

/// Whether the engine had room for it.
fn has_room<T>(done: &Result<T, StoreError>) -> Result<bool, String> {
    match done {
        Ok(_) => Ok(true),
        Err(StoreError::Busy) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// What was there at the last look at the records of keys.
struct SeenKeys {
    stamp: std::collections::BTreeSet<super::data_dir::FileStamp>,
    theirs: BTreeMap<String, String>,
}

/// Writes down the records that others have; hands over those that they do not have, each with what they have instead.
fn take_keys(data: &DataDir, theirs: BTreeMap<String, String>) -> anyhow::Result<Vec<(String, Option<String>, String)>> {
    let mut unknown = Vec::new();
    let own: BTreeMap<_, _> = data.records()?.read.into_iter().map(|record| (record.key_id.clone(), record)).collect();
    for (id, record) in &own {
        let text = serde_json::to_string(record)?;
        match theirs.get(id).map(|text| (text, serde_json::from_str::<KeyRecord>(text).ok())) {
            None => unknown.push((id.clone(), None, text)),
            // One that ends before its time ends so everywhere; of two such ends the earlier one.
            Some((before, Some(their))) if ends_earlier(record, &their) => unknown.push((id.clone(), Some(before.clone()), text)),
            Some((_, Some(their))) if ends_earlier(&their, record) => data.put_record(&their)?,
            Some(_) => {}
        }
    }
    for (id, text) in theirs.into_iter().filter(|(id, _)| !own.contains_key(id)) {
        // What makes no sense is none of this release's.
        let record = serde_json::from_str::<KeyRecord>(&text).ok().filter(|record| record.key_id == id);
        if let Some(record) = record.filter(|_| KeyId::parse(&id).is_ok()) {
            data.put_record(&record)?;
        }
    }
    Ok(unknown)
}

fn ends_earlier(one: &KeyRecord, other: &KeyRecord) -> bool {
    match (&one.retires_at, &other.retires_at) {
        (Some(one), Some(other)) => one < other,
        (one, None) => one.is_some(),
        (None, Some(_)) => false,
    }
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| format!("{error:#}")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, retires_at: Option<&str>) -> KeyRecord {
        let retires = retires_at.map_or_else(String::new, |at| format!(r#", "retires_at": "{at}""#));
        let text = format!(
            r#"{{"key_id": "{id}", "label": null, "namespaces": ["a"], "prefix": null, "role": "readonly", "issued_at": "2026-01-01T00:00:00Z",
               "expires_at": null{retires}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn records_go_both_ways_and_the_earlier_end_counts() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path());
        let (early, late) = ("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z");
        for own in [record("own", None), record("mine-ends", Some(early)), record("yours-ends", Some(late)), record("same", None)]
        {
            data.record(&own).unwrap();
        }
        let text = |record: &KeyRecord| serde_json::to_string(record).unwrap();
        let theirs =
            [record("mine-ends", Some(late)), record("yours-ends", Some(early)), record("same", None), record("new", None)];
        let mut theirs: BTreeMap<_, _> = theirs.iter().map(|record| (record.key_id.clone(), text(record))).collect();
        theirs.insert("odd".to_owned(), "{}".to_owned());
        theirs.insert("../other".to_owned(), text(&record("../other", None)));
        let unknown = take_keys(&data, theirs.clone()).unwrap();
        let before = theirs.get("mine-ends").cloned();
        let expected = [
            ("mine-ends".to_owned(), before, text(&record("mine-ends", Some(early)))),
            ("own".to_owned(), None, text(&record("own", None))),
        ];
        assert_eq!(unknown, expected);
        assert_eq!(data.record_of("yours-ends").unwrap().retires_at.as_deref(), Some(early));
        assert_eq!(data.record_of("new").unwrap().key_id, "new");
        assert_eq!(data.records().unwrap().read.len(), 5);
    }
}
