//! A body that is read while it is being written.
//!
//! One list of pieces for all who read it; each reader has his own place in it. A piece is handed out by reference, all but small
//! ones, so that a thousand readers cost one copy of the bytes. Writers wake readers, nobody polls, and no reader, however slow, holds up the
//! writer or another reader: the lock is held to take a reference or to add one.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::pieces::{Pieces, ReadPosition};
use crate::model::meta::Outset;

/// The upload ended before its body was whole: what readers have of it is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upload of this object broke off")]
pub struct BrokenOff;

/// The body, shared by its writer and its readers.
///
/// Invariants: the bytes are held once, as pieces or, from the moment they are joined, as one; the pieces go then, but for
/// those that are on their way to a client. The end comes once. Of one that broke off they stay for as long as somebody was promised some.
pub(super) struct GrowingBody {
    outset: Outset,
    state: RwLock<GrowingState>,
    news: Arc<Notify>,
}

#[derive(Default)]
struct GrowingState {
    pieces: Pieces,
    /// All of the pieces in one, once no more come.
    joined: Option<Bytes>,
    end: Option<End>,
    /// How many readers were told that what they want is there.
    promised: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Published,
    Broken,
}

/// One reader's way through a growing body, from its first byte to its end.
pub struct GrowingReader {
    growing: Arc<GrowingBody>,
    /// The next piece, as long as there are pieces.
    next: ReadPosition,
    /// How many bytes have been read.
    offset: usize,
    /// What this reader wants was there, and he was told so: he gets it, whatever becomes of the upload.
    is_promised: bool,
    /// Made before the state was looked at last, so that it has heard of everything since.
    news: Pin<Box<OwnedNotified>>,
}

impl GrowingBody {
    pub(super) fn new(outset: Outset, first: Bytes) -> Self {
        let mut state = GrowingState::default();
        state.pieces.push(first);
        Self { outset, state: RwLock::new(state), news: Arc::default() }
    }

    pub(super) fn push(&self, piece: Bytes) {
        self.state.write().pieces.push(piece);
        self.news.notify_waiters();
    }

    /// Makes the pieces one, of exact size, and lends it. Readers go on from that one, so that the pieces can go.
    pub(super) fn join<T>(&self, lend: impl FnOnce(Bytes) -> (Bytes, T)) -> (Bytes, T) {
        // Readers may look meanwhile. Nothing is added: there is one writer, and this is it.
        let (all, kept) = lend(self.state.read().pieces.join());
        let pieces = {
            let mut state = self.state.write();
            state.joined = Some(all.clone());
            std::mem::take(&mut state.pieces)
        };
        // After the lock: there may be thousands.
        drop(pieces);
        (all, kept)
    }

    /// The body was whole and is the object now: readers may come to its end.
    pub(super) fn publish(&self) {
        self.end(End::Published);
    }

    /// The upload is over. If it was not published, every reader's body ends in an error, and the bytes go. What somebody was promised is lent
    /// to him, piece by piece as it came: he holds what is no object any more, and nothing is copied for that.
    pub(super) fn give_up(&self, lend: impl Fn(Bytes) -> Bytes) {
        if !self.end(End::Broken) {
            return;
        }
        // From here on nobody is promised any, and no more come. There are none left where nobody was.
        let pieces = self.state.write().pieces.all();
        let lent: Vec<Bytes> = pieces.into_iter().map(lend).collect();
        let left = {
            let mut state = self.state.write();
            // The last of those who were may have gone meanwhile.
            let is_wanted = !state.pieces.is_empty();
            if is_wanted { state.pieces.put(lent) } else { lent }
        };
        drop(left);
    }

    /// Whether this was the end of it.
    fn end(&self, end: End) -> bool {
        let mut state = self.state.write();
        if state.end.is_some() {
            return false;
        }
        state.end = Some(end);
        let left = state.left_over();
        drop(state);
        self.news.notify_waiters();
        drop(left);
        true
    }

    /// How many bytes it holds.
    pub(super) fn held(&self) -> u64 {
        let state = self.state.read();
        assert!(state.joined.is_none() || state.pieces.is_empty(), "the bytes are held once");
        (state.pieces.len() + state.joined.as_ref().map_or(0, Bytes::len)) as u64
    }
}

