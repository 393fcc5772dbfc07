//! What a harvest is to copy, as it is remembered: a later run copies the rest of the same, whatever the source lists by then.
//!
//! Invariants: as long as the plan stands, a file's name stands for the same bytes. What may be a key is in none of its addresses.

use std::collections::HashSet;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::listing::{ListedMedia, WindowListing};
use super::recording::{self, MediaCopy, Piece, UnreadMedia};
use super::whereabouts::{PartRange, PieceSource, Whereabouts, part_of};
use super::{MASTER, NOWHERE, PLAYLIST};
use crate::app::client::Url;
use crate::hls::history::NO_URI;
use crate::hls::renditions::{Choice, choose, uri};

/// All that is copied of a window, by the names that it has in the recording.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordingPlan {
    /// The multivariant playlist, where that is what is copied. It names what is lost, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) master: Option<String>,
    pub(super) media: Vec<PlannedMedia>,
    /// Whether content keys are copied, too.
    pub(super) keys: bool,
    /// Which media playlists have nothing in the window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
    /// Those that it names and that were not to be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lost: Vec<LostMedia>,
}

/// A media playlist, with the files it names.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlannedMedia {
    /// What it is of, as for a file.
    #[serde(default)]
    pub(super) from: String,
    folder: String,
    text: String,
    pub(super) pieces: Vec<PlannedPiece>,
}

/// A file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlannedPiece {
    /// What it is of: where that is, as far as it may be written down.
    pub(super) from: String,
    /// First byte and length, where it is a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) range: Option<PartRange>,
    pub(super) path: String,
}

/// A media playlist that was not to be had: a later run takes it up, if it is by then.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LostMedia {
    from: String,
    folder: String,
    why: String,
}

impl PlannedPiece {
    /// Whether a file of this length may be it.
    pub(super) fn fits(&self, length: u64) -> bool {
        self.range.is_none_or(|(_, expected)| expected == length)
    }
}

/// What a run is to copy.
#[derive(Debug)]
pub(super) struct MadePlan {
    pub(super) plan: RecordingPlan,
    pub(super) whereabouts: Whereabouts,
    /// Whether there is more in it than was planned before, so that it has to be written down.
    pub(super) is_new: bool,
}

/// Plans what is listed; or, where something is planned already, finds that, and takes up what was lost to it and is there now. `None`: nothing
/// is there any more. The work and memory are in proportion to the texts.
pub(super) fn made(known: Option<RecordingPlan>, listing: Option<WindowListing>, keys: bool) -> anyhow::Result<MadePlan> {
    let Some(WindowListing { entry, master, media, unread, left_out }) = listing else {
        let plan = known.unwrap_or_default();
        return Ok(MadePlan { plan, whereabouts: Whereabouts::default(), is_new: false });
    };
    let (mut names, mut copies) = (Vec::with_capacity(media.len()), Vec::with_capacity(media.len()));
    for ListedMedia { from, url, folder, text } in media {
        // It goes where an earlier run would have put it.
        let lost = known.as_ref().and_then(|known| known.lost.iter().find(|lost| lost.from == from));
        let folder = lost.map_or(folder, |lost| lost.folder.clone());
        let copy = recording::plan(&text, &url, folder, keys)?;
        if copy.text.contains(NOWHERE) {
            bail!(
                "the playlist's content keys are on this server: ask for them with \"keys\": true, or name the server in \"base\""
            );
        }
        names.push(from);
        copies.push(copy);
    }
    let Some(mut plan) = known else {
        let rewritten = master.map(|text| recording::rewrite_multivariant(&text, &entry, &copies, &unread, keys));
        let master = rewritten.map(|master| master.context("there is nothing to play in this window")).transpose()?;
        let (media, mut whereabouts) = planned(names, copies, &entry, |_| true);
        note_unread(&mut whereabouts, &unread, &entry);
        let lost = unread.into_iter().map(|UnreadMedia { from, folder, why, .. }| LostMedia { from, folder, why }).collect();
        return Ok(MadePlan { plan: RecordingPlan { master, media, keys, left_out, lost }, whereabouts, is_new: true });
    };
    let (media, mut whereabouts) = planned(names, copies, &entry, |from| plan.lost.iter().any(|lost| lost.from == from));
    note_unread(&mut whereabouts, &unread, &entry);
    let is_new = !media.is_empty();
    plan.lost.retain(|lost| !media.iter().any(|taken_up| taken_up.from == lost.from));
    plan.media.extend(media);
    for lost in &mut plan.lost {
        if let Some(media) = unread.iter().find(|media| media.from == lost.from) {
            lost.why.clone_from(&media.why);
        }
    }
    Ok(MadePlan { plan, whereabouts, is_new })
}

