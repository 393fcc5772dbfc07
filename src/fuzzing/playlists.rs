//! Playlists and manifests, their histories and recordings, and what is in segments.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::app::{harvests, look, read_back, written};
use crate::hls::coding::{self, Coding};
use crate::hls::fault::Wrong;
use crate::hls::history::{History, Listed, Step};
use crate::hls::mpd;
use crate::hls::normalise::{self, Named, NamedPlace, SourceVersion, StoredSegment, VersionStanding, cut, names};
use crate::hls::playlist::{Playlist, parse, target_duration};
use crate::hls::rewrite::{Parameter, inherit, strip};
use crate::hls::shift::{self, CutSpec, Presence, Window};
use crate::hls::skip::{KnownDateRanges, delta};
use crate::hls::uri::resolve;
use crate::hls::utf16;
use crate::media::{self, Sniffer};
use crate::model::clock::WallTime;
use crate::model::continuity::Continuity;
use crate::model::facts::{MOST_TRACKS, SegmentFacts};
use crate::model::id::{Key, Namespace, ObjectId};
use crate::model::kind::Kind;
use crate::origin::fuzzing::{self, Followed};

/// As many as there can be in it.
fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| matches!(byte, b'\n' | b'\r')).count() + 1
}

/// Of what is compressed no more is made than may be, and the same is made of it with something behind it; and what a reader takes is said
/// in so many words.
pub fn coding(bytes: &[u8]) {
    const LIMIT: usize = 1 << 16;
    assert!(!coding::is_taken(None, b"gzip") && coding::unpack(Coding::Other, bytes, LIMIT).is_err());
    let accepted = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let says = accepted.windows(4).any(|word| word.eq_ignore_ascii_case(b"gzip")) || accepted.contains(&b'*');
    assert!(!coding::is_taken(Some(accepted), b"gzip") || says);
    for coding in [Coding::Gzip, Coding::Deflate] {
        let Ok(clear) = coding::unpack(coding, bytes, LIMIT) else { continue };
        assert!(clear.len() <= LIMIT);
        assert_eq!(coding::unpack(coding, bytes, clear.len()).as_ref(), Ok(&clear), "as much room as it takes is enough");
        assert!(clear.is_empty() || coding::unpack(coding, bytes, clear.len() - 1).is_err());
        if coding == Coding::Gzip {
            assert_eq!(coding::of(None, bytes), Some(Coding::Gzip));
            let twice = [bytes, b"\0\0\0"].concat();
            assert!(coding::unpack(coding, &twice, LIMIT).is_ok_and(|padded| padded.starts_with(&clear)));
        }
    }
    if let Some((text, how)) = utf16::decode(bytes) {
        let again = utf16::encode(&text, how);
        assert!(again.len() == bytes.len() && (text.contains(char::REPLACEMENT_CHARACTER) || again == bytes));
    }
}

/// A playlist's facts are sane, what it lists are objects or nothing of ours, and every body is of some kind.
pub fn playlist(bytes: &[u8]) {
    let (Ok(namespace), Ok(key)) = (Namespace::parse("live"), Key::parse("a/b.m3u8")) else { unreachable!("they are names") };
    let own = ObjectId { namespace, key };
    let is_sane = |uri: &str| {
        resolve(&own, uri)
            .is_none_or(|object| Namespace::parse(object.namespace.as_str()).is_ok() && Key::parse(object.key.as_str()).is_ok())
    };
    match parse(bytes) {
        Ok(Playlist::Media(media)) => {
            let lines = lines(bytes);
            assert!(media.segments.len() + media.parts.len() + media.maps.len() <= lines && media.faults.len() <= 19);
            let first = media.media_sequence.saturating_add(media.skipped);
            for (index, segment) in media.segments.iter().enumerate() {
                assert_eq!(segment.sequence, first.saturating_add(index as u64));
                assert!(
                    segment.map.is_none_or(|map| map < media.maps.len()) && segment.key.is_none_or(|key| key < media.keys.len())
                );
                assert!(segment.range.is_none_or(|range| range.start.checked_add(range.length).is_some()));
                assert!(is_sane(&segment.uri));
            }
            assert!(media.last_sequence() >= media.segments.last().map(|segment| segment.sequence));
            let known = KnownDateRanges::default();
            assert_eq!(delta(bytes, Some(&known)).is_some(), delta(bytes, None).is_some());
            if let Some(update) = delta(bytes, None) {
                let Ok(Playlist::Media(update)) = parse(&update) else { unreachable!("an update is a media playlist") };
                let skipped = usize::try_from(update.skipped).unwrap_or(usize::MAX);
                assert!(skipped > 0 && skipped + update.segments.len() == media.segments.len());
                assert!(update.segments.iter().map(|new| &new.uri).eq(media.segments[skipped..].iter().map(|old| &old.uri)));
            }
        }
        Ok(Playlist::Multivariant(list)) => assert!(list.variants.iter().all(|variant| is_sane(&variant.uri))),
        Err(fault) => assert!(fault.line >= 1),
    }
    let sane = |target: Duration| target <= Duration::from_secs(86_400);
    assert!(target_duration(bytes).is_none_or(sane));
    for name in ["a.m3u8", "a.mp4", "a.ts"] {
        let Ok(key) = Key::parse(name) else { unreachable!("{name} is a key") };
        let kind = Kind::of(&key, bytes);
        assert_eq!(kind == Kind::Playlist, name == "a.m3u8");
    }
}

