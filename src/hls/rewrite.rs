//! Taking credentials out of a playlist's or manifest's URIs, and handing a reader's down to its children.
//!
//! Both leave every other byte as it was. Taking out goes by the look of the text and not by its grammar, so that nothing is
//! overlooked in what is not well formed; handing down goes by the grammar, so that a key gets nowhere it need not.

use std::ops::Range;

use super::definitions::Definitions;
use super::mpd;
pub use super::parameters::Parameter;
use super::parameters::strip_uri;
use super::playlist::attributes::quoted_uris;
use super::playlist::{Surroundings, Variables, is_unknown};
use super::uri::is_scheme;
use crate::model::kind::Kind;

/// The largest answer in which children inherit, in bytes: a playlist of hours, and no multiple of memory for one of a million lines.
const MAX_INHERITED: usize = 16 << 20;

/// The body without the parameters for which `drop` holds and, if `users`, without user and password in URIs (RFC 3986 3.2.1).
/// `None`: there is nothing to take out, and the body stays as it came to the byte. What it returns has nothing left to take out.
///
/// It looks at URI lines, at every quoted string and at every word of a tag or comment; in XML at every attribute and text. Of a variable
/// (EXT-X-DEFINE) it looks at what that stands for: a value that is dropped is an empty one, so that what refers to it is as sound as before.
#[must_use]
pub fn strip(kind: Kind, bytes: &[u8], users: bool, drop: impl Fn(&Parameter<'_>) -> bool) -> Option<Vec<u8>> {
    if !kind.is_rewritten() {
        return None;
    }
    // No URI without these has anything to take out. A byte range has the last one, but no host.
    let has_users = || users && bytes.contains(&b'@') && bytes.windows(2).any(|two| two == b"//");
    let defines = || kind == Kind::Playlist && Definitions::are_in(bytes);
    if !(has_one_of(bytes, *b"?~%") || has_users() || defines()) {
        return None;
    }
    let mut edits = Edits::new(bytes);
    let text = |place: Range<usize>| std::str::from_utf8(&bytes[place]).ok();
    let stripped = |place: Range<usize>| {
        let stripped = text(place.clone()).and_then(|text| strip_uri(text, users, &drop));
        stripped.map(|left| (place, left))
    };
    if kind != Kind::Playlist {
        let all = places(bytes, |byte| matches!(byte, b'"' | b'\'' | b'<' | b'>'));
        all.filter_map(|place| stripped(markup_off(bytes, place)))
            .for_each(|(place, left)| edits.replace(place, left.as_bytes()));
        return edits.finish();
    }
    let lines = || places(bytes, |byte| matches!(byte, b'\n' | b'\r')).map(|line| trim(bytes, line));
    let mut definitions = Definitions::default();
    if defines() {
        let mut refer = |place: Range<usize>| text(place).into_iter().for_each(|uri| definitions.referred_to_by(uri, &drop));
        lines().for_each(|line| playlist_places(bytes, line, &mut refer));
    }
    for line in lines() {
        let at = |place: &Range<usize>| line.start + place.start..line.start + place.end;
        let definition = text(line.clone()).filter(|line| Definitions::is_one(line));
        let values = definition.map(|line| definitions.values(line, users, &drop)).unwrap_or_default();
        let mut found: Vec<_> = values.iter().filter_map(|(place, left)| Some((at(place), left.clone()?))).collect();
        let mut rest = values.iter().map(|(place, _)| at(place)).peekable();
        playlist_places(bytes, line.clone(), &mut |place| {
            // Both come in their order.
            while rest.next_if(|value| value.end <= place.start).is_some() {}
            if rest.peek().is_none_or(|value| value.start >= place.end) {
                found.extend(stripped(place));
            }
        });
        found.sort_by_key(|(place, _)| place.start);
        found.into_iter().for_each(|(place, left)| edits.replace(place, left.as_bytes()));
    }
    edits.finish()
}

/// Whether one of these is among the bytes. Each playlist that comes is looked through, and nearly none has any: so no byte is asked by itself,
/// and what is asked of each is a number and no truth, for of these the compiler takes sixteen at a time.
fn has_one_of<const N: usize>(bytes: &[u8], wanted: [u8; N]) -> bool {
    let found = |byte: &u8| wanted.iter().fold(0, |found, one| found | u8::from(byte == one));
    bytes.chunks(256).any(|some| some.iter().fold(0, |any, byte| any | found(byte)) != 0)
}

/// The body with `query` (such as `token=…&inherit_token=1`) added to every URI that leads back to the host the reader asked: to
/// relative ones, and to absolute ones whose authority is `host`, what the reader's request says it asked. Nothing is added to a
/// URI of which that is not plain: a key never leaves for another host. `None`: it would become larger than [`MAX_INHERITED`].
#[must_use]
pub fn inherit(kind: Kind, bytes: &[u8], query: &str, host: Option<&str>) -> Option<Vec<u8>> {
    let mut edits = Edits::new(bytes);
    let mut add = |place: Range<usize>, query: &str| {
        if edits.edited.len() > MAX_INHERITED {
            return;
        }
        // Before the fragment, if there is one: after an escape as in `&#38;` it is none.
        let uri = &bytes[place.clone()];
        let hash = (0..uri.len()).find(|&at| uri[at] == b'#' && (at == 0 || uri[at - 1] != b'&')).unwrap_or(uri.len());
        let joint = match uri[..hash].iter().position(|&byte| byte == b'?') {
            None => "?",
            Some(at) if at + 1 == hash => "",
            Some(_) if query.contains("&amp;") => "&amp;",
            Some(_) => "&",
        };
        edits.replace(place.start + hash..place.start + hash, [joint, query].concat().as_bytes());
    };
    match kind {
        Kind::Playlist => {
            let whole = std::str::from_utf8(bytes).unwrap_or_default();
            let variables =
                if whole.contains("{$") { Variables::of(whole, Surroundings::default()) } else { Variables::default() };
            let own = |uri: &str| {
                let meant = variables.apply(uri);
                // What a variable stands for is no query, or what is added would become a part of it.
                let is_plain = ['?', '#'].iter().all(|&mark| meant.matches(mark).count() == uri.matches(mark).count());
                is_plain && !is_unknown(&meant) && leads_back(&meant, host)
            };
            for line in places(bytes, |byte| byte == b'\n') {
                let line = trim(bytes, line);
                let text = std::str::from_utf8(&bytes[line.clone()]).unwrap_or_default();
                if text.starts_with("#EXT") {
                    for uri in quoted_uris(text).filter(|uri| own(&text[uri.clone()])) {
                        add(line.start + uri.start..line.start + uri.end, query);
                    }
                } else if !text.starts_with(['#', '\u{feff}']) && own(text) {
                    add(line, query);
                }
            }
        }
        Kind::Manifest => {
            let escaped = query.replace('&', "&amp;");
            for place in mpd::places(bytes, |uri| leads_back(uri, host)) {
                add(place, &escaped);
            }
        }
        Kind::Initialization | Kind::Segment => {}
    }
    (edits.edited.len() <= MAX_INHERITED).then(|| edits.finish().unwrap_or_else(|| bytes.to_vec()))
}

/// A playlist with each URI for which there is another in its place; of one that is no playlist nothing is changed. `None`: there is nothing to
/// change.
#[must_use]
pub fn mapped(kind: Kind, bytes: &[u8], map: impl Fn(&str) -> Option<String>) -> Option<Vec<u8>> {
    if kind != Kind::Playlist {
        return None;
    }
    let mut edits = Edits::new(bytes);
    for line in places(bytes, |byte| byte == b'\n') {
        let line = trim(bytes, line);
        let text = std::str::from_utf8(&bytes[line.clone()]).ok()?;
        let is_uri = !text.starts_with('#');
        let all = is_uri.then_some(0..text.len()).into_iter();
        for uri in all.chain(quoted_uris(text).filter(|_| !is_uri)) {
            if let Some(other) = map(&text[uri.clone()]) {
                edits.replace(line.start + uri.start..line.start + uri.end, other.as_bytes());
            }
        }
    }
    edits.finish()
}

/// Whether a URI leads to the host that the reader asked, by the reading of browsers as well as by the RFC's.
fn leads_back(uri: &str, host: Option<&str>) -> bool {
    // Browsers read a backslash as a slash and leave out tabs and line ends: none of that is in an honest URI.
    // And one of nothing but a fragment means the playlist itself.
    if uri.is_empty()
        || uri.starts_with('#')
        || uri.contains('\\')
        || uri.chars().any(char::is_control)
        || uri.trim_ascii() != uri
    {
        return false;
    }
    let rest = match uri.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => {
            let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
            if !http || !rest.starts_with("//") {
                return false;
            }
            rest
        }
        _ => uri,
    };
    match rest.strip_prefix("//") {
        None => true,
        Some(rest) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            host.is_some_and(|host| !host.is_empty() && authority.eq_ignore_ascii_case(host))
        }
    }
}