fn note_unread(whereabouts: &mut Whereabouts, unread: &[UnreadMedia], entry: &Url) {
    for media in unread.iter().filter(|media| media.is_passing) {
        whereabouts.miss(&media.url, entry);
    }
}

/// Where all of these are to be had, and what is planned of those that are wanted, by their names. `entry`: the playlist's URL.
fn planned(
    names: Vec<String>,
    copies: Vec<MediaCopy>,
    entry: &Url,
    is_wanted: impl Fn(&str) -> bool,
) -> (Vec<PlannedMedia>, Whereabouts) {
    let mut whereabouts = Whereabouts::of(copies.iter().flat_map(|copy| &copy.pieces), entry);
    let mut media = Vec::new();
    for (from, MediaCopy { folder, text, pieces, .. }) in names.into_iter().zip(copies) {
        let is_wanted = is_wanted(&from);
        let mut planned = Vec::with_capacity(if is_wanted { pieces.len() } else { 0 });
        for piece in pieces {
            let from = is_wanted.then(|| whereabouts.name(&piece, entry));
            let Piece { url, range, path } = piece;
            planned.extend(from.map(|from| PlannedPiece { from, range: part_of(range), path }));
            whereabouts.add(PieceSource { url, range });
        }
        if is_wanted {
            media.push(PlannedMedia { from, folder, text, pieces: planned });
        }
    }
    (media, whereabouts)
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
    /// Which media playlists are not in it, each with the reason.
    pub(super) fn left_out(&self) -> impl Iterator<Item = &String> {
        self.left_out.iter().chain(self.lost.iter().map(|lost| &lost.why))
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
                let lost: HashSet<String> = self.lost.iter().map(|lost| beside(&lost.folder, PLAYLIST)).collect();
                let named = |name: &str| {
                    let is_lost = left_out.iter().any(|lost| lost == name) || lost.contains(name);
                    if is_lost { Choice::LeftOut } else { Choice::Named(name.to_owned()) }
                };
                let is_whole = left_out.is_empty() && lost.is_empty();
                let text = if is_whole { text.clone() } else { choose(text, named)?.text };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::harvest::whereabouts;

    fn copied(text: &str, query: &str) -> (RecordingPlan, Whereabouts) {
        copied_from("http://h:8080", text, query)
    }

    fn copied_from(host: &str, text: &str, query: &str) -> (RecordingPlan, Whereabouts) {
        let entry = Url::parse(&format!("{host}/cache/live/~{}/v/p.m3u8{query}", "a".repeat(60))).unwrap();
        let media = ListedMedia { from: "p".to_owned(), url: entry.clone(), folder: "0".to_owned(), text: text.to_owned() };
        let listing = WindowListing { entry, master: None, media: vec![media], unread: Vec::new(), left_out: Vec::new() };
        let made = made(None, Some(listing), true).unwrap();
        assert!(made.is_new);
        (made.plan, made.whereabouts)
    }

    fn found<'a>(plan: &RecordingPlan, places: &'a Whereabouts) -> Vec<Option<&'a Url>> {
        plan.pieces().map(|piece| places.find(&piece.from, piece.range).map(|source| &source.url)).collect()
    }

    fn queries<'a>(plan: &RecordingPlan, places: &'a Whereabouts) -> Vec<Option<&'a str>> {
        found(plan, places).into_iter().map(|url| url.map(|url| url.query().unwrap_or_default())).collect()
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
        let paths: Vec<_> = plan.pieces().map(|piece| &*piece.path).collect();
        assert_eq!(paths, ["0/1.ts", "0/1-2.ts"]);
        assert!(found(&plan, &places)[0].unwrap().path().ends_with("/20/1.ts"));
        // The first of them is to be had no more: the other's name is not its.
        let (_, later) = copied(&listed("#EXTINF:2,\n21/1.ts?sign=other\n"), "");
        assert_eq!(queries(&plan, &later), [None, Some("sign=other")]);
        // Where nothing else tells two apart, what they are asked with does.
        let (plan, places) = copied(&listed("#EXTINF:2,\ns.ts?n=1\n#EXTINF:2,\ns.ts?n=2\n"), "");
        assert_eq!(queries(&plan, &places), [Some("n=1"), Some("n=2")]);
        let (_, later) = copied(&listed("#EXTINF:2,\ns.ts?n=2\n"), "");
        assert_eq!(queries(&plan, &later), [None, Some("n=2")]);
        // So does that one is asked with nothing.
        let (plan, places) = copied(&listed("#EXTINF:2,\ns.ts\n#EXTINF:2,\ns.ts?n=2\n"), "");
        assert_eq!(queries(&plan, &places), [Some(""), Some("n=2")]);
        assert_eq!(queries(&plan, &later), [None, Some("n=2")]);
        let (_, later) = copied(&listed("#EXTINF:2,\ns.ts\n"), "");
        assert_eq!(queries(&plan, &later), [Some(""), None]);
        // By whichever name the host is asked; another host is another.
        let text = listed("#EXTINF:2,\ns.ts\n#EXTINF:2,\nhttp://cdn.example/s.ts\n");
        let (plan, _) = copied(&text, "");
        let (_, later) = copied_from("https://live.example", &text.replace("cdn.example", "other.example"), "");
        assert_eq!(queries(&plan, &later), [Some(""), None]);
    }

    /// Four renditions, and what a run finds of them: `Ok` is read, `Err` is not to be had, for the moment where that is said.
    fn looked(found: [Result<&str, (&str, bool)>; 4]) -> WindowListing {
        let uris = ["hi.m3u8", "http://cdn.example/p.m3u8?v=1", "lo.m3u8", "http://cdn.example/p.m3u8?v=2"];
        let entry = Url::parse("http://h/cache/live/m.m3u8?end=1").unwrap();
        let urls = uris.map(|uri| entry.join(uri).unwrap());
        let names = whereabouts::names(&urls, &entry);
        let (mut media, mut unread) = (Vec::new(), Vec::new());
        for (number, ((url, from), found)) in urls.into_iter().zip(names).zip(found).enumerate() {
            // Counted as they are named now: those before may be gone.
            let folder = number.to_string();
            match found {
                Ok(lines) => media.push(ListedMedia { from, url, folder, text: listed(lines) }),
                Err((why, is_passing)) => {
                    unread.push(UnreadMedia { from, url, folder, why: why.to_owned(), is_passing });
                }
            }
        }
        let variants = uris.map(|uri| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{uri}\n")).concat();
        WindowListing { entry, master: Some(format!("#EXTM3U\n{variants}")), media, unread, left_out: vec!["x".to_owned()] }
    }

    fn named(plan: &RecordingPlan) -> Vec<String> {
        let master = plan.finished(&HashSet::new()).unwrap().master.unwrap();
        master.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn what_was_not_to_be_had_at_first_is_taken_up_by_a_later_run() {
        let (one, two) = (Ok("#EXTINF:2,\n1.ts\n"), Ok("#EXTINF:2,\n2.ts\n"));
        let first = looked([one, Err(("refused", true)), Err(("404", false)), Err(("503", true))]);
        let MadePlan { plan, whereabouts, .. } = made(None, Some(first), false).unwrap();
        assert_eq!((named(&plan), plan.files().count()), (vec!["0/playlist.m3u8".to_owned()], 3));
        assert_eq!(plan.left_out().collect::<Vec<_>>(), ["x", "refused", "404", "503"]);
        assert!(whereabouts.is_unread(&plan.lost[0].from) && !whereabouts.is_unread(&plan.lost[1].from));
        // As it is remembered.
        let plan: RecordingPlan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        let again = looked([one, Err(("503", true)), Err(("410", false)), Err(("503", true))]);
        let MadePlan { plan, is_new, .. } = made(Some(plan), Some(again), false).unwrap();
        assert!(!is_new && plan.media.len() == 1);
        assert_eq!(plan.left_out().collect::<Vec<_>>(), ["x", "503", "410", "503"], "why it is so now");
        let MadePlan { plan, is_new, .. } = made(Some(plan), None, false).unwrap();
        assert!(!is_new && plan.media.len() == 1, "there is nothing any more");
        // Two of them are there now, and what was planned is not for the moment.
        let later = looked([Err(("no playlist", true)), Err(("503", true)), two, two]);
        let MadePlan { plan, whereabouts, is_new } = made(Some(plan), Some(later), false).unwrap();
        assert_eq!(named(&plan), ["0/playlist.m3u8", "2/playlist.m3u8", "3/playlist.m3u8"]);
        assert!(is_new && whereabouts.is_unread(&plan.media[0].from) && !whereabouts.is_unread(&plan.media[1].from));
        let paths: Vec<_> = plan.pieces().map(|piece| &*piece.path).collect();
        assert_eq!((paths, plan.left_out().count()), (vec!["0/1.ts", "2/2.ts", "3/2.ts"], 2));
        assert_eq!(found(&plan, &whereabouts).iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true]);
        // It is planned now, and is taken up no more.
        let last = looked([one, two, one, one]);
        let MadePlan { plan, is_new, .. } = made(Some(plan), Some(last), false).unwrap();
        assert!(is_new && named(&plan).len() == 4 && plan.lost.is_empty());
        let paths: Vec<_> = plan.pieces().map(|piece| &*piece.path).collect();
        assert_eq!(paths, ["0/1.ts", "2/2.ts", "3/2.ts", "1/2.ts"], "what was planned stays");
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
            from: String::new(),
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
