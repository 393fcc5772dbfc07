//! Objects in a bucket: `PREFIX/NAMESPACE/KEY` holds an object's plain bytes under its readable name, with content type, coding
//! and cache control as the headers the store itself serves it with, and the rest in fields beside it. A PUT there changes all of
//! it in one step, and what it has answered outlives any machine: there is nothing to recover.
//!
//! What a restart costs: one request for each 1,000 objects to list them, one for each piece of the [`index`], and one for each
//! object that neither this process nor the index knows: those of the last half minute before a crash, or all in a bucket whose
//! index is lost. The last ones are asked [`AT_ONCE`] at a time.
//!
//! Invariant: what others put into the folder, without our fields, is absent: neither served nor listed.

mod access;
mod advice;
mod bucket;
mod fields;
mod folder;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod index;
mod location;
mod names;
mod newest;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ahash::RandomState;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::mpsc;

pub use self::access::Access;
pub use self::bucket::BucketState;
use self::bucket::{Bucket, BucketSeen, Fetched};
use self::fields::{Fields, from_fields, to_fields};
pub use self::folder::Folder;
use self::index::{Note, NoteIndex, Pending, PieceName, lines, to_merge};
use self::location::Provider;
pub use self::location::{Location, LocationError};
use self::names::{INDEX, is_long, key_of, name_of};
pub use self::newest::{BucketAsk, BucketFound, BucketSaid, BucketWrite, BucketWriteEnd};
use super::{Attributes, Care, Cold, ColdError, Later, ListedObject, VersionMark};
use crate::model::clock::{Clock, WallTime};
use crate::model::id::{Key, Namespace};
use crate::model::seldom::Seldom;

/// How many requests of a listing are under way together.
const AT_ONCE: usize = 32;
/// After how many pieces of the index small ones are merged: this many requests a restart makes more at most.
const MERGE_EVERY: usize = 64;

/// A namespace's objects in a bucket. A cheap handle.
#[derive(Clone, Debug)]
pub struct Cloud {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    namespace: Namespace,
    bucket: Bucket,
    pending: Mutex<Pending>,
    /// Pieces written by this process.
    pieces: AtomicUsize,
    /// What was said of those that could not be written.
    unwritten: Mutex<Seldom>,
    clock: Clock,
}

impl Cloud {
    /// Prepares the way to a namespace's folder in a bucket. Nothing is asked there yet: whether it lets us shows with the first
    /// call. A call that has no answer after `deadline`, with the retries within it, has failed.
    ///
    /// # Errors
    /// [`ColdError::Denied`] when what is set, here and in the environment, does not make a client.
    pub fn open(
        location: &Location,
        namespace: &Namespace,
        access: &Access,
        deadline: Duration,
        clock: Clock,
    ) -> Result<Self, ColdError> {
        let bucket = Bucket::open(location, namespace.as_str(), access, deadline)?;
        let (pending, pieces, unwritten) = (Mutex::default(), AtomicUsize::new(0), Mutex::default());
        Ok(Self { inner: Arc::new(Inner { namespace: namespace.clone(), bucket, pending, pieces, unwritten, clock }) })
    }

    /// Looks whether there is an object, and which version of it. What is not ours is older than all that is.
    ///
    /// # Errors
    /// [`ColdError`].
    pub async fn find(&self, key: &Key) -> Result<Option<BucketFound>, ColdError> {
        let Some(fetched) = self.inner.bucket.head(&name_of(key)).await? else { return Ok(None) };
        let state = fetched.state.clone();
        let found = match Inner::read(key, fetched) {
            Ok(Some((attributes, _))) => {
                BucketFound { version: attributes.version.unwrap_or_default(), expires: attributes.expires, state }
            }
            Ok(None) | Err(ColdError::Damaged(_)) => {
                BucketFound { version: VersionMark::default(), expires: WallTime::from_millis(0), state }
            }
            Err(error) => return Err(error),
        };
        Ok(Some(found))
    }

    /// Puts an object there, where what is there is still in this state; `None`: where there is nothing. In which it is now; `None`, and
    /// nothing has changed by this, where it was in another one. Dropped, it may or may not happen.
    ///
    /// # Errors
    /// [`ColdError`]: it may or may not have happened.
    pub async fn put_over(
        &self,
        key: &Key,
        body: Bytes,
        attributes: &Attributes,
        over: Option<&BucketState>,
    ) -> Result<Option<BucketState>, ColdError> {
        self.inner.put_over(key, body, attributes, over).await
    }
}

