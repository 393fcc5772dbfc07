//! The one door by which objects are read, whoever asks: a CDN, a player, an encoder, a harvest.
//!
//! What a reader gets comes from a short list of [sources](find), tried in one order, and passes through a short list of
//! [views](view). A next source (another node's copy, the other encoder's) or view (a gate, a viewer's token) is a file here and a
//! line in that list. Callers say how much they want and how long they wait, and nothing else.
//!
//! Most reads are of what is in memory, as it is stored. So that is [looked for](NamespaceHandle::begin) here, first, and what else
//! there is lies in a box that those reads never make: a future is as large as the largest thing it may come to.

mod durable_tier;
mod expected;
mod found;
mod growing;
mod made;
mod named;
mod past;
mod view;

use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

pub(super) use self::durable_tier::known_in_tier;
pub use self::expected::BlockingReload;
pub use self::found::Found;
pub(super) use self::found::validators;
pub use self::growing::Following;
use super::namespace::Hosted;
use super::rate::RateClaim;
use super::{NamespaceHandle, OriginError, Shift};
use crate::auth::grant::{Action, Grant};
use crate::auth::secret::Secret;
use crate::model::clock::Now;
use crate::model::id::ObjectId;
use crate::model::kind::Kind;
use crate::model::range::{self, Ask};
use crate::store::shared::Freshness;

/// How long a segment counts as the live edge.
const LIVE_EDGE: Duration = Duration::from_secs(60);

/// How much of an object a reader asks for, and how long he waits for it. [`Default`] is the whole of what is there now, or on its
/// way in.
#[derive(Debug, Default)]
pub struct ReadSpec<'a> {
    /// When he asked, where that is but now: what is done at once goes by it. `None`: a clock is asked.
    pub now: Option<&'a Now>,
    /// How much of it.
    pub portion: Portion<'a>,
    /// Whether he has conditions, which say only of what was found how much is sent: that is paid for then
    /// ([`NamespaceHandle::pay_for_sent`]).
    pub is_conditional: bool,
    /// What he makes of an object that is still on its way in.
    pub arriving: Arriving,
    /// Whether he waits, as long as the namespace's rules say, for a name that is about to arrive.
    pub waits: bool,
    /// Whether other nodes are asked for an object that is on its way in there, where nodes share.
    pub asks_nodes: bool,
    /// What the playlist is to have first.
    pub reload: Option<BlockingReload>,
    /// Whether he wants of a playlist what is new, where its packager offers that.
    pub skips: bool,
    /// And without the date ranges that he knows.
    pub skips_date_ranges: bool,
    /// The codings that he takes, as he says it (`Accept-Encoding`): of playlists that are stored in one. `None`: none.
    pub codings: Option<&'a [u8]>,
    /// The window of time he wants of a playlist.
    pub shift: Option<Shift>,
    /// What a playlist's children are to have in their query.
    pub inherit: Option<&'a Secret<'a>>,
    /// The host that he asked: URIs that lead there are ours, and no others.
    pub host: Option<&'a str>,
}

/// How much of an object is asked for, where more costs more: past memory.
#[derive(Clone, Copy, Debug, Default)]
pub enum Portion<'a> {
    /// What is known of it (HEAD).
    Nothing,
    /// All of it.
    #[default]
    Whole,
    /// What this `Range` header says.
    Range(&'a [u8]),
}

/// What a reader makes of an object that is still on its way in.
#[derive(Clone, Debug, Default)]
pub enum Arriving {
    /// He takes its pieces, each as it comes.
    #[default]
    Follow,
    /// He wants these bytes, as soon as all of them are there.
    Part(Range<usize>),
    /// He takes its pieces from this byte on, each as it comes.
    From(usize),
    /// He can make nothing of it before it is whole, and waits for that.
    Whole,
}

/// What there is for a reader.
#[derive(Debug)]
pub enum Read {
    /// A whole version.
    Whole(Found),
    /// None yet, but one is being uploaded and can be read as it comes, or as much of it as was asked for.
    Growing(Box<Following>),
}

