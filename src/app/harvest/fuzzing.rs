//! A way to what is ordered, planned and remembered of a recording, for `crate::fuzzing` alone.

use std::sync::Arc;

use super::HarvestRecord;
use super::jobs::{self, Jobs, meant};
use super::listing::{ListedMedia, WindowListing};
use super::planned::{RecordingPlan, made};
use super::window;
use crate::app::client::Url;
use crate::app::settings::HarvestSettings;
use crate::hls::playlist::{Playlist, parse};
use crate::hls::renditions::{Choice, choose};
use crate::hls::shift::Window;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::model::id::{Namespace, ObjectId};
use crate::origin::Origin;
use crate::origin::policy::NamespacePolicy;
use crate::store::Access;

/// The playlist and the files' names of a recording of this media playlist.
pub(crate) fn planned(text: &str, keys: bool) -> Option<(String, Vec<String>)> {
    let url: Url = "https://origin.example/cache/live/a/p.m3u8?token=KEY".parse().ok()?;
    let media = ListedMedia { from: "v".to_owned(), url: url.clone(), folder: "v".to_owned(), text: text.to_owned() };
    let listing = WindowListing { entry: url, master: None, media: vec![media], unread: Vec::new(), left_out: Vec::new() };
    let made = made(None, Some(listing), keys).ok()?;
    let is_found = made.plan.pieces().all(|piece| made.whereabouts.find(&piece.from, piece.range).is_some());
    assert!(is_found, "all that is planned is to be had");
    let written = serde_json::to_string(&made.plan).ok()?;
    let read: RecordingPlan = serde_json::from_str(&written).ok()?;
    assert!(read == made.plan, "it is remembered as it is");
    let text = made.plan.texts().next()?.to_owned();
    Some((text, made.plan.pieces().map(|piece| piece.path.clone()).collect()))
}

/// A multivariant playlist whose media playlists are all called so.
pub(crate) fn renamed(text: &str, name: &str) -> Option<String> {
    let is_multivariant = matches!(parse(text.as_bytes()), Ok(Playlist::Multivariant(_)));
    is_multivariant.then(|| choose(text, |_| Choice::Named(name.to_owned())))?.map(|chosen| chosen.text)
}

/// A server that takes orders: of the namespace `live`, into a bucket's `vod/`.
#[derive(Debug)]
pub(crate) struct OrderDesk(Jobs);

impl OrderDesk {
    pub(crate) fn new() -> Option<Self> {
        let namespaces = [(Namespace::parse("live").ok()?, NamespacePolicy::default())];
        let origin = Origin::new(namespaces, 1 << 20, Clock::manual(), &Arc::new(Metrics::new()));
        let places = HarvestSettings { folder: None, buckets: vec!["s3://bucket/vod/".to_owned()] };
        Some(Self(Jobs::new(origin, places, Access(Vec::new()), None)))
    }

    /// What an order means that is taken: whose playlist, at which URL, of which window, to where.
    pub(crate) fn read(&self, order: &[u8]) -> Option<(ObjectId, Url, Window, String)> {
        meant(&self.0, serde_json::from_slice(order).ok()?)
    }
}

/// A window, as `harvest.json` and URLs have it.
pub(crate) fn window(query: &str) -> Option<Window> {
    window::parse(query)
}

/// A `harvest.json` as it is written again, where it is one.
pub(crate) fn record_again(json: &[u8]) -> Option<Vec<u8>> {
    serde_json::to_vec(&serde_json::from_slice::<HarvestRecord>(json).ok()?).ok()
}

/// Whether an order may name such a place below the folder.
pub(crate) fn may_be_called(text: &str) -> bool {
    jobs::may_be_called(text)
}
