//! Multivariant playlists and what they name: which rendition belongs to which stream.

use std::sync::Arc;
use std::time::Duration;

use super::ByKey;
use crate::hls::fault;
use crate::hls::playlist::{Multivariant, RenditionKind, Variables};
use crate::hls::uri::{Meant, meant};
use crate::model::clock::{Moment, Now, WallTime};
use crate::model::id::{Key, ObjectId};

/// This many children of one multivariant playlist are known.
const CHILDREN: usize = 256;
/// This many multivariant playlists of one child, the first ones that name it.
const PARENTS: usize = 16;
/// What a child is counted as beside its name, in bytes: more than it takes, for each is looked at once a second.
const CHILD_BYTES: usize = 1024;

/// This long a multivariant playlist is new: ffmpeg names media playlists in it that it writes a segment later.
const NEW: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct StreamTable {
    by_key: ByKey<Master>,
    parents: ByKey<Vec<Key>>,
}

/// A multivariant playlist.
#[derive(Debug)]
pub(super) struct Master {
    pub(super) children: Vec<Child>,
    /// What its media playlists may import.
    variables: Option<Arc<Variables>>,
    pub(super) since: WallTime,
    /// What is wrong with its newest version.
    pub(super) fault: Option<String>,
    /// Any of its children was here.
    pub(super) was_here: bool,
    /// Children that are missed.
    pub(super) absent: Vec<Key>,
    pub(super) expires: Moment,
}

/// What a version of a multivariant playlist says.
#[derive(Debug)]
pub(super) struct MasterVersion<'a> {
    pub(super) children: Vec<Child>,
    pub(super) variables: &'a Variables,
    pub(super) fault: Option<String>,
}

impl<'a> MasterVersion<'a> {
    pub(super) fn of(object: &ObjectId, playlist: &'a Multivariant) -> Self {
        let fault = fault::words(&playlist.faults);
        Self { children: Child::all_of(object, playlist), variables: &playlist.variables, fault }
    }

    /// Bytes of memory that are kept of it, about.
    pub(super) fn bytes(&self) -> usize {
        self.children.iter().map(Child::bytes).sum::<usize>() + self.variables.bytes()
    }
}

/// A media playlist that a multivariant one names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) key: Key,
    pub(super) kind: &'static str,
    /// The announced peak, in bits a second (RFC 8216 4.3.4.2).
    pub(super) bandwidth: Option<u64>,
    pub(super) resolution: Option<(u32, u32)>,
    /// The host under which it stands, where that may be a CDN whose root is the namespace; empty: the one that the playlist was had from.
    /// It is ours if it comes, or if another one under that host does.
    pub(super) under: Option<Box<str>>,
}

impl Child {
    /// Those that a multivariant playlist names in its own namespace, each once.
    pub(super) fn all_of(object: &ObjectId, playlist: &Multivariant) -> Vec<Self> {
        let here = |uri: &str| {
            let (found, under) = match meant(object, uri)? {
                Meant::Ours(found) => (found, None),
                Meant::Under { object: found, host } => (found, Some(host.to_ascii_lowercase().into_boxed_str())),
            };
            (found.namespace == object.namespace).then_some((found.key, under))
        };
        let mut children: Vec<Self> = Vec::new();
        for variant in &playlist.variants {
            let Some((key, under)) = here(&variant.uri) else { continue };
            let kind = if variant.i_frames_only { "i-frames" } else { "variant" };
            children.push(Self { key, kind, bandwidth: variant.bandwidth, resolution: variant.resolution, under });
        }
        for rendition in &playlist.renditions {
            let Some((key, under)) = rendition.uri.as_deref().and_then(here) else { continue };
            let kind = match rendition.kind {
                RenditionKind::Audio => "audio",
                RenditionKind::Video => "video",
                RenditionKind::Subtitles => "subtitles",
                _ => "other",
            };
            children.push(Self { key, kind, bandwidth: None, resolution: None, under });
        }
        // The same playlist may be named with several audio groups, each time with another bandwidth: the largest counts.
        let order = |one: &Self, other: &Self| one.under.cmp(&other.under).then(other.bandwidth.cmp(&one.bandwidth));
        children.sort_by(|one, other| one.key.cmp(&other.key).then(order(one, other)));
        children.dedup_by(|later, first| later.key == first.key);
        children.truncate(CHILDREN);
        children
    }

    /// Whether it is to play as long as its stream does: lists of key frames, pictures and words go at a pace of their own.
    pub(super) fn goes_along(&self) -> bool {
        matches!(self.kind, "variant" | "audio" | "video")
    }

