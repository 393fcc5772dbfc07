//! Request targets with a `#` in them, which the HTTP library cuts off there without a word: different names would become one. A target
//! has no fragment (RFC 9112 3.2), so such a request is refused. The only module that knows memchr.
//!
//! The library does not say what it has cut off, and keeps the bytes of a request that was sent before its turn for itself. So all that
//! comes on an HTTP/1 connection is looked through for request lines, but for what is certain to be a body's, and a request whose line had a
//! `#` is known by its method and by what is left of its target. In a body such a line would have to be followed by a request for that
//! same name.
//!
//! HTTP/2 is another matter: its names are compressed, and the library cuts there as well.

use axum::http::{Method, Uri};
use memchr::{memchr, memmem};

use super::MAX_HEAD;

/// How far back a request line can begin.
const LONGEST_LINE: usize = MAX_HEAD as usize;
/// What stands behind a target.
const VERSION: &[u8] = b" HTTP/1.";
/// What is served at all; every other method is refused, whatever it names.
const METHODS: [&str; 8] = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "MKCOL", "PROPFIND"];

/// A request whose target is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CutOff {
    method: &'static str,
    /// What is left of its target.
    target: Vec<u8>,
}

/// Looks through what comes on a connection.
#[derive(Debug, Default)]
pub(super) struct LineSearch {
    /// What the last bytes may have begun.
    begun: Vec<u8>,
    /// How many of the next bytes are a body's for certain: to look through a segment costs a tenth of what storing it does.
    body: u64,
    /// How many have been looked through since the last request began. A request's head is among them, and what came with it.
    looked: u64,
}

impl CutOff {
    /// Whether that is this request.
    pub(super) fn is(&self, method: &Method, uri: &Uri) -> bool {
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes();
        // In absolute form there is an authority before it.
        let is_target = if self.target.starts_with(b"/") { self.target == target } else { self.target.ends_with(target) };
        self.method == method.as_str() && is_target
    }
}

impl LineSearch {
    /// A request has begun whose body is this long. Some of it may have come with its head, and no more than what was looked through
    /// since the request before it: the library reads on when it has made use of what it has.
    pub(super) fn body_follows(&mut self, length: u64) {
        self.body = length.saturating_sub(self.looked);
        self.looked = 0;
    }

    /// Looks through the next bytes. `is_head`: they are all of a head, no body is open. Tells of each that is `cut_off`.
    pub(super) fn look(&mut self, bytes: &[u8], is_head: bool, cut_off: impl FnMut(CutOff)) {
        let length = bytes.len() as u64;
        if let Some(left) = self.body.checked_sub(length).filter(|_| length > 0) {
            self.body = left;
            self.begun = Vec::new();
            return;
        }
        (self.body, self.looked) = (0, self.looked + length);
        if self.begun.is_empty() {
            if !is_head || memchr(b'#', bytes).is_some() {
                found(bytes, cut_off);
            }
            self.begun.extend_from_slice(unfinished(bytes));
            return;
        }
        self.begun.extend_from_slice(bytes);
        found(&self.begun, cut_off);
        let rest = self.begun.len() - unfinished(&self.begun).len();
        self.begun.drain(..rest);
        if self.begun.is_empty() {
            // Most connections never need it again.
            self.begun = Vec::new();
        }
    }
}

/// Tells of the request lines with a `#` in their target.
fn found(bytes: &[u8], mut cut_off: impl FnMut(CutOff)) {
    for end in memmem::find_iter(bytes, VERSION) {
        let Some((method, target)) = line_before(bytes, end) else { continue };
        if let Some(at) = memchr(b'#', target) {
            cut_off(CutOff { method, target: target[..at].to_vec() });
        }
    }
}

/// The method and target of the request line whose version stands here. A body may come right before it.
fn line_before(bytes: &[u8], end: usize) -> Option<(&'static str, &[u8])> {
    let (before, target) = word_before(bytes, end)?;
    Some((METHODS.into_iter().find(|method| before.ends_with(method.as_bytes()))?, target))
}

/// The word that ends here, and what comes before the space before it.
fn word_before(bytes: &[u8], end: usize) -> Option<(&[u8], &[u8])> {
    let from = end.saturating_sub(LONGEST_LINE);
    let space = bytes[from..end].iter().rposition(|byte| *byte <= b' ').filter(|at| bytes[from + at] == b' ')? + from;
    Some((&bytes[..space], &bytes[space + 1..end]))
}

/// What may be the beginning of a request line that is not there in full: no more than one can be long.
fn unfinished(bytes: &[u8]) -> &[u8] {
    if bytes.last().is_none_or(|byte| *byte == b'\n') {
        return &[];
    }
    let ends_in_method = |text: &[u8]| METHODS.into_iter().find(|method| text.ends_with(method.as_bytes()));
    let (before, word) = word_before(bytes, bytes.len()).unwrap_or_default();
    // The version has begun, and the target is before it; or the target has.
    let before_target =
        if VERSION[1..].starts_with(word) { word_before(before, before.len()).map(|(before, _)| before) } else { None };
    let line = [before_target, Some(before)].into_iter().flatten().find_map(|before| Some((before, ends_in_method(before)?)));
    if let Some((before, method)) = line {
        let line = &bytes[before.len() - method.len()..];
        return if line.len() > LONGEST_LINE { &[] } else { line };
    }
    // The method has, as far as can be told.
    let part = METHODS.into_iter().flat_map(|method| (1..=method.len()).map(move |length| &method.as_bytes()[..length]));
    let longest = part.filter(|part| bytes.ends_with(part)).map(<[u8]>::len).max().unwrap_or(0);
    &bytes[bytes.len() - longest..]
}