/// What is between the delimiters.
fn places(bytes: &[u8], is_delimiter: impl Fn(u8) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    bytes.split(move |&byte| is_delimiter(byte)).map(move |piece| {
        let place = start..start + piece.len();
        start = place.end + 1;
        place
    })
}

/// Blanks and line ends off both sides.
fn trim(bytes: &[u8], place: Range<usize>) -> Range<usize> {
    let text = &bytes[place.clone()];
    let end = place.start + text.trim_ascii_end().len();
    end - bytes[place.start..end].trim_ascii_start().len()..end
}

/// Where URIs may be in a line of a playlist, without blanks around it.
fn playlist_places(bytes: &[u8], line: Range<usize>, look: &mut impl FnMut(Range<usize>)) {
    let text = &bytes[line.clone()];
    if !text.starts_with(b"#") {
        return look(line);
    }
    // The tag's name is no scheme, and its sign begins no fragment.
    let colon = text.iter().position(|&byte| byte == b':').filter(|_| text.starts_with(b"#EXT"));
    let start = line.start + colon.unwrap_or(0) + 1;
    let mut in_quotes = false;
    for part in places(&bytes[start..line.end], |byte| byte == b'"') {
        let part = start + part.start..start + part.end;
        if in_quotes {
            look(trim(bytes, part));
        } else {
            let words = places(&bytes[part.clone()], |byte| byte == b',' || byte.is_ascii_whitespace());
            words.for_each(|word| look(part.start + word.start..part.start + word.end));
        }
        in_quotes = !in_quotes;
    }
}