    /// Bytes that it counts for.
    pub(super) fn bytes(&self) -> usize {
        CHILD_BYTES + self.key.as_str().len() + self.under.as_ref().map_or(0, |host| host.len())
    }
}

impl StreamTable {
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.by_key.contains_key(key)
    }

    /// Takes up a new version; says since when its children have been as they are.
    pub(super) fn follow(&mut self, master: &Key, version: MasterVersion<'_>, now: Now, expires: Moment) -> WallTime {
        let MasterVersion { children, variables, fault } = version;
        let before = self.by_key.get(master);
        let (was_here, absent) = before.map(|before| (before.was_here, before.absent.clone())).unwrap_or_default();
        let since = before.filter(|before| before.children == children).map_or(now.wall, |before| before.since);
        self.disown(master, &children);
        for child in &children {
            let parents = self.parents.entry(child.key.clone()).or_default();
            // Whose a playlist is first stays so, however often the others that name it are written.
            if parents.len() < PARENTS && !parents.contains(master) {
                parents.push(master.clone());
            }
        }
        let variables = (variables.bytes() > 0).then(|| Arc::new(variables.clone()));
        self.by_key.insert(master.clone(), Master { children, variables, since, fault, was_here, absent, expires });
        since
    }

    /// Its newest version can't be read, and that is why; hands over what was wrong with the one before it.
    pub(super) fn unread(&mut self, master: &Key, fault: &str) -> Option<String> {
        self.by_key.get_mut(master)?.fault.replace(fault.to_owned())
    }

    /// The media playlists that are named together with this one, itself included.
    pub(super) fn renditions(&self, child: &Key) -> Vec<Key> {
        let masters = self.parents.get(child).map(Vec::as_slice).unwrap_or_default();
        let children = masters.iter().filter_map(|master| self.by_key.get(master)).flat_map(|master| &master.children);
        let mut keys: Vec<Key> = children.map(|child| child.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.disown(key, &[]);
        self.by_key.remove(key);
    }

    /// Its children have it no more for a parent, but those.
    fn disown(&mut self, master: &Key, but: &[Child]) {
        let children = self.by_key.get(master).map(|master| master.children.as_slice()).unwrap_or_default();
        for child in children.iter().filter(|child| but.binary_search_by(|kept| kept.key.cmp(&child.key)).is_err()) {
            if let Some(parents) = self.parents.get_mut(&child.key) {
                parents.retain(|parent| parent != master);
                if parents.is_empty() {
                    self.parents.remove(&child.key);
                }
            }
        }
    }

    /// The multivariant playlists that name this media playlist.
    pub(super) fn parents(&self, child: &Key) -> &[Key] {
        self.parents.get(child).map(Vec::as_slice).unwrap_or_default()
    }

    /// The stream it belongs to: the first of them.
    pub(super) fn of(&self, child: &Key) -> Option<&Key> {
        self.parents(child).first()
    }

    /// Whether a multivariant playlist names it that has just been written for the first time.
    pub(super) fn is_newly_named(&self, child: &Key, now: WallTime) -> bool {
        let master = self.of(child).and_then(|parent| self.by_key.get(parent));
        master.is_some_and(|master| {
            let is_ours = master.children.iter().any(|known| known.key == *child && known.under.is_none());
            is_ours && now.since(master.since) < NEW
        })
    }

    /// What it may import.
    pub(super) fn variables(&self, child: &Key) -> Option<Arc<Variables>> {
        self.by_key.get(self.of(child)?)?.variables.clone()
    }

    /// What the stream that it belongs to says of it.
    pub(super) fn child(&self, child: &Key) -> Option<&Child> {
        let master = self.by_key.get(self.of(child)?)?;
        master.children.iter().find(|known| known.key == *child)
    }

    /// The media playlists that a multivariant one names.
    pub(super) fn children(&self, master: &Key) -> &[Child] {
        self.by_key.get(master).map(|master| master.children.as_slice()).unwrap_or_default()
    }

    pub(super) fn get(&self, master: &Key) -> Option<&Master> {
        self.by_key.get(master)
    }

    pub(super) fn get_mut(&mut self, master: &Key) -> Option<&mut Master> {
        self.by_key.get_mut(master)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Master)> {
        self.by_key.iter()
    }

    /// A lease was prolonged.
    pub(super) fn lives_until(&mut self, key: &Key, expires: Moment) {
        if let Some(master) = self.by_key.get_mut(key) {
            master.expires = master.expires.max(expires);
        }
    }

    /// Those whose time to live is over.
    pub(super) fn expired(&self, now: Moment) -> impl Iterator<Item = &Key> {
        self.by_key.iter().filter(move |(_, master)| master.expires <= now).map(|(key, _)| key)
    }
}
