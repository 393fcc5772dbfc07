//! What a viewer at the live edge is shown: each segment of a public list, fetched as soon as it is listed, and the frames in it.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

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

/// A viewer of one playlist.
pub(crate) struct Shown {
    playlist: &'static str,
    pub(crate) viewer: Viewer,
    lines: Vec<ShownLine>,
    maps: HashMap<String, Vec<u8>>,
    folder: tempfile::TempDir,
}

impl Shown {
    pub(crate) fn new(playlist: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { playlist, viewer: Viewer::default(), lines: Vec::new(), maps: HashMap::new(), folder }
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

    /// Looks for so long.
    pub(crate) fn watch(&mut self, origin: &Origin, span: Duration) {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.look(origin);
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
        let mut played = 0.0;
        let lines = &self.lines[from..];
        let begun = lines.first().map(|line| line.listed);
        let late = lines.iter().map(|line| {
            let late = line.listed.duration_since(begun.unwrap()).as_secs_f64() - played;
            played += line.seconds;
            late
        });
        late.fold(0.0, f64::max)
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

/// Where frames do not follow each other: the one before, and the one behind.
pub(crate) fn jumps(frames: &[u32]) -> Vec<(u32, u32)> {
    frames.windows(2).filter(|two| two[1] != two[0] + 1).map(|two| (two[0], two[1])).collect()
}
