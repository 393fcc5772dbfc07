//! Playlists as they come from the server -> playlists of files beside them.

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use anyhow::bail;

use super::NOWHERE;
use crate::app::client::Url;
use crate::hls::history::NO_URI;
use crate::hls::playlist::{self, ByteRange, Media, Playlist};
use crate::hls::renditions::{Choice, choose, uri};
use crate::model::clock::WallTime;

/// What is to be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) url: Url,
    pub(super) range: Option<ByteRange>,
    /// Where to, below the harvest's folder.
    pub(super) path: String,
}

/// A media playlist, and all that it needs.
#[derive(Debug)]
pub(super) struct MediaCopy {
    pub(super) url: Url,
    pub(super) folder: String,
    pub(super) text: String,
    pub(super) pieces: Vec<Piece>,
}

/// A media playlist that is named, and was not to be had.
#[derive(Debug)]
pub(super) struct UnreadMedia {
    /// What a plan calls it.
    pub(super) from: String,
    pub(super) url: Url,
    /// Where it would go.
    pub(super) folder: String,
    /// Which it is, and why.
    pub(super) why: String,
    /// It is not known whether there is anything of it.
    pub(super) is_passing: bool,
}

/// Segments one after the other of which nothing is there (EXT-X-GAP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GapSpan {
    pub(super) segments: u64,
    /// When they begin, where the encoder has said it.
    begins: Option<WallTime>,
    /// How far into the recording that is.
    offset: Duration,
    length: Duration,
}

impl fmt::Display for GapSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segments, begins, offset, length } = *self;
        write!(f, "{segments} segment{}, ", if segments == 1 { "" } else { "s" })?;
        match begins {
            Some(begins) => write!(f, "{begins} to {}", begins + length),
            None => write!(f, "from {:.1} s to {:.1} s into it", offset.as_secs_f64(), (offset + length).as_secs_f64()),
        }
    }
}

/// The gaps that a media playlist states, oldest first.
pub(super) fn gaps(text: &str) -> Vec<GapSpan> {
    let Ok(Playlist::Media(media)) = playlist::parse(text.as_bytes()) else { return Vec::new() };
    let (mut gaps, mut offset, mut date, mut is_open) = (Vec::<GapSpan>::new(), Duration::ZERO, None, false);
    for segment in &media.segments {
        date = segment.program_date_time.or(date);
        match gaps.last_mut().filter(|_| is_open) {
            Some(gap) if segment.gap => {
                (gap.segments, gap.length) = (gap.segments + 1, gap.length.saturating_add(segment.duration));
            }
            _ if segment.gap => gaps.push(GapSpan { segments: 1, begins: date, offset, length: segment.duration }),
            _ => {}
        }
        is_open = segment.gap;
        offset = offset.saturating_add(segment.duration);
        date = date.map(|date| date + segment.duration);
    }
    gaps
}

/// How many segments a media playlist lists that are there.
pub(super) fn segments(text: &str) -> usize {
    match playlist::parse(text.as_bytes()) {
        Ok(Playlist::Media(media)) => media.segments.iter().filter(|segment| !segment.gap).count(),
        _ => 0,
    }
}

/// The line with its `URI="…"` replaced, if there is one and something to put there.
fn replace_uri(line: &str, with: impl FnOnce(&str) -> Option<String>) -> String {
    let replaced = || {
        let start = line.find("URI=\"")? + 5;
        let end = start + line[start..].find('"')?;
        Some([&line[..start], &with(&line[start..end])?, &line[end..]].concat())
    };
    replaced().unwrap_or_else(|| line.to_owned())
}

/// The media playlists that a multivariant playlist names, each once.
pub(super) fn children(text: &str, entry: &Url) -> Vec<Url> {
    let (mut children, mut known) = (Vec::new(), HashSet::new());
    let _ = choose(text, |uri| {
        if let Some(url) = entry.join(uri).ok().filter(|url| known.insert(url.clone())) {
            children.push(url);
        }
        Choice::LeftOut
    });
    children
}

