//! `viewer_revocations.json` in the data directory: which viewers' tokens ended before their time. Written by the server and by commands, each
//! time as a whole; put in force within a second, whoever wrote it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::data_dir::DataDir;
use super::kept;
use crate::auth::grant::KeyId;
use crate::auth::viewer::{MOST_REVOCATIONS, Revocation, RevokedTokens, has_room};
use crate::model::clock::{Clock, Moment, WallTime};
use crate::model::id::Namespace;
use crate::web::Web;
use crate::web::admin::viewers::{NotRevoked, Revokes};

/// Its name in the data directory.
pub(super) const FILE: &str = "viewer_revocations.json";
/// The form of the file.
const FORMAT: u32 = 1;
/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(400);
/// How often at least, also where it has not changed: some are over.
const ANEW: Duration = Duration::from_secs(3600);
/// From so many on the log warns that there will soon be as many as may.
const MANY: usize = MOST_REVOCATIONS / 5 * 4;

#[derive(Default, Serialize, Deserialize)]
struct RevocationFile {
    format: u32,
    revocations: Vec<KeptRevocation>,
}

#[derive(Clone, Serialize, Deserialize)]
struct KeptRevocation {
    namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<u64>,
    revoked_at: u64,
    until: u64,
}

impl KeptRevocation {
    fn of(revocation: &Revocation) -> Self {
        let (id, prefix, issued_before) = match &revocation.what {
            RevokedTokens::Id(id) => (Some(id.to_string()), None, None),
            RevokedTokens::Before { prefix, issued_before } => (None, Some(prefix.clone()), Some(*issued_before)),
        };
        Self {
            namespace: revocation.namespace.to_string(),
            id,
            prefix,
            issued_before,
            revoked_at: revocation.at.seconds(),
            until: revocation.until.seconds(),
        }
    }

    fn read(&self) -> Option<Revocation> {
        let what = match (&self.id, &self.prefix, self.issued_before) {
            (Some(id), None, None) => RevokedTokens::Id(KeyId::parse(id).ok()?),
            (None, Some(prefix), Some(issued_before)) => RevokedTokens::Before { prefix: prefix.clone(), issued_before },
            _ => return None,
        };
        let namespace = Namespace::parse(&self.namespace).ok()?;
        Some(Revocation {
            namespace,
            what,
            at: WallTime::from_seconds(self.revoked_at),
            until: WallTime::from_seconds(self.until),
        })
    }
}

/// The file of a data directory. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct RevocationList {
    data: DataDir,
    clock: Clock,
    /// Held from the read until what was read is in force: so nothing older comes in force after something newer.
    in_turn: Arc<Mutex<()>>,
    /// Whether there were as many as are warned of, when they were put in force last.
    are_many: Arc<AtomicBool>,
}

/// As many are kept as may be.
#[derive(Debug, Error)]
#[error(
    "there are {MOST_REVOCATIONS} revocations, as many as may: end all tokens that were made before a moment at once (prefix and issued_before), \
     or change the viewer key"
)]
struct RevocationsFull;

/// What tells one state of it from another.
pub(super) type ListStamp = Option<(u64, u64, i64, i64)>;

impl RevocationList {
    pub(super) fn new(data: DataDir, clock: Clock) -> Self {
        Self { data, clock, in_turn: Arc::default(), are_many: Arc::default() }
    }

    fn path(&self) -> PathBuf {
        self.data.path().join(FILE)
    }