/// A journal of histories, whatever a crash has left of it, is read as far as it is one, and what is read can be looked back at. What a
/// playlist has listed is written and read back the same, torn off anywhere up to there, and cut to a playlist that lists as much.
pub fn history(bytes: &[u8]) {
    for (key, listed) in read_back(bytes, 0) {
        let shared: Vec<Arc<Listed>> = listed.iter().cloned().map(Arc::new).collect();
        assert_eq!(read_back(&written(&key, &shared), 0).remove(&key).as_ref(), Some(&listed));
        let _ = look_back(listed);
    }

    let Ok(Playlist::Media(media)) = parse(bytes) else { return };
    let (now, until) = (WallTime::from_millis(1_767_225_600_000), WallTime::from_millis(1_767_229_200_000));
    let mut history = History::default();
    let mut listed = history.follow(&media, Step::Unknown, now, |_| until.into());
    assert_eq!(listed.len(), media.segments.len());
    listed.extend(history.follow(&media, Step::Anew, now, |_| until.into()));
    let Ok(key) = Key::parse("a/p.m3u8") else { unreachable!("it is a name") };
    let text = written(&key, &listed);
    let owned: Vec<Listed> = listed.iter().map(|listed| Listed::clone(listed)).collect();
    assert_eq!(read_back(&text, 0).remove(&key).unwrap_or_default(), owned);
    assert_eq!(read_back(&text, until.millis()).len(), 0, "what has outlived its time is forgotten");
    let torn = &text[..bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>() % (text.len() + 1)];
    assert!(owned.starts_with(&read_back(torn, 0).remove(&key).unwrap_or_default()));
    if let Some(cut) = look_back(owned) {
        let Ok(Playlist::Media(again)) = parse(cut.as_bytes()) else { unreachable!("it is a media playlist: {cut}") };
        assert!(again.ended && again.segments.len() <= listed.len());
    }
}

/// The whole of a history that was read, as a playlist, where anything of it can be read.
fn look_back(listed: Vec<Listed>) -> Option<String> {
    let mut history = History::default();
    let (now, end) = (WallTime::from_millis(1_767_225_600_000), WallTime::from_millis(u64::MAX));
    history.restore(listed, now);
    let all = history.stretch(None, None);
    assert!(all.listed.windows(2).all(|pair| pair[0].number.checked_add(1).is_none_or(|next| pair[1].number == next)));
    for start in all.listed.iter().map(|listed| listed.at).take(3) {
        let _ = history.stretch(Some(start), Some(end));
    }
    let open = Window { start: Some(now), end: None };
    let asked = |window| CutSpec { window, is_relative: true, ..CutSpec::default() };
    let _ = shift::cut(&all, CutSpec { is_relative: false, ..asked(open) }, now, |listed| (listed.sequence % 2 == 0).into());
    let closed = Window { start: None, end: Some(now) };
    shift::cut(&all, asked(closed), now, |_| Presence::Here).ok().map(|cut| cut.text)
}

