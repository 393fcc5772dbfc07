//! A namespace's rules.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::auth::viewer::{Network, ViewerLimits};
use crate::model::id::Namespace;
use crate::model::kind::Kind;
use crate::model::liveness::StandstillLimits;
use crate::model::meta::{Meta, Outset};
use crate::store::{Ack, Durable, Options};

/// What may be stored in a namespace, for how long, and what caches and browsers are told. [`Default`] is what a namespace
/// has when its settings say nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespacePolicy {
    /// Bytes for objects and uploads together.
    pub hot_capacity: u64,
    /// Bytes that all nodes which share an engine may store there together; `None` is without limit.
    pub shared_capacity: Option<u64>,
    /// The time to live of an object that comes without `ttl_seconds`.
    pub default_ttl: Duration,
    /// The longest one an encoder may ask for.
    pub max_ttl: Duration,
    /// The largest object, in bytes.
    pub max_object_size: u64,
    /// How long caches may keep a playlist or MPD; `None`: half its target duration, and at least a second.
    pub playlist_max_age: Option<Duration>,
    /// How long caches may keep everything else, at most; what is left of the TTL bounds it too.
    pub segment_max_age: Duration,
    /// Reads a second; `None` is without limit, here and below.
    pub read_requests_per_second: Option<u64>,
    /// Bytes a second, sent to readers.
    pub read_bytes_per_second: Option<u64>,
    /// Writes and removals a second.
    pub write_requests_per_second: Option<u64>,
    /// Bytes a second, taken from writers.
    pub write_bytes_per_second: Option<u64>,
    /// Where objects are kept beside memory.
    pub durable: Durable,
    /// When a write is answered.
    pub ack: Ack,
    /// Bytes they may take there.
    pub durable_capacity: u64,
    /// Take credentials out of the URIs in playlists and manifests as they are stored.
    pub strip_credentials: bool,
    /// Take out `ttl_seconds` and `role` as well.
    pub strip_parameters: bool,
    /// `Cache-Control` on errors.
    pub error_cache_control: HeaderValue,
    /// Which web pages may read.
    pub cors_origins: CorsOrigins,
    /// How long a read of a name that is about to arrive waits for it.
    pub hold: Hold,
    /// How many reads may wait at once.
    pub max_held: u64,
    /// How long a media playlist is held back that lists a segment which has not arrived; `None`: not at all.
    pub gate: Option<Duration>,
    /// What a reader of a stale media playlist gets.
    pub on_stale: OnStale,
    /// After how long without a new segment a playlist is stale, and its stream taken for over.
    pub limits: StandstillLimits,
    /// What a deletion takes away.
    pub deletes: Deletes,
    /// Whether viewers need tokens, and what those are held to.
    pub viewers: ViewerPolicy,
    /// What the names of media playlists begin with of which legal lists are made, whatever their encoders do.
    pub normalise: Vec<String>,
    /// Public streams that are made of what is stored under other names.
    pub pairs: Vec<PairPolicy>,
}

/// A public stream and its sources, each by what the names of its objects begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairPolicy {
    /// What viewers ask for. Nothing is stored there but by this server.
    pub public: String,
    /// Where its encoders write.
    pub sources: Vec<String>,
    /// How long the copy of the source that viewers get is waited for when the other's is here; `None`: by the rhythm of both.
    pub grace: Option<Duration>,
    /// How long after the last source's end the public stream has its own; `None`: three target durations.
    pub end_hold: Option<Duration>,
    /// Whether viewers go back to the first source, where that costs nothing.
    pub prefers_first: bool,
    /// When it has been well for so long.
    pub return_after: Duration,
}

impl Default for PairPolicy {
    fn default() -> Self {
        Self {
            public: String::new(),
            sources: Vec::new(),
            grace: None,
            end_hold: None,
            prefers_first: false,
            return_after: Duration::from_secs(60),
        }
    }
}

impl PairPolicy {
    /// As many sources as a pair may have.
    pub const MOST_SOURCES: usize = 2;

    /// The public name of what a source has stored under this one, and which of the sources that is.
    #[must_use]
    pub(super) fn public_of(&self, key: &str) -> Option<(usize, String)> {
        let of = |source: &String| Some([&self.public, key.strip_prefix(source.as_str())?].concat());
        self.sources.iter().enumerate().find_map(|(side, source)| Some((side, of(source)?)))
    }

    /// The names that stand behind a public one, in the order of the sources.
    pub(super) fn behind<'a>(&'a self, public: &'a str) -> impl Iterator<Item = String> + 'a {
        let rest = public.strip_prefix(self.public.as_str());
        self.sources.iter().filter_map(move |source| Some([source, rest?].concat()))
    }
}

