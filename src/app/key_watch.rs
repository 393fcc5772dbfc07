//! The keys on record and the revocations, as a running server heeds them: put in force within a second, told in the log when a key
//! starts or stops to be refused, and announced before it ends.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::data_dir::{DataDir, FileStamp};
use super::key_record::read_record;
use super::keys::rfc3339;
use crate::auth::grant::KeyId;
use crate::auth::key::Verified;
use crate::auth::verify::Verifier;
use crate::metrics::{KeyEnd, Metrics};
use crate::model::clock::{Clock, Moment, WallTime};

/// How often revocations and new keys are looked for: a revoked key stops working within a second.
const EVERY: Duration = Duration::from_millis(400);
/// How long before its end a key is warned of, as a certificate is, and how often.
pub(super) const WARN_BEFORE: Duration = Duration::from_secs(14 * 86_400);
const WARN_EVERY: Duration = Duration::from_secs(86_400);

/// A key on record.
#[derive(Clone, Debug, PartialEq)]
struct WatchedKey {
    label: Option<String>,
    key: Verified,
    /// When it ends, because another one has taken its place.
    retires: Option<WallTime>,
}

/// What the data directory says of keys.
#[derive(Clone, Debug, Default)]
struct KeyFiles {
    revoked: HashSet<KeyId>,
    /// The records as they were when they were read; `None` where some could not be, for a reason that may pass.
    stamp: Option<BTreeSet<FileStamp>>,
    records: Arc<Vec<WatchedKey>>,
    unread: Arc<Vec<(PathBuf, String)>>,
}

impl KeyFiles {
    /// Looks again at `wall`. Records are read only when one has come, gone or changed.
    fn read(data: &DataDir, known: &Self, wall: WallTime) -> anyhow::Result<Self> {
        // Before the records: one that comes in between is found by the next look.
        let stamp = data.records_stamp()?;
        let (stamp, records, unread) = if known.stamp.as_ref() == Some(&stamp) {
            (Some(stamp), Arc::clone(&known.records), Arc::clone(&known.unread))
        } else {
            let found = data.records()?;
            let stamp = (!found.may_pass).then_some(stamp);
            let (mut records, mut unread) = (Vec::new(), found.unread);
            for record in found.read {
                let (label, id) = (record.label.clone(), record.key_id.clone());
                let retires = record.retires_at.as_deref().and_then(WallTime::parse);
                match read_record(record) {
                    Some(key) => records.push(WatchedKey { label, key, retires }),
                    None => unread.push((PathBuf::from(format!("{id}.json")), "it makes no sense".to_owned())),
                }
            }
            (stamp, Arc::new(records), Arc::new(unread))
        };
        let mut revoked = data.revoked()?;
        let is_due = |known: &&WatchedKey| known.retires.is_some_and(|at| at <= wall);
        for WatchedKey { key, .. } in records.iter().filter(is_due) {
            let id = &key.grant.key_id;
            // For good, and for those who only look at the files. Where that can't be written it is refused all the same.
            if !revoked.contains(id) {
                let _ = data.revoke(id);
                revoked.insert(id.clone());
            }
        }
        Ok(Self { revoked, stamp, records, unread })
    }

    fn label(&self, id: &KeyId) -> &str {
        let known = self.records.iter().find(|known| known.key.grant.key_id == *id);
        known.and_then(|known| known.label.as_deref()).unwrap_or_default()
    }

    /// Says what differs from what was known before.
    fn tell_changes(&self, before: &Self) {
        for key_id in self.revoked.difference(&before.revoked) {
            let label = self.label(key_id);
            tracing::info!(%key_id, label, "an API key is refused from now on: it was revoked");
        }
        for key_id in before.revoked.difference(&self.revoked) {
            let label = self.label(key_id);
            tracing::warn!(%key_id, label, "an API key is good again: its revocation is gone from the data directory");
        }
        if !Arc::ptr_eq(&self.records, &before.records) {
            let ids =
                |files: &Self| -> HashSet<KeyId> { files.records.iter().map(|known| known.key.grant.key_id.clone()).collect() };
            let (now, then) = (ids(self), ids(before));
            for key_id in now.difference(&then) {
                let label = self.label(key_id);
                tracing::info!(%key_id, label, "an API key is on record: it is good from now on");
            }
            for key_id in then.difference(&now) {
                let label = before.label(key_id);
                tracing::warn!(
                    %key_id,
                    label,
                    "the record of an API key is gone: its ingest password and Digest are refused from now on; to end the key itself, \
                     revoke it"
                );
            }
        }
        self.tell_unread(before);
    }