    pub(super) fn stamp(&self) -> ListStamp {
        let metadata = fs::metadata(self.path()).ok()?;
        Some((metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
    }

    /// What is in force.
    ///
    /// # Errors
    /// When it can't be read: a server that does not know what is revoked does not start.
    pub(super) fn read(&self) -> anyhow::Result<Vec<Revocation>> {
        let path = self.path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        };
        let file: RevocationFile =
            serde_json::from_str(&text).with_context(|| format!("{} is no list of revocations", path.display()))?;
        if file.format > FORMAT {
            bail!("a newer Springhead wrote {}, in form {}: this one can't tell what is revoked", path.display(), file.format);
        }
        let now = self.clock.wall();
        let all = file.revocations.iter().map(|kept| kept.read().context("an entry makes no sense"));
        let all: anyhow::Result<Vec<_>> = all.collect();
        let all = all.with_context(|| format!("{} is damaged", path.display()))?;
        Ok(all.into_iter().filter(|revocation| revocation.until > now).collect())
    }

    /// What is in force, each as other nodes read it, and until when.
    pub(super) fn texts(&self) -> anyhow::Result<Vec<(String, WallTime)>> {
        let text = |revocation: &Revocation| Ok((serde_json::to_string(&KeptRevocation::of(revocation))?, revocation.until));
        self.read()?.iter().map(text).collect()
    }

    /// Adds what other nodes have, and had room for; of two about the same the one that lasts longer stays. What makes no sense here is none of
    /// this release's.
    pub(super) fn take(&self, texts: &[String]) -> anyhow::Result<()> {
        let read = |text: &String| serde_json::from_str::<KeptRevocation>(text).ok()?.read();
        let now = self.clock.wall();
        let found: Vec<Revocation> = texts.iter().filter_map(read).filter(|revocation| revocation.until > now).collect();
        self.change(|all| {
            let named = |of: &Revocation| (of.namespace.clone(), of.what.clone());
            let mut places: HashMap<_, _> = all.iter().enumerate().map(|(at, known)| (named(known), at)).collect();
            let mut has_changed = false;
            for revocation in found {
                match places.get(&named(&revocation)).copied() {
                    Some(at) if (all[at].until, all[at].at) >= (revocation.until, revocation.at) => continue,
                    Some(at) => all[at] = revocation,
                    None => {
                        places.insert(named(&revocation), all.len());
                        all.push(revocation);
                    }
                }
                has_changed = true;
            }
            Ok(has_changed)
        })
        .map(drop)
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`RevocationsFull`], among others.
    pub(super) fn add(&self, revocation: &Revocation) -> anyhow::Result<Vec<Revocation>> {
        self.change(|all| {
            all.retain(|known| known.what != revocation.what || known.namespace != revocation.namespace);
            if !has_room(all, revocation) {
                return Err(RevocationsFull.into());
            }
            all.push(revocation.clone());
            Ok(true)
        })
    }

    /// Changes what is in force, and writes that down where `change` says that it has. What is over is forgotten meanwhile.
    fn change(&self, change: impl FnOnce(&mut Vec<Revocation>) -> anyhow::Result<bool>) -> anyhow::Result<Vec<Revocation>> {
        self.data.create()?;
        // Two who add one at once do not lose each other's.
        let lock = self.data.path().join("viewer_revocations.lock");
        let lock = kept::append(&lock, 0o600).context("can't lock the revocations")?;
        wait_for(&lock)?;
        let mut all = self.read()?;
        if !change(&mut all)? {
            return Ok(all);
        }
        let file = RevocationFile { format: FORMAT, revocations: all.iter().map(KeptRevocation::of).collect() };
        self.data.replace(&self.path(), &serde_json::to_string(&file)?).context("can't write the revocations")?;
        Ok(all)
    }

    /// Puts in force what this hands over; when this returns, it is. Blocks for as long as the file takes.
    ///
    /// # Errors
    /// When it can't be read or written: what was known last stays.
    fn put_in_force(&self, web: &Web, all: impl FnOnce(&Self) -> anyhow::Result<Vec<Revocation>>) -> anyhow::Result<()> {
        let _turn = self.in_turn.lock();
        let all = all(self)?;
        let (count, are_many) = (all.len(), all.len() >= MANY);
        web.revoke_viewers(all);
        let were_many = self.are_many.swap(are_many, Ordering::Relaxed);
        if are_many && !were_many {
            tracing::warn!(
                count,
                most = MOST_REVOCATIONS,
                "there are many revocations of viewers' tokens, and soon as many as may: say expires_at with each, end all that open a part by their \
                 prefix, or change the viewer key"
            );
        }
        Ok(())
    }

    /// Looks at the file, and puts in force what it says; when this returns, it is. Blocks for as long as the file takes.
    ///
    /// # Errors
    /// When it can't be read: what was known last stays.
    pub(super) fn look(&self, web: &Web) -> anyhow::Result<()> {
        self.put_in_force(web, Self::read)
    }

    /// Puts in force what others write, for ever. What can't be read is reported once, and what was known last stays.
    pub(super) async fn watch(self, web: Web) {
        let mut watched = WatchedList { known: self.stamp(), read_at: self.clock.now(), has_failed: false };
        loop {
            tokio::time::sleep(EVERY).await;
            let (list, web, now) = (self.clone(), web.clone(), self.clock.now());
            let looked = tokio::task::spawn_blocking(move || {
                let stamp = list.stamp();
                if watched.is_due(&stamp, now) {
                    watched.came(stamp, now, &list.look(&web));
                }
                watched
            });
            let Ok(looked) = looked.await else { return };
            watched = looked;
        }
    }
}

/// What is known of the file, for who looks at it again and again.
#[derive(Debug)]
struct WatchedList {
    /// As it was when it was read.
    known: ListStamp,
    read_at: Moment,
    /// Whether it could not be read the last time: that is told once.
    has_failed: bool,
}

impl WatchedList {
    fn is_due(&self, stamp: &ListStamp, now: Moment) -> bool {
        *stamp != self.known || now.since(self.read_at) > ANEW
    }

