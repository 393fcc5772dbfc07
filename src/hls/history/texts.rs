//! The texts of maps and keys, each made once for all the segments it is for.

use std::sync::Arc;

use super::listed::{Keys, Listed};
use crate::hls::playlist::{Media, Segment, is_mark};

/// The longest URI, map or set of keys that is remembered, in bytes; a segment with a longer one can't be listed again.
pub(super) const MAX_TEXT: usize = 4096;

/// Other tags of one segment that are remembered: an advertisement break has some in each dialect.
const MAX_TAGS: usize = 16;

/// How a date range begins.
pub(super) const DATE_RANGE: &str = "#EXT-X-DATERANGE:";

/// The tags above a segment that say nothing to an origin. `is_known`: such a date range was written down before, for a playlist
/// repeats it as long as it lists a moment of it.
pub(super) fn tags_of<'a>(lines: impl Iterator<Item = &'a String>, is_known: impl Fn(&str) -> bool) -> Option<Keys> {
    let fits = lines.filter(|line| line.len() <= MAX_TEXT);
    let new = fits.filter(|line| !line.starts_with(DATE_RANGE) || !is_known(line));
    let tags: Keys = new.take(MAX_TAGS).map(|line| Arc::from(&**line)).collect();
    (!tags.is_empty()).then_some(tags)
}

/// Whether one of them begins or ends something that later segments are in.
pub(super) fn is_marked(listed: &Listed) -> bool {
    listed.tags.iter().flat_map(|tags| tags.iter()).any(|line| is_mark(line) && !line.contains("CUE-OUT-CONT"))
}

/// The map and keys of one segment after another, each text made once as long as it is in force.
pub(super) struct Texts<'a> {
    media: &'a Media,
    map: Option<(usize, Option<Arc<str>>)>,
    keys: Option<(usize, Option<Keys>)>,
    /// The key tags of the last set, and of the last segment before: sets differ in one of theirs at most times.
    tags: Vec<Arc<str>>,
}

impl<'a> Texts<'a> {
    pub(super) fn new(media: &'a Media, last: Option<&Arc<Listed>>) -> Self {
        let tags = last.and_then(|last| last.keys.as_deref()).unwrap_or_default().to_vec();
        Self { media, map: None, keys: None, tags }
    }

    /// `Some(None)`: it is too long to be remembered.
    pub(super) fn map(&mut self, segment: &Segment) -> Option<Option<Arc<str>>> {
        let (place, tag) = segment.map.and_then(|place| Some((place, self.media.verbatim.maps.get(place)?)))?;
        if self.map.as_ref().is_none_or(|(known, _)| *known != place) {
            self.map = Some((place, (tag.len() <= MAX_TEXT).then(|| Arc::from(&**tag))));
        }
        self.map.as_ref().map(|(_, text)| text.clone())
    }

    /// The same of its keys, all of them together.
    pub(super) fn keys(&mut self, segment: &Segment) -> Option<Option<Keys>> {
        let verbatim = &self.media.verbatim;
        let (place, set) = segment.protection.and_then(|place| Some((place, verbatim.protections.get(place)?)))?;
        if self.keys.as_ref().is_none_or(|(known, _)| *known != place) {
            let tags = || set.iter().filter_map(|&tag| verbatim.keys.get(tag));
            let fits = tags().map(|tag| tag.len() + 1).sum::<usize>() <= MAX_TEXT + 1;
            let known =
                |tag: &String| self.tags.iter().find(|known| ***known == **tag).map_or_else(|| Arc::from(&**tag), Arc::clone);
            let texts: Option<Keys> = fits.then(|| tags().map(known).collect());
            self.tags = texts.as_deref().unwrap_or_default().to_vec();
            self.keys = Some((place, texts));
        }
        self.keys.as_ref().map(|(_, texts)| texts.clone())
    }
}
