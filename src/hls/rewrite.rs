//! Taking credentials out of a playlist's or manifest's URIs, and handing a reader's down to its children.
//!
//! Both leave every other byte as it was. Taking out goes by the look of the text and not by its grammar, so that nothing is
//! overlooked in what is not well formed; handing down goes by the grammar, so that a key gets nowhere it need not.

use std::borrow::Cow;
use std::ops::Range;

use super::mpd;
use super::playlist::attributes::quoted_uris;
use super::playlist::{Surroundings, Variables, is_unknown};
use super::uri::is_scheme;
use crate::model::kind::Kind;
use crate::model::percent::decode;

/// The largest answer in which children inherit, in bytes: a playlist of hours, and no multiple of memory for one of a million lines.
const MAX_INHERITED: usize = 16 << 20;

/// A query parameter of a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Its name, decoded.
    pub name: Cow<'a, str>,
    /// Its value, decoded as in a form.
    pub value: Cow<'a, str>,
    /// The URI names a host or scheme, and a path there that is none of ours: somebody else's, say of a server of content keys.
    pub elsewhere: bool,
}

/// The body without the parameters for which `drop` holds and, if `users`, without user and password in URIs (RFC 3986 3.2.1).
/// `None`: there is nothing to take out, and the body stays as it came to the byte. What it returns has nothing left to take out.
///
/// It looks at URI lines, at every quoted string and at every word of a tag or comment; in XML at every attribute and text.
#[must_use]
pub fn strip(kind: Kind, bytes: &[u8], users: bool, drop: impl Fn(&Parameter<'_>) -> bool) -> Option<Vec<u8>> {
    // No URI without these has anything to take out. A byte range has the second one, but no host.
    let has_users = || users && bytes.contains(&b'@') && bytes.windows(2).any(|two| two == b"//");
    if !kind.is_rewritten() || !(bytes.contains(&b'?') || has_users()) {
        return None;
    }
    let mut edits = Edits::new(bytes);
    let mut look = |place: Range<usize>| {
        if let Ok(text) = std::str::from_utf8(&bytes[place.clone()])
            && let Some(stripped) = strip_uri(text, users, &drop)
        {
            edits.replace(place, stripped.as_bytes());
        }
    };
    match kind {
        Kind::Playlist => {
            places(bytes, |byte| matches!(byte, b'\n' | b'\r')).for_each(|line| playlist_places(bytes, line, &mut look));
        }
        _ => places(bytes, |byte| matches!(byte, b'"' | b'\'' | b'<' | b'>')).for_each(|place| look(markup_off(bytes, place))),
    }
    edits.finish()
}

/// The body with `query` (such as `token=…&inherit_token=1`) added to every URI that leads back to the host the reader asked: to
/// relative ones, and to absolute ones whose authority is `host`, what the reader's request says it asked. Nothing is added to a
/// URI of which that is not plain: a key never leaves for another host. What would become larger than [`MAX_INHERITED`] stays as it
/// is.
#[must_use]
pub fn inherit(kind: Kind, bytes: &[u8], query: &str, host: Option<&str>) -> Vec<u8> {
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
    let within = edits.edited.len() <= MAX_INHERITED;
    Some(edits).filter(|_| within).and_then(Edits::finish).unwrap_or_else(|| bytes.to_vec())
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

/// Where URIs may be in a line of a playlist.
fn playlist_places(bytes: &[u8], line: Range<usize>, look: &mut impl FnMut(Range<usize>)) {
    let line = trim(bytes, line);
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

/// A URI without what is to be dropped; `None` when there is none of that.
fn strip_uri(uri: &str, users: bool, drop: &impl Fn(&Parameter<'_>) -> bool) -> Option<String> {
    if uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        return None;
    }
    // In XML an escape as in `&#38;` begins no fragment.
    let is_hash = |at: usize| uri[at..].starts_with('#') && !uri[..at].ends_with('&');
    let hash = uri.match_indices('#').map(|(at, _)| at).find(|&at| is_hash(at)).unwrap_or(uri.len());
    let question = uri[..hash].find('?').unwrap_or(hash);
    let (path, elsewhere) = match without_users(&uri[..question]) {
        (path, elsewhere) if users => (path, elsewhere),
        (_, elsewhere) => (Cow::Borrowed(&uri[..question]), elsewhere),
    };
    let query = without_parameters(&uri[question..hash], elsewhere, drop);
    // A fragment stays: no client sends it anywhere.
    let changed = matches!(path, Cow::Owned(_)) || matches!(query, Cow::Owned(_));
    // A reference must not become nothing, nor a line a tag, nor a fragment an escape, for want of what stood between.
    let mark = if question < hash && query.is_empty() && (path.is_empty() || path.ends_with('&')) { "?" } else { "" };
    changed.then(|| [&path, mark, &query, &uri[hash..]].concat())
}

/// A path without user and password before any host in it, and whether it leads elsewhere.
fn without_users(path: &str) -> (Cow<'_, str>, bool) {
    let is_opaque = |(scheme, rest): (&str, &str)| is_scheme(scheme) && !rest.starts_with("//");
    let mut elsewhere = path.split_once(':').is_some_and(is_opaque);
    let (mut kept, mut copied, mut from) = (String::new(), 0, 0);
    while let Some(slashes) = path[from..].find("//").map(|at| from + at) {
        from = slashes + 2;
        let before = &path[..slashes];
        if !before.is_empty() && !before.ends_with(':') {
            continue;
        }
        let end = path[from..].find('/').map_or(path.len(), |at| from + at);
        elsewhere |= !path[end..].starts_with("/cache/");
        // Other schemes give the sign before the host a meaning of their own.
        let http = ["http:", "https:"].iter().any(|scheme| {
            before
                .len()
                .checked_sub(scheme.len())
                .and_then(|at| before.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(scheme))
        });
        if (before.is_empty() || http)
            && let Some(at) = path[from..end].rfind('@')
        {
            kept.push_str(&path[copied..from]);
            copied = from + at + 1;
        }
        from = end;
    }
    if copied == 0 { (Cow::Borrowed(path), elsewhere) } else { (Cow::Owned(kept + &path[copied..]), elsewhere) }
}

/// A query, with the sign it begins with, without the parameters that are to be dropped.
fn without_parameters<'a>(part: &'a str, elsewhere: bool, drop: &impl Fn(&Parameter<'_>) -> bool) -> Cow<'a, str> {
    let Some((mark, parameters)) = part.split_at_checked(1) else { return Cow::Borrowed(part) };
    let (mut kept, mut dropped, mut separator, mut rest) = (String::new(), false, "", parameters);
    loop {
        let end = rest.find('&').unwrap_or(rest.len());
        let (name, value) = rest[..end].split_once('=').unwrap_or((&rest[..end], ""));
        // What stands behind a second question mark was put there as a parameter, whoever may read it as one.
        let name = name.rsplit('?').next().unwrap_or_default();
        let parameter = Parameter { name: form(name), value: form(value), elsewhere };
        if end > 0 && drop(&parameter) {
            dropped = true;
        } else if end > 0 {
            if !kept.is_empty() {
                kept.push_str(separator);
            }
            kept.push_str(&rest[..end]);
        }
        if end == rest.len() {
            break;
        }
        rest = &rest[end..];
        separator = ["&amp;", "&#38;", "&#x26;"].into_iter().find(|escape| rest.starts_with(escape)).unwrap_or("&");
        rest = &rest[separator.len()..];
    }
    match (dropped, kept.is_empty()) {
        (false, _) => Cow::Borrowed(part),
        (true, true) => Cow::Owned(String::new()),
        (true, false) => Cow::Owned([mark, &kept].concat()),
    }
}

/// A name or value, decoded as in a form; as it stands when that is not UTF-8.
fn form(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Cow::Owned(decode(&spaced).map(Cow::into_owned).unwrap_or(spaced));
    }
    decode(text).unwrap_or(Cow::Borrowed(text))
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
        ] {
            let expected = (text != left).then(|| left.to_owned());
            assert_eq!(stripped(Kind::Manifest, text), expected, "{text}");
        }
    }

    fn inherited(kind: Kind, text: &str) -> String {
        String::from_utf8(inherit(kind, text.as_bytes(), "token=K&inherit_token=1", Some("h:8080"))).unwrap()
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
        assert_eq!(inherit(Kind::Playlist, text.as_bytes(), "token=K", None), text.as_bytes());
        // Nor into what only looks like a URI.
        for line in ["#EXT-X-X:URI=a", "#EXT-X-X:XURI=\"a\"", "#EXT-X-X:URI=\"a", "# a.ts", "#EXTINF:2,URI=a", ""] {
            let text = format!("#EXTM3U\n{line}\n");
            assert_eq!(inherited(Kind::Playlist, &text), text);
        }
    }

    #[test]
    fn what_would_become_huge_stays_as_it_is() {
        let text = format!("#EXTM3U\n{}", "a\n".repeat(MAX_INHERITED / 16));
        assert_eq!(inherited(Kind::Playlist, &text), text);
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
