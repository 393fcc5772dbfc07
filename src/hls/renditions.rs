//! A multivariant playlist with other names for its media playlists, and without some of them.
//!
//! Media playlists are what EXT-X-STREAM-INF (in the line after it), EXT-X-I-FRAME-STREAM-INF, EXT-X-IMAGE-STREAM-INF and EXT-X-MEDIA
//! name. What else has a URI (steering, session keys, session data) is none, and its line stays as it is.

use std::collections::HashMap;
use std::ops::Range;

use super::playlist::attributes::{attributes, quoted_uris};

/// What becomes of a media playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It is named like this.
    Named(String),
    /// It is left out.
    LeftOut,
}

/// What was made of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The playlist.
    pub text: String,
    /// How many media playlists are left out.
    pub left_out: usize,
}

/// The attributes of a variant that name groups of renditions, which are of these types (RFC 8216 4.3.4.2).
const GROUPS: [&str; 4] = ["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"];

/// Asks for each media playlist what becomes of it. Where all of a group is left out, so is the attribute that names it: a player would
/// look for it in vain. `None`: no variant is left, and there is nothing to play.
#[must_use]
pub fn choose(text: &str, mut choice: impl FnMut(&str) -> Choice) -> Option<Chosen> {
    let text = text.trim_start_matches('\u{feff}');
    let mut chosen = Chosen::default();
    // First who is left of each group.
    let mut groups: HashMap<(&str, &str), bool> = HashMap::new();
    let mut media: Vec<Option<String>> = Vec::new();
    for line in text.lines().map(str::trim_ascii).filter(|line| line.starts_with(MEDIA)) {
        let renamed = renamed(line, &mut choice);
        let list = &line[MEDIA.len()..];
        let value = |name| attributes(list).find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        *groups.entry((value("TYPE"), value("GROUP-ID"))).or_default() |= renamed.is_some();
        chosen.left_out += usize::from(renamed.is_none());
        media.push(renamed);
    }
    let (mut media, mut variants, mut held) = (media.into_iter(), 0, Vec::new());
    let push = |text: &mut String, line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    for line in text.lines().map(str::trim_ascii) {
        if line.starts_with(MEDIA) {
            if let Some(line) = media.next().flatten() {
                push(&mut chosen.text, &line);
            }
        } else if line.starts_with("#EXT-X-STREAM-INF:") {
            held.push(without_lost_groups(line, &groups));
        } else if line.starts_with("#EXT-X-I-FRAME-STREAM-INF:") || line.starts_with("#EXT-X-IMAGE-STREAM-INF:") {
            match renamed(line, &mut choice) {
                Some(line) => push(&mut chosen.text, &without_lost_groups(&line, &groups)),
                None => chosen.left_out += 1,
            }
        } else if line.is_empty() || line.starts_with('#') {
            // What stands between a variant's tag and its URI goes with it.
            if held.is_empty() { push(&mut chosen.text, line) } else { held.push(line.to_owned()) }
        } else {
            match choice(line) {
                Choice::Named(name) => {
                    held.drain(..).for_each(|line| push(&mut chosen.text, &line));
                    push(&mut chosen.text, &name);
                    variants += 1;
                }
                Choice::LeftOut => {
                    held.clear();
                    chosen.left_out += 1;
                }
            }
        }
    }
    held.drain(..).for_each(|line| push(&mut chosen.text, &line));
    (variants > 0).then_some(chosen)
}

const MEDIA: &str = "#EXT-X-MEDIA:";

/// A tag's line with its media playlist named as it is chosen; as it is, where it names none. `None`: it is left out.
fn renamed(line: &str, choice: &mut impl FnMut(&str) -> Choice) -> Option<String> {
    let Some(place) = uri(line) else { return Some(line.to_owned()) };
    match choice(&line[place.clone()]) {
        Choice::Named(name) => Some([&line[..place.start], &name, &line[place.end..]].concat()),
        Choice::LeftOut => None,
    }
}

/// Where the value of the attribute URI stands.
pub fn uri(line: &str) -> Option<Range<usize>> {
    let is_uri = |place: &Range<usize>| {
        let name = line[..place.start - 1].trim_end().strip_suffix('=').map(str::trim_end).unwrap_or_default();
        !name.ends_with("-URI")
    };
    quoted_uris(line).find(is_uri)
}

/// A variant's line without the attributes that name groups of which nothing is left, and without the codecs of what was in them: a player
/// that is told of sound waits for it, or gives the variant up.
fn without_lost_groups(line: &str, groups: &HashMap<(&str, &str), bool>) -> String {
    let (tag, list) = line.split_once(':').unwrap_or((line, ""));
    let is_lost = |name: &str, value: &str| GROUPS.contains(&name) && groups.get(&(name, value)) == Some(&false);
    let lost: Vec<&str> = attributes(list).filter(|(name, value)| is_lost(name, value)).map(|(name, _)| name).collect();
    if lost.is_empty() {
        return line.to_owned();
    }
    let (mut quoted, is_break) = (false, |c: char, quoted: &mut bool| {
        *quoted ^= c == '"';
        c == ',' && !*quoted
    });
    let is_gone = |codec: &str| lost.iter().any(|group| is_codec_of(group, codec.trim_ascii()));
    let parts = list.split(|c: char| is_break(c, &mut quoted));
    let kept = parts.filter_map(|part| {
        let (name, value) = attributes(part).next().unwrap_or_default();
        if is_lost(name, value) {
            return None;
        }
        if !matches!(name, "CODECS" | "SUPPLEMENTAL-CODECS") || !value.split(',').any(is_gone) {
            return Some(part.to_owned());
        }
        let codecs: Vec<_> = value.split(',').filter(|codec| !is_gone(codec)).collect();
        (!codecs.is_empty()).then(|| format!("{name}=\"{}\"", codecs.join(",")))
    });
    format!("{tag}:{}", kept.collect::<Vec<_>>().join(","))
}

