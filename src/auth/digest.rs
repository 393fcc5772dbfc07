//! HTTP Digest authentication (RFC 7616, and RFC 2617 and 2069 as older clients speak them): reading what a client answers, and
//! judging whether it knows a password. The only module that knows MD5.
//!
//! MD5 is offered because many encoders know nothing else. What makes it weak, that two texts with the same hash can be made on
//! purpose, is of no use against a proof of a random password.
//!
//! Tolerant in form, strict in what the proof covers: the method, the URI, the nonce. Nonce counts are hashed as they came and
//! not watched: encoders use one nonce on many connections at once, so counts repeat, skip and overtake each other.

use std::borrow::Cow;
use std::net::IpAddr;

use super::key::KeyError;
use super::secret::Secret;
use super::signing::{hex, same, sha256};
use crate::model::percent::decode_bytes;

/// The realm of all credentials.
pub const REALM: &str = "springhead";

/// The longest value that is taken, but for the URI. Nonces of ours have 40 characters and proofs 64; clients' own nonces have no
/// reason to be longer, nor have names.
const LONGEST_VALUE: usize = 256;

/// A hash that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// What every client knows.
    Md5,
    /// RFC 7616.
    Sha256,
}

/// What was asked, as far as the proof covers it.
#[derive(Clone, Copy, Debug)]
pub struct DigestRequest<'a> {
    /// The request's method.
    pub method: &'a str,
    /// Its path, as it came.
    pub path: &'a str,
    /// Its query, if that is where the object is named. Else it is not compared: some clients leave it out of the proof.
    pub query: Option<&'a str>,
    /// Who asks: a nonce in use stays good for its user alone.
    pub peer: IpAddr,
}

/// A client's answer to the challenge: who it says it is, and its proof.
pub struct Answer<'a> {
    pub(super) user: Cow<'a, str>,
    pub(super) nonce: Cow<'a, str>,
    uri: Cow<'a, str>,
    response: Cow<'a, str>,
    algorithm: Algorithm,
    /// The nonce count and the client's own nonce; none from a client that knows RFC 2069 alone.
    counted: Option<(Cow<'a, str>, Cow<'a, str>)>,
}

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A user name may be a password in the wrong field.
        f.debug_struct("Answer").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl<'a> Answer<'a> {
    /// Reads what follows `Digest` in an Authorization header, once; what it keeps is borrowed, or as long as what was sent.
    ///
    /// # Errors
    /// [`KeyError::MalformedDigest`] when a part is missing, comes twice, or is of a kind that was not offered.
    pub fn parse(text: &'a str) -> Result<Self, KeyError> {
        Self::read(text).ok_or(KeyError::MalformedDigest)
    }

    fn read(text: &'a str) -> Option<Self> {
        const NAMES: [&str; 8] = ["username", "nonce", "uri", "response", "algorithm", "qop", "nc", "cnonce"];
        let mut values: [Option<Cow<'a, str>>; NAMES.len()] = Default::default();
        let mut rest = text;
        while let Some((name, value, after)) = parameter(rest)? {
            rest = after;
            if let Some(place) = NAMES.iter().position(|known| name.eq_ignore_ascii_case(known))
                && values[place].replace(value).is_some()
            {
                // Which of the two did a proxy in front look at? Nobody can say, so neither counts.
                return None;
            }
        }
        // All but the URI are short, and hashed once for each key that is tried.
        let is_long = |(name, value): (&&str, &Option<Cow<'_, str>>)| {
            *name != "uri" && value.as_ref().is_some_and(|value| value.len() > LONGEST_VALUE)
        };
        if NAMES.iter().zip(&values).any(is_long) {
            return None;
        }
        let [user, nonce, uri, response, algorithm, qop, nc, cnonce] = values;
        let algorithm = match algorithm.as_deref() {
            None => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case(Algorithm::Md5.name()) => Algorithm::Md5,
            Some(name) if name.eq_ignore_ascii_case(Algorithm::Sha256.name()) => Algorithm::Sha256,
            Some(_) => return None,
        };
        let counted = match qop.as_deref() {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some((nc?, cnonce?)),
            Some(_) => return None,
        };
        Some(Self { user: user?, nonce: nonce?, uri: uri?, response: response?, algorithm, counted })
    }

    /// Whether the answer was made for this request's URI. Compared by what it means and not by how it is written: proxies and
    /// clients differ in what they escape, and some give the whole URL.
    #[must_use]
    pub(super) fn is_for(&self, asked: &DigestRequest<'_>) -> bool {
        let uri = match self.uri.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |path| &rest[path..]),
            _ => &self.uri,
        };
        let (path, query) = uri.split_once('?').map_or((uri, None), |(path, query)| (path, Some(query)));
        let same_query = asked.query.is_none() || asked.query.map(decode_bytes) == query.map(decode_bytes);
        decode_bytes(path) == decode_bytes(asked.path) && same_query
    }

    /// What is hashed once per request, whoever it may come from.
    #[must_use]
    pub fn proof(&self, asked: &DigestRequest<'_>) -> Proof {
        let request = self.algorithm.hash(&[asked.method, ":", &self.uri]);
        let tail = match &self.counted {
            Some((nc, cnonce)) => format!(":{}:{nc}:{cnonce}:auth:{request}", self.nonce),
            None => format!(":{}:{request}", self.nonce),
        };
        let response = self.response.to_ascii_lowercase();
        Proof { algorithm: self.algorithm, head: format!("{}:{REALM}:", self.user), tail, response }
    }
}