/// A text of XML without what makes it a comment, a processing instruction or raw text: that is no part of a URI in it.
fn markup_off(bytes: &[u8], place: Range<usize>) -> Range<usize> {
    let (mut start, mut end) = (place.start, place.end);
    if bytes[..start].ends_with(b"<") {
        let opened = [&b"![CDATA["[..], b"!--", b"?"].into_iter().find(|open| bytes[start..end].starts_with(open));
        start += opened.map_or(0, <[u8]>::len);
    }
    if bytes[end..].starts_with(b">") {
        let closed = [&b"]]"[..], b"--", b"?"].into_iter().find(|close| bytes[start..end].ends_with(close));
        end -= closed.map_or(0, <[u8]>::len);
    }
    trim(bytes, start..end)
}

/// A copy in the making, made only when something changes. Changes come from the front to the back.
struct Edits<'a> {
    bytes: &'a [u8],
    edited: Vec<u8>,
    copied: usize,
}

impl<'a> Edits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, edited: Vec::new(), copied: 0 }
    }

    fn replace(&mut self, place: Range<usize>, text: &[u8]) {
        if self.edited.is_empty() {
            self.edited.reserve(self.bytes.len() + self.bytes.len() / 8);
        }
        self.edited.extend_from_slice(&self.bytes[self.copied..place.start]);
        self.edited.extend_from_slice(text);
        self.copied = place.end;
    }

    /// `None` when nothing has changed.
    fn finish(mut self) -> Option<Vec<u8>> {
        if self.edited.is_empty() && self.copied == 0 {
            return None;
        }
        self.edited.extend_from_slice(&self.bytes[self.copied..]);
        Some(self.edited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn credential(parameter: &Parameter<'_>) -> bool {
        parameter.name == "_gda_" || parameter.name == "token" && !parameter.elsewhere || parameter.value.contains("KEY")
    }

    fn stripped(kind: Kind, text: &str) -> Option<String> {
        strip(kind, text.as_bytes(), true, credential).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn credentials_are_taken_out_of_playlists() {
        for (line, left) in [
            ("a.m3u8?token=K&ttl_seconds=3600&role=origin", "a.m3u8?ttl_seconds=3600&role=origin"),
            ("a.m3u8?ttl_seconds=3600&token=K&role=origin", "a.m3u8?ttl_seconds=3600&role=origin"),
            ("a.m3u8?role=origin&token=K", "a.m3u8?role=origin"),
            ("a.m3u8?token=K", "a.m3u8"),
            ("a.m3u8?token=K&token=L#f", "a.m3u8#f"),
            ("a.m3u8?token", "a.m3u8"),
            ("a.m3u8?_gda_=exp=1~acl=/*~hmac=ab&x", "a.m3u8?x"),
            ("a.m3u8?&token=K&", "a.m3u8"),
            ("a.m3u8?other=a%4BEY", "a.m3u8"),
            ("a.m3u8?u=x%3Ftoken%3DKEY&b", "a.m3u8?b"),
            ("a.m3u8?%74oken=K", "a.m3u8"),
            ("a.m3u8?x=1?token=K", "a.m3u8?x=1?token=K"),
            ("a.m3u8??token=K", "a.m3u8"),
            ("a.m3u8#f?token=K", "a.m3u8#f?token=K"),
            ("?token=K#EXT-X-MAP:URI=\"//u@h\"", "?#EXT-X-MAP:URI=\"//u@h\""),
            ("a b.m3u8?token=K", "a b.m3u8"),
            ("\u{e4}.m3u8?token=\u{e4}", "\u{e4}.m3u8"),
            ("https://user:pass@h/a?b", "https://h/a?b"),
            ("HTTP://user:p@ss@h", "HTTP://h"),
            ("//user@h/a", "//h/a"),
            ("https://h/cache/live/a?token=K&b", "https://h/cache/live/a?b"),
            ("https://keys.example/k?token=K&x=KEY", "https://keys.example/k?token=K"),
            ("#EXT-X-MAP:URI=\"i.mp4?token=K\",BYTERANGE=\"9@0\"", "#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"9@0\""),
            (
                "#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example/k?token=K\"",
                "#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example/k?token=K\"",
            ),
            ("#EXT-X-KEY:URI=\"skd://a@b?token=K\"", "#EXT-X-KEY:URI=\"skd://a@b?token=K\""),
            ("#EXT-X-KEY:URI=\"https://u:p@keys.example/k\"", "#EXT-X-KEY:URI=\"https://keys.example/k\""),
            ("#EXT-X-MEDIA:NAME=\"a\",URI=\"a?token=K&b\",X=\"b?token=K\"", "#EXT-X-MEDIA:NAME=\"a\",URI=\"a?b\",X=\"b\""),
            ("#EXT-X-X:URI=a?token=K,B=c", "#EXT-X-X:URI=a,B=c"),
            ("#EXTINF:2,see http://u:p@h/cache/?token=K there", "#EXTINF:2,see http://h/cache/ there"),
            ("# a.ts?token=K", "# a.ts"),
            ("~KEY/a.ts", "a.ts"),
            ("%7EKEY/b/a.ts?token=K", "b/a.ts"),
            ("/cache/live/~KEY/a.ts", "/cache/live/a.ts"),
            ("https://u@h/~KEY/a/~KEY/b.ts", "https://h/a/b.ts"),
            ("a/~KEY", "a/~KEY"),
            ("~kept/a.ts", "~kept/a.ts"),
            ("~KEY/", "./"),
            ("~KEY/#EXT-X-ENDLIST", "./#EXT-X-ENDLIST"),
            ("~KEY//h/a.ts", ".//h/a.ts"),
            ("~KEY/http:a.ts", "./http:a.ts"),
            ("#EXT-X-MAP:URI=\"~KEY/i.mp4\"", "#EXT-X-MAP:URI=\"i.mp4\""),
            ("#EXT-X-SESSION-DATA:URI=\"data:text/plain,a?token=K\"", "#EXT-X-SESSION-DATA:URI=\"data:text/plain,a?token=K\""),
        ] {
            let text = |line: &str| format!("#EXTM3U\r\n#EXTINF:2,a?\r\n  {line}\t\r\nb.ts?x\n\n");
            let expected = (line != left).then(|| text(left));
            assert_eq!(stripped(Kind::Playlist, &text(line)), expected, "{line}");
        }
        assert_eq!(stripped(Kind::Segment, "a?token=K"), None);
        let users_kept = strip(Kind::Playlist, b"http://u:p@h/?_gda_=1", false, credential);
        assert_eq!(users_kept.as_deref(), Some(&b"http://u:p@h/"[..]));
        // Not UTF-8: the rest of the playlist is looked at all the same.
        let latin = strip(Kind::Playlist, b"\xe4.ts\na?token=K\n", true, credential);
        assert_eq!(latin.as_deref(), Some(&b"\xe4.ts\na\n"[..]));
    }

    #[test]
    fn credentials_are_taken_out_of_manifests() {
        for (text, left) in [
            ("<BaseURL>\n a/?token=K&amp;b=c </BaseURL>", "<BaseURL>\n a/?b=c </BaseURL>"),
            ("<S media=\"a?b&amp;token=K&amp;c\" initialization='i?token=K'/>", "<S media=\"a?b&amp;c\" initialization='i'/>"),
            ("<S media=\"a?b&#38;token=K&#x26;c\"/>", "<S media=\"a?b&#x26;c\"/>"),
            ("<S media=\"a?b&token=K\"/>", "<S media=\"a?b\"/>"),
            ("<BaseURL><![CDATA[a?token=K]]></BaseURL>", "<BaseURL><![CDATA[a]]></BaseURL>"),
            ("<BaseURL>https://u:p@h/cache/a/</BaseURL>", "<BaseURL>https://h/cache/a/</BaseURL>"),
            ("<!--a?token=K-->", "<!--a-->"),
            ("<BaseURL>?token=K</BaseURL>", "<BaseURL>?</BaseURL>"),
            ("<?xml version=\"1.0\"?><?token=K?>", "<?xml version=\"1.0\"?><?token=K?>"),
            ("<Title>A & B?</Title><Url>x?a=1&#38;b</Url>", "<Title>A & B?</Title><Url>x?a=1&#38;b</Url>"),
            ("<S media=\"a?token=K", "<S media=\"a"),
            ("<BaseURL>~KEY/a/</BaseURL>", "<BaseURL>a/</BaseURL>"),
        ] {
            let expected = (text != left).then(|| left.to_owned());
            assert_eq!(stripped(Kind::Manifest, text), expected, "{text}");
        }
    }

    fn inherited(kind: Kind, text: &str) -> String {
        String::from_utf8(inherit(kind, text.as_bytes(), "token=K&inherit_token=1", Some("h:8080")).unwrap()).unwrap()
    }

    #[test]
    fn children_inherit() {
        const Q: &str = "token=K&inherit_token=1";
        for (line, expected) in [
            ("a.ts", format!("a.ts?{Q}")),
            ("  a.ts\r", format!("  a.ts?{Q}\r")),
            ("a.ts?b=c#f", format!("a.ts?b=c&{Q}#f")),
            ("a.ts?", format!("a.ts?{Q}")),
            ("/cache/live/a.ts", format!("/cache/live/a.ts?{Q}")),
            ("../10:30/a.ts", format!("../10:30/a.ts?{Q}")),
            ("http://H:8080/cache/live/a.ts", format!("http://H:8080/cache/live/a.ts?{Q}")),
            ("//h:8080/a.ts", format!("//h:8080/a.ts?{Q}")),
            ("#EXT-X-MAP:URI=\"i.mp4\",X=\"y\"", format!("#EXT-X-MAP:URI=\"i.mp4?{Q}\",X=\"y\"")),
            ("#EXT-X-MEDIA:NAME=\"a,URI=\",URI=\"a\"", format!("#EXT-X-MEDIA:NAME=\"a,URI=\",URI=\"a?{Q}\"")),
            ("#EXT-X-CONTENT-STEERING:SERVER-URI=\"/s\"", format!("#EXT-X-CONTENT-STEERING:SERVER-URI=\"/s?{Q}\"")),
        ] {
            assert_eq!(inherited(Kind::Playlist, &format!("#EXTM3U\n{line}\n")), format!("#EXTM3U\n{expected}\n"), "{line}");
        }
    }

    #[test]
    fn children_by_a_variable_inherit_where_it_is_known() {
        const Q: &str = "token=K&inherit_token=1";
        let define =
            |value: &str| format!("#EXTM3U\n#EXT-X-DEFINE:NAME=\"p\",VALUE=\"{value}\"\n#EXT-X-DEFINE:QUERYPARAM=\"t\"\n");
        for value in ["media/1M", "/cache/live", "http://h:8080/cache/live", "../x"] {
            let expected = format!("{}{{$p}}/a.ts?{Q}\n#EXT-X-MAP:URI=\"{{$p}}/i?t={{$t}}&{Q}\"\n", define(value));
            assert_eq!(
                inherited(Kind::Playlist, &format!("{}{{$p}}/a.ts\n#EXT-X-MAP:URI=\"{{$p}}/i?t={{$t}}\"\n", define(value))),
                expected
            );
        }
        // Elsewhere; part of a query or fragment already; of many minds.
        for value in [
            "//other",
            "https://other",
            "http:/",
            "/\\other",
            "a?x=",
            "a#",
            "{$t}",
            "media\"\n#EXT-X-DEFINE:NAME=\"p\",VALUE=\"//other",
        ] {
            let text = format!("{}{{$p}}/a.ts\n", define(value));
            assert_eq!(inherited(Kind::Playlist, &text), text, "{value}");
        }
    }

    #[test]
    fn a_key_never_leaves_for_another_host() {
        for uri in [
            "http://other/a",
            "https://h/a",
            "http://h:8080@other/a",
            "http://other\\@h:8080/a",
            "//other/a",
            "///other/a",
            "/\\other/a",
            "\\\\other/a",
            "/\t/other/a",
            "ht\ttp://other/a",
            "http:other",
            "http:/other",
            "http:\\\\other",
            "data:,a",
            "skd://h:8080",
            "{$other}/a",
            "http://h:8080{$x}/a",
        ] {
            for line in [uri.to_owned(), format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{uri}\""), format!("#EXT-X-KEY:URI=\" {uri}\"")]
            {
                let text = format!("#EXTM3U\n{line}\n");
                assert_eq!(inherited(Kind::Playlist, &text), text);
            }
            if !uri.contains('{') {
                let text = format!("<MPD><BaseURL>{uri}</BaseURL><SegmentTemplate media='{uri}' initialization='i'/></MPD>");
                assert_eq!(inherited(Kind::Manifest, &text), text);
            }
        }
        let text = "#EXTM3U\nhttp://h:8080/a\n";
        assert_eq!(inherit(Kind::Playlist, text.as_bytes(), "token=K", None).as_deref(), Some(text.as_bytes()));
        // Nor into what only looks like a URI.
        for line in ["#EXT-X-X:URI=a", "#EXT-X-X:XURI=\"a\"", "#EXT-X-X:URI=\"a", "# a.ts", "#EXTINF:2,URI=a", ""] {
            let text = format!("#EXTM3U\n{line}\n");
            assert_eq!(inherited(Kind::Playlist, &text), text);
        }
    }

    #[test]
    fn what_would_become_huge_is_not_made() {
        let lines = |count: usize| format!("#EXTM3U\n{}", "a\n".repeat(count));
        let made = |text: &str| inherit(Kind::Playlist, text.as_bytes(), "token=K&inherit_token=1", None);
        assert_eq!(made(&lines(MAX_INHERITED / 16)), None);
        assert!(made(&lines(MAX_INHERITED / 32)).is_some());
    }

    #[test]
    fn children_of_manifests_inherit() {
        const Q: &str = "token=K&amp;inherit_token=1";
        let text = "<MPD><Location>http://h:8080/a.mpd</Location><BaseURL>v/</BaseURL><P><BaseURL>v.mp4</BaseURL></P>\
                    <SegmentTemplate media=\"a$Number$?b&amp;c\" initialization='i#&#38;'/></MPD>";
        let expected = format!(
            "<MPD><Location>http://h:8080/a.mpd?{Q}</Location><BaseURL>v/</BaseURL><P><BaseURL>v.mp4?{Q}</BaseURL></P>\
             <SegmentTemplate media=\"a$Number$?b&amp;c&amp;{Q}\" initialization='i?{Q}#&#38;'/></MPD>"
        );
        assert_eq!(inherited(Kind::Manifest, text), expected);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            for kind in [Kind::Playlist, Kind::Manifest] {
                let _ = strip(kind, &bytes, true, |_| true);
                let _ = inherit(kind, &bytes, "a", Some("h"));
            }
        }

        #[test]
        fn stripping_leaves_nothing_to_strip(
            text in "(a|b|token=|KEY|_gda_|x=|/|//|http:|:|@|\\?|&|&amp;|&#38;|#|#EXT-X-MAP:|URI=|\"|'|<|>|<!--|-->|]]|%4B|EY|,| |\n|\r|\u{e4})*"
        ) {
            for kind in [Kind::Playlist, Kind::Manifest] {
                if let Some(once) = strip(kind, text.as_bytes(), true, credential) {
                    prop_assert!(once.len() < text.len());
                    prop_assert_eq!(strip(kind, &once, true, credential), None, "{:?}", String::from_utf8_lossy(&once));
                }
                prop_assert!(text.contains(['?', '@']) || strip(kind, text.as_bytes(), true, |_| true).is_none());
            }
        }
    }
}
