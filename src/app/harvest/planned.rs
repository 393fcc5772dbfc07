//! What a harvest is to copy, as it is remembered: a later run copies the rest of the same, whatever the source lists by then.
//!
//! Invariants: as long as the plan stands, a file's name stands for the same bytes. What may be a key is in none of its addresses.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::recording::{MediaCopy, Piece};
use super::{MASTER, PLAYLIST};
use crate::app::client::{Url, redacted};
use crate::auth::signing::{hex, sha256};
use crate::hls::history::NO_URI;
use crate::hls::renditions::{Choice, choose, uri};

/// All that is copied of a window, by the names that it has in the recording.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordingPlan {
    /// The multivariant playlist, where that is what is copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) master: Option<String>,
    media: Vec<PlannedMedia>,
    /// Whether content keys are copied, too.
    pub(super) keys: bool,
    /// Which media playlists have nothing in the window, or how much of them was named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) left_out: Vec<String>,
}

/// A media playlist, with the files it names.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PlannedMedia {
    folder: String,
    text: String,
    pieces: Vec<PlannedPiece>,
}

/// A file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlannedPiece {
    /// What it is of: where that is, as far as it may be written down.
    from: String,
    /// First byte and length, where it is a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<(u64, u64)>,
    pub(super) path: String,
}

impl PlannedPiece {
    /// Whether a file of this length may be it.
    pub(super) fn fits(&self, length: u64) -> bool {
        self.range.is_none_or(|(_, expected)| expected == length)
    }
}

/// Where what is planned is to be had now, by what the plan calls it.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    pieces: HashMap<PieceAddress, Piece>,
    /// Other hosts' playlists that could not be read: what they list is not known.
    pub(super) unread: Vec<Url>,
}

/// What a plan calls a file's source.
type PieceAddress = (String, Option<(u64, u64)>);

impl Whereabouts {
    /// `None`: it is listed no more.
    pub(super) fn of(&self, piece: &PlannedPiece) -> Option<&Piece> {
        self.pieces.get(&(piece.from.clone(), piece.range))
    }

    /// Whether it may be to be had all the same: its host could not be asked.
    pub(super) fn is_unknown(&self, piece: &PlannedPiece) -> bool {
        self.unread.iter().any(|url| piece.from.starts_with(&host_of(url)))
    }
}

/// How what was planned is written in the end, with gaps where nothing is to be had any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FinishedPlaylists {
    /// Each media playlist's name and text.
    pub(super) media: Vec<(String, String)>,
    pub(super) master: Option<String>,
    /// Media playlists of which there is nothing at all.
    pub(super) left_out: Vec<String>,
}

impl RecordingPlan {
    /// What becomes of these, and where it is to be had. `entry`: the playlist's URL; by which name its host was asked counts for nothing.
    pub(super) fn new(copies: Vec<MediaCopy>, master: Option<String>, entry: &Url, keys: bool) -> (Self, Whereabouts) {
        let called = |url: &Url, by_query: bool| called(url, entry, by_query);
        let (mut places, mut doubled) = (HashMap::<PieceAddress, Piece>::new(), HashSet::new());
        for piece in copies.iter().flat_map(|copy| &copy.pieces) {
            places.insert((called(&piece.url, true), range_of(piece)), piece.clone());
            let plain = (called(&piece.url, false), range_of(piece));
            let other = places.insert(plain.clone(), piece.clone());
            if other.is_some_and(|other| other.url.query() != piece.url.query()) {
                doubled.insert(plain);
            }
        }
        places.retain(|name, _| !doubled.contains(name));
        let planned = |piece: Piece| {
            let range = range_of(&piece);
            let from = Some(called(&piece.url, false)).filter(|from| !doubled.contains(&(from.clone(), range)));
            PlannedPiece { from: from.unwrap_or_else(|| called(&piece.url, true)), range, path: piece.path }
        };
        let media = copies.into_iter().map(|MediaCopy { folder, text, pieces, .. }| {
            let pieces = pieces.into_iter().map(planned).collect();
            PlannedMedia { folder, text, pieces }
        });
        let plan = Self { master, media: media.collect(), keys, left_out: Vec::new() };
        (plan, Whereabouts { pieces: places, unread: Vec::new() })
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = &PlannedPiece> {
        self.media.iter().flat_map(|media| &media.pieces)
    }

    /// What is written, by its name.
    pub(super) fn files(&self) -> impl Iterator<Item = String> {
        let master = self.master.as_ref().map(|_| MASTER.to_owned());
        let playlists = self.media.iter().map(|media| beside(&media.folder, PLAYLIST));
        self.pieces().map(|piece| piece.path.clone()).chain(playlists).chain(master)
    }

    /// The media playlists' texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.media.iter().map(|media| &*media.text)
    }

