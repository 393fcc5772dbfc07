//! What a version of a media playlist lists that has to be here before readers get it.

use std::sync::Arc;

use super::Live;
use super::follow::EXPECTED_AT_FIRST;
use super::lines;
use super::names::ListedNames;
use crate::hls::playlist::Media;
use crate::model::id::{Key, ObjectId};

impl Live {
    /// The segments that this version of a media playlist lists for the first time and that are not `here`: the last few of those behind the
    /// last one that the version before listed as well, under this number and by this name. An encoder that begins anew may count as it likes.
    pub(in crate::origin) fn missing(&self, object: &ObjectId, media: &Media, here: impl Fn(&Key) -> bool) -> Vec<Key> {
        let known =
            self.state.lock().renditions.get(&object.key).map(|rendition| Arc::clone(&rendition.lines)).unwrap_or_default();
        let listed = lines::of(media);
        let newest = media.segments.iter().rev().zip(listed.iter().rev());
        let fresh = newest.take_while(|(_, line)| !line.is_among(&known)).map(|(segment, _)| segment);
        let fresh = fresh.take(EXPECTED_AT_FIRST).filter(|segment| !segment.gap);
        let names = ListedNames::of_media(object, media, &here);
        fresh.filter_map(|segment| names.key(&segment.uri)).filter(|key| !here(key)).collect()
    }
}