impl GrowingState {
    /// The bytes of a body that broke off, once nobody may have any of them.
    fn left_over(&mut self) -> Option<(Pieces, Option<Bytes>)> {
        let is_over = matches!(self.end, Some(End::Broken)) && *self.promised.get_mut() == 0;
        is_over.then(|| (std::mem::take(&mut self.pieces), self.joined.take()))
    }
}

impl GrowingReader {
    pub(super) fn new(growing: Arc<GrowingBody>) -> Self {
        let news = Box::pin(Arc::clone(&growing.news).notified_owned());
        Self { growing, next: ReadPosition::default(), offset: 0, is_promised: false, news }
    }

    /// What is known of the object.
    #[must_use]
    pub fn outset(&self) -> &Outset {
        &self.growing.outset
    }

    /// The next bytes, by reference; `None` at the end of a body that became an object. Cancel-safe.
    ///
    /// # Errors
    /// [`BrokenOff`], as soon as the upload is over without having been stored; where this reader was [promised](Self::poll_promise) some, behind all
    /// that had come.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        loop {
            if let Some(now) = self.take() {
                return Poll::Ready(now);
            }
            ready!(self.poll_news(cx));
        }
    }

    /// Waits until so many bytes are there: from then on they are this reader's, whatever becomes of the upload. He holds none of them. `false` at the
    /// end of a body that has fewer, and of one that broke off. Cancel-safe.
    pub fn poll_promise(&mut self, length: usize, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            {
                let state = self.growing.state.read();
                let there = state.joined.as_ref().map_or(state.pieces.len(), Bytes::len);
                if there >= length && !matches!(state.end, Some(End::Broken)) {
                    if !std::mem::replace(&mut self.is_promised, true) {
                        state.promised.fetch_add(1, Ordering::Relaxed);
                    }
                    return Poll::Ready(true);
                }
                if state.end.is_some() {
                    return Poll::Ready(false);
                }
            }
            ready!(self.poll_news(cx));
        }
    }

    /// Waits for the end, whatever has been read. Cancel-safe.
    ///
    /// # Errors
    /// [`BrokenOff`].
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BrokenOff>> {
        loop {
            match self.growing.state.read().end {
                Some(End::Published) => return Poll::Ready(Ok(())),
                Some(End::Broken) => return Poll::Ready(Err(BrokenOff)),
                None => {}
            }
            ready!(self.poll_news(cx));
        }
    }

    /// Waits until there was news since the last look, and listens anew.
    fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.news.as_mut().poll(cx));
        self.news.set(Arc::clone(&self.growing.news).notified_owned());
        Poll::Ready(())
    }

    /// What there is now; `None`: nothing yet.
    fn take(&mut self) -> Option<Option<Result<Bytes, BrokenOff>>> {
        let state = self.growing.state.read();
        let bytes = match (state.end, &state.joined) {
            (Some(End::Broken), _) if !self.is_promised => return Some(Some(Err(BrokenOff))),
            (_, Some(joined)) => Some(joined.slice(self.offset..)).filter(|rest| !rest.is_empty()),
            (_, None) => state.pieces.next(&mut self.next),
        };
        match (bytes, state.end) {
            (Some(bytes), _) => {
                self.offset += bytes.len();
                Some(Some(Ok(bytes)))
            }
            (None, Some(End::Broken)) => Some(Some(Err(BrokenOff))),
            (None, Some(End::Published)) => Some(None),
            (None, None) => None,
        }
    }
}

impl Drop for GrowingReader {
    fn drop(&mut self) {
        if self.is_promised {
            let mut state = self.growing.state.write();
            *state.promised.get_mut() -= 1;
            let left = state.left_over();
            drop(state);
            drop(left);
        }
    }
}

impl fmt::Debug for GrowingBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrowingBody").field("outset", &self.outset).finish_non_exhaustive()
    }
}

