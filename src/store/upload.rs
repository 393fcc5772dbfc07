//! A body on its way in.

use std::sync::Arc;

use bytes::Bytes;

use super::growing::GrowingBody;
use super::hash::{self, RunningHash};
use super::in_flight::BodyWriter;
use super::pieces::Pieces;
use super::pinned::Keeper;
use super::uploads::Flight;
use super::{Entry, HotNamespace, Published, StoreError};
use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::model::meta::{Meta, Outset};
use crate::model::stamp::Stamp;

/// How much of a piece is hashed and copied at a time: the first cache of a processor holds it, and where it is copied to.
const IN_CACHE: usize = 8 << 10;

/// An upload in flight. It has one end that leaves a trace, [`Upload::publish`]; dropping it, at any moment, is the abort.
///
/// Invariant: its bytes are reserved, in the namespace's account and in the process-wide one, as they come and before they are kept,
/// and the reservation ends with it. What was announced and has not come is reserved nowhere.
pub struct Upload {
    namespace: Arc<HotNamespace>,
    key: Key,
    /// What is listed of it.
    flight: Arc<Flight>,
    buffer: Buffer,
    /// What its readers are told while it grows; `None` when it can't be read before it is whole, or is being read already.
    outset: Option<Outset>,
    hash: Box<RunningHash>,
    length: u64,
}

/// A complete body, contiguous and of exact size, with a hash of it that is the same on every machine.
#[derive(Clone, Debug)]
pub struct Body {
    /// The bytes.
    pub bytes: Bytes,
    /// XXH3, 128 bits.
    pub hash: u128,
    kept: Option<Keeper>,
}

impl Body {
    /// A body that is to take the place of the one that came.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        let hash = hash::of_body(&bytes);
        Self { bytes: Bytes::from(bytes), hash, kept: None }
    }
}

enum Buffer {
    /// The length was announced: one allocation of just that size, filled in place. Until bytes come it is address space and no
    /// memory.
    Exact(Vec<u8>),
    /// It was not: the pieces.
    Pieces(Pieces),
    /// The same, shared with those who read it as it grows.
    Shared(Arc<GrowingBody>),
}

impl HotNamespace {
    /// Opens an upload of somebody who has no share of his own, for a request that began then. `length` is the body's, when it is
    /// known: then its place is made at once. Nothing is visible before [`Upload::publish`], and dropping the upload leaves no trace.
    ///
    /// # Errors
    /// [`StoreError::Busy`].
    pub fn create(self: &Arc<Self>, key: &Key, length: Option<u64>, begun: Stamp) -> Result<Upload, StoreError> {
        Upload::open(Arc::clone(self), key.clone(), length, begun, None)
    }

    /// The same, counted among the uploads of a writer: in all namespaces together they have a share of the limit. What his name says
    /// is the caller's affair.
    ///
    /// # Errors
    /// [`StoreError::Busy`].
    pub fn create_for(
        self: &Arc<Self>,
        key: &Key,
        length: Option<u64>,
        begun: Stamp,
        writer: &str,
    ) -> Result<Upload, StoreError> {
        Upload::open(Arc::clone(self), key.clone(), length, begun, Some(self.writer(writer)))
    }
}