/// Who reads what.
#[derive(Clone, Copy, Debug)]
struct Reader<'a> {
    hosted: &'a std::sync::Arc<Hosted>,
    grant: &'a Grant,
    object: &'a ObjectId,
    spec: &'a ReadSpec<'a>,
}

impl NamespaceHandle {
    /// Finds an object, and shows it as it was asked for. Of what is in memory at once; else it may wait. Cancel-safe: nothing is
    /// changed by it.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`] or [`OriginError::RateLimited`]. [`OriginError::NotFound`] or
    /// [`OriginError::Expired`]; [`OriginError::Unreachable`], when nobody knows. Of playlists: [`OriginError::Stale`],
    /// [`OriginError::NothingRetained`], [`OriginError::TooFarAhead`] and [`OriginError::NotInTime`]. Of a server that is about to end
    /// [`OriginError::Draining`].
    pub async fn read(&self, grant: &Grant, object: &ObjectId, spec: &ReadSpec<'_>) -> Result<Read, OriginError> {
        // Nothing but the rest is kept while that goes on.
        let rest = match self.begin(grant, object, spec) {
            Ok(Begun::Done(found)) => return Ok(Read::Whole(found)),
            Ok(Begun::GoesOn(rest)) => rest,
            Err(error) => return Err(error),
        };
        rest.await
    }

    /// As much of a read as is done at once: all of it, when it is of what is in memory and is shown as it is stored.
    fn begin<'a>(&'a self, grant: &'a Grant, object: &'a ObjectId, spec: &'a ReadSpec<'_>) -> Result<Begun<'a>, OriginError> {
        let reader = Reader { hosted: self.admit(grant, Action::Read, object)?, grant, object, spec };
        let mut payment = Payment::Due;
        if spec.reload.is_some() || spec.shift.is_some() || reader.hosted.durable_tier.shared().is_some() {
            return Ok(Begun::GoesOn(Box::pin(of_another_time(reader, payment))));
        }
        let now = spec.now.copied().unwrap_or_else(|| reader.hosted.hot.clock().both());
        let Some(found) = in_memory_at(reader, &mut payment, now)? else {
            return Ok(Begun::GoesOn(Box::pin(beyond_memory(reader, payment))));
        };
        if view::concern(spec, &found) {
            return Ok(Begun::GoesOn(Box::pin(view::all(reader, found))));
        }
        view::refuse_stale(reader, &found)?;
        Ok(Begun::Done(found))
    }
}

/// A read that has begun.
enum Begun<'a> {
    Done(Found),
    /// In a box, of which a read that is done at once makes none.
    GoesOn(Pin<Box<dyn Future<Output = Result<Read, OriginError>> + Send + 'a>>),
}

/// Waits until what is known here is as new as the reader may ask for: the one place in which a read waits before it looks anywhere.
/// A node by itself knows of every change by the time that is answered, so it waits only for a playlist that is to have more than it
/// has, and [a read](NamespaceHandle::begin) that asks for no such thing does not come by here. Where nodes share, each read asks for what
/// others have answered. Cancel-safe.
///
/// # Errors
/// Those of a blocking reload; [`OriginError::Unshared`].
async fn fresh(reader: Reader<'_>) -> Result<(), OriginError> {
    let (hosted, key) = (reader.hosted, &reader.object.key);
    // What is written once may be served as it was known lately; that it is not there is never told by that.
    let is_written_once = !Kind::of(key, b"").is_rewritten();
    if hosted.fresh(key, is_written_once).await? == Freshness::Recent && hosted.hot.peek(key).is_none() {
        hosted.fresh(key, false).await?;
    }
    if hosted.policy.composes() {
        // Boxed: few have public names.
        Box::pin(hosted.fresh_behind(key)).await?;
    }
    match reader.spec.reload {
        Some(reload) => expected::reload(reader, reload).await,
        None => Ok(()),
    }
}

/// Reads a playlist as it will be, or as it was; or what nodes share, as it is. Cancel-safe.
async fn of_another_time(reader: Reader<'_>, mut payment: Payment) -> Result<Read, OriginError> {
    fresh(reader).await?;
    if let Some(found) = past::find(reader).await? {
        return view::inherited(reader, found).await.map(Read::Whole);
    }
    match in_memory(reader, &mut payment)? {
        Some(found) => view::all(reader, found).await,
        None => beyond_memory(reader, payment).await,
    }
}