    /// Takes up what came of a look. After one that failed nothing is known of the file as it is: it is read again, for what was in the way may pass.
    fn came(&mut self, stamp: ListStamp, now: Moment, looked: &anyhow::Result<()>) {
        if let Err(error) = &looked
            && !self.has_failed
        {
            let error = format!("{error:#}");
            tracing::error!(error, "can't read the revocations of viewers' tokens: new ones are not in force");
        }
        self.has_failed = looked.is_err();
        if looked.is_ok() {
            (self.known, self.read_at) = (stamp, now);
        }
    }
}

fn wait_for(lock: &File) -> anyhow::Result<()> {
    match lock.lock() {
        // Some file systems have no locks; who shares such a directory is on their own.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        locked => locked.context("can't lock the revocations"),
    }
}

/// A running server's list: what is added is in force at once.
#[derive(Debug)]
pub(super) struct RunningList {
    pub(super) list: RevocationList,
    pub(super) web: Web,
}

impl Revokes for RunningList {
    fn revoke(&self, revocation: Revocation) -> Result<(), NotRevoked> {
        self.list.put_in_force(&self.web, |list| list.add(&revocation)).map_err(|error| {
            let told = format!("{error:#}");
            tracing::error!(error = told, namespace = %revocation.namespace, "a viewer's token is not revoked");
            if error.is::<RevocationsFull>() { NotRevoked::Full(told) } else { NotRevoked::Failed }
        })
    }
}

/// A running server's list, as the admin listener asks for it.
pub(super) fn running(list: RevocationList, web: Web) -> Arc<dyn Revokes> {
    Arc::new(RunningList { list, web })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_about_the_same_token_the_one_that_lasts_longer_stays_whoever_tells_it() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let [here, there] = [here.path(), there.path()].map(|path| RevocationList::new(DataDir::new(path), Clock::system()));
        let now = Clock::system().wall();
        let of = |id: &str, seconds: u64| Revocation {
            namespace: Namespace::parse("n").unwrap(),
            what: RevokedTokens::Id(KeyId::parse(id).unwrap()),
            at: now,
            until: WallTime::from_seconds(now.seconds() + seconds),
        };
        here.add(&of("twice", 600)).unwrap();
        there.add(&of("twice", 900)).unwrap();
        there.add(&of("once", 300)).unwrap();
        let texts = |list: &RevocationList| list.texts().unwrap().into_iter().map(|(text, _)| text).collect::<Vec<_>>();
        let (from_here, from_there) = (texts(&here), texts(&there));
        here.take(&from_there).unwrap();
        let written = there.stamp();
        there.take(&from_here).unwrap();
        assert_eq!(there.stamp(), written, "nothing of it is news");
        assert_eq!((texts(&here).len(), texts(&here).contains(&from_there[0])), (2, true));
        here.take(&["{}".to_owned(), "no JSON".to_owned()]).unwrap();
        assert_eq!(texts(&here).len(), 2);
    }

    #[test]
    fn what_could_not_be_read_is_read_again() {
        let clock = Clock::manual();
        let (before, after) = (Some((1, 2, 3, 4)), Some((1, 5, 6, 7)));
        let mut watched = WatchedList { known: before, read_at: clock.now(), has_failed: false };
        assert!(!watched.is_due(&before, clock.now()) && watched.is_due(&after, clock.now()));
        watched.came(after, clock.now(), &Err(anyhow::anyhow!("an error of the disk")));
        assert!(watched.is_due(&after, clock.now()), "of this state nothing is known");
        watched.came(after, clock.now(), &Ok(()));
        assert!(!watched.is_due(&after, clock.now()));
        clock.advance(ANEW + Duration::from_secs(1));
        assert!(watched.is_due(&after, clock.now()), "some are over");
    }

    #[test]
    fn what_other_nodes_have_is_taken_at_once_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual();
        let list = RevocationList::new(DataDir::new(folder.path()), clock.clone());
        let until = clock.wall() + Duration::from_secs(3600);
        let revocation = |id: &str, until| Revocation {
            namespace: Namespace::parse("n").unwrap(),
            what: RevokedTokens::Id(KeyId::parse(id).unwrap()),
            at: WallTime::from_seconds(1),
            until,
        };
        list.add(&revocation("v-61", until)).unwrap();
        let text = |id: &str, until| serde_json::to_string(&KeptRevocation::of(&revocation(id, until))).unwrap();
        let later = until + Duration::from_secs(3600);
        list.take(&[text("v-61", later), text("v-62", until), text("v-62", until), "of a newer version".to_owned()]).unwrap();
        let mut kept: Vec<_> =
            list.read().unwrap().into_iter().map(|one| (format!("{:?}", one.what), one.until.seconds())).collect();
        kept.sort();
        assert_eq!(kept.iter().map(|(_, until)| *until).collect::<Vec<_>>(), [later.seconds(), until.seconds()], "{kept:?}");
    }
}