/// The multivariant playlist that names what is planned and what a later run may take up (`unread`), and nothing else. There is one pathway, so
/// it needs no steering; keys are named as the media playlists name them. `None`: nothing of it can be played.
pub(super) fn rewrite_multivariant(
    text: &str,
    entry: &Url,
    plans: &[MediaCopy],
    unread: &[UnreadMedia],
    keys: bool,
) -> Option<String> {
    let planned = plans.iter().map(|plan| (&plan.url, &*plan.folder));
    let folders: HashMap<&Url, &str> = planned.chain(unread.iter().map(|media| (&media.url, &*media.folder))).collect();
    let chosen = choose(text, |uri| {
        let folder = entry.join(uri).ok().and_then(|url| folders.get(&url));
        folder.map_or(Choice::LeftOut, |folder| Choice::Named(format!("{folder}/playlist.m3u8")))
    })?;
    // The first of each, and only where one is looked for.
    let pieces = LazyCell::new(|| {
        let pieces = plans.iter().flat_map(|plan| &plan.pieces).rev();
        pieces.map(|piece| (&piece.url, &*piece.path)).collect::<HashMap<_, _>>()
    });
    let place = |uri: &str| {
        let url = entry.join(uri).ok()?;
        let copied = pieces.get(&url).map(|path| (*path).to_owned());
        let remote = Some(url.to_string()).filter(|url| !keys && !url.starts_with(NOWHERE));
        copied.or(remote)
    };
    let kept = chosen.text.lines().filter_map(|line| {
        if line.starts_with("#EXT-X-CONTENT-STEERING") {
            return None;
        }
        let is_session = line.starts_with("#EXT-X-SESSION-KEY:") || line.starts_with("#EXT-X-SESSION-DATA:");
        match uri(line).filter(|_| is_session) {
            // Of another scheme it is no file, but a name for a system of rights.
            Some(at) if entry.join(&line[at.clone()]).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) => {
                place(&line[at.clone()]).map(|place| [&line[..at.start], &place, &line[at.end..]].concat())
            }
            _ => Some(line.to_owned()),
        }
    });
    Some(kept.fold(String::new(), |text, line| text + &line + "\n"))
}

/// What is to be copied of a media playlist at `url` to a folder, and the playlist to be put there. Without `keys` the playlist names
/// the content keys where they are. The work and memory are in proportion to the text, whatever it lists.
pub(super) fn plan(text: &str, url: &Url, folder: String, keys: bool) -> anyhow::Result<MediaCopy> {
    let Ok(Playlist::Media(media)) = playlist::parse(text.as_bytes()) else { bail!("what is named as a media playlist is none") };
    if !media.ended {
        bail!("the playlist has no end: this server, or a cache in between, does not cut playlists by start and end");
    }
    let mut names =
        FileNames { folder, taken: HashSet::new(), counts: HashMap::new(), known: HashMap::new(), pieces: Vec::new(), url };
    let mut out = String::with_capacity(text.len());
    let Media { segments, maps, verbatim, .. } = &media;
    // Which map a line is: looked up, since a list of many of them is not to be searched for each.
    let places: HashMap<&str, usize> = verbatim.maps.iter().map(|map| &**map).zip(0..).collect();
    let mut segments = segments.iter();
    for line in text.lines().map(str::trim_ascii) {
        let line = if let Some(list) = line.strip_prefix("#EXT-X-MAP:") {
            let map = places.get(list.trim_ascii()).and_then(|at| maps.get(*at));
            match map.and_then(|map| names.add(&map.uri, map.range)) {
                Some(name) => format!("#EXT-X-MAP:URI=\"{name}\""),
                None => bail!("an initialisation segment has no URL that can be asked"),
            }
        } else if line.starts_with("#EXT-X-KEY:") {
            replace_uri(line, |uri| {
                let key = url.join(uri).ok().filter(|key| matches!(key.scheme(), "http" | "https"))?;
                if keys { names.add(uri, None) } else { Some(key.to_string()) }
            })
        } else if line.starts_with("#EXT-X-BYTERANGE:") {
            // Each part becomes a file of its own.
            continue;
        } else if line.is_empty() || line.starts_with('#') {
            line.to_owned()
        } else {
            match segments.next() {
                // There is nothing to be copied, and no file to be named.
                Some(segment) if segment.gap => NO_URI.to_owned(),
                segment => match segment.and_then(|segment| names.add(&segment.uri, segment.range)) {
                    Some(name) => name,
                    None => bail!("a segment has no URL that can be asked"),
                },
            }
        };
        out += &line;
        out.push('\n');
    }
    Ok(MediaCopy { url: url.clone(), folder: names.folder, text: out, pieces: names.pieces })
}