impl fmt::Debug for GrowingReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrowingReader").field("offset", &self.offset).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{key, meta, namespace, outset};
    use crate::store::{HotNamespace, Upload};
    use futures_util::FutureExt as _;
    use std::future::poll_fn;

    /// Large enough to be kept as they come.
    const PIECES: [&[u8]; 3] = [&[1; 5000], &[2; 6000], &[3; 5000]];

    fn begin(hot: &Arc<HotNamespace>, name: &str, first: &'static [u8]) -> Upload {
        let mut upload = hot.create(&key(name), None, hot.stamp()).unwrap();
        upload.readable_as(outset());
        upload.write(Bytes::from_static(first)).unwrap();
        upload
    }

    fn publish(mut upload: Upload, hot: &HotNamespace) {
        let body = upload.body();
        upload.publish(body, meta(hot), hot.clock().now(), |_| true).unwrap();
    }

    async fn next(reader: &mut GrowingReader) -> Option<Result<Bytes, BrokenOff>> {
        poll_fn(|cx| reader.poll_next(cx)).await
    }

    /// What there is without waiting.
    async fn now(reader: &mut GrowingReader) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        poll_fn(|cx| Poll::Ready(reader.poll_next(cx))).await
    }

    async fn rest(reader: &mut GrowingReader) -> Result<Vec<u8>, BrokenOff> {
        let mut all = Vec::new();
        while let Some(piece) = next(reader).await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn readers_get_each_piece_by_reference_and_go_on_from_the_joined_body() {
        let hot = namespace();
        let mut upload = hot.create(&key("a.ts"), None, hot.stamp()).unwrap();
        upload.readable_as(outset());
        assert!(hot.growing(&key("a.ts")).is_none(), "there is nothing to be read before the first byte");
        upload.write(Bytes::new()).unwrap();
        assert!(hot.growing(&key("a.ts")).is_none());
        upload.write(Bytes::from_static(PIECES[0])).unwrap();
        let (mut quick, mut slow) = (hot.growing(&key("a.ts")).unwrap(), hot.growing(&key("a.ts")).unwrap());
        for (index, piece) in PIECES.iter().enumerate() {
            if index > 0 {
                upload.write(Bytes::from_static(piece)).unwrap();
            }
            let got = next(&mut quick).await.unwrap().unwrap();
            assert_eq!(got.as_ptr(), piece.as_ptr(), "no copy was made");
            assert!(now(&mut quick).await.is_pending());
        }
        assert_eq!(next(&mut slow).await.unwrap().unwrap(), PIECES[0]);
        let body = upload.body();
        let joined = body.bytes.clone();
        let got = next(&mut slow).await.unwrap().unwrap();
        assert_eq!(got.as_ptr(), joined[5000..].as_ptr(), "the joined body, and not what came before it");
        assert!(now(&mut slow).await.is_pending() && now(&mut quick).await.is_pending(), "the end comes with the commit");
        upload.publish(body, meta(&hot), hot.clock().now(), |_| true).unwrap();
        assert_eq!((next(&mut slow).await, next(&mut quick).await), (None, None));
        assert!(hot.growing(&key("a.ts")).is_none());
        assert_eq!(hot.get(&key("a.ts")).unwrap().body, joined);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_next_piece() {
        let hot = namespace();
        let mut upload = begin(&hot, "a.ts", b"one");
        let readers: Vec<_> = (0..100)
            .map(|_| {
                let mut reader = hot.growing(&key("a.ts")).unwrap();
                tokio::spawn(async move {
                    let mut read = Vec::new();
                    while read.len() < 6 {
                        read.extend_from_slice(&next(&mut reader).await.unwrap().unwrap());
                    }
                    read
                })
            })
            .collect();
        // All of them have read what there is, and wait: this runtime has one thread, and they come first.
        tokio::task::yield_now().await;
        assert!(readers.iter().all(|reader| !reader.is_finished()));
        upload.write(Bytes::from_static(b"two")).unwrap();
        for reader in readers {
            let read = tokio::time::timeout(std::time::Duration::from_secs(20), reader).await.expect("it is woken");
            assert_eq!(read.unwrap(), b"onetwo");
        }
    }

    #[tokio::test]
    async fn who_joined_just_before_the_commit_gets_all_of_it() {
        let hot = namespace();
        let upload = begin(&hot, "a.ts", b"all of it");
        let mut reader = hot.growing(&key("a.ts")).unwrap();
        publish(upload, &hot);
        assert_eq!(rest(&mut reader).await.unwrap(), b"all of it");
        let mut reader = GrowingReader::new(Arc::clone(&reader.growing));
        assert_eq!(poll_fn(|cx| reader.poll_end(cx)).await, Ok(()));
    }

    #[tokio::test]
    async fn an_upload_that_breaks_off_ends_its_readers_in_an_error() {
        let hot = namespace();
        for joined in [false, true] {
            let mut upload = begin(&hot, "a.ts", b"some");
            let (mut waiting, mut behind) = (hot.growing(&key("a.ts")).unwrap(), hot.growing(&key("a.ts")).unwrap());
            assert_eq!(next(&mut waiting).await.unwrap().unwrap(), "some");
            let end = tokio::spawn(async move { next(&mut waiting).await });
            if joined {
                drop(upload.body());
            }
            drop(upload);
            assert_eq!(end.await.unwrap(), Some(Err(BrokenOff)));
            assert_eq!(next(&mut behind).await, Some(Err(BrokenOff)), "who has not read all of it too");
            assert_eq!(poll_fn(|cx| behind.poll_end(cx)).await, Err(BrokenOff));
            assert_eq!(behind.growing.held(), 0, "nothing is left");
            assert!(hot.growing(&key("a.ts")).is_none() && !hot.is_uploading(&key("a.ts")));
            hot.validate();
        }
    }

    #[tokio::test]
    async fn what_a_reader_was_promised_is_his_whatever_becomes_of_the_upload() {
        let hot = namespace();
        for joined in [false, true] {
            let mut upload = begin(&hot, "a.ts", PIECES[0]);
            let mut reader = hot.growing(&key("a.ts")).unwrap();
            let mut other = hot.growing(&key("a.ts")).unwrap();
            assert!(poll_fn(|cx| Poll::Ready(reader.poll_promise(5_001, cx).is_pending())).await, "there is less");
            upload.write(Bytes::from_static(PIECES[1])).unwrap();
            assert!(poll_fn(|cx| reader.poll_promise(5_001, cx)).await);
            assert_eq!(next(&mut reader).await.unwrap().unwrap(), PIECES[0]);
            if joined {
                drop(upload.body());
            }
            drop(upload);
            assert_eq!(next(&mut other).await, Some(Err(BrokenOff)), "he was promised nothing");
            assert!(!poll_fn(|cx| other.poll_promise(1, cx)).await, "nor is he now");
            assert_eq!(hot.usage().pinned, 11_000, "they are in the account");
            let got = next(&mut reader).await.unwrap().unwrap();
            assert_eq!((&got[..], joined || got.as_ptr() == PIECES[1].as_ptr()), (PIECES[1], true), "no copy was made");
            drop(got);
            assert_eq!(next(&mut reader).await, Some(Err(BrokenOff)), "more there is not");
            drop(reader);
            assert_eq!((other.growing.held(), hot.usage().pinned), (0, 0), "nothing is left");
            hot.validate();
        }
    }

    /// He has read some of what is being joined.
    #[tokio::test]
    async fn what_a_reader_was_promised_of_small_pieces_goes_on_where_he_is() {
        let hot = namespace();
        let mut upload = begin(&hot, "a.ts", b"one");
        let mut reader = hot.growing(&key("a.ts")).unwrap();
        assert_eq!(next(&mut reader).await.unwrap().unwrap(), "one");
        upload.write(Bytes::from_static(b"two")).unwrap();
        assert!(poll_fn(|cx| reader.poll_promise(6, cx)).await);
        drop(upload);
        assert_eq!((reader.growing.held(), hot.usage().pinned), (6, 6));
        assert_eq!(next(&mut reader).await.unwrap().unwrap(), "two");
        assert_eq!(next(&mut reader).await, Some(Err(BrokenOff)));
        drop(reader);
        assert_eq!(hot.usage().pinned, 0);
        hot.validate();
    }

    /// It is decided once, with the end: who is promised some by then has them in the account, and nobody is after that.
    #[tokio::test]
    async fn what_is_promised_until_the_end_is_lent_and_only_that() {
        let growing = Arc::new(GrowingBody::new(outset(), Bytes::from_static(PIECES[0])));
        let mut reader = GrowingReader::new(Arc::clone(&growing));
        assert!(poll_fn(|cx| reader.poll_promise(1, cx)).await);
        let lent = AtomicUsize::new(0);
        growing.give_up(|piece| {
            lent.fetch_add(piece.len(), Ordering::Relaxed);
            let mut late = GrowingReader::new(Arc::clone(&growing));
            assert_eq!(poll_fn(|cx| late.poll_promise(1, cx)).now_or_never(), Some(false), "it is over");
            piece
        });
        growing.give_up(|_| panic!("it ends once"));
        assert_eq!((lent.into_inner(), growing.held()), (5_000, 5_000));
        drop(reader);
        assert_eq!(growing.held(), 0);
    }

    #[tokio::test]
    async fn a_commit_that_is_refused_breaks_off_too() {
        let hot = namespace();
        let mut upload = begin(&hot, "a.ts", b"some");
        let mut reader = hot.growing(&key("a.ts")).unwrap();
        let body = upload.body();
        assert!(upload.publish(body, meta(&hot), hot.clock().now(), |_| false).is_err());
        assert_eq!(next(&mut reader).await, Some(Err(BrokenOff)));
    }

    #[tokio::test]
    async fn of_two_uploads_of_one_key_the_newest_is_read_and_neither_disturbs_the_other() {
        let hot = namespace();
        let older = begin(&hot, "a.ts", b"older");
        let mut newer = hot.create(&key("a.ts"), None, hot.stamp()).unwrap();
        newer.readable_as(outset());
        let mut of_older = hot.growing(&key("a.ts")).unwrap();
        assert_eq!(next(&mut of_older).await.unwrap().unwrap(), "older", "of the newer one there is nothing to be read yet");
        newer.write(Bytes::from_static(b"newer")).unwrap();
        let mut of_newer = hot.growing(&key("a.ts")).unwrap();
        assert_eq!(next(&mut of_newer).await.unwrap().unwrap(), "newer");
        drop(newer);
        assert_eq!(next(&mut of_newer).await, Some(Err(BrokenOff)));
        assert!(now(&mut of_older).await.is_pending(), "the other one's end is not its own");
        let mut again = hot.growing(&key("a.ts")).unwrap();
        assert_eq!(next(&mut again).await.unwrap().unwrap(), "older", "and is what there is to be read again");
        publish(older, &hot);
        assert_eq!((next(&mut of_older).await, next(&mut again).await), (None, None));
    }

    #[tokio::test]
    async fn to_begin_to_grow_is_news() {
        let hot = namespace();
        let mut upload = hot.create(&key("a.ts"), None, hot.stamp()).unwrap();
        upload.readable_as(outset());
        let mut arrival = Box::pin(hot.arrivals(&key("a.ts")));
        assert!(poll_fn(|cx| Poll::Ready(arrival.as_mut().poll(cx).is_pending())).await);
        upload.write(Bytes::from_static(b"x")).unwrap();
        arrival.await;
        assert!(hot.growing(&key("a.ts")).is_some());
    }

    /// A writer and many readers on their own threads: all of it, in order, and no reader waits for ever.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_piece_is_missed_however_the_threads_meet() {
        let hot = namespace();
        for round in 0..50u32 {
            let mut upload = begin(&hot, "a.ts", b"0");
            let readers: Vec<_> = (0..20)
                .map(|_| {
                    let mut reader = hot.growing(&key("a.ts")).unwrap();
                    tokio::spawn(async move { rest(&mut reader).await })
                })
                .collect();
            let mut all = b"0".to_vec();
            for n in 0..200u32 {
                let piece = (n + round).to_be_bytes();
                upload.write(Bytes::copy_from_slice(&piece)).unwrap();
                all.extend(piece);
                if n % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            publish(upload, &hot);
            for reader in readers {
                let read = tokio::time::timeout(std::time::Duration::from_secs(20), reader).await.expect("it ends");
                assert!(read.unwrap().unwrap() == all);
            }
        }
    }
}