/// What viewers' tokens are held to in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewerPolicy {
    /// Whether readers need one.
    pub mode: ViewerMode,
    /// What stands before the key in the path by which viewers ask, and tokens say what they open; `{namespace}` is its name.
    pub base_path: String,
    /// Where viewers ask, as `https://cdn.example`; empty: not known.
    pub public_url: String,
    /// The longest life of one that is made here.
    pub max_ttl: Duration,
    /// By how much the clock of who makes them may be ahead.
    pub clock_skew: Duration,
    /// How long after its end one still opens what is no playlist.
    pub grace: Duration,
    /// Who is believed that says where a viewer is.
    pub trusted_proxies: Vec<Network>,
    /// In which header they say his address; `None`: they do not.
    pub client_address_header: Option<HeaderName>,
    /// In which header they say his country.
    pub country_header: Option<HeaderName>,
    /// Whether a token in the query is answered as it stands there, for playlists whose children carry it by a variable of their own
    /// (EXT-X-DEFINE:QUERYPARAM); else by a redirect to the path, which relative URIs keep.
    pub keeps_query: bool,
    /// How much one token may be used, where reads need one.
    pub limits: ViewerLimits,
}

/// Whether readers need a viewer's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewerMode {
    /// There are none: a request with one is refused, or a setting that was mistyped would serve everybody.
    Off,
    /// An edge in front asks for them; one that gets here all the same has to be good.
    Edge,
    /// No read without one, but by who writes and by who checks tokens itself.
    Required,
}

impl Default for ViewerPolicy {
    fn default() -> Self {
        Self {
            mode: ViewerMode::Off,
            base_path: "/cache/{namespace}".to_owned(),
            public_url: String::new(),
            max_ttl: Duration::from_secs(86_400),
            clock_skew: Duration::from_secs(30),
            grace: Duration::from_secs(60),
            trusted_proxies: Vec::new(),
            client_address_header: None,
            country_header: None,
            keeps_query: false,
            limits: ViewerLimits::default(),
        }
    }
}

impl ViewerPolicy {
    /// What stands before the key in a path as viewers ask for it, a slash at its end.
    #[must_use]
    pub fn base(&self, namespace: &Namespace) -> String {
        let path = self.base_path.trim_end_matches('/');
        // It is put together for each request with a token: the standard library's search for a text begins at a higher price.
        match path.split_once('{').map(|(before, rest)| (before, rest.strip_prefix("namespace}"))) {
            None => [path, "/"].concat(),
            Some((before, Some(after))) if !after.contains('{') => [before, namespace.as_str(), after, "/"].concat(),
            Some(_) => path.replace("{namespace}", namespace.as_str()) + "/",
        }
    }

    /// What a token would be bound to of which nobody tells this server, and the settings that would: such a token is refused wherever it is
    /// shown.
    #[must_use]
    pub fn lacks(&self, by_address: bool, by_country: bool) -> Option<(&'static str, &'static str)> {
        // An address is known without anybody's word, where it is asked for at all; a country is only ever said by a proxy.
        let knows_country = self.country_header.is_some() && !self.trusted_proxies.is_empty();
        if by_address && self.client_address_header.is_none() {
            return Some(("addresses", "viewers.client_address_header"));
        }
        (by_country && !knows_country).then_some(("countries", "viewers.trusted_proxies and viewers.country_header"))
    }
}

/// How long a read of a name that is about to arrive waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Half a target duration, and at most two seconds: CDNs give up, or fail over, not much later.
    Auto,
    /// This long.
    For(Duration),
    /// Not at all.
    Off,
}

/// What a reader of a stale media playlist gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStale {
    /// The playlist.
    Serve,
    /// 404, so that CDNs and players fail over.
    NotFound,
}

/// What a deletion takes away. Encoders delete by the length of their own lists, which is not how far viewers may look back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletes {
    /// The object.
    Obey,
    /// Playlists and MPDs, by which encoders say that a stream is over or left to its twin; segments stay until their time to live is over.
    Playlists,
    /// Nothing: every object stays until its time to live is over.
    Ignore,
}

impl Deletes {
    /// Whether an object of this kind goes.
    pub(super) fn takes(self, kind: Kind) -> bool {
        match self {
            Self::Obey => true,
            Self::Playlists => kind.is_rewritten(),
            Self::Ignore => false,
        }
    }
}

