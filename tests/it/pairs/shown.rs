//! What a viewer at the live edge is shown: each segment of a public list, fetched as soon as it is listed, and the frames in it.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::encoders::numbers;
use crate::harness::Origin;
use crate::normalise::Viewer;

/// A line of the list, as it was fetched.
struct ShownLine {
    number: u64,
    seconds: f64,
    is_gap: bool,
    /// Its initialisation segment.
    map: Option<String>,
    body: Vec<u8>,
    listed: Instant,
}

/// A line of a source's own list: its number, its length in seconds, and when it was seen first.
type SourceLine = (u64, f64, Instant);

/// A viewer of one playlist, who looks at the sources' as well.
pub(crate) struct Shown {
    playlist: &'static str,
    pub(crate) viewer: Viewer,
    lines: Vec<ShownLine>,
    sources: [Vec<SourceLine>; 2],
    maps: HashMap<String, Vec<u8>>,
    folder: tempfile::TempDir,
}

impl Shown {
    pub(crate) fn new(playlist: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sources = [Vec::new(), Vec::new()];
        Self { playlist, viewer: Viewer::default(), lines: Vec::new(), sources, maps: HashMap::new(), folder }
    }

    /// Looks once: what is new is legal, and can be read.
    pub(crate) fn look(&mut self, origin: &Origin) {
        let folder = self.playlist.rsplit_once('/').map_or("", |(folder, _)| folder);
        let fetch = |uri: &str| {
            let answer = origin.get(&format!("{folder}/{uri}"));
            assert_eq!(answer.status, 200, "{uri}");
            answer.body
        };
        let text = self.viewer.look(origin, self.playlist);
        let (mut number, mut seconds, mut is_gap, mut map) = (0, 0.0, false, None);
        for line in text.lines() {
            if let Some(first) = line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:") {
                number = first.parse().unwrap();
            } else if let Some(length) = line.strip_prefix("#EXTINF:") {
                seconds = length.split(',').next().unwrap().parse().unwrap();
            } else if line == "#EXT-X-GAP" {
                is_gap = true;
            } else if let Some(list) = line.strip_prefix("#EXT-X-MAP:URI=\"") {
                map = list.split('"').next().map(str::to_owned);
            } else if !line.starts_with('#') {
                if self.lines.last().is_none_or(|last| last.number < number) {
                    let body = if is_gap { Vec::new() } else { fetch(line) };
                    if let Some(map) = &map {
                        self.maps.entry(map.clone()).or_insert_with(|| fetch(map));
                    }
                    let map = map.clone();
                    self.lines.push(ShownLine { number, seconds, is_gap, map, body, listed: Instant::now() });
                }
                (number, is_gap) = (number + 1, false);
            }
        }
    }

    /// Looks at what the sources list.
    fn look_at_sources(&mut self, origin: &Origin) {
        for (lines, playlist) in self.sources.iter_mut().zip(["live-a/p.m3u8", "live-b/p.m3u8"]) {
            let answer = origin.get(playlist);
            let text = if answer.status == 200 { answer.text() } else { String::new() };
            let first = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")?.parse().ok()).unwrap_or(0);
            let length = |line: &str| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse::<f64>().ok();
            let listed: Vec<(u64, f64)> = (first..).zip(text.lines().filter_map(length)).collect();
            let is_anew = listed.last().zip(lines.last()).is_some_and(|((newest, _), (last, ..))| newest < last);
            if is_anew {
                lines.clear();
            }
            let known = lines.last().map(|(number, ..)| *number);
            let new = listed.into_iter().filter(|(number, _)| known.is_none_or(|known| *number > known));
            lines.extend(new.map(|(number, seconds)| (number, seconds, Instant::now())));
        }
    }

    /// Looks for so long.
    pub(crate) fn watch(&mut self, origin: &Origin, span: Duration) {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.look(origin);
            self.look_at_sources(origin);
            thread::sleep(Duration::from_millis(40));
        }
    }

    /// Looks until it is so.
    pub(crate) fn until(&mut self, origin: &Origin, what: &str, mut is_so: impl FnMut() -> bool) {
        let limit = Instant::now() + Duration::from_secs(40);
        while !is_so() {
            assert!(Instant::now() < limit, "{what}: {:?}, {:?}", super::pairs(origin), self.viewer.versions.last());
            self.watch(origin, Duration::from_millis(200));
        }
    }

    /// How many lines there have been.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// By how much the lines from this one on came later at most than the first of them did, for who plays them one after the other.
    pub(crate) fn lateness(&self, from: usize) -> f64 {
        lateness(self.lines[from..].iter().map(|line| (line.seconds, line.listed)))
    }

    /// The same of what a source has listed since then itself: beside other tests encoders are late.
    pub(crate) fn lateness_of(&self, side: usize, from: usize) -> f64 {
        let (since, lines) = (self.lines[from].listed, &self.sources[side]);
        let before = lines.iter().rposition(|(.., listed)| *listed <= since).unwrap_or(0);
        lateness(lines[before..].iter().map(|(_, seconds, listed)| (*seconds, *listed)))
    }

    /// The numbers of all frames from this line on, in the order of the list. Panics, if one of its lines is a gap.
    pub(crate) fn frames(&self, from: usize) -> Vec<u32> {
        let (mut frames, mut file, mut map): (Vec<u32>, Vec<u8>, Option<&String>) = (Vec::new(), Vec::new(), None);
        let mut decode = |file: &mut Vec<u8>| {
            if !file.is_empty() {
                let path: PathBuf = self.folder.path().join("media");
                fs::write(&path, std::mem::take(file)).unwrap();
                frames.extend(numbers(&path));
            }
        };
        for line in &self.lines[from..] {
            assert!(!line.is_gap, "{} is a gap: {:?}", line.number, self.viewer.versions.last());
            if line.map.as_ref() != map {
                decode(&mut file);
                map = line.map.as_ref();
                file.extend(map.map(|map| &self.maps[map][..]).unwrap_or_default());
            }
            file.extend(&line.body);
        }
        decode(&mut file);
        frames
    }
}