    fn tell_unread(&self, before: &Self) {
        for (file, error) in self.unread.iter().filter(|unread| !before.unread.contains(unread)) {
            tracing::warn!(
                file = %file.display(),
                error,
                "a key record is of no use: its key's ingest password and Digest are refused until this is mended"
            );
        }
    }

    /// The keys that are in force and have an end: their own, or that of their time beside the one that has taken their place.
    fn ends(&self) -> impl Iterator<Item = (&WatchedKey, WallTime)> {
        let in_force = |known: &&WatchedKey| !self.revoked.contains(&known.key.grant.key_id);
        let end = |known: &WatchedKey| known.key.expires.into_iter().chain(known.retires).min();
        self.records.iter().filter(in_force).filter_map(move |known| Some((known, end(known)?)))
    }
}

/// What was said of a key's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ToldOfKey {
    Soon(Moment),
    Ended,
}

/// What is to be said of a key's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyNews {
    Soon(Duration),
    Ended,
}

/// What was said of which key, so that it is said once, or once a day.
#[derive(Debug, Default)]
struct Announced(HashMap<KeyId, ToldOfKey>);

impl Announced {
    /// What is to be said now of a key that ends at `end`. What ended long before the start is old news.
    fn due(&mut self, id: &KeyId, end: WallTime, wall: WallTime, now: Moment) -> Option<KeyNews> {
        let told = self.0.get(id).copied();
        if wall >= end {
            if told == Some(ToldOfKey::Ended) {
                return None;
            }
            self.0.insert(id.clone(), ToldOfKey::Ended);
            return (told.is_some() || wall.since(end) < WARN_BEFORE).then_some(KeyNews::Ended);
        }
        let left = end.since(wall);
        let is_due = match told {
            Some(ToldOfKey::Soon(at)) => now.since(at) >= WARN_EVERY,
            Some(ToldOfKey::Ended) | None => true,
        };
        (left < WARN_BEFORE && is_due).then(|| {
            self.0.insert(id.clone(), ToldOfKey::Soon(now));
            KeyNews::Soon(left)
        })
    }
}

/// The key files as they are in force. One looks at a time, and puts in force what it has read: nothing older comes after it.
#[derive(Clone, Debug)]
pub(super) struct ApiKeysInForce {
    data: DataDir,
    verifier: Arc<Verifier>,
    clock: Clock,
    known: Arc<Mutex<KeyFiles>>,
}

impl ApiKeysInForce {
    /// Looks at the files, and puts in force what is new; when this returns, it is. Blocks for as long as they take.
    ///
    /// # Errors
    /// When they can't be read: what was known last stays.
    pub(super) fn look(&self) -> anyhow::Result<()> {
        let mut known = self.known.lock();
        let now = KeyFiles::read(&self.data, &known, self.clock.wall())?;
        now.tell_changes(&known);
        self.put_in_force(&mut known, now);
        Ok(())
    }

    /// Tells the verifier what is new.
    fn put_in_force(&self, known: &mut KeyFiles, now: KeyFiles) {
        if now.revoked != known.revoked {
            self.verifier.revoke(now.revoked.clone());
        }
        if now.records != known.records {
            self.verifier.enroll(now.records.iter().map(|known| known.key.clone()));
        }
        if now.unread != known.unread {
            let stems = now.unread.iter().filter_map(|(file, _)| file.file_stem()?.to_str());
            self.verifier.know_unread(stems.filter_map(|stem| KeyId::parse(stem).ok()).collect());
        }
        *known = now;
    }
}