/// A look into a segment ends, and says what is wrong or what it holds. Its facts are the same in whatever pieces it comes, and can be
/// kept.
pub fn segment(bytes: &[u8]) {
    let facts = media::facts(bytes);
    let mut sniffer = Sniffer::default();
    let cut = bytes.first().map_or(1, |&byte| usize::from(byte) + 1);
    bytes.chunks(cut).for_each(|piece| sniffer.take(piece));
    assert_eq!(sniffer.end(), facts, "in pieces of {cut}");
    assert_eq!(SegmentFacts::parse(&facts.to_string()).as_ref(), Some(&facts));
    assert!(facts.tracks.len() <= MOST_TRACKS);
    let (holds, wrong) = look(bytes);
    assert!(!holds.is_empty() && wrong.is_none_or(|wrong| wrong.len() > 5));
}

/// Any bytes read as a manifest or as none; what it lists is bounded by what was read.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = mpd::parse(bytes) {
        let count = manifest.representations.len();
        assert!(manifest.initializations.len() <= count && count <= bytes.len());
        assert!(manifest.representations.iter().filter_map(|one| one.media.as_ref()).all(|media| media.len() <= 4096));
    }
}

/// Of segments that an MPD numbers the one before is found: the right one, where there is one template. The first two bytes are a
/// number.
pub fn numbered(bytes: &[u8]) {
    let Some((&[high, low], text)) = bytes.split_first_chunk::<2>() else { return };
    let (Ok(namespace), Ok(key)) = (Namespace::parse("live"), Key::parse("a/p.mpd")) else { unreachable!("they are names") };
    let Ok(manifest) = mpd::parse(text) else { return };
    let number = u64::from(u16::from_be_bytes([high, low]));
    for number in [number, u64::MAX - number] {
        let all = fuzzing::numbered(&ObjectId { namespace: namespace.clone(), key: key.clone() }, &manifest, number);
        assert!(all.len() <= 128 && all.len() <= manifest.representations.len());
        let is_one = all.len() == 1;
        for [asked, before, found] in all {
            // Digits behind the number are looked at too, and no more than so many.
            let digits = asked.iter().flat_map(|key| key.as_str().bytes()).filter(u8::is_ascii_digit).count();
            assert!(!is_one || asked.is_none() || digits > 64 || found == before, "{found:?} is before {asked:?}");
            assert!(found.is_none() || found != asked, "{asked:?} is before itself");
        }
    }
}

/// Nothing that is to be taken out is left, taking out twice changes nothing more, and it takes nothing else; what is handed down
/// comes off again, and never stands behind another host.
pub fn rewrite(bytes: &[u8]) {
    let is_marked = |bytes: &[u8]| bytes.windows(6).any(|word| word == b"fuzzed");
    let is_credential = |it: &Parameter<'_>| matches!(&*it.name, "token" | "_gda_") || it.value.contains("KEY");
    for kind in [Kind::Playlist, Kind::Manifest] {
        if let Some(stripped) = strip(kind, bytes, true, is_credential) {
            assert!(stripped.len() < bytes.len());
            assert_eq!(strip(kind, &stripped, true, is_credential), None);
        }
        assert_eq!(strip(kind, bytes, false, |_| false), None);
        let Some(inherited) = inherit(kind, bytes, "fuzzed=yes", Some("own.example")) else { continue };
        if inherited != bytes && !is_marked(bytes) {
            let removed = strip(kind, &inherited, false, |it| it.name == "fuzzed");
            assert!(removed.is_some_and(|removed| !is_marked(&removed)));
            let leaves = |uri: &str| {
                let host = uri.trim().strip_prefix("https://").or_else(|| uri.trim().strip_prefix("//"));
                host.is_some_and(|host| !host.starts_with("own.example") && host.ends_with("fuzzed=yes"))
            };
            let text = String::from_utf8_lossy(&inherited);
            let mut lines = text.lines().filter(|_| kind == Kind::Playlist);
            let foreign = lines.any(|line| if line.starts_with('#') { line.split('"').any(leaves) } else { leaves(line) });
            assert!(!foreign, "a key left for another host");
        }
    }
}

