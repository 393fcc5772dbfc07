//! Where what is planned is to be had now, by what a plan calls it.
//!
//! Invariant: what may be a key is in none of these names, and another key makes no other name.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::recording::Piece;
use crate::app::client::{Url, redacted_path};
use crate::auth::signing::{hex, sha256};
use crate::hls::playlist::ByteRange;

/// First byte and length of a part.
pub(super) type PartRange = (u64, u64);

/// What a plan calls a file's source.
type PieceAddress = (String, Option<PartRange>);

/// Where a file is to be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PieceSource {
    pub(super) url: Url,
    pub(super) range: Option<ByteRange>,
}

/// Where what is planned is to be had now.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    sources: Vec<PieceSource>,
    /// Which of them it is.
    places: HashMap<PieceAddress, usize>,
    /// What stands for several that differ by nothing but what they are asked with.
    ambiguous: HashSet<PieceAddress>,
    /// Playlists that could not be read: what they list is not known.
    unread: HashSet<String>,
}

impl Whereabouts {
    /// Of these, whose [sources](Self::add) come in the same order. `entry`: the playlist's URL; by which name its host was asked counts for nothing.
    pub(super) fn of<'a>(pieces: impl Iterator<Item = &'a Piece>, entry: &Url) -> Self {
        let pieces: Vec<&Piece> = pieces.collect();
        let mut whereabouts = Self { sources: Vec::with_capacity(pieces.len()), ..Self::default() };
        for (at, piece) in pieces.iter().enumerate() {
            let (plain, range, query) = (called(&piece.url, entry), part_of(piece.range), piece.url.query());
            if query.is_some() {
                whereabouts.places.insert((by_query(&plain, query), range), at);
            }
            match whereabouts.places.entry((plain, range)) {
                Entry::Vacant(place) => {
                    place.insert(at);
                }
                Entry::Occupied(mut place) => {
                    if pieces[*place.get()].url.query() != query {
                        whereabouts.ambiguous.insert(place.key().clone());
                    }
                    // What is asked with nothing has no other name.
                    if query.is_none() {
                        place.insert(at);
                    }
                }
            }
        }
        whereabouts
    }

    /// The next one's source.
    pub(super) fn add(&mut self, source: PieceSource) {
        self.sources.push(source);
    }

    /// What a plan calls one of them.
    pub(super) fn name(&self, piece: &Piece, entry: &Url) -> String {
        let address = (called(&piece.url, entry), part_of(piece.range));
        if self.ambiguous.contains(&address) { by_query(&address.0, piece.url.query()) } else { address.0 }
    }

    /// `None`: it is listed no more.
    pub(super) fn find(&self, name: &str, range: Option<PartRange>) -> Option<&PieceSource> {
        let bare = name.strip_suffix('?');
        let address = (bare.unwrap_or(name).to_owned(), range);
        let source = self.sources.get(*self.places.get(&address)?)?;
        let is_it = if bare.is_some() { source.url.query().is_none() } else { !self.ambiguous.contains(&address) };
        is_it.then_some(source)
    }

    /// Takes note of a playlist that could not be read.
    pub(super) fn miss(&mut self, playlist: &Url, entry: &Url) {
        self.unread.insert(called(playlist, entry));
    }

    /// Whether what a playlist of this name has listed may be to be had all the same: it could not be read.
    pub(super) fn is_unread(&self, playlist: &str) -> bool {
        // Of what a version before has planned nobody knows which playlist it is of.
        let plain = playlist.split('?').next().unwrap_or_default();
        self.unread.contains(plain) || (playlist.is_empty() && !self.unread.is_empty())
    }
}

/// What a plan calls each of these playlists.
pub(super) fn names(urls: &[Url], entry: &Url) -> Vec<String> {
    let plain: Vec<String> = urls.iter().map(|url| called(url, entry)).collect();
    let mut counts = HashMap::<&str, usize>::new();
    for name in &plain {
        *counts.entry(name).or_default() += 1;
    }
    let name = |(name, url): (&String, &Url)| if counts[&**name] > 1 { by_query(name, url.query()) } else { name.clone() };
    plain.iter().zip(urls).map(name).collect()
}

/// Whether both are asked of the same server.
pub(super) fn is_same_host(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme() && one.host() == other.host() && one.port_or_known_default() == other.port_or_known_default()
}

pub(super) fn part_of(range: Option<ByteRange>) -> Option<PartRange> {
    range.map(|range| (range.start, range.length))
}

/// What a URL is called in a plan: of the entry's own host, by its path. What it is asked with may be a key, and another one the next time, so it
/// does not count.
fn called(url: &Url, entry: &Url) -> String {
    let path = redacted_path(url.path());
    if is_same_host(url, entry) {
        return path;
    }
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}{path}", url.scheme(), url.host_str().unwrap_or_default())
}

/// Where what it is asked with is all in which two differ, they are told apart by its digest.
fn by_query(name: &str, query: Option<&str>) -> String {
    let digest = query.map(|query| hex(&sha256(query.as_bytes()))).unwrap_or_default();
    format!("{name}?{}", digest.get(..32).unwrap_or_default())
}