    /// The playlists, when these files are neither there nor to be had any more. `None`: there is nothing to play.
    pub(super) fn finished(&self, gone: &HashSet<&str>) -> Option<FinishedPlaylists> {
        let (mut media, mut left_out) = (Vec::new(), Vec::new());
        for planned in &self.media {
            let name = beside(&planned.folder, PLAYLIST);
            match planned.with_gaps(gone) {
                Some(text) => media.push((name, text)),
                None => left_out.push(name),
            }
        }
        if media.is_empty() {
            return None;
        }
        let master = match &self.master {
            Some(text) => {
                let named = |name: &str| {
                    let is_lost = left_out.iter().any(|lost| lost == name);
                    if is_lost { Choice::LeftOut } else { Choice::Named(name.to_owned()) }
                };
                let text = if left_out.is_empty() { text.clone() } else { choose(text, named)?.text };
                let is_lost = |line: &str| line.starts_with("#EXT-X-SESSION-") && is_one_of(gone, "", line);
                Some(text.lines().filter(|line| !is_lost(line)).fold(String::new(), |text, line| text + line + "\n"))
            }
            None => None,
        };
        Some(FinishedPlaylists { media, master, left_out })
    }
}

impl PlannedMedia {
    /// The text with gaps in place of these files, and of what can't be played without them. `None`: nothing else is left.
    fn with_gaps(&self, gone: &HashSet<&str>) -> Option<String> {
        if !self.pieces.iter().any(|piece| gone.contains(&*piece.path)) {
            return Some(self.text.clone());
        }
        let (mut text, mut left) = (String::with_capacity(self.text.len()), 0_usize);
        let (mut lacks_map, mut lacks_key) = (false, false);
        for line in self.text.lines() {
            if line.starts_with("#EXT-X-MAP:") {
                lacks_map = is_one_of(gone, &self.folder, line);
                if lacks_map {
                    continue;
                }
            } else if line.starts_with("#EXT-X-KEY:") {
                lacks_key = is_one_of(gone, &self.folder, line);
                if lacks_key {
                    continue;
                }
            } else if !line.is_empty() && !line.starts_with('#') && line != NO_URI {
                if lacks_map || lacks_key || gone.contains(&*beside(&self.folder, line)) {
                    text += &format!("#EXT-X-GAP\n{NO_URI}\n");
                    continue;
                }
                left += 1;
            }
            text += line;
            text.push('\n');
        }
        (left > 0).then_some(text)
    }
}

/// Whether a tag's URI is one of these files, seen from a folder.
fn is_one_of(files: &HashSet<&str>, folder: &str, line: &str) -> bool {
    uri(line).is_some_and(|place| files.contains(&*beside(folder, &line[place])))
}