/// Reads what is not in memory. Cancel-safe.
async fn beyond_memory(reader: Reader<'_>, payment: Payment) -> Result<Read, OriginError> {
    let found = match find(reader, payment).await? {
        Read::Whole(found) => found,
        read => return Ok(read),
    };
    Box::pin(view::all(reader, found)).await
}

impl Read {
    /// The whole version, for who has said that he can make nothing of another ([`Arriving::Whole`]).
    ///
    /// # Errors
    /// [`OriginError::NotFound`].
    pub fn whole(self) -> Result<Found, OriginError> {
        match self {
            Self::Whole(found) => Ok(found),
            Self::Growing(_) => Err(OriginError::NotFound),
        }
    }
}

/// Looks in each source after the first, which [had it not](in_memory). The one order there is:
///
/// 1. whole in memory: what was completed last is the object, whatever is on its way to replace it;
/// 2. whole below memory: it is the object as well, and a growing one never hides it. That costs a descent, so where it is not known
///    what is below, what grows in memory goes first: the live edge does not wait for a disk or a bucket to answer;
/// 3. by a public name, which stands for a version of another one, in memory or below it;
/// 4. still arriving: there is no whole version, but an upload of one that can be read as it comes, here or on another node;
/// 5. expected at the live edge: none of that, but a playlist lists or announces it. Then it is waited for, and looked for once more.
///
/// A read is paid for once: what is found in memory or grows, by what it is; what is not, by the second claim, for a flood of names
/// that are nowhere must not starve those who watch.
async fn find(reader: Reader<'_>, mut payment: Payment) -> Result<Read, OriginError> {
    let Reader { hosted, object: ObjectId { key, .. }, spec, .. } = reader;
    let (mut has_ended, mut has_waited, mut has_asked) = (false, false, !spec.asks_nodes);
    loop {
        let mut has_grown = false;
        if let Some(following) = growing::find(reader, &mut payment)? {
            has_grown = true;
            match &spec.arriving {
                Arriving::Follow => return Ok(Read::Growing(following)),
                // One upload after the other that breaks off is not waited for.
                _ if has_ended => return Err(OriginError::NotFound),
                Arriving::Part(range) => {
                    if let Some(part) = following.part(range.clone()).await {
                        return Ok(Read::Growing(part));
                    }
                }
                Arriving::From(start) => {
                    if let Some(following) = following.from(*start).await {
                        return Ok(Read::Growing(following));
                    }
                }
                Arriving::Whole => following.ended().await,
            }
            has_ended = true;
        }
        // It may have become whole since memory was looked at.
        if let Some(found) = in_memory(reader, &mut payment)? {
            return Ok(Read::Whole(found));
        }
        if has_grown {
            continue;
        }
        if let Some(found) = named::in_memory(reader, &mut payment)? {
            return Ok(Read::Whole(found));
        }
        let missing = if hosted.hot.holds(key) { OriginError::Expired } else { OriginError::NotFound };
        payment.pay(hosted, 0, RateClaim::Second)?;
        if hosted.durable_tier.is_there()
            && let Some(found) = Box::pin(durable_tier::find(reader)).await?
        {
            return Ok(Read::Whole(found));
        }
        if reader.hosted.policy.composes()
            && let Some(found) = Box::pin(named::below(reader)).await?
        {
            return Ok(Read::Whole(found));
        }
        if !std::mem::replace(&mut has_asked, true) && Box::pin(hosted.grows_elsewhere(key)).await {
            continue;
        }
        if has_waited || !spec.waits || !expected::wait(reader).await? {
            return Err(missing);
        }
        has_waited = true;
        if let Some(found) = in_memory(reader, &mut payment)? {
            return Ok(Read::Whole(found));
        }
    }
}

/// The first source: the whole version in memory, if there is a live one. Eviction takes note.
fn in_memory(reader: Reader<'_>, payment: &mut Payment) -> Result<Option<Found>, OriginError> {
    in_memory_at(reader, payment, reader.hosted.hot.clock().both())
}