/// The watch over the key files.
#[derive(Debug)]
pub(super) struct KeyWatch {
    keys: ApiKeysInForce,
    metrics: Arc<Metrics>,
    announced: Announced,
}

impl KeyWatch {
    /// Reads the files and puts them in force.
    ///
    /// # Errors
    /// When they can't be read: a server that does not know what is revoked does not start.
    pub(super) fn begin(data: DataDir, verifier: Arc<Verifier>, metrics: Arc<Metrics>, clock: Clock) -> anyhow::Result<Self> {
        let nothing = KeyFiles::default();
        let known = KeyFiles::read(&data, &nothing, clock.wall())?;
        known.tell_unread(&nothing);
        let keys = ApiKeysInForce { data, verifier, clock, known: Arc::default() };
        keys.put_in_force(&mut keys.known.lock(), known);
        Ok(Self { keys, metrics, announced: Announced::default() })
    }

    /// For who changes the files, and has that in force at once.
    pub(super) fn in_force(&self) -> ApiKeysInForce {
        self.keys.clone()
    }

    /// Says which keys end soon, or have ended, and shows it.
    fn announce(&mut self) {
        let (wall, now) = (self.keys.clock.wall(), self.keys.clock.now());
        let mut shown = Vec::new();
        let known = self.keys.known.lock().clone();
        for (WatchedKey { label, key, retires }, end) in known.ends() {
            let (key_id, role) = (&key.grant.key_id, key.grant.role.as_str());
            let (label, ends) = (label.as_deref().unwrap_or_default(), rfc3339(end));
            match self.announced.due(key_id, end, wall, now) {
                Some(KeyNews::Soon(left)) if *retires == Some(end) => tracing::warn!(
                    %key_id,
                    label,
                    role,
                    ends,
                    hours_left = left.as_secs() / 3600,
                    "an API key that another has taken the place of ends soon: give that one to whoever uses this one still"
                ),
                Some(KeyNews::Soon(left)) => tracing::warn!(
                    %key_id,
                    label,
                    role,
                    ends,
                    hours_left = left.as_secs() / 3600,
                    "an API key ends soon: make another with 'springhead keys create' and give it to whoever uses this one"
                ),
                Some(KeyNews::Ended) => tracing::warn!(%key_id, label, role, ends, "an API key has ended: it is refused"),
                None => {}
            }
            // An alert for one that is about to end clears a day after its end: by then it is known, or nobody used it.
            if wall.since(end) < WARN_EVERY {
                shown.push(KeyEnd { key_id: key_id.to_string(), label: label.to_owned(), role, seconds: end.seconds() });
            }
        }
        self.metrics.show_key_ends(shown);
    }