/// A proof, ready to be held against passwords.
pub struct Proof {
    algorithm: Algorithm,
    head: String,
    tail: String,
    response: String,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").finish_non_exhaustive()
    }
}

impl Proof {
    /// Whether it was made with this password.
    #[must_use]
    pub(super) fn is_of(&self, password: &Secret<'_>) -> bool {
        same(self.expected(password).as_bytes(), self.response.as_bytes())
    }

    pub(super) fn expected(&self, password: &Secret<'_>) -> String {
        let user = self.algorithm.hash(&[&self.head, password.expose()]);
        self.algorithm.hash(&[&user, &self.tail])
    }
}

impl Algorithm {
    /// Its name in headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hash(self, parts: &[&str]) -> String {
        let text = parts.concat();
        match self {
            Self::Md5 => hex(&md5::compute(text).0),
            Self::Sha256 => hex(&sha256(text.as_bytes())),
        }
    }
}

/// The next `name=value` of a list, and what follows it; `Some(None)` at the end; `None` where the text is no such list.
fn parameter(text: &str) -> Option<Option<(&str, Cow<'_, str>, &str)>> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    if text.is_empty() {
        return Some(None);
    }
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim_end(), value.trim_start_matches([' ', '\t']));
    if name.is_empty() || name.contains([' ', '\t', '"', ',']) {
        return None;
    }
    let Some(quoted) = value.strip_prefix('"') else {
        let (value, after) = value.split_once(',').unwrap_or((value, ""));
        return Some(Some((name, value.trim_end().into(), after)));
    };
    let mut escaped = false;
    let end = quoted.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    let (value, after) = (&quoted[..end], &quoted[end + 1..]);
    if !value.contains('\\') {
        return Some(Some((name, value.into(), after)));
    }
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    Some(Some((name, plain.into(), after)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn asked<'a>(method: &'a str, path: &'a str, query: Option<&'a str>) -> DigestRequest<'a> {
        DigestRequest { method, path, query, peer: PEER }
    }

    fn is_of(answer: &Answer<'_>, method: &str, password: &str) -> bool {
        answer.proof(&asked(method, "/", None)).is_of(&Secret::new(password.to_owned()))
    }

    #[test]
    fn the_examples_of_the_rfcs_hold() {
        // Their realm is not ours, so the hashes are compared one level down.
        let expected = |algorithm: Algorithm, head: &str, password: &str, uri: &str, tail: &str| {
            let tail = format!("{tail}{}", algorithm.hash(&["GET:", uri]));
            Proof { algorithm, head: head.to_owned(), tail, response: String::new() }.expected(&Secret::new(password.to_owned()))
        };
        // RFC 7616 3.9.1
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let tail = format!(":{nonce}:00000001:{cnonce}:auth:");
        for (algorithm, response) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let head = "Mufasa:http-auth@example.org:";
            assert_eq!(expected(algorithm, head, "Circle of Life", "/dir/index.html", &tail), response);
        }
        // RFC 2617 3.5
        let tail = ":dcd98b7102dd2f0e8b11d0f600bfb0c093:00000001:0a4f113b:auth:";
        let response = expected(Algorithm::Md5, "Mufasa:testrealm@host.com:", "Circle Of Life", "/dir/index.html", tail);
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn an_answer_is_read_as_clients_write_it_and_binds_what_matters() {
        // Made with md5sum and sha256sum: user u, password p, PUT /a, nonce n, nc 00000001, cnonce c.
        let md5 =
            "username=\"u\", realm=\"springhead\", nonce=\"n\", uri=\"/a\", qop=auth, nc=00000001, cnonce=\"c\", response=\"";
        let forms = [
            format!("{md5}{MD5}\""),
            format!("{md5}{}\", algorithm=\"md5\", opaque=\"x,y\"", MD5.to_uppercase()),
            format!("{}{SHA256}\",algorithm=SHA-256", md5.replace(", ", ",")),
            format!("  {}{MD5}\" , ", md5.replace("username=\"u\"", "USERNAME = \"\\u\"").replace("qop=auth", "qop=\"auth\"")),
            format!("username=u,nonce=n,uri=/a,response={OLD}"),
        ];
        for form in &forms {
            let answer = Answer::parse(form).unwrap();
            assert!(is_of(&answer, "PUT", "p"), "{form}");
            assert!(!is_of(&answer, "GET", "p") && !is_of(&answer, "PUT", "q"), "{form}");
        }
        for (part, other) in
            [("nonce=\"n\"", "nonce=\"m\""), ("uri=\"/a\"", "uri=\"/b\""), ("\"u\"", "\"v\""), ("\"c\"", "\"d\"")]
        {
            let changed = forms[0].replace(part, other);
            assert_ne!(changed, forms[0]);
            assert!(!is_of(&Answer::parse(&changed).unwrap(), "PUT", "p"), "{part}");
        }
    }

    const MD5: &str = "6be988007350ef36bb3b753490edee0a";
    const SHA256: &str = "ac76bbe583e98d6d93d25a95459aa84575763d411ae18ab0fcfc215a6a65c2d5";
    const OLD: &str = "56f7deba3cb6c695367467b85019a59c";

    #[test]
    fn what_lacks_a_part_or_was_not_offered_is_refused() {
        let whole = "username=\"u\", nonce=\"n\", uri=\"/a\", response=\"r\", algorithm=MD5, qop=auth, nc=1, cnonce=\"c\"";
        assert!(Answer::parse(whole).is_ok());
        for part in whole.split(", ").filter(|part| !part.starts_with("algorithm") && !part.starts_with("qop")) {
            assert!(Answer::parse(&whole.replace(part, "x=y")).is_err(), "without {part}");
        }
        for (part, other) in [
            ("algorithm=MD5", "algorithm=MD5-sess"),
            ("algorithm=MD5", "algorithm=SHA-512-256"),
            ("qop=auth", "qop=auth-int"),
            ("nc=1", "nc=1, nc=2"),
            ("nc=1", "nc=1, uri=\"/b\""),
            ("uri=\"/a\"", "uri=\"/a"),
            ("cnonce=\"c\"", "cnonce=\"c\\\""),
            ("nc=1", "nc"),
        ] {
            assert!(Answer::parse(&whole.replace(part, other)).is_err(), "{other}");
        }
        assert!(Answer::parse("").is_err());
        let long = "x".repeat(LONGEST_VALUE);
        for name in ["username", "nonce", "response", "nc", "cnonce"] {
            let with = |value: &str| {
                let others = ["username", "nonce", "response", "nc", "cnonce"].iter().filter(|other| **other != name);
                others.map(|other| format!("{other}=x, ")).collect::<String>()
                    + &format!("uri=/{long}, qop=auth, {name}=\"{value}\"")
            };
            assert!(Answer::parse(&with(&long)).is_ok() && Answer::parse(&with(&format!("{long}x"))).is_err(), "{name}");
        }
    }

    #[test]
    fn an_answer_is_for_one_path_however_it_is_written() {
        let is_for = |uri: &str, path: &str, query: Option<&str>| {
            let text = format!("username=u, nonce=n, response=r, uri=\"{uri}\"");
            Answer::parse(&text).unwrap().is_for(&asked("PUT", path, query))
        };
        for (uri, path) in [
            ("/cache/n/a.ts", "/cache/n/a.ts"),
            ("/cache/n/a.ts?ttl_seconds=5", "/cache/n/a.ts"),
            ("/cache/n/a%20b.ts", "/cache/n/a%20b.ts"),
            ("/cache/n/a b.ts", "/cache/n/a%20b.ts"),
            ("/cache/n/%C3%bc.ts", "/cache/n/%c3%BC.ts"),
            ("http://origin.example:8080/cache/n/a.ts?x", "/cache/n/a.ts"),
            ("/a?b=http://c/d", "/a"),
            ("http://origin.example", "/"),
        ] {
            assert!(is_for(uri, path, None), "{uri} {path}");
        }
        for (uri, path) in [
            ("/cache/n/b.ts", "/cache/n/a.ts"),
            ("/cache/n/a.ts/", "/cache/n/a.ts"),
            ("/cache/n/a%2520b", "/cache/n/a%20b"),
            ("", "/"),
        ] {
            assert!(!is_for(uri, path, None), "{uri} {path}");
        }
        // Where the query names the object it is a part of what is proved.
        assert!(is_for("/cache/n?key=a.ts", "/cache/n", Some("key=a.ts")));
        assert!(is_for("/cache/n?key=a%2Ets", "/cache/n", Some("key=a.ts")));
        assert!(!is_for("/cache/n?key=b.ts", "/cache/n", Some("key=a.ts")));
        assert!(!is_for("/cache/n", "/cache/n", Some("key=a.ts")));
    }

    #[test]
    fn debug_shows_nothing() {
        let answer = Answer::parse("username=hidden, nonce=hidden, response=hidden, uri=hidden").unwrap();
        assert!(!format!("{answer:?} {:?}", answer.proof(&asked("PUT", "hidden", None))).contains("hidden"));
    }

    proptest! {
        #[test]
        fn no_header_panics(text in any::<String>(), listed in "([a-z]{0,9}[ ]?=[ ]?[\"\\\\,é%a-f0-9/?:]{0,9}[, ]{0,2}){0,9}") {
            for text in [&text, &listed, &format!("username=u,nonce=n,response=r,uri={listed}")] {
                if let Ok(answer) = Answer::parse(text) {
                    let _ = answer.is_for(&asked("GET", text, Some(text)));
                    let _ = is_of(&answer, "GET", text);
                }
            }
        }
    }
}
