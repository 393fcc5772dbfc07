//! Work that may not grow faster than what was sent: `tests/costs` counts the instructions that each of these takes at two sizes.
//!
//! A case is one of the entry points and what someone would send who wants it to take long.

use std::env;
use std::fmt::Write as _;

use crate::model::id::{Key, Namespace};
use crate::origin::fuzzing::Followed;

/// What reads the input, and the input of a size.
type Case = (&'static str, fn(&[u8]), fn(usize) -> String);

const CASES: [Case; 38] = [
    ("repeated names", super::versions, |n| format!("{PLAYLIST}{}", "#EXTINF:2,\na.ts\n".repeat(n))),
    ("other names", super::versions, |n| format!("{PLAYLIST}{}", numbered(n, "#EXTINF:2,\n{}.ts\n"))),
    ("names by a cdn", super::versions, |n| format!("{PLAYLIST}{}", numbered(n, "#EXTINF:2,\nhttps://cdn.example/a/{}.ts\n"))),
    ("references", super::playlist, |n| format!("{PLAYLIST}{DEFINE}{}", "#EXTINF:2,\n{$a}/{$b}.ts\n".repeat(n))),
    ("references without an end", super::playlist, |n| format!("{PLAYLIST}{DEFINE}{}", "{$a".repeat(n))),
    ("delta", super::playlist, |n| {
        let control = "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=12\n";
        format!("{PLAYLIST}{control}{}", numbered(n, "#EXT-X-KEY:METHOD=AES-128,URI=\"{}\"\n#EXTINF:2,\na.ts\n"))
    }),
    ("versions", super::versions, |n| {
        numbered(n / 20, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n#EXTINF:2,\na.ts\n--\n")
    }),
    ("history", super::history, |n| {
        format!("{PLAYLIST}{}{}", "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n", "#EXTINF:2,\na.ts\n".repeat(n))
    }),
    // Many playlists that lie side by side and list the same: each may be a rendition of a stream with any other.
    ("look-rounds", look_rounds, |n| numbered(n / 4, "a/{}.m3u8\n")),
    ("normalised", super::normalised, |n| {
        let line = "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-DATERANGE:ID=\"{}\",START-DATE=\"2026-01-01T00:00:00Z\"\n#EXTINF:2,\nv{}.ts\n";
        let list = numbered(n / 8, line);
        format!("{PLAYLIST}{list}--\n{PLAYLIST}{list}--\n{PLAYLIST}{}", numbered(n / 8, "#EXTINF:2,\n{}.ts\n"))
    }),
    ("templates", super::versions, |n| format!("{MPD}{}{MPD_END}", "<Representation/>".repeat(n))),
    ("manifest", super::manifest, |n| {
        format!("{MPD}{}{MPD_END}", numbered(n, "<Representation id='{}'><BaseURL>a</BaseURL></Representation>"))
    }),
    ("redaction", super::redaction, |n| "://user@".repeat(n)),
    ("digest", super::digest, |n| format!("username=\"e370bb6371da9c5b\", nonce=\"{}\"", "n".repeat(4 * n))),
    ("credentials", super::credentials, |n| "eyJ.".repeat(10 * n)),
    ("rewriting", super::rewrite, |n| format!("#EXTM3U\n{}", "a.ts?token=1&x=2\n".repeat(n / 4))),
    ("definitions", super::rewrite, |n| {
        let both = "#EXT-X-DEFINE:NAME=\"v{}\",VALUE=\"a\"\n#EXTINF:2,\na.ts?token={$v{}}&_gda_={$w}\n#EXT-X-DEFINE:NAME=\"w\",VALUE=\"b\"\n";
        numbered(n / 8, both)
    }),
    ("a definition", super::rewrite, |n| format!("#EXT-X-DEFINE:{}\n", "NAME=\"a\",VALUE=\"b?c\",".repeat(n / 4))),
    ("settings", super::settings, |n| numbered(n / 8, "[namespaces.n{}]\nhot_capacity = \"1MiB\"\n")),
    ("recording", super::recording, |n| format!("{PLAYLIST}{}#EXT-X-ENDLIST\n", numbered(n / 4, "#EXTINF:2,\n{}/a.ts\n"))),
    ("media", super::playlist, |n| {
        let segment = "#EXT-X-KEY:METHOD=AES-128,URI=\"{}\"\n#EXT-X-MAP:URI=\"{}\"\n#EXT-X-BYTERANGE:1\n#EXTINF:2,\na.ts\n";
        format!("{PLAYLIST}{}", numbered(n / 4, segment))
    }),
    ("parts", super::playlist, |n| format!("{PLAYLIST}{}", numbered(n, "#EXT-X-PART:DURATION=1,URI=\"{}\"\n"))),
    ("multivariant", super::playlist, |n| {
        let both =
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{}\",NAME=\"a\",URI=\"a{}\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"{}\"\nv{}\n";
        format!("#EXTM3U\n{}", numbered(n / 8, both))
    }),
    ("attributes", super::playlist, |n| format!("#EXTM3U\n#EXT-X-STREAM-INF:{}\na\n", "A=\"b\",".repeat(n))),
    ("names of files", super::recording, |n| {
        let segment = "#EXT-X-MAP:URI=\"{}/i.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"{}/k\"\n#EXTINF:2,\n{}/a.ts\n";
        format!("{PLAYLIST}{}#EXT-X-ENDLIST\n", numbered(n / 4, segment))
    }),
    ("numbered", super::numbered, |n| {
        let set = "<AdaptationSet><SegmentTemplate media='{}-$Number$.m4s'/><Representation/></AdaptationSet>";
        format!("\0\u{7}<MPD type='dynamic'><Period>{}</Period></MPD>", numbered(n / 8, set))
    }),
    ("digits", super::numbered, |n| {
        let template = "7".repeat(n / 8);
        format!("\0\u{7}{MPD}<SegmentTemplate media='{template}$Number$'/><Representation/>{MPD_END}")
    }),
    ("url", super::url, |n| format!("/cache/live/a.ts?{}", "token=a&".repeat(n))),
    ("escapes", super::url, |n| format!("/cache/live/{}", "%41".repeat(5 * n))),
    ("ranges", super::ranges_and_conditions, |n| format!("\0\u{7}bytes={}\n{}\n", "1-2,".repeat(n), "\"x\", ".repeat(n))),
    ("digest fields", super::digest, |n| format!("username=\"e370bb6371da9c5b\", {}", "a=\"b\\\"\", ".repeat(n / 4))),
    ("order", super::order, |n| "start=2026-01-02T03:04:05Z&".repeat(n / 4)),
    ("first bytes", super::first_bytes, |n| format!("x{}", "PUT /a#b HTTP/1.1\r\n".repeat(n / 8))),
    ("members", |text| super::coding(&EMPTY_MEMBER.repeat(text.len() / 16)), |n| "x".repeat(n)),
    ("programs", super::segment, |n| {
        let packet = |pid: usize| {
            format!("G{}{}\u{10}{}", char::from(b'@' + (pid / 64) as u8 % 32), char::from(pid as u8 % 64), "a".repeat(184))
        };
        (0..n / 8).map(packet).collect()
    }),
    ("fragments", super::segment, |n| {
        let run = "\0\0\0\u{10}trun\0\0\0\0\0\0\0\u{1}".repeat(4);
        let track = format!("\0\0\0\u{10}tfhd\0\0\0\0\0\0\0\u{1}\0\0\0\u{10}tfdt\0\0\0\0\0\0\0\0{run}");
        format!("\0\0\0\u{70}moof\0\0\0\u{68}traf{track}").repeat(n / 8)
    }),
    ("viewer's token", super::viewer_token, |n| format!("\u{7f}{}", "\u{1}\u{2}".repeat(n))),
    ("index", super::journal, |n| numbered(n, "+\t17\t1767225600000\t1767229200000\ts\ta/{}.ts\n")),
];

const PLAYLIST: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n";
const DEFINE: &str = "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"media/1M\"\n";
/// In the gzip format (RFC 1952), with nothing in it.
const EMPTY_MEMBER: [u8; 20] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const MPD: &str = "<MPD type=\"dynamic\"><Period><AdaptationSet><SegmentTemplate media='m_$RepresentationID$_$Number%02d$.m4s'/>";
const MPD_END: &str = "</AdaptationSet></Period></MPD>\n";

/// Look-rounds over streams of these names.
fn look_rounds(names: &[u8]) {
    let Ok(namespace) = Namespace::parse("live") else { unreachable!("it is a name") };
    let followed = Followed::new(namespace);
    let date = "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T20:15:00Z\n";
    for name in String::from_utf8_lossy(names).lines() {
        let Ok(key) = Key::parse(name) else { unreachable!("it is a key: {name}") };
        followed.note(&key, format!("{PLAYLIST}{date}{}", "#EXTINF:2,\na.ts\n".repeat(4)).as_bytes());
    }
    (0..32).for_each(|_| followed.look());
}

fn numbered(count: usize, line: &str) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        let _ = write!(text, "{}", line.replace("{}", &number.to_string()));
        text
    })
}

#[test]
#[ignore = "tests/costs counts its instructions"]
fn the_work_of_a_case_is_measured() {
    let (Ok(name), Ok(size)) = (env::var("SPRINGHEAD_COST"), env::var("SPRINGHEAD_COST_SIZE")) else {
        // Where no case is named, the names of all.
        let names: Vec<_> = CASES.iter().map(|(name, ..)| *name).collect();
        assert!(env::var_os("SPRINGHEAD_COST_NAMES").is_some_and(|file| std::fs::write(file, names.join("\n")).is_ok()));
        return;
    };
    let Some((_, read, input)) = CASES.iter().find(|(known, ..)| *known == name) else {
        unreachable!("no case is called {name}")
    };
    let Ok(size) = size.parse::<usize>() else { unreachable!("a size is a number") };
    read(input(size).as_bytes());
}
