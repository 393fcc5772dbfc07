//! How histories are written: lines of JSON, and how they are read back, whatever a crash has left of them.
//!
//! A file is of one format. Of the present one its first line says so, `{"format":2}`, and then
//!
//! - `{"of":7,"list":"a/p.m3u8"}` begins what is said of a playlist,
//! - `{"of":7,"text":0,"is":"URI=…"}` is a map or key tag, or the whole line of another one, written once for all the segments
//!   after it that refer to it,
//! - `{"of":7,"segment":{…,"map":0,"keys":[1,2],"tags":[3]}}` is a segment that was listed,
//! - `{"removed":"a/p.m3u8"}`: it was deleted, and its history with it.
//!
//! `of` is another number each time a playlist is begun, so that a line whose beginning can't be read belongs to nothing. In files of
//! the format before, which had no first line, each line had all of it: `{"playlist":…,"segment":{…,"map":"URI=…"}}`; without a
//! segment it was the playlist's end.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::hls::history::{FoundOut, Keys, MAX_SEGMENTS};
use crate::hls::playlist::ByteRange;
use crate::model::clock::WallTime;
use crate::model::id::Key;
use crate::origin::Listed;

/// The format that is written.
const FORMAT: u64 = 2;
/// A line that is longer was not written here: three texts of 4 KiB and a key of 1, of which JSON makes six times as much at worst.
const LONGEST_LINE: u64 = 96 << 10;