/// Versions of one playlist (between lines of `--`), as they are written one after the other: none of them breaks what is known of the
/// stream, and what is kept of it is no more than was sent.
pub fn versions(bytes: &[u8]) {
    let (Ok(namespace), Ok(key)) = (Namespace::parse("live"), Key::parse("a/p.m3u8")) else { unreachable!("they are names") };
    let Ok(manifest) = Key::parse("a/p.mpd") else { unreachable!("it is a name") };
    let followed = Followed::new(namespace);
    for version in bytes.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>().split(|line| *line == b"--\n") {
        let version = version.concat();
        followed.write(if version.starts_with(b"<") { &manifest } else { &key }, &version);
    }
    assert!(followed.looked_back(&key) <= lines(bytes), "there is more to look back at than was listed");
}

/// A recording's files have plain names, each once, and its playlist lists them and nothing else.
pub fn recording(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for keys in [false, true] {
        let Some((playlist, files)) = harvests::planned(text, keys) else { continue };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let mut seen = HashSet::new();
        for file in &files {
            let name = file.strip_prefix("v/").unwrap_or_default();
            assert!(!name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain), "{file}");
            assert!(seen.insert(name.to_ascii_lowercase()), "{file} is there twice");
        }
        let Ok(Playlist::Media(media)) = parse(playlist.as_bytes()) else { unreachable!("it is a media playlist: {playlist}") };
        assert!(
            media.segments.iter().all(|segment| segment.gap || seen.contains(&segment.uri.to_ascii_lowercase())),
            "{playlist}"
        );
    }
    if let Some(renamed) = harvests::renamed(text, "v.m3u8") {
        assert!(!renamed.is_empty());
    }
}

/// A playlist that is cut is whole again when its pieces are put together. Versions of one (between lines of `--`) make a list of which
/// nothing changes but at its ends, whatever they say: it reads as what was written, goes on from what is kept of it, and no number goes back.
pub fn normalised(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut before: Option<(String, String)> = None;
    for (index, version) in text.split("--\n").take(32).enumerate() {
        let pieces = cut(version);
        assert_eq!([pieces.head, &pieces.blocks.concat(), pieces.tail].concat(), version);
        let Ok(version) = SourceVersion::read(version) else { continue };
        let at = |seconds: usize| WallTime::from_seconds(1_767_225_600 + seconds as u64 * 3);
        let find = |uri: &str| {
            let place = match uri.len() % 4 {
                0 => NamedPlace::Absent,
                1 => NamedPlace::Elsewhere,
                _ => {
                    let uri = names::tagged(uri, &format!("{index:08x}"));
                    assert_eq!(names::tag(&uri), Some(&*format!("{index:08x}")));
                    NamedPlace::Here(StoredSegment { uri, at: at(index), begins: None, ticks: 0 })
                }
            };
            Named { plain: uri.to_owned(), place }
        };
        let (now, standing) = (at(index + 1), VersionStanding::New);
        let step = normalise::ComposeStep {
            version: &version,
            heard: now,
            standing,
            find: &find,
            now,
            end_hold: None,
            least: 0,
            breaks: None,
        };
        let known = before.as_ref().and_then(|(text, kept)| Some((&**text, Continuity::parse(kept)?)));
        let Some(composed) = normalise::step(known, &step) else { continue };
        let Ok(Playlist::Media(now)) = parse(composed.text.as_bytes()) else {
            unreachable!("it is a media playlist: {}", composed.text)
        };
        let is_unsound = |what| {
            matches!(what, Wrong::Value(_) | Wrong::NoLength | Wrong::Attribute("EXT-X-KEY" | "EXT-X-MAP" | "EXT-X-DATERANGE", _))
        };
        assert!(!now.faults.iter().any(|fault| is_unsound(fault.what)), "{:?} in {}", now.faults, composed.text);
        assert!(now.segments.len() <= version.length() + before.as_ref().map_or(0, |(text, _)| lines(text.as_bytes())));
        if let Some((text, _)) = &before
            && let Ok(Playlist::Media(was)) = parse(text.as_bytes())
        {
            assert!(
                now.media_sequence >= was.media_sequence && now.target_duration >= was.target_duration,
                "{text} {}",
                composed.text
            );
            for segment in &now.segments {
                let known = was.segments.iter().find(|known| known.sequence == segment.sequence);
                assert!(
                    known.is_none_or(|known| known.uri == segment.uri && known.duration == segment.duration),
                    "{text} {}",
                    composed.text
                );
            }
        }
        before = Some((composed.text, composed.continuity.to_string()));
    }
}