/// What a file in a media playlist's folder is called.
fn beside(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn range_of(piece: &Piece) -> Option<(u64, u64)> {
    piece.range.map(|range| (range.start, range.length))
}

/// What a URL is called in a plan: of the entry's own host, by its path. What it is asked with may be a key, and another one the next time, so it
/// does not count; where it is all in which two differ, they are told apart by its digest.
fn called(url: &Url, entry: &Url, by_query: bool) -> String {
    let mut bare = url.clone();
    bare.set_query(None);
    let host = if url.origin() == entry.origin() { host_of(url) } else { String::new() };
    let name = redacted(&bare).split_off(host.len().saturating_sub(1));
    match url.query().filter(|_| by_query) {
        Some(query) => format!("{name}?{}", &hex(&sha256(query.as_bytes()))[..32]),
        None => name,
    }
}

/// A URL's beginning, up to its path's first slash.
fn host_of(url: &Url) -> String {
    let mut host = url.clone();
    host.set_path("/");
    host.set_query(None);
    redacted(&host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::harvest::recording;

    fn copied(text: &str, query: &str) -> (RecordingPlan, Whereabouts) {
        copied_from("http://h:8080", text, query)
    }

    fn copied_from(host: &str, text: &str, query: &str) -> (RecordingPlan, Whereabouts) {
        let url = Url::parse(&format!("{host}/cache/live/~{}/v/p.m3u8{query}", "a".repeat(60))).unwrap();
        let copy = recording::plan(text, &url, "0".to_owned(), true).unwrap();
        RecordingPlan::new(vec![copy], None, &url, true)
    }

    fn listed(lines: &str) -> String {
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{lines}#EXT-X-ENDLIST\n")
    }

    #[test]
    fn a_plan_has_no_key_in_it_and_finds_what_is_asked_with_another_one() {
        let segments = |sign: &str| listed(&format!("#EXTINF:2,\n20/1.ts?sign={sign}\n#EXTINF:2,\n21/1.ts?sign={sign}\n"));
        let (plan, places) = copied(&segments("secret1"), "?token=secret2");
        let written = serde_json::to_string(&plan).unwrap();
        assert!(!written.contains("secret") && !written.contains("aaaa"), "{written}");
        assert_eq!(serde_json::from_str::<RecordingPlan>(&written).unwrap(), plan);
        let paths: Vec<_> = plan.pieces().map(|piece| (&*piece.path, places.of(piece).unwrap().url.path())).collect();
        assert!(paths[0].0 == "0/1.ts" && paths[0].1.ends_with("/20/1.ts") && paths[1].0 == "0/1-2.ts", "{paths:?}");
        // The first of them is to be had no more: the other's name is not its.
        let (_, later) = copied(&listed("#EXTINF:2,\n21/1.ts?sign=other\n"), "");
        let found: Vec<_> = plan.pieces().map(|piece| later.of(piece).map(|found| found.url.query().unwrap())).collect();
        assert_eq!(found, [None, Some("sign=other")]);
        // Where nothing else tells two apart, what they are asked with does.
        let (plan, places) = copied(&listed("#EXTINF:2,\ns.ts?n=1\n#EXTINF:2,\ns.ts?n=2\n"), "");
        let found: Vec<_> = plan.pieces().map(|piece| places.of(piece).unwrap().url.query().unwrap()).collect();
        assert_eq!(found, ["n=1", "n=2"]);
        let (_, later) = copied(&listed("#EXTINF:2,\ns.ts?n=2\n"), "");
        assert_eq!(plan.pieces().map(|piece| later.of(piece).is_some()).collect::<Vec<_>>(), [false, true]);
        // By whichever name the host is asked; another host is another.
        let text = listed("#EXTINF:2,\ns.ts\n#EXTINF:2,\nhttp://cdn.example/s.ts\n");
        let (plan, _) = copied(&text, "");
        let (_, mut later) = copied_from("https://live.example", &text.replace("cdn.example", "other.example"), "");
        assert_eq!(plan.pieces().map(|piece| later.of(piece).is_some()).collect::<Vec<_>>(), [true, false]);
        later.unread.push(Url::parse("http://cdn.example/p.m3u8?x=1").unwrap());
        assert_eq!(plan.pieces().map(|piece| later.is_unknown(piece)).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn what_is_gone_is_a_gap_with_what_needs_it() {
        let text = listed(
            "#EXT-X-MAP:URI=\"a.mp4\"\n#EXTINF:2,\n1.m4s\n#EXTINF:2,\n2.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"b.mp4\"\n#EXTINF:2,\n3.m4s\n",
        );
        let (plan, _) = copied(&text, "");
        let finished = |gone: &[&str]| plan.finished(&gone.iter().copied().collect());
        let written = |gone: &[&str]| finished(gone).unwrap().media.remove(0).1;
        assert_eq!(written(&[]), text);
        assert_eq!(written(&["0/2.m4s"]), text.replace("\n2.m4s", "\n#EXT-X-GAP\ngap"));
        let second = text.replace("#EXT-X-MAP:URI=\"b.mp4\"\n#EXTINF:2,\n3.m4s", "#EXTINF:2,\n#EXT-X-GAP\ngap");
        assert_eq!(written(&["0/b.mp4", "0/3.m4s"]), second);
        assert_eq!(written(&["0/b.mp4"]), second, "nothing plays without it");
        assert_eq!(finished(&["0/a.mp4", "0/3.m4s"]), None);
    }

    #[test]
    fn a_rendition_of_which_nothing_is_left_is_named_no_more() {
        let media = |folder: &str| PlannedMedia {
            folder: folder.to_owned(),
            text: listed("#EXTINF:2,\n1.ts\n"),
            pieces: vec![PlannedPiece { from: "http://h/1.ts".to_owned(), range: None, path: format!("{folder}/1.ts") }],
        };
        let variant = |number: u8| format!("#EXT-X-STREAM-INF:BANDWIDTH={number}\n{number}/playlist.m3u8\n");
        let session = "#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"1/k.key\"\n";
        let master = Some(format!("#EXTM3U\n{session}{}{}", variant(0), variant(1)));
        let plan = RecordingPlan { master: master.clone(), media: vec![media("0"), media("1")], ..RecordingPlan::default() };
        assert_eq!(plan.finished(&HashSet::new()).unwrap().master, master);
        let finished = plan.finished(&HashSet::from(["1/k.key", "1/1.ts"])).unwrap();
        assert_eq!((finished.master, finished.media.len()), (Some(format!("#EXTM3U\n{}", variant(0))), 1));
        assert_eq!(finished.left_out, ["1/playlist.m3u8"]);
        assert_eq!(plan.finished(&HashSet::from(["0/1.ts", "1/1.ts"])), None);
    }
}