impl Inner {
    /// What was read, if it is ours.
    fn read(key: &Key, fetched: Fetched) -> Result<Option<(Attributes, Bytes)>, ColdError> {
        match from_fields(&fetched.fields, fetched.length)? {
            Some((Some(other), _)) if other != *key => Err(ColdError::Damaged("its fields are another object's".to_owned())),
            Some((_, attributes)) => Ok(Some((attributes, fetched.body))),
            None => Ok(None),
        }
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Option<(Attributes, Bytes)>, ColdError> {
        let fetched = self.bucket.get(&name_of(key), range).await?;
        fetched.map_or(Ok(None), |fetched| Self::read(key, fetched))
    }

    async fn put(self: &Arc<Self>, key: &Key, body: Bytes, attributes: &Attributes) -> Result<(), ColdError> {
        let name = name_of(key);
        let fields = to_fields(attributes, is_long(&name).then_some(key))?;
        let tag = self.bucket.put(&name, body, &fields, Some(attributes)).await?;
        self.note(name, tag, attributes, fields);
        Ok(())
    }

    async fn put_over(
        self: &Arc<Self>,
        key: &Key,
        body: Bytes,
        attributes: &Attributes,
        over: Option<&BucketState>,
    ) -> Result<Option<BucketState>, ColdError> {
        let name = name_of(key);
        let fields = to_fields(attributes, is_long(&name).then_some(key))?;
        let put = self.bucket.put_over(&name, body, &fields, attributes, over).await?;
        if let Some(state) = &put {
            self.note(name, bucket::tag(state.tag.clone()), attributes, fields);
        }
        Ok(put)
    }

    /// Notes what was put for the next restart.
    fn note(self: &Arc<Self>, name: String, tag: String, attributes: &Attributes, fields: Fields) {
        let note = Note { name, tag, put: self.clock.wall().millis(), expires: attributes.expires.millis(), fields };
        let due = self.pending.lock().add(note, self.clock.now());
        if let Some(notes) = due {
            let inner = Arc::clone(self);
            // Beside the write. When it fails, a restart asks for these one by one.
            tokio::spawn(async move {
                if let Err(error) = inner.write_notes(&notes).await {
                    inner.tell_unwritten(&error);
                }
            });
        }
    }

    async fn write_notes(&self, notes: &[Note]) -> Result<(), ColdError> {
        self.write_piece(notes).await?;
        if (self.pieces.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(MERGE_EVERY) { self.merge().await } else { Ok(()) }
    }

    fn tell_unwritten(&self, error: &ColdError) {
        let told = self.unwritten.lock().once_more(self.clock.now());
        if let Some(pieces) = told {
            let namespace = &self.namespace;
            tracing::warn!(
                %namespace,
                pieces,
                %error,
                "the index of a bucket can't be written: a restart asks for each of the objects by itself. See that this server may list, \
                 read, write and delete below {INDEX}/ as well"
            );
        }
    }

    async fn write_piece(&self, notes: &[Note]) -> Result<(), ColdError> {
        let Some(expires) = notes.iter().map(|note| note.expires).max() else { return Ok(()) };
        let half = || u128::from(RandomState::new().hash_one(self.clock.wall().millis()));
        let piece = PieceName { expires, notes: notes.len(), id: half() << 64 | half() };
        let name = format!("{INDEX}/{}", piece.text());
        self.bucket.put(&name, lines(notes), &Fields::new(), None).await.map(drop)
    }

    /// The pieces that are worth reading. What is past is removed on the way.
    async fn pieces(&self) -> Result<Vec<PieceName>, ColdError> {
        let now = self.clock.wall().millis();
        let mut seen = self.bucket.list(INDEX);
        let (mut pieces, mut past) = (Vec::new(), Vec::new());
        while let Some(seen) = seen.next().await {
            if let Some(piece) = PieceName::parse(&seen?.name) {
                if piece.expires > now { pieces.push(piece) } else { past.push(piece) }
            }
        }
        self.remove(&past).await;
        Ok(pieces)
    }

    /// Removes pieces. One that stays is met again.
    async fn remove(&self, pieces: &[PieceName]) {
        let remove = |piece: PieceName| {
            let bucket = self.bucket.clone();
            async move { drop(bucket.delete(&format!("{INDEX}/{}", piece.text())).await) }
        };
        stream::iter(pieces.to_vec()).for_each_concurrent(AT_ONCE, remove).await;
    }

    /// Reads these pieces. One that can't be read is left out, and `false` says so.
    async fn read_pieces(&self, pieces: &[PieceName]) -> (NoteIndex, bool) {
        let read = |piece: PieceName| {
            let bucket = self.bucket.clone();
            async move { bucket.get(&format!("{INDEX}/{}", piece.text()), None).await }
        };
        let mut read = stream::iter(pieces.to_vec()).map(read).buffer_unordered(AT_ONCE);
        let (mut index, mut complete) = (NoteIndex::default(), true);
        while let Some(piece) = read.next().await {
            match piece {
                Ok(Some(piece)) => index.add(&piece.body, self.clock.wall()),
                Ok(None) | Err(_) => complete = false,
            }
        }
        (index, complete)
    }

    /// Makes one piece of many small ones, so that a long time to live does not leave thousands.
    async fn merge(&self) -> Result<(), ColdError> {
        let pieces = to_merge(self.pieces().await?);
        let (index, complete) = self.read_pieces(&pieces).await;
        if complete && !pieces.is_empty() {
            // The new one first: what is told twice does no harm.
            self.write_piece(&index.merged()).await?;
            self.remove(&pieces).await;
        }
        Ok(())
    }

    /// An object of the listing, if it is ours.
    async fn look(&self, index: &NoteIndex, seen: BucketSeen) -> Option<Result<ListedObject, ColdError>> {
        if seen.name.starts_with(INDEX) {
            return None;
        }
        let key = key_of(&seen.name);
        if key.is_none() && !is_long(&seen.name) {
            return None;
        }
        let noted = index.find(&seen.name, &seen.tag, seen.modified).and_then(|fields| from_fields(&fields, seen.length).ok()?);
        // A long name does not say its key: what is there does.
        let of_one = |key: Option<Key>, error: ColdError| match key {
            Some(key) => Ok(ListedObject { key, attributes: Some(Err(error)) }),
            None => Err(error),
        };
        let found = match noted {
            Some(found) => found,
            None => match self.bucket.head(&seen.name).await {
                Ok(Some(fetched)) => match from_fields(&fetched.fields, fetched.length) {
                    Ok(found) => found?,
                    Err(error) => return Some(of_one(key, error)),
                },
                // Removed since, or somebody else's.
                Ok(None) => return None,
                Err(error) => return Some(of_one(key, ColdError::Unread(error.to_string()))),
            },
        };
        match (key.or(found.0), found.1) {
            (Some(key), attributes) if name_of(&key) == seen.name => {
                Some(Ok(ListedObject { key, attributes: Some(Ok(attributes)) }))
            }
            _ => Some(Err(ColdError::Damaged(format!("'{}' does not say its key", seen.name)))),
        }
    }

    async fn list(self: &Arc<Self>, found: &mpsc::Sender<Result<ListedObject, ColdError>>) -> Result<(), ColdError> {
        let (mut index, _) = self.read_pieces(&self.pieces().await?).await;
        let pending = self.pending.lock().lines();
        index.add(&pending, self.clock.wall());
        let index = Arc::new(index);
        let look = |seen: Result<BucketSeen, ColdError>| {
            let (inner, index) = (Arc::clone(self), Arc::clone(&index));
            async move {
                match seen {
                    Ok(seen) => inner.look(&index, seen).await,
                    Err(error) => Some(Err(error)),
                }
            }
        };
        let mut listed = self.bucket.list("").map(look).buffer_unordered(AT_ONCE);
        while let Some(listed) = listed.next().await {
            if let Some(listed) = listed
                && found.send(listed).await.is_err()
            {
                break;
            }
        }
        Ok(())
    }
}

impl Cold for Cloud {
    fn name(&self) -> &'static str {
        match self.inner.bucket.provider() {
            Provider::S3 => "s3",
            Provider::Google => "gcs",
            Provider::Azure => "azure",
            Provider::Memory => "memory",
        }
    }

    fn put<'a>(&'a self, key: &'a Key, body: Bytes, attributes: &'a Attributes, _: Care) -> Later<'a, ()> {
        Box::pin(self.inner.put(key, body, attributes))
    }

    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Option<(Attributes, Bytes)>> {
        Box::pin(self.inner.get(key, None))
    }

    fn get_range<'a>(&'a self, key: &'a Key, range: Range<u64>) -> Later<'a, Option<(Attributes, Bytes)>> {
        Box::pin(self.inner.get(key, Some(range)))
    }

    fn head<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Attributes>> {
        Box::pin(async move {
            let fetched = self.inner.bucket.head(&name_of(key)).await?;
            Ok(fetched.map_or(Ok(None), |fetched| Inner::read(key, fetched))?.map(|(attributes, _)| attributes))
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, _: Care) -> Later<'a, ()> {
        Box::pin(async move {
            let name = name_of(key);
            self.inner.pending.lock().remove(&name);
            self.inner.bucket.delete(&name).await
        })
    }

    fn probe(&self) -> Later<'_, ()> {
        Box::pin(async { self.inner.bucket.list("").next().await.transpose().map(drop) })
    }

    fn list(&self) -> mpsc::Receiver<Result<ListedObject, ColdError>> {
        let (sender, receiver) = mpsc::channel(1_024);
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            if let Err(error) = inner.list(&sender).await {
                // Nobody may be listening any more.
                let _ = sender.send(Err(error)).await;
            }
        });
        receiver
    }

    /// Keeps the index short. Nothing else can be left over here.
    fn tidy(&self) -> Later<'_, u64> {
        Box::pin(async move { self.inner.merge().await.map(|()| 0) })
    }
}