#[derive(Debug, Serialize, Deserialize)]
struct First {
    format: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct LoggedLine {
    of: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segment: Option<LoggedSegment<u64, Vec<u64>>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Removed {
    removed: String,
}

/// A line of the format before. Key tags were in one text, a line each.
#[derive(Debug, Deserialize)]
struct OldLine {
    playlist: String,
    #[serde(default)]
    segment: Option<LoggedSegment<String, String>>,
}

/// Times are in milliseconds since 1970, the duration in microseconds.
#[derive(Debug, Serialize, Deserialize)]
struct LoggedSegment<MapText, KeyTexts> {
    number: u64,
    sequence: u64,
    discontinuities: u64,
    uri: String,
    duration: u64,
    at: u64,
    until: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    dated: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    counted: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    discontinuity: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    lost: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    clear_map: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    map: Option<MapText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<KeyTexts>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<KeyTexts>,
    /// The target duration that was stated, in seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    target: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library asks for a reference")]
const fn is_false(truth: &bool) -> bool {
    !*truth
}

impl<MapText, KeyTexts> LoggedSegment<MapText, KeyTexts> {
    fn of(listed: &Listed, map: Option<MapText>, keys: Option<KeyTexts>, tags: Option<KeyTexts>) -> Self {
        Self {
            number: listed.number,
            sequence: listed.sequence,
            discontinuities: listed.discontinuities,
            uri: listed.uri.to_string(),
            duration: u64::try_from(listed.duration.as_micros()).unwrap_or(u64::MAX),
            at: listed.at.millis(),
            until: listed.until.millis(),
            dated: listed.dated,
            counted: listed.counted,
            discontinuity: listed.discontinuity,
            lost: listed.lost,
            clear_map: listed.clear_map,
            map,
            keys,
            range: listed.range.map(|range| (range.start, range.length)),
            tags,
            target: listed.target,
            etag: listed.etag(),
        }
    }

    fn listed(self, map: Option<Arc<str>>, keys: Option<Keys>, tags: Option<Keys>) -> Listed {
        let listed = Listed {
            number: self.number,
            sequence: self.sequence,
            discontinuities: self.discontinuities,
            uri: self.uri.into(),
            duration: Duration::from_micros(self.duration),
            at: WallTime::from_millis(self.at),
            until: WallTime::from_millis(self.until),
            dated: self.dated,
            counted: self.counted,
            discontinuity: self.discontinuity,
            heard: None,
            lost: self.lost,
            clear_map: self.clear_map,
            map,
            keys,
            range: self.range.map(|(start, length)| ByteRange { start, length }),
            target: self.target,
            tags,
            found_out: FoundOut::default(),
        };
        if let Some(etag) = self.etag {
            listed.note_etag(etag);
        }
        listed
    }
}

/// The first line of a file.
pub(super) fn first() -> Vec<u8> {
    let mut text = Vec::new();
    add(&mut text, &First { format: FORMAT });
    text
}

/// The line that says that a playlist was deleted.
pub(super) fn removed(playlist: &Key) -> Vec<u8> {
    let mut text = Vec::new();
    add(&mut text, &Removed { removed: playlist.to_string() });
    text
}

fn add(text: &mut Vec<u8>, line: &impl Serialize) {
    if serde_json::to_writer(&mut *text, line).is_ok() {
        text.push(b'\n');
    }
}

/// The lines of one playlist's segments in one file.
pub(super) struct LoggedLines<'a> {
    playlist: &'a Key,
    of: u64,
    is_begun: bool,
    /// The texts that have been written, by where they are in memory: they are shared.
    texts: HashMap<*const str, u64>,
}

impl<'a> LoggedLines<'a> {
    /// Begins, or begins anew in another file; `of` is another number each time.
    pub(super) fn new(playlist: &'a Key, of: u64) -> Self {
        Self { playlist, of, is_begun: false, texts: HashMap::new() }
    }

    /// The lines of the next segment.
    pub(super) fn of(&mut self, listed: &Listed) -> Vec<u8> {
        let mut text = Vec::new();
        if !std::mem::replace(&mut self.is_begun, true) {
            add(&mut text, &LoggedLine { list: Some(self.playlist.to_string()), ..self.line() });
        }
        let map = listed.map.as_ref().map(|map| self.refer(map, &mut text));
        let keys = listed.keys.as_ref().map(|keys| keys.iter().map(|tag| self.refer(tag, &mut text)).collect());
        let tags = listed.tags.as_ref().map(|tags| tags.iter().map(|tag| self.refer(tag, &mut text)).collect());
        add(&mut text, &LoggedLine { segment: Some(LoggedSegment::of(listed, map, keys, tags)), ..self.line() });
        text
    }

    fn refer(&mut self, to: &Arc<str>, text: &mut Vec<u8>) -> u64 {
        let next = self.texts.len() as u64;
        *self.texts.entry(Arc::as_ptr(to)).or_insert_with(|| {
            add(text, &LoggedLine { text: Some(next), is: Some(to.to_string()), list: None, of: self.of, segment: None });
            next
        })
    }

    fn line(&self) -> LoggedLine {
        LoggedLine { of: self.of, list: None, text: None, is: None, segment: None }
    }
}

/// What was read of a file.
#[derive(Debug, Default)]
pub(super) struct WrittenHistory {
    /// When the last segment in it has outlived its time to live.
    pub(super) until: u64,
    /// It was written by a later version, of which nothing can be said here. Nothing of it was read.
    pub(super) is_later: bool,
}

/// Reads a file's lines into the histories that they are of, as far as it is needed `now`. A line that is none is passed over.
pub(super) fn read(mut reader: impl BufRead, now: u64, histories: &mut HashMap<Key, Vec<Listed>>) -> io::Result<WrittenHistory> {
    let (mut line, mut is_first, mut is_old) = (Vec::new(), true, false);
    let mut reading = Reading { now, histories, playlist: None, texts: HashMap::new(), keys: None, until: 0 };
    while (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
        if std::mem::take(&mut is_first) {
            match parsed::<First>(&line) {
                Some(first) if first.format > FORMAT => return Ok(WrittenHistory { until: u64::MAX, is_later: true }),
                first => is_old = first.is_none(),
            }
        }
        if is_old {
            reading.old(&line);
        } else {
            reading.line(&line);
        }
        line.clear();
    }
    Ok(WrittenHistory { until: reading.until, is_later: false })
}

fn parsed<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

struct Reading<'a> {
    now: u64,
    histories: &'a mut HashMap<Key, Vec<Listed>>,
    playlist: Option<(u64, Key)>,
    texts: HashMap<u64, Arc<str>>,
    /// The last set of keys: the next segment has the same one, most times.
    keys: Option<(Vec<u64>, Keys)>,
    until: u64,
}

impl Reading<'_> {
    fn line(&mut self, line: &[u8]) {
        let Some(line) = parsed::<LoggedLine>(line) else {
            if let Some(key) = parsed::<Removed>(line).and_then(|line| Key::parse(&line.removed).ok()) {
                self.histories.remove(&key);
            }
            return;
        };
        if let Some(playlist) = line.list {
            self.playlist = Key::parse(&playlist).ok().map(|key| (line.of, key));
            self.texts.clear();
            self.keys = None;
        }
        let Some((_, playlist)) = self.playlist.as_ref().filter(|(of, _)| *of == line.of) else { return };
        if let (Some(text), Some(is)) = (line.text, line.is) {
            self.texts.insert(text, is.into());
        }
        let Some(mut segment) = line.segment else { return };
        self.until = self.until.max(segment.until);
        if segment.until <= self.now {
            return;
        }
        let map = match segment.map.take() {
            // One whose text is missing can't be played.
            Some(map) => match self.texts.get(&map) {
                Some(text) => Some(Arc::clone(text)),
                None => return,
            },
            None => None,
        };
        let keys = match segment.keys.take() {
            Some(keys) => match self.keys.as_ref().filter(|(known, _)| *known == keys) {
                Some((_, texts)) => Some(Arc::clone(texts)),
                None => {
                    let texts: Option<Keys> = keys.iter().map(|text| self.texts.get(text).cloned()).collect();
                    let Some(texts) = texts else { return };
                    self.keys = Some((keys, Arc::clone(&texts)));
                    Some(texts)
                }
            },
            None => None,
        };
        // A cue that can't be read is no reason to lose a segment.
        let tags = segment.tags.take().and_then(|tags| tags.iter().map(|text| self.texts.get(text).cloned()).collect());
        let listed = segment.listed(map, keys, tags);
        add_to(self.histories.entry(playlist.clone()).or_default(), listed);
    }