/// By how much lines, each with its length and when it was listed, came later at most than the first of them did.
fn lateness(lines: impl Iterator<Item = (f64, Instant)>) -> f64 {
    let (mut played, mut begun) = (0.0, None);
    let late = lines.map(|(seconds, listed)| {
        let late = listed.duration_since(*begun.get_or_insert(listed)).as_secs_f64() - played;
        played += seconds;
        late
    });
    late.fold(0.0, f64::max)
}

/// How many requests have been answered.
pub(super) fn answered(origin: &Origin) -> usize {
    fs::read_to_string(origin.access_log_path()).unwrap_or_default().lines().count()
}

/// For how long the origin has held a request for the public playlist, or an upload of this side's, at most, of those since so many were answered:
/// of what an encoder that is late itself does not excuse.
pub(super) fn held(origin: &Origin, side: usize, since: usize) -> f64 {
    let log = fs::read_to_string(origin.access_log_path()).unwrap();
    let playlists = ["live/p.m3u8", ["live-a/p.m3u8", "live-b/p.m3u8"][side]];
    let lines = log.lines().skip(since).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_playlists = lines.filter(|line| line["key"].as_str().is_some_and(|key| playlists.contains(&key)));
    let held: Vec<f64> = of_playlists.map(|line| line["duration_us"].as_f64().unwrap() / 1e6).collect();
    assert!(held.len() > 20, "{} requests for {playlists:?} are in the access log", held.len());
    held.into_iter().fold(0.0, f64::max)
}

/// Where frames do not follow each other: the one before, and the one behind.
pub(crate) fn jumps(frames: &[u32]) -> Vec<(u32, u32)> {
    frames.windows(2).filter(|two| two[1] != two[0] + 1).map(|two| (two[0], two[1])).collect()
}
