//! Drives the entry points for a moment with what is nearly right, on a stable toolchain.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};
use proptest::sample::select;

use super::stream_words::*;
use super::words::*;
use super::*;

/// Pieces of the language in question, in any order, with some junk between them.
fn pieces(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let junk = vec(any::<u8>(), 0..6);
    let piece = (select(words), junk, 0u8..4).prop_map(|(word, junk, dice)| {
        let mut bytes = word.as_bytes().to_vec();
        if dice == 0 {
            bytes.extend(junk);
        }
        bytes
    });
    vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn header_lines() -> impl Strategy<Value = Vec<u8>> {
    let range = (select(NUMBERS), select(NUMBERS), 0u8..8).prop_map(|(from, to, dice)| match dice {
        0 => format!("bytes={from}-{to},{to}-{from}"),
        1 => format!("{from}={to}"),
        _ => format!("bytes={from}-{to}"),
    });
    let conditions = vec(pieces(HEADERS), 0..6);
    (any::<u16>(), range, conditions).prop_map(|(length, range, conditions)| {
        let length = (length % 1200).to_be_bytes();
        [&length[..], range.as_bytes(), b"\n", &conditions.join(&b"\n"[..])].concat()
    })
}

fn journals() -> impl Strategy<Value = Vec<u8>> {
    let numbers = (select(NUMBERED), select(NUMBERED), select(NUMBERED));
    let line = (numbers, select(LISTED), vec(select(NOTED), 0..4), select(ENDS));
    let line = line.prop_map(|((number, sequence, discontinuities), listed, noted, end)| {
        format!(
            "{{\"playlist\":\"p.m3u8\",\"segment\":{{\"number\":{number},\"sequence\":{sequence},\"discontinuities\":{discontinuities},\
             {listed}{}{end}",
            noted.concat()
        )
    });
    vec(line, 0..6).prop_map(|lines| lines.concat().into_bytes())
}

/// Orders to record, nearly right.
fn orders() -> impl Strategy<Value = Vec<u8>> {
    let fields = (select(ORDERED), select(ORDERED), select(ORDERED), select(ORDERED));
    fields.prop_map(|(one, two, three, four)| {
        format!("{{\"namespace\":\"live\",\"playlist\":\"a/p.m3u8\",{one}{two}{three}{four}\"keys\":true}}").into_bytes()
    })
}

fn settings_files() -> impl Strategy<Value = Vec<u8>> {
    let section = (select(SECTIONS), vec(select(POLICY), 0..4)).prop_map(|(head, lines)| format!("{head}{}", lines.concat()));
    (vec(select(TOP), 0..4), vec(section, 0..3)).prop_map(|(top, sections)| (top.concat() + &sections.concat()).into_bytes())
}

#[test]
fn what_was_found_once_is_not_found_again() {
    // A segment that is called like a folder became a hidden file.
    recording(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/\n#EXT-X-ENDLIST\n");
    // The number behind the last one there is.
    versions(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:2,\na.ts\n");
    // DEL may not stand in a TOML string as it is, and was rendered so.
    settings(b"data_dir = \"\\u007f\"\n");
    // What was taken out made a tag, an escape or another reference of what stood behind it.
    for text in
        ["?token=#EXT-X-MAP:URI=\"https://@", "https://&?token=#EXT-X-MAP:URI=\"@", "?@&&token=#EXTM3U\nx=KEY#", "https://@&\t"]
    {
        rewrite(text.as_bytes());
    }
}

fn cases(cases: u32) -> ProptestConfig {
    // What fails is shown whole, and becomes a test of its own: no file of seeds is kept.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(40_000))]

    #[test]
    fn no_url_breaks_a_rule(bytes in pieces(URL)) {
        url(&bytes);
    }

    #[test]
    fn no_range_or_condition_breaks_a_rule(bytes in header_lines()) {
        ranges_and_conditions(&bytes);
    }

    #[test]
    fn no_playlist_breaks_a_rule(bytes in pieces(PLAYLIST)) {
        playlist(&bytes);
    }

    #[test]
    fn no_history_breaks_a_rule(bytes in pieces(PLAYLIST), lines in journals()) {
        history(&bytes);
        history(&lines);
    }

    #[test]
    fn no_segment_breaks_a_rule(bytes in any::<Vec<u8>>()) {
        segment(&bytes);
        segment(&[b"\0\0\0\x08styp", &bytes[..]].concat());
    }

    #[test]
    fn no_manifest_breaks_a_rule(bytes in pieces(MANIFEST)) {
        manifest(&[b"<MPD>", &bytes[..]].concat());
        manifest(&bytes);
    }

    #[test]
    fn no_rewriting_breaks_a_rule(bytes in pieces(REWRITE)) {
        rewrite(&bytes);
        rewrite(&[b"<MPD>", &bytes[..], b"</MPD>"].concat());
    }

    #[test]
    fn no_size_or_duration_breaks_a_rule(bytes in pieces(UNITS)) {
        units(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(8_000))]

    #[test]
    fn nothing_kept_breaks_a_rule(lines in pieces(JOURNAL), fields in pieces(BUCKET), words in pieces(ATTRIBUTES)) {
        journal(&lines);
        bucket(&fields);
        attributes(&words);
    }

    #[test]
    fn nothing_about_keys_breaks_a_rule(words in pieces(RECORDS), keys in pieces(SIGNING), der in any::<Vec<u8>>()) {
        records(&words);
        signing(&keys);
        certificate(&der);
    }

    #[test]
    fn no_key_is_told(bytes in pieces(TOLD)) {
        redaction(&bytes);
    }

    #[test]
    fn no_recording_breaks_a_rule(bytes in pieces(VERSIONS)) {
        recording(&[&b"#EXTM3U\n"[..], &bytes, b"#EXT-X-ENDLIST\n"].concat());
    }

    #[test]
    fn no_coding_breaks_a_rule(bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        coding(&[b"\x1f\x8b\x08\0\0\0\0\0\0\x03", &bytes[..]].concat());
        let mut members = include_bytes!("../../fuzz/seeds/coding/members").to_vec();
        let at = at.index(members.len());
        members[at] = to;
        coding(&members);
        coding(&members[..at]);
        coding(&[b"\xfe\xff", &bytes[..]].concat());
    }

    #[test]
    fn nothing_first_breaks_a_rule(bytes in pieces(FIRST)) {
        first_bytes(&bytes);
    }

    #[test]
    fn no_order_breaks_a_rule(words in pieces(ORDER), json in orders()) {
        order(&words);
        order(&json);
    }

    #[test]
    fn no_template_breaks_a_rule(number in any::<[u8; 2]>(), template in pieces(TEMPLATE), more in pieces(TEMPLATE)) {
        let one = [&number[..], b"<MPD type='dynamic'><Period><AdaptationSet><SegmentTemplate media='", &template].concat();
        numbered(&[&one[..], b"'/><Representation/></AdaptationSet></Period></MPD>"].concat());
        let set = b"'/><Representation/></AdaptationSet><AdaptationSet><SegmentTemplate media='";
        numbered(&[&one[..], set, &more, b"'/><Representation/></AdaptationSet></Period></MPD>"].concat());
    }

    #[test]
    fn no_versions_break_a_rule(bytes in pieces(VERSIONS), more in pieces(VERSIONS)) {
        versions(&[&bytes[..], b"--\n", &more].concat());
        normalised(&[&bytes[..], b"--\n", &more].concat());
    }
}

proptest! {
    #![proptest_config(cases(8_000))]

    #[test]
    fn no_credential_breaks_a_rule(bytes in pieces(CREDENTIALS)) {
        credentials(&bytes);
    }

    #[test]
    fn no_settings_file_breaks_a_rule(bytes in settings_files()) {
        settings(&bytes);
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn no_digest_answer_breaks_a_rule(bytes in pieces(DIGEST)) {
        digest(&bytes);
    }
}