    fn old(&mut self, line: &[u8]) {
        let Some(OldLine { playlist, segment }) = parsed(line) else { return };
        let Ok(key) = Key::parse(&playlist) else { return };
        let Some(mut segment) = segment else {
            self.histories.remove(&key);
            return;
        };
        self.until = self.until.max(segment.until);
        if segment.until > self.now {
            let keys = segment.keys.take().map(|keys| keys.split('\n').map(Arc::from).collect());
            let map = segment.map.take().map(Arc::from);
            add_to(self.histories.entry(key).or_default(), segment.listed(map, keys, None));
        }
    }
}

/// Adds a segment that was read. Files go back further than a history does: the oldest are let go of while they are read.
fn add_to(history: &mut Vec<Listed>, listed: Listed) {
    if history.len() >= 2 * MAX_SEGMENTS {
        history.drain(..MAX_SEGMENTS);
    }
    history.push(listed);
}

/// What is written, for `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(crate) fn written(playlist: &Key, segments: &[Arc<Listed>]) -> Vec<u8> {
    let mut lines = LoggedLines::new(playlist, 1);
    first().into_iter().chain(segments.iter().flat_map(|listed| lines.of(listed))).collect()
}

/// What is read back of such lines at some time, for `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_back(lines: &[u8], now: u64) -> HashMap<Key, Vec<Listed>> {
    let mut histories = HashMap::new();
    let read = read(lines, now, &mut histories);
    assert!(read.is_ok_and(|read| histories.values().flatten().all(|listed: &Listed| listed.until.millis() <= read.until)));
    histories
}