impl Upload {
    fn open(
        namespace: Arc<HotNamespace>,
        key: Key,
        length: Option<u64>,
        begun: Stamp,
        writer: Option<BodyWriter>,
    ) -> Result<Self, StoreError> {
        let flight = namespace.uploads().open(&key, begun, writer);
        // From here on it is an upload like any other: if there is no room for it, it ends like one.
        let buffer = Buffer::Pieces(Pieces::default());
        let mut upload = Self { namespace, key, flight, buffer, outset: None, hash: Box::new(RunningHash::new()), length: 0 };
        upload.namespace.admit(&upload.key, length.unwrap_or(0), &upload.flight)?;
        if let Some(length) = length {
            let mut buffer = Vec::new();
            // Where settings allow more than the machine has.
            buffer.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX)).map_err(|_| StoreError::Busy)?;
            upload.buffer = Buffer::Exact(buffer);
        }
        Ok(upload)
    }

    /// Counts what the request holds in memory beside its body as long as the upload is in flight.
    ///
    /// # Errors
    /// [`StoreError::Busy`].
    pub fn hold(&mut self, bytes: u64) -> Result<(), StoreError> {
        self.namespace.hold(bytes, &self.flight)
    }

    /// Lets the body be read while it grows, from its first byte on. Without effect when its length was announced: it is on
    /// its way already then, in one go, and is there all at once.
    pub fn readable_as(&mut self, outset: Outset) {
        if matches!(self.buffer, Buffer::Pieces(_)) {
            self.outset = Some(outset);
        }
    }

    /// Appends to the body.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the process-wide limit is reached now, or this writer's share of it.
    pub fn write(&mut self, piece: Bytes) -> Result<(), StoreError> {
        let added = piece.len() as u64;
        if added == 0 {
            return Ok(());
        }
        self.namespace.reserve(added, &self.flight)?;
        if let Buffer::Exact(buffer) = &mut self.buffer {
            // Hashed and copied in turns: what was hashed is in the first cache still when it is copied. More than was announced can't come
            // through HTTP; were it to, it would find its room like any other piece.
            for part in piece.chunks(IN_CACHE) {
                self.hash.add(part);
                buffer.extend_from_slice(part);
            }
        } else {
            self.hash.add(&piece);
            self.keep(piece);
        }
        self.length += added;
        Ok(())
    }

    /// Keeps a piece of a body whose length was not announced.
    fn keep(&mut self, piece: Bytes) {
        match &mut self.buffer {
            Buffer::Exact(buffer) => buffer.extend_from_slice(&piece),
            Buffer::Pieces(pieces) => match self.outset.take_if(|_| pieces.is_empty()) {
                Some(outset) => {
                    let growing = Arc::new(GrowingBody::new(outset, piece));
                    self.flight.show(Arc::clone(&growing));
                    self.buffer = Buffer::Shared(growing);
                    self.namespace.waiters().announce(&self.key);
                }
                None => pieces.push(piece),
            },
            Buffer::Shared(growing) => growing.push(piece),
        }
    }

    /// How many bytes have come.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether none has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The body, which is whole now, in one piece. Pieces are joined into one allocation of exact size: kept as they came, they
    /// would cost up to twice their length for as long as the object lives.
    #[must_use]
    pub fn body(&mut self) -> Body {
        let bytes = match &mut self.buffer {
            Buffer::Exact(buffer) => Bytes::from(std::mem::take(buffer)),
            Buffer::Pieces(pieces) => std::mem::take(pieces).join(),
            Buffer::Shared(growing) => {
                let (bytes, kept) = growing.join(|all| self.namespace.lend(all));
                return Body { bytes, hash: self.hash.end(), kept: Some(kept) };
            }
        };
        let (bytes, kept) = self.namespace.lend(bytes);
        Body { bytes, hash: self.hash.end(), kept: Some(kept) }
    }

    /// Makes the body the object, in one step: readers see the old version or this one. `allow` is asked about the old version that is
    /// live at `now` under the namespace's lock, so its answer still holds when the step is taken. Synchronous: it can't be
    /// cancelled half-way. `None`, and nothing has changed, when a version or removal that was begun later is in force.
    ///
    /// # Errors
    /// [`StoreError::Precondition`] when `allow` says no; the old version stays.
    pub fn publish(
        self,
        body: Body,
        meta: Meta,
        now: Moment,
        allow: impl FnOnce(Option<&Meta>) -> bool,
    ) -> Result<Option<Published>, StoreError> {
        let (bytes, kept) = match body.kept {
            Some(kept) => (body.bytes, kept),
            None => self.namespace.lend(body.bytes),
        };
        let entry = Entry::new(self.key.clone(), bytes, meta).kept_by(Some(kept));
        let published = self.namespace.publish(entry, &self.flight, now, allow)?;
        if published.is_some() {
            self.flight.publish();
        }
        Ok(published)
    }

    /// The body has become an object on the node that took it: readers come to its end. It is none here by that.
    pub fn end_elsewhere(self) {
        self.flight.publish();
    }

    /// Whether a version or removal that was begun later is in force, so that this one will not be the object.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.namespace.is_superseded(&self.key, &self.flight)
    }

    /// The key it is for.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Without effect, all but the news, once it is published. Its readers are told when it can't be found any more: who was told and
        // asks again must not get it once more.
        self.namespace.release(&self.flight);
        self.namespace.uploads().close(&self.key, &self.flight);
        self.flight.give_up(|piece| self.namespace.lend(piece).0);
        self.namespace.waiters().announce(&self.key);
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("key", &self.key).field("length", &self.length).finish_non_exhaustive()
    }
}