/// The same at this time.
fn in_memory_at(reader: Reader<'_>, payment: &mut Payment, now: Now) -> Result<Option<Found>, OriginError> {
    let Reader { hosted, object, .. } = reader;
    let Some(entry) = hosted.hot.get_at(&object.key, now.moment) else { return Ok(None) };
    let found = Found::new(hosted, entry, now);
    if hosted.rates.limit_reads() {
        // Playlists, what players can't start without, and segments of the last minute are the live edge.
        let is_edge = found.meta().kind.is_protected() || found.age < LIVE_EDGE;
        let claim = if is_edge { RateClaim::First } else { RateClaim::Second };
        payment.pay(hosted, reader.spec.cost(found.length()), claim)?;
    }
    Ok(Some(found))
}

impl ReadSpec<'_> {
    /// Whether the reader gets something else than what is stored: that is made of all of it, and comes whole.
    fn is_viewed(&self) -> bool {
        self.shift.is_some() || self.inherit.is_some() || self.skips
    }

    /// How many bytes of an object of this length are to be paid for when it is found in memory.
    fn cost(&self, length: usize) -> u64 {
        if self.is_conditional {
            return 0;
        }
        let sent = match self.portion {
            Portion::Nothing => 0,
            Portion::Range(header) if !self.is_viewed() => match range::parse(header, length) {
                Ask::Whole => length,
                Ask::Part(part) => part.len(),
                Ask::Unsatisfiable => 0,
            },
            Portion::Whole | Portion::Range(_) => length,
        };
        sent as u64
    }
}

impl NamespaceHandle {
    /// Pays for so many bytes that are sent after all to a reader [with conditions](ReadSpec::is_conditional). He may overdraw; those after him wait.
    pub fn pay_for_sent(&self, found: &Found, bytes: u64) {
        // What is below memory was paid for when it was read.
        if let Some(hosted) = self.hosted()
            && !found.is_from_below()
        {
            hosted.rates.read_bytes.charge(bytes, hosted.hot.clock().now());
        }
    }
}

/// Whether the request has been taken out of the namespace's allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payment {
    Due,
    Made,
}

