//! What the engine's journal tells of playlists that are composed: every node hears each version of a source's, and knows what is public.

use std::sync::Arc;

use super::listed::{HeardVersion, LATER};
use super::live::Understood;
use super::looks::LooksFor;
use super::manifests::other_manifest;
use super::namespace::Hosted;
use super::prepare::Draft;
use super::shared_public::outset;
use super::told::PublicNews;
use crate::hls::normalise::LeftAlone;
use crate::hls::playlist::Playlist;
use crate::model::clock::Now;
use crate::model::event::EventKind;
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::meta::Meta;
use crate::store::Entry;

/// What a version that another node has stored is to what is composed.
pub(super) enum ComposingNews {
    Nothing,
    /// A list of a source's.
    Heard(Box<HeardVersion>),
    /// A source's, that is not composed.
    Copied,
    /// What viewers get.
    Public,
}

impl Hosted {
    /// A version of a source's that this node has had decided, at this time.
    pub(super) fn heard_in(&self, key: &Key, now: Now, draft: &Draft) -> Option<HeardVersion> {
        let is_composed = !self.policy.composes() || draft.continuity.is_some();
        let public = if is_composed { None } else { self.public_of(key) }.filter(|public| public != key)?;
        let Some(Understood::Hls(Playlist::Media(media))) = &draft.understood else { return None };
        let version = self.version_of(key, (&draft.body.bytes, draft.outset.content_encoding.as_ref())).ok()?;
        Some(self.heard(&self.object(key), public, version, (media, draft.outset.clone()), now))
    }

    /// What a version that another node has stored is to what is composed. What it lists is known to be public from now on, where it is. To be
    /// called before it takes the place of the version before, where there is time to read.
    pub(super) fn composing_news(&self, now: Now, key: &Key, meta: &Meta, body: &[u8], understood: &Understood) -> ComposingNews {
        let media = if let Understood::Hls(Playlist::Media(media)) = understood { Some(media) } else { None };
        if let Some(continuity) = &meta.continuity {
            self.adopt_pair(key, continuity);
            if let Some(media) = media {
                let before = self.hot.peek(key).filter(|before| before.meta.continuity.is_some());
                self.note_listed(&self.object(key), media, before.as_deref(), meta.expires.since(now.moment));
            }
            return ComposingNews::Public;
        }
        let public = match self.public_of(key) {
            Some(public) if public != *key => public,
            Some(_) => return ComposingNews::Nothing,
            None if self.policy.pair_of(key.as_str()).is_some() => return ComposingNews::Public,
            None => return ComposingNews::Nothing,
        };
        let Some(media) = media else { return ComposingNews::Copied };
        match self.version_of(key, (body, meta.content_encoding.as_ref())) {
            Ok(version) => {
                let heard = self.heard(&self.object(key), public, version, (media, outset(meta, now.moment)), now);
                ComposingNews::Heard(Box::new(HeardVersion { is_others: true, ..heard }))
            }
            Err(LeftAlone::Empty) => ComposingNews::Nothing,
            Err(left_alone) => {
                let stays = self.shared_at(&public, self.hot.clock().now()).is_some_and(|there| there.meta.continuity.is_some());
                self.tell_left_alone(key, left_alone, stays);
                ComposingNews::Copied
            }
        }
    }

    /// It is the object now. `told`: by who has stored it.
    pub(super) fn take_up(self: &Arc<Self>, now: Now, key: &Key, news: ComposingNews, told: Option<&str>) {
        match news {
            ComposingNews::Nothing => {}
            ComposingNews::Heard(heard) => {
                self.work.public.heard(key, *heard, now.moment);
                self.look_later(key, LooksFor::List);
            }
            ComposingNews::Copied => self.look_later(key, LooksFor::Copy),
            ComposingNews::Public => {
                if let Some(told) = told {
                    self.public_told(now, key, &PublicNews::parse(told));
                }
                self.hot.peek(key).iter().for_each(|there| self.look_at_end(key, there, LATER));
            }
        }
    }

    /// Another node has stored a segment: a playlist may wait for it.
    pub(super) fn segment_came(self: &Arc<Self>, key: &Key) {
        if self.policy.composes()
            && let Some(playlist) = self.work.public.listing(key)
        {
            self.look_later(&playlist, LooksFor::List);
        }
    }

    /// An object was removed, by whichever node.
    pub(super) fn was_removed(self: &Arc<Self>, key: &Key, composed: Option<Arc<Entry>>, now: Now) {
        if let Some(composed) = composed {
            self.work.public.removed(composed, now.moment);
        }
        if !self.policy.pairs.is_empty() && Kind::of(key, &[]).is_rewritten() {
            // At once: lines of the other source that come before that look are to be its own already, and not lent.
            if let Some((public, side)) = self.public_of(key).zip(self.side_of(key)) {
                self.work.pairs.deleted(&public, side);
            }
            self.look_later(key, LooksFor::Removal);
        }
    }

    /// Another node has gone on with what is public: what it has counted and told itself is shown and told here as well.
    fn public_told(self: &Arc<Self>, now: Now, public: &Key, news: &PublicNews) {
        let stream = self.live.stream_of(public);
        self.work.pairs.count(public, news, now.wall);
        self.tell_switches(&stream, news);
        self.tell_raised(public, &news.mended);
        match self.policy.pair_of(public.as_str()) {
            None => self.say_mended(public, false, &news.mended),
            Some(pair) if pair.sources.len() == 1 => {
                let source = pair.behind(public.as_str()).next().and_then(|source| Key::parse(&source).ok());
                source.iter().for_each(|source| self.say_mended(source, true, &news.mended));
            }
            // Each node knows of both sides what they are by themselves.
            Some(_) => {}
        }
        if let Some(side) = news.copy_of.filter(|side| !self.work.pairs.is_active(public, *side)) {
            self.work.pairs.switched(public, side, now.wall);
            self.live.announce(self.hot.clock().both(), public, EventKind::SourceSwitched, other_manifest(side));
        }
    }
}