    /// Puts new revocations and new keys in force, for ever. What can't be read is reported once, and what was known last stays.
    pub(super) async fn watch(mut self) {
        let mut trouble = false;
        loop {
            self.announce();
            tokio::time::sleep(EVERY).await;
            let keys = self.keys.clone();
            match tokio::task::spawn_blocking(move || keys.look()).await {
                Ok(Ok(())) => trouble = false,
                Ok(Err(error)) => {
                    if !trouble {
                        let error = format!("{error:#}");
                        tracing::error!(
                            error,
                            "can't read the keys and revocations: new ones are not in force until this is mended"
                        );
                        trouble = true;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::keys::issue;
    use crate::auth::grant::{Role, Scope};
    use crate::auth::key::KeySpec;

    #[test]
    fn a_record_that_could_not_be_read_once_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path());
        data.create().unwrap();
        let wall = Clock::manual().wall();
        let scope = Scope::parse(["n"]).unwrap();
        let spec = KeySpec { role: Role::Readwrite, scope, prefix: None, is_edge: false, expires: None };
        let made = issue(&data, &data.key_ring(true).unwrap(), spec, wall, None).unwrap();
        // A link whose end is out of reach for a while, and stays the link that it is.
        let name = format!("{}.json", made.record.key_id);
        let (kept, away) = (folder.path().join("keys").join(&name), folder.path().join("away"));
        let text = std::fs::read(&kept).unwrap();
        std::fs::remove_file(&kept).unwrap();
        std::os::unix::fs::symlink(&away, &kept).unwrap();
        std::os::unix::fs::symlink(&away, &away).unwrap();
        let look = |known: &KeyFiles| {
            let now = KeyFiles::read(&data, known, wall).unwrap();
            let counts = (now.records.len(), now.unread.len());
            (now, counts)
        };
        let (first, counts) = look(&KeyFiles::default());
        assert_eq!(counts, (0, 1), "{:?}", first.unread);
        std::fs::remove_file(&away).unwrap();
        std::fs::write(&away, text).unwrap();
        let (second, counts) = look(&first);
        assert_eq!((counts, look(&second).1), ((1, 0), (1, 0)));
        // What is no record is none until it is another file.
        std::fs::write(folder.path().join("keys").join("0123456789abcdef.json"), "{").unwrap();
        assert!(look(&second).0.stamp.is_some());
    }

    #[test]
    fn an_end_is_announced_once_a_day_from_two_weeks_on_and_then_called_an_end() {
        let clock = Clock::manual();
        let (id, day) = (KeyId::parse("a").unwrap(), Duration::from_secs(86_400));
        let end = WallTime::from_millis(clock.wall().millis() + 20 * 86_400_000);
        let mut announced = Announced::default();
        let mut said = Vec::new();
        // Every six hours of forty days.
        for step in 0..160u64 {
            if let Some(news) = announced.due(&id, end, clock.wall(), clock.now()) {
                said.push((step / 4, news));
            }
            clock.advance(day / 4);
        }
        let soon = said.iter().filter(|(_, news)| matches!(news, KeyNews::Soon(_))).count();
        assert_eq!((soon, said.last().copied()), (14, Some((20, KeyNews::Ended))), "{said:?}");
        assert!(said[0].0 == 6 && said[0].1 == KeyNews::Soon(Duration::from_secs(14 * 86_400) - day / 4), "{said:?}");
        assert_eq!(said.iter().filter(|(_, news)| *news == KeyNews::Ended).count(), 1);
    }

    #[test]
    fn what_ended_long_ago_is_no_news_at_a_start() {
        let clock = Clock::manual();
        clock.advance(Duration::from_secs(100 * 86_400));
        let ago = |days: u64| WallTime::from_millis(clock.wall().millis() - days * 86_400_000);
        let mut announced = Announced::default();
        let mut due = |id: &str, end| announced.due(&KeyId::parse(id).unwrap(), end, clock.wall(), clock.now());
        assert_eq!((due("old", ago(20)), due("new", ago(1)), due("new", ago(1))), (None, Some(KeyNews::Ended), None));
    }

    #[test]
    fn a_key_that_was_replaced_ends_when_the_other_is_to_stand_alone() {
        let record = |id: &str, expires: &str, retires: &str| {
            let text = format!(
                r#"{{"key_id": "{id}", "label": null, "namespaces": ["a"], "prefix": null, "role": "readonly",
                   "issued_at": "2026-01-01T00:00:00Z", "expires_at": {expires}, "retires_at": {retires}}}"#
            );
            let record: crate::app::data_dir::KeyRecord = serde_json::from_str(&text).unwrap();
            let retires = record.retires_at.as_deref().and_then(WallTime::parse);
            WatchedKey { label: None, key: read_record(record).unwrap(), retires }
        };
        let (early, late) = (r#""2026-02-01T00:00:00Z""#, r#""2026-03-01T00:00:00Z""#);
        let records = vec![
            record("endless", "null", "null"),
            record("replaced", "null", early),
            record("sooner", late, early),
            record("itself", early, late),
            record("revoked", "null", early),
        ];
        let revoked = HashSet::from([KeyId::parse("revoked").unwrap()]);
        let files = KeyFiles { records: Arc::new(records), revoked, ..KeyFiles::default() };
        let ends: Vec<_> = files.ends().map(|(known, end)| (known.key.grant.key_id.to_string(), rfc3339(end))).collect();
        let expected = ["replaced", "sooner", "itself"].map(|id| (id.to_owned(), early.trim_matches('"').to_owned()));
        assert_eq!(ends, expected);
    }
}