/// Whether a codec (RFC 6381) is one of what such a group has: of sound, or of words. Picture has all others.
fn is_codec_of(group: &str, codec: &str) -> bool {
    let beginnings: &[&str] = match group {
        "AUDIO" => &["mp4a", "ac-3", "ac-4", "ec-3", "alac", "dts", "flac", "opus", "mp3", "vorbis", "mha1", "mhm1", "iamf"],
        "SUBTITLES" => &["wvtt", "stpp"],
        _ => &[],
    };
    beginnings.iter().any(|beginning| codec.get(..beginning.len()).is_some_and(|codec| codec.eq_ignore_ascii_case(beginning)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;
    use crate::hls::playlist::{Playlist, parse};

    const MASTER: &str = "#EXTM3U\n#EXT-X-VERSION:6\n\
        #EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer\",PATHWAY-ID=\"a\"\n\
        #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k.key\"\n\
        #EXT-X-SESSION-DATA:DATA-ID=\"d\",URI=\"d.json\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"URI=x, y\",URI=\"en.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"de\",URI=\"de.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"a\",NAME=\"en\",URI=\"s.m3u8\"\n\
        #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"cc\",INSTREAM-ID=\"CC1\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1,mp4a\",AUDIO=\"a\",SUBTITLES=\"a\",CLOSED-CAPTIONS=\"c\"\n# of it\nv.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=2,SUBTITLES=\"a\"\nw.m3u8\n\
        #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=3,URI=\"i.m3u8\"\n";

    fn chosen(left_out: &[&str]) -> Option<Chosen> {
        choose(MASTER, |uri| match left_out.contains(&uri) {
            true => Choice::LeftOut,
            false => Choice::Named(format!("x/{uri}?q")),
        })
    }

    #[test]
    fn media_playlists_are_named_anew_and_nothing_else_is() {
        let all = chosen(&[]).unwrap();
        let mut expected = MASTER.to_owned();
        for name in ["en.m3u8", "de.m3u8", "\"s.m3u8", "\nv.m3u8", "\nw.m3u8", "i.m3u8"] {
            let bare = name.trim_start_matches(['"', '\n']);
            expected = expected.replace(name, &name.replace(bare, &format!("x/{bare}?q")));
        }
        assert_eq!((all.text, all.left_out), (expected, 0));
    }

    #[test]
    fn what_is_left_out_leaves_no_name_behind() {
        let less = chosen(&["s.m3u8", "w.m3u8", "de.m3u8", "i.m3u8"]).unwrap();
        assert_eq!(less.left_out, 4);
        let line = "#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1,mp4a\",AUDIO=\"a\",CLOSED-CAPTIONS=\"c\"\n# of it\nx/v.m3u8?q\n";
        assert!(less.text.ends_with(line), "{}", less.text);
        assert!(less.text.contains("NAME=\"URI=x, y\",URI=\"x/en.m3u8?q\""), "{}", less.text);
        assert!(!less.text.contains("SUBTITLES") && !less.text.contains("w.m3u8") && !less.text.contains("I-FRAME"));
        let silent = chosen(&["en.m3u8", "de.m3u8"]).unwrap();
        assert!(silent.text.contains("BANDWIDTH=1,CODECS=\"avc1\",SUBTITLES=\"a\""), "nor a codec: {}", silent.text);
        for (codecs, left) in [
            ("CODECS=\"MP4A.40.2, avc1.42c00b , wvtt\"", ",CODECS=\" avc1.42c00b \""),
            ("CODECS=\"ec-3\"", ""),
            ("CODECS=\"hvc1.1.6\"", ",CODECS=\"hvc1.1.6\""),
        ] {
            let groups = ["AUDIO", "SUBTITLES"].map(|kind| ((kind, "a"), false)).into();
            let line = format!("#EXT-X-STREAM-INF:BANDWIDTH=1,{codecs},AUDIO=\"a\",SUBTITLES=\"a\"");
            assert_eq!(without_lost_groups(&line, &groups), format!("#EXT-X-STREAM-INF:BANDWIDTH=1{left}"));
        }
        assert_eq!(chosen(&["v.m3u8", "w.m3u8"]), None, "nothing to play");
    }

    proptest! {
        #[test]
        fn any_text_can_be_chosen_from(lines in "(#EXT-X-(MEDIA|STREAM-INF|I-FRAME-STREAM-INF):[ -~]{0,60}\n|[a-z]{0,4}\n){0,20}", keep in any::<u8>()) {
            let mut count = 0_u32;
            let chosen = choose(&lines, |_| {
                count += 1;
                if keep >> (count % 8) & 1 == 1 { Choice::Named("n".to_owned()) } else { Choice::LeftOut }
            });
            if let Some(chosen) = chosen {
                let read = parse(format!("#EXTM3U\n{}", chosen.text).as_bytes());
                prop_assert!(!matches!(read, Ok(Playlist::Media(media)) if media.segments.is_empty()));
            }
        }
    }
}