impl Payment {
    /// Pays for the request, the first time, and for these bytes.
    fn pay(&mut self, hosted: &Hosted, bytes: u64, claim: RateClaim) -> Result<(), OriginError> {
        let requests = u64::from(std::mem::replace(self, Self::Made) == Self::Due);
        hosted.take_read_rate(requests, bytes, claim)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::auth::grant::{KeyId, Role, Scope};
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::model::id::{Key, Namespace};
    use crate::model::stamp::Stamp;
    use crate::origin::policy::NamespacePolicy;
    use crate::origin::{Origin, PutSpec};

    fn grant(prefix: Option<&str>) -> Grant {
        let prefix = prefix.map(str::to_owned);
        Grant {
            key_id: KeyId::parse("k").unwrap(),
            role: Role::Readwrite,
            scope: Scope::parse(["n"]).unwrap(),
            prefix,
            paths: None,
            is_edge: false,
            ends: None,
        }
    }

    fn object(key: &str) -> ObjectId {
        ObjectId { namespace: Namespace::parse("n").unwrap(), key: Key::parse(key).unwrap() }
    }

    fn origin() -> (Clock, NamespaceHandle) {
        let (clock, metrics) = (Clock::manual(), Arc::new(Metrics::new()));
        let name = Namespace::parse("n").unwrap();
        let origin = Origin::new([(name.clone(), NamespacePolicy::default())], 1 << 20, clock.clone(), &metrics);
        (clock, origin.namespace(&name))
    }

    /// These tests are not about which of two writes began later.
    fn stamp() -> Stamp {
        Stamp::default()
    }

    async fn put(namespace: &NamespaceHandle, key: &str, body: &'static str) {
        let mut upload = namespace.put(&grant(None), &object(key), stamp(), PutSpec::default()).await.unwrap();
        upload.write(Bytes::from_static(body.as_bytes())).unwrap();
        upload.commit().await.unwrap();
    }

    #[tokio::test]
    async fn each_source_comes_in_its_turn() {
        let (_, namespace) = origin();
        let (grant, object) = (grant(None), object("a.ts"));
        let read = async |spec: ReadSpec<'static>| namespace.read(&grant, &object, &spec).await;
        assert_eq!(read(ReadSpec::default()).await.unwrap_err(), OriginError::NotFound);
        let mut upload = namespace.put(&grant, &object, stamp(), PutSpec::default()).await.unwrap();
        assert_eq!(read(ReadSpec::default()).await.unwrap_err(), OriginError::NotFound, "there is nothing of it yet");
        upload.write(Bytes::from_static(b"one")).unwrap();
        assert!(matches!(read(ReadSpec::default()).await, Ok(Read::Growing(_))));
        let part = || ReadSpec { arriving: Arriving::Part(1..5), ..ReadSpec::default() };
        let whole = || ReadSpec { arriving: Arriving::Whole, ..ReadSpec::default() };
        let (part_of_it, all_of_it, ()) = tokio::join!(read(part()), read(whole()), async {
            tokio::task::yield_now().await;
            upload.write(Bytes::from_static(b"two")).unwrap();
            tokio::task::yield_now().await;
            upload.commit().await.unwrap();
        });
        let Ok(Read::Growing(mut part)) = part_of_it else { panic!("{part_of_it:?}") };
        assert_eq!((part.start, part.left), (Some(1), Some(4)));
        let mut bytes = Vec::new();
        while let Some(piece) = std::future::poll_fn(|cx| part.poll_next(cx)).await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(bytes, b"netw");
        assert_eq!(all_of_it.unwrap().whole().unwrap().body(), "onetwo");
        let _next = namespace.put(&grant, &object, stamp(), PutSpec::default()).await.unwrap().write(Bytes::from_static(b"next"));
        assert!(matches!(read(ReadSpec::default()).await, Ok(Read::Whole(_))), "what is whole is the object");
    }

    #[tokio::test]
    async fn who_wants_more_than_comes_is_told_when_it_has_ended() {
        let (_, namespace) = origin();
        let (grant, object) = (grant(None), object("a.ts"));
        let mut upload = namespace.put(&grant, &object, stamp(), PutSpec::default()).await.unwrap();
        upload.write(Bytes::from_static(b"one")).unwrap();
        let far = ReadSpec { arriving: Arriving::Part(0..9), ..ReadSpec::default() };
        let whole = ReadSpec { arriving: Arriving::Whole, ..ReadSpec::default() };
        let (part, all, ()) =
            tokio::join!(namespace.read(&grant, &object, &far), namespace.read(&grant, &object, &whole), async { drop(upload) });
        assert_eq!((part.unwrap_err(), all.unwrap_err()), (OriginError::NotFound, OriginError::NotFound));
    }

    #[tokio::test]
    async fn the_date_of_what_is_made_for_a_reader_tells_nothing() {
        let (_, namespace) = origin();
        let (grant, object) = (grant(None), object("p.m3u8"));
        let list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=4\n#EXTINF:2,\n1.ts\n#EXTINF:2,\n2.ts\n\
            #EXTINF:2,\n3.ts\n#EXTINF:2,\n4.ts\n#EXTINF:2,\n5.ts\n#EXTINF:2,\n6.ts\n#EXTINF:2,\n7.ts\n#EXTINF:2,\n8.ts\n";
        put(&namespace, "p.m3u8", list).await;
        for skips in [false, true] {
            let spec = ReadSpec { skips, ..ReadSpec::default() };
            let found = namespace.read(&grant, &object, &spec).await.unwrap().whole().unwrap();
            assert_eq!((found.body() != list, found.validators().shares_date), (skips, skips));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_read_that_waits_for_a_playlist_is_counted_by_what_comes_of_it() {
        const ONE: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXTINF:2,\n1.ts\n";
        const TWO: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXTINF:2,\n1.ts\n\
            #EXTINF:2,\n2.ts\n";
        let (_, namespace) = origin();
        let (grant, object) = (grant(None), object("p.m3u8"));
        let read = async |msn: u64| {
            let spec = ReadSpec { reload: Some(BlockingReload { msn, part: None }), ..ReadSpec::default() };
            namespace.read(&grant, &object, &spec).await.map(|read| read.whole().unwrap().body().clone())
        };
        let counted = || {
            let metrics = &namespace.hosted().unwrap().metrics;
            (metrics.held_arrived.get(), metrics.held_in_vain.get())
        };
        put(&namespace, "p.m3u8", ONE).await;
        let (answer, ()) = tokio::join!(read(2), put(&namespace, "p.m3u8", TWO));
        assert_eq!((answer.unwrap(), counted()), (Bytes::from_static(TWO.as_bytes()), (1, 0)));
        assert_eq!((read(2).await.is_ok(), counted()), (true, (1, 0)), "it was there and did not wait");
        assert_eq!((read(3).await.unwrap_err(), counted()), (OriginError::NotInTime, (1, 1)));
        let removal = namespace.remove(&grant, &object, Stamp::default(), crate::model::conditions::KeptConditions::default());
        let (answer, _) = tokio::join!(read(3), removal);
        assert_eq!((answer.unwrap_err(), counted()), (OriginError::NotFound, (1, 2)), "it is gone");
    }

    #[tokio::test]
    async fn who_looks_back_holds_up_no_live_playlist_that_is_stored_compressed() {
        const CLEAR: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n";
        // Stored as it is within the format (RFC 1951 3.2.4, RFC 1952 2.3).
        let packed =
            [&b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x30\x00\xcf\xff"[..], CLEAR.as_bytes(), b"\x4e\x68\x48\x31\x30\x00\x00\x00"]
                .concat();
        let (_, namespace) = origin();
        let (grant, object) = (grant(None), object("p.m3u8"));
        let spec = PutSpec { content_encoding: Some(http::HeaderValue::from_static("gzip")), ..PutSpec::default() };
        let mut upload = namespace.put(&grant, &object, stamp(), spec).await.unwrap();
        upload.write(packed.into()).unwrap();
        upload.commit().await.unwrap();
        // As many windows as are made at once are being made.
        let hosted = namespace.hosted().unwrap();
        let (ends, end) = std::sync::mpsc::channel::<()>();
        let end = Arc::new(parking_lot::Mutex::new(end));
        for _ in 0..2 {
            let (heavy, end) = (hosted.work.of_readers.clone(), Arc::clone(&end));
            tokio::spawn(async move { heavy.work(usize::MAX, move || end.lock().recv().is_ok()).await });
        }
        tokio::task::yield_now().await;
        let read = async || namespace.read(&grant, &object, &ReadSpec::default()).await.unwrap().whole().unwrap().body().clone();
        let clear = tokio::time::timeout(Duration::from_secs(20), read()).await;
        let again = tokio::time::timeout(Duration::from_secs(20), read()).await;
        drop(ends);
        let (clear, again) = (clear.expect("nobody waits for them"), again.expect("nor now"));
        assert_eq!((&*clear, clear.as_ptr()), (CLEAR.as_bytes(), again.as_ptr()), "it is unpacked once");
    }

    #[tokio::test]
    async fn a_handle_of_one_namespace_opens_no_other() {
        let (clock, namespace) = origin();
        put(&namespace, "a.ts", "media").await;
        let elsewhere = ObjectId { namespace: Namespace::parse("m").unwrap(), ..object("a.ts") };
        let all = Grant { scope: Scope::Every, ..grant(None) };
        let spec = ReadSpec::default();
        assert_eq!(namespace.read(&all, &elsewhere, &spec).await.unwrap_err(), OriginError::UnknownNamespace);
        assert_eq!(namespace.read(&grant(None), &elsewhere, &spec).await.unwrap_err(), OriginError::Forbidden);
        assert_eq!(namespace.read(&grant(Some("b")), &object("a.ts"), &spec).await.unwrap_err(), OriginError::Forbidden);
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(namespace.read(&grant(None), &object("a.ts"), &spec).await.unwrap_err(), OriginError::Expired);
    }
}