/// The longest a read waits that nobody has set a time for.
const LONGEST_HOLD: Duration = Duration::from_secs(2);

/// The web origins that may read a namespace from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// All of them.
    Any,
    /// These, as in a browser's `Origin` header.
    Only(Vec<HeaderValue>),
}

impl CorsOrigins {
    /// Whether this one is named there.
    #[must_use]
    pub fn lists(&self, origin: Option<&HeaderValue>) -> bool {
        matches!((self, origin), (Self::Only(list), Some(origin)) if list.contains(origin))
    }
}

impl Default for NamespacePolicy {
    fn default() -> Self {
        Self {
            hot_capacity: 1 << 30,
            shared_capacity: None,
            default_ttl: Duration::from_secs(3_600),
            max_ttl: Duration::from_secs(30 * 86_400),
            max_object_size: 10 << 20,
            playlist_max_age: None,
            segment_max_age: Duration::from_secs(3_600),
            read_requests_per_second: None,
            read_bytes_per_second: None,
            write_requests_per_second: None,
            write_bytes_per_second: None,
            durable: Durable::default(),
            ack: Ack::default(),
            // Four hours of a usual ladder (4.75 Mbit/s); small enough for the disk that a container or a small machine comes with.
            durable_capacity: 10 << 30,
            strip_credentials: true,
            strip_parameters: false,
            error_cache_control: HeaderValue::from_static("no-store"),
            cors_origins: CorsOrigins::Any,
            hold: Hold::Auto,
            max_held: 10_000,
            gate: None,
            on_stale: OnStale::Serve,
            limits: StandstillLimits { stale_after: 3, gone_after: Duration::from_secs(3_600) },
            deletes: Deletes::Obey,
            viewers: ViewerPolicy::default(),
            normalise: Vec::new(),
            pairs: Vec::new(),
        }
    }
}

impl NamespacePolicy {
    /// Whether any playlists are composed in it.
    #[must_use]
    pub(super) fn composes(&self) -> bool {
        !(self.normalise.is_empty() && self.pairs.is_empty())
    }

    /// The prefix for which a public playlist is composed: of what is normalised, or of a pair.
    #[must_use]
    pub(super) fn composed_below(&self, public: &str) -> &str {
        let normalised = self.normalise.iter().map(String::as_str).find(|prefix| public.starts_with(prefix));
        normalised.or_else(|| Some(self.pair_of(public)?.public.as_str())).unwrap_or_default()
    }

    /// The public stream whose names begin so that this is one of them.
    #[must_use]
    pub fn pair_of(&self, public: &str) -> Option<&PairPolicy> {
        self.pairs.iter().find(|pair| public.starts_with(pair.public.as_str()))
    }

    /// The policy of the tier below.
    #[must_use]
    pub fn tier_options(&self) -> Options {
        // What waits counts twice when it has left the hot store already, so that this is what a namespace may hold beyond its hot
        // capacity: some minutes of a stream for a disk that is away, and enough for a burst where the capacity is small.
        Options { ack: self.ack, capacity: self.durable_capacity, write_behind: (self.hot_capacity / 4).max(64 << 20) }
    }

    /// How long a read waits for a segment of a stream with this target duration, if it is known.
    #[must_use]
    pub(super) fn hold_for(&self, target: Option<Duration>) -> Duration {
        match self.hold {
            Hold::Auto => target.map_or(LONGEST_HOLD, |target| (target / 2).min(LONGEST_HOLD)),
            Hold::For(span) => span,
            Hold::Off => Duration::ZERO,
        }
    }

    /// How long a shared cache may keep an object that has `left` to live, in whole seconds.
    ///
    /// A playlist is replaced once in a target duration; a copy kept for half of that is never so old that a player finds
    /// nothing new in it twice. That is also what AWS Elemental MediaPackage tells CDNs.
    #[must_use]
    pub fn max_age(&self, meta: &Meta, left: Duration) -> u64 {
        let limit = match meta.kind {
            Kind::Playlist | Kind::Manifest => self
                .playlist_max_age
                .unwrap_or_else(|| meta.target_duration.map_or(Duration::ZERO, |target| target / 2).max(Duration::from_secs(1))),
            Kind::Initialization | Kind::Segment => self.segment_max_age,
        };
        limit.min(left).as_secs()
    }

    /// The same for an object that is still on its way in. It is no playlist: those are not seen before they are whole.
    #[must_use]
    pub(super) fn max_age_at_outset(&self, outset: &Outset) -> u64 {
        self.segment_max_age.min(outset.ttl).as_secs()
    }
}