#[cfg(test)]
mod tests {
    use super::super::state::ConnectionState;
    use super::*;
    use proptest::prelude::{any, proptest};

    /// Whether a request is known for one whose target was cut off, when these pieces have come.
    fn is_cut_off(pieces: &[&[u8]], is_head: bool, method: &str, uri: &str) -> bool {
        let (mut search, state) = (LineSearch::default(), ConnectionState::default());
        for piece in pieces {
            search.look(piece, is_head, |request| state.cut_off(request));
        }
        state.take_cut_off(&Method::from_bytes(method.as_bytes()).unwrap(), &uri.parse().unwrap())
    }

    #[test]
    fn a_line_is_found_wherever_it_comes() {
        let line = b"PUT /cache/a/cam#1/live.m3u8 HTTP/1.1\r\nHost: a\r\n\r\n";
        assert!(is_cut_off(&[line], true, "PUT", "/cache/a/cam"));
        for body in [&b""[..], b"0\r\n\r\n", b"#EXTM3U\n#EXTINF:2,\na.ts\n", b"\0\x17G ", b"a PUT PU", b"GET /a"] {
            let all = [body, line].concat();
            for cut in 0..all.len() {
                let (one, other) = all.split_at(cut);
                assert!(is_cut_off(&[one, other], false, "PUT", "/cache/a/cam"), "{body:?} {cut}");
            }
            let each: Vec<&[u8]> = all.chunks(1).collect();
            assert!(is_cut_off(&each, false, "PUT", "/cache/a/cam"), "{body:?}");
        }
        assert!(is_cut_off(&[b"GET http://any.example/a?b#c HTTP/1.0\r\n"], true, "GET", "/a?b"));
        assert!(is_cut_off(&[b"GET /# HTTP/1.1\n"], true, "GET", "/"));
    }

    #[test]
    fn no_other_request_is_taken_for_one() {
        let line = &b"PUT /cache/a/cam#1/live.m3u8 HTTP/1.1\r\n\r\n"[..];
        assert!(!is_cut_off(&[line], true, "PUT", "/cache/a/cam1"));
        assert!(!is_cut_off(&[line], true, "PUT", "/cam"));
        assert!(!is_cut_off(&[line], true, "GET", "/cache/a/cam"));
        for other in [
            &b"PUT /cache/a/cam HTTP/1.1\r\nX: #\r\n\r\n"[..],
            b"PUT /cache/a/cam HTTP/1.1\r\n\r\n#EXTM3U\n",
            b"PUT /cache/a/cam#1",
            b"PUT /cache/a/cam #1 HTTP/1.1",
            b"",
        ] {
            assert!(!is_cut_off(&[other], false, "PUT", "/cache/a/cam"), "{other:?}");
        }
    }

    #[test]
    fn one_line_is_one_request_and_what_is_kept_is_bounded() {
        let (mut search, state) = (LineSearch::default(), ConnectionState::default());
        for _ in 0..1000 {
            search.look(b"PUT /a#b HTTP/1.1\r\n\r\n", false, |request| state.cut_off(request));
        }
        let (method, uri) = (Method::PUT, Uri::from_static("/a"));
        let taken = (0..1000).filter(|_| state.take_cut_off(&method, &uri)).count();
        assert!((1..=64).contains(&taken), "{taken}");
        search.look(b"PUT /", false, |request| state.cut_off(request));
        for _ in 0..1000 {
            search.look(&[b'a'; 1000], false, |request| state.cut_off(request));
            assert!(search.begun.len() <= LONGEST_LINE + 1000);
        }
    }

    proptest! {
        #[test]
        fn a_body_is_passed_over_and_what_follows_it_is_not(length in 0..5000usize, with_head in 0..5000usize, reads in 1..900usize) {
            let head = b"PUT /cache/live/a.ts HTTP/1.1\r\n\r\n";
            let in_body = b"PUT /in#body HTTP/1.1\r\n";
            let body: Vec<u8> = in_body.iter().copied().cycle().take(length).collect();
            let all = [&head[..], &body, b"PUT /cache/live/b#1.ts HTTP/1.1\r\n"].concat();
            let (first, rest) = all.split_at((head.len() + with_head).min(head.len() + length));
            let (mut search, mut found) = (LineSearch::default(), Vec::new());
            search.look(first, true, |request| found.push(request));
            search.body_follows(length as u64);
            for piece in rest.chunks(reads) {
                search.look(piece, false, |request| found.push(request));
            }
            let uri = "/cache/live/b".parse().unwrap();
            assert!(found.iter().any(|request| request.is(&Method::PUT, &uri)), "what follows the body is found");
            // What came before the last read of it, and was more than what had come with its head, was looked through by nobody.
            let looked = first.len() * 2 + 2 * reads + in_body.len();
            assert!(found.len() <= looked / in_body.len() + 2, "{} of {length}", found.len());
        }

        #[test]
        fn bytes_and_cuts_make_no_difference(before in any::<Vec<u8>>(), cuts in any::<[u8; 3]>()) {
            let all = [&before[..], b"DELETE /cache/live/a%20b#c.ts HTTP/1.1\r\n"].concat();
            let mut cuts = cuts.map(|cut| usize::from(cut) % all.len());
            cuts.sort_unstable();
            let pieces = [&all[..cuts[0]], &all[cuts[0]..cuts[1]], &all[cuts[1]..cuts[2]], &all[cuts[2]..]];
            assert!(is_cut_off(&pieces, false, "DELETE", "/cache/live/a%20b"));
        }
    }
}