/// Names of files, each once in its folder.
struct FileNames<'a> {
    folder: String,
    taken: HashSet<String>,
    /// How often a file was to be called so.
    counts: HashMap<String, usize>,
    known: HashMap<(Url, Option<(u64, u64)>), String>,
    pieces: Vec<Piece>,
    url: &'a Url,
}

impl FileNames<'_> {
    fn add(&mut self, uri: &str, range: Option<ByteRange>) -> Option<String> {
        let url = self.url.join(uri).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let id = (url.clone(), range.map(|range| (range.start, range.length)));
        if let Some(name) = self.known.get(&id) {
            return Some(name.clone());
        }
        // The name it had, as far as every file system and player takes it.
        let last = url.path().rsplit('/').next().unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
        let last: String = last.trim_start_matches('.').chars().rev().take(100).map(plain).collect();
        let last: String = last.chars().rev().collect();
        let (stem, extension) = last.rsplit_once('.').unwrap_or((&last, "bin"));
        // A folder's name ends in a slash: what has no name of its own gets one, and is not hidden.
        let stem = if stem.is_empty() { "file" } else { stem };
        let begin = range.map_or_else(String::new, |range| format!("-{}", range.start));
        let mut name = format!("{stem}{begin}.{extension}");
        // Counted on from the last one of that name: a list of many of them is not searched from the beginning for each.
        let counted = self.counts.entry(format!("{stem}{begin}.{extension}").to_ascii_lowercase()).or_insert(1);
        let mut count = std::mem::replace(counted, *counted + 1);
        if count > 1 {
            name = format!("{stem}{begin}-{count}.{}", if extension == "part" { "bin" } else { extension });
        }
        while matches!(&*name, "playlist.m3u8" | "master.m3u8" | "harvest.json")
            || extension == "part" && count == 1
            || !self.taken.insert(name.to_ascii_lowercase())
        {
            count += 1;
            name = format!("{stem}{begin}-{count}.{}", if extension == "part" { "bin" } else { extension });
        }
        let path = if self.folder.is_empty() { name.clone() } else { format!("{}/{name}", self.folder) };
        self.pieces.push(Piece { url, range, path });
        self.known.insert(id, name.clone());
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_files_beside_and_each_once() {
        let url = Url::parse("http://h/cache/live/a/p.m3u8?start=1").unwrap();
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"../k.key?x=1\"\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"9@0\"\n\
                    #EXTINF:2,\n../b/s.m4s\n#EXTINF:2,\ns.m4s\n#EXT-X-BYTERANGE:5@7\n#EXTINF:2,\nall.mp4\n#EXTINF:2,\n..%2f%2e%2e/x/..%2fy\n\
                    #EXTINF:2,\nplaylist.m3u8\n#EXT-X-GAP\n#EXTINF:2,\nlost.ts\n#EXTINF:2,\ns.m4s\n#EXT-X-ENDLIST\n";
        let plan = super::plan(text, &url, "0".to_owned(), true).unwrap();
        let paths: Vec<_> = plan.pieces.iter().map(|piece| &*piece.path).collect();
        let expected = ["0/k.key", "0/i-0.mp4", "0/s.m4s", "0/s-2.m4s", "0/all-7.mp4", "0/_2fy.bin", "0/playlist-2.m3u8"];
        assert_eq!(paths, expected);
        assert!(
            plan.text.contains("URI=\"k.key\"\n#EXT-X-MAP:URI=\"i-0.mp4\"\n#EXTINF:2,\ns.m4s\n#EXTINF:2,\ns-2.m4s\n"),
            "{}",
            plan.text
        );
        assert!(!plan.text.contains("BYTERANGE"));
        assert!(plan.text.ends_with("#EXT-X-GAP\n#EXTINF:2,\ngap\n#EXTINF:2,\ns-2.m4s\n#EXT-X-ENDLIST\n"), "{}", plan.text);
        let elsewhere = super::plan(text, &url, String::new(), false).unwrap();
        assert!(elsewhere.text.contains("URI=\"http://h/cache/live/k.key?x=1\""), "{}", elsewhere.text);
        assert!(super::plan(&text.replace("#EXT-X-ENDLIST\n", ""), &url, String::new(), true).is_err());
    }

    #[test]
    fn gaps_are_told_by_their_dates_or_by_how_far_into_it_they_are() {
        let url = Url::parse("http://h/cache/live/p.m3u8").unwrap();
        let told = |dates: [&str; 6]| {
            let segment = |(number, date): (usize, &str)| {
                let date = if date.is_empty() { String::new() } else { format!("#EXT-X-PROGRAM-DATE-TIME:{date}\n") };
                let gap = if [1, 2, 5].contains(&number) { "#EXT-X-GAP\n" } else { "" };
                format!("{date}{gap}#EXTINF:2,\n{number}.ts\n")
            };
            let listed: String = dates.into_iter().enumerate().map(segment).collect();
            let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{listed}#EXT-X-ENDLIST\n");
            let planned = super::plan(&text, &url, String::new(), false).unwrap();
            gaps(&planned.text).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let dated = told(["2026-01-02T20:15:00Z", "", "", "", "2026-01-02T20:16:00Z", ""]);
        assert_eq!(
            dated,
            [
                "2 segments, 2026-01-02T20:15:02.000Z to 2026-01-02T20:15:06.000Z",
                "1 segment, 2026-01-02T20:16:02.000Z to 2026-01-02T20:16:04.000Z"
            ]
        );
        assert_eq!(told([""; 6]), ["2 segments, from 2.0 s to 6.0 s into it", "1 segment, from 10.0 s to 12.0 s into it"]);
    }

    #[test]
    fn a_recordings_multivariant_playlist_names_what_is_in_it() {
        let entry = Url::parse("http://h/cache/live/m.m3u8?start=1").unwrap();
        let master = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer\"\n#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"a/k.key\"\n\
                      #EXT-X-SESSION-DATA:DATA-ID=\"d\",URI=\"d.json\"\n\
                      #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"en\",URI=\"s.m3u8\"\n\
                      #EXT-X-STREAM-INF:BANDWIDTH=1,SUBTITLES=\"s\"\na/v.m3u8?start=1\n\
                      #EXT-X-STREAM-INF:BANDWIDTH=2\nhttp://elsewhere/v.m3u8\n";
        let urls: Vec<_> = children(master, &entry).iter().map(ToString::to_string).collect();
        assert_eq!(urls, ["http://h/cache/live/s.m3u8", "http://h/cache/live/a/v.m3u8?start=1", "http://elsewhere/v.m3u8"]);
        let media =
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.key\"\n#EXTINF:2,\n1.ts\n#EXT-X-ENDLIST\n";
        let url = Url::parse(&urls[1]).unwrap();
        let rewritten = |keys| {
            let plan = super::plan(media, &url, "1".to_owned(), keys).unwrap();
            rewrite_multivariant(master, &entry, &[plan], &[], keys).unwrap()
        };
        let end = "#EXT-X-STREAM-INF:BANDWIDTH=1\n1/playlist.m3u8\n";
        let key = |place: &str| format!("#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"{place}\"\n");
        assert_eq!(rewritten(true), format!("#EXTM3U\n{}{end}", key("1/k.key")));
        let data = "#EXT-X-SESSION-DATA:DATA-ID=\"d\",URI=\"http://h/cache/live/d.json\"\n";
        assert_eq!(rewritten(false), format!("#EXTM3U\n{}{data}{end}", key("http://h/cache/live/a/k.key")));
        assert_eq!(rewrite_multivariant(master, &entry, &[], &[], true), None);
        let unread = UnreadMedia {
            from: "http://elsewhere/v.m3u8".to_owned(),
            url: Url::parse(&urls[2]).unwrap(),
            folder: "2".to_owned(),
            why: String::new(),
            is_passing: true,
        };
        let named = rewrite_multivariant(master, &entry, &[], &[unread], true).unwrap();
        assert_eq!(named, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2\n2/playlist.m3u8\n");
    }
}
