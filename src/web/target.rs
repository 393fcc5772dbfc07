//! URL -> what is meant. Read from the path as it came: decoded once, slashes included, by our own rules.
//!
//! A URL has 32 KiB at most, with all headers. Each of its bytes is looked at a fixed number of times, and each word that is looked for goes through the query
//! once: the work is in proportion to its length (`tests/costs`: "url", "escapes").

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::Uri;

use super::problem::Problem;
use crate::auth::secret::Secret;
use crate::auth::viewer::{EDGE_AUTH_NAMES, has_form};
use crate::model::clock::Clock;
use crate::model::id::{Collection, IdError, Key, Namespace, ObjectId};
use crate::model::kind::Kind;
use crate::model::percent;
use crate::origin::{BlockingReload, Shift, WindowWords};

/// By this parameter a node asks another one, which then asks no third.
const FROM_A_NODE: &str = "springhead_node";

/// What a URL under `/cache/` means.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) object: ObjectId,
    /// Every `?token=`.
    pub(super) tokens: Vec<Secret<'a>>,
    /// Whether it is the query that names the object.
    pub(super) in_query: bool,
    /// `?inherit_token=1`: a playlist's children are to have the token too.
    pub(super) inherit_token: bool,
    /// Whether there is a `ttl_seconds` in the query.
    has_ttl: bool,
    /// The query as it came.
    query: &'a str,
    /// Whether there is anything in it that asks for another playlist than the stored one. Few requests do: their words are looked
    /// for when it is asked what they are.
    has_words: bool,
    /// Whether there is a `cat` in it, which may be a viewer's token, or one of Akamai's names for theirs.
    has_cat: bool,
    /// The viewer's token in the path.
    viewer: Option<Box<Secret<'a>>>,
}

/// What a URL names. To WebDAV a folder has a name too.
#[derive(Debug)]
pub(super) enum Resource<'a> {
    Object(Target<'a>),
    Collection { collection: Collection, tokens: Vec<Secret<'a>>, query: &'a str, viewer: Option<Box<Secret<'a>>> },
}

/// `key_base64` comes URL-safe, with padding or without.
const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

impl<'a> Target<'a> {
    /// Reads `{namespace}/{key}` or `{namespace}?key=…` (or `key_base64=…`). Parameters with other names are not looked at, whatever
    /// they say.
    fn parse_rest(rest: &'a str, query: &'a str) -> Result<Self, Problem> {
        let (namespace, path_key) = first_segment(rest);
        let namespace = Namespace::parse(&decode(namespace)?).map_err(bad_name)?;
        let (mut key, mut key_base64) = (None, None);
        let (mut has_words, mut has_cat, mut has_ttl) = (false, false, false);
        let mut tokens = Vec::new();
        let mut inherit_token = false;
        for (name, value) in parameters(query) {
            let place = match name {
                "key" => &mut key,
                "key_base64" => &mut key_base64,
                "ttl_seconds" => {
                    has_ttl = true;
                    continue;
                }
                "_HLS_msn" | "_HLS_part" | "_HLS_skip" | "start" | "end" | "last" | "late" | FROM_A_NODE => {
                    has_words = true;
                    continue;
                }
                "token" => {
                    tokens.push(value);
                    continue;
                }
                "cat" | "hdnts" | "hdnea" | "hdntl" => {
                    has_cat = true;
                    continue;
                }
                "inherit_token" => {
                    inherit_token |= value == "1";
                    continue;
                }
                _ => continue,
            };
            // The first one counts: what a proxy appends does not override what the encoder was given.
            place.get_or_insert(value);
        }
        let key = match (path_key, key, key_base64) {
            ("", Some(key), _) => form(key)?,
            ("", None, Some(key)) => {
                let bytes =
                    LENIENT_BASE64.decode(&*decode(key)?).map_err(|_| Problem::bad_request("key_base64 is not base64"))?;
                String::from_utf8(bytes).map_err(|_| Problem::bad_request("key_base64 does not hold UTF-8"))?.into()
            }
            ("", None, None) => {
                return Err(Problem::bad_request("the URL names no object: it takes /cache/{namespace}/{key}"));
            }
            (path_key, _, _) => decode(path_key)?,
        };
        let (viewer, key) = without_viewer(key);
        let key = Key::parse(&key).map_err(bad_name)?;
        // A token that does not even decode is no credential; the request is judged without it.
        let tokens = tokens.into_iter().filter_map(|token| form(token).ok()).map(Secret::new).collect();
        let (object, in_query) = (ObjectId { namespace, key }, path_key.is_empty());
        Ok(Self { object, tokens, in_query, inherit_token, has_ttl, query, has_words, has_cat, viewer })
    }

    /// One of the words that ask for another playlist, as it was written. As with all of them, the first one counts.
    fn word(&self, name: &str) -> Option<&'a str> {
        if !self.has_words {
            return None;
        }
        parameters(self.query).find(|(word, _)| *word == name).map(|(_, value)| value)
    }

    /// The segment, or part of it, that the playlist is to have (RFC 8216bis 6.2.5.2).
    pub(super) fn blocking_reload(&self) -> Result<Option<BlockingReload>, Problem> {
        let number = |text: &str| text.parse().map_err(|_| Problem::bad_request("_HLS_msn and _HLS_part are whole numbers"));
        match (self.word("_HLS_msn"), self.word("_HLS_part")) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Problem::bad_request("_HLS_part needs _HLS_msn beside it (RFC 8216bis 6.2.5.2)")),
            (Some(msn), part) => Ok(Some(BlockingReload { msn: number(msn)?, part: part.map(number).transpose()? })),
        }
    }

    /// Whether another node asks, which has asked all others itself.
    pub(super) fn is_from_a_node(&self) -> bool {
        self.word(FROM_A_NODE).is_some()
    }

    /// Whether a playlist is to leave out what the player has of it (RFC 8216bis 6.2.5.1).
    pub(super) fn skips(&self) -> bool {
        matches!(self.word("_HLS_skip"), Some("YES" | "v2"))
    }

    /// Whether it is to leave out date ranges, too.
    pub(super) fn skips_date_ranges(&self) -> bool {
        self.word("_HLS_skip") == Some("v2")
    }

    /// The window of time that is asked of a playlist; none of other objects, whose readers may mean anything by these words.
    pub(super) fn shift(&self, clock: &Clock) -> Result<Option<Shift>, Problem> {
        let [start, end, last] = ["start", "end", "last"].map(|name| self.word(name));
        if start.or(end).or(last).is_none() || Kind::of(&self.object.key, &[]) != Kind::Playlist {
            return Ok(None);
        }
        // No form: the plus of an offset stays a plus.
        let word = |text: Option<&'a str>| text.map(decode).transpose();
        let (start, end, last) = (word(start)?, word(end)?, word(last)?);
        let words = WindowWords { start: start.as_deref(), end: end.as_deref(), last: last.as_deref(), late: self.word("late") };
        words.read(clock.wall()).map_err(|error| Problem::bad_request(error.to_string()))
    }

    /// The time to live asked for, in seconds. Only a write asks: readers send the encoder's query along, as playlists list it.
    pub(super) fn ttl_seconds(&self) -> Result<Option<u64>, Problem> {
        let written = || parameters(self.query).find(|(name, _)| *name == "ttl_seconds");
        let Some((_, text)) = self.has_ttl.then(written).flatten() else { return Ok(None) };
        let text = form(text)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err(Problem::bad_request("ttl_seconds is not a whole number of seconds"));
        }
        // A number too large for the machine is too large for every namespace.
        Ok(Some(text.parse().unwrap_or(u64::MAX)))
    }
}

/// What may be named by a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// An object.
    Object,
    /// An object; or, by a path that ends in a slash or has nothing but a namespace, a folder.
    Both,
    /// A folder, whatever its path ends in.
    Folder,
}

/// The name of what a request is about, for who tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Object(ObjectId),
    Collection(Collection),
    /// A route of the admin listener, or nothing there.
    Route(&'static str),
}

impl Name {
    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Object(object) => object.namespace.as_str(),
            Self::Collection(collection) => collection.namespace.as_str(),
            Self::Route(_) => "",
        }
    }

    /// The key, or what the keys of the folder begin with.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Object(object) => object.key.as_str(),
            Self::Collection(collection) => &collection.prefix,
            Self::Route(route) => route,
        }
    }
}

impl<'a> Resource<'a> {
    /// Reads a URL, path and query once each. `None` for a path that is not under `/cache/` at all.
    pub(super) fn parse(uri: &'a Uri, names: Naming) -> Option<Result<Self, Problem>> {
        let rest = uri.path().strip_prefix("/cache/")?;
        let query = uri.query().unwrap_or_default();
        if names == Naming::Object {
            return Some(Target::parse_rest(rest, query).map(Self::Object));
        }
        let folder = names == Naming::Folder;
        let (namespace, path) = first_segment(rest);
        let named = parameters(query).any(|(name, _)| matches!(name, "key" | "key_base64"));
        let is_folder = folder || path.ends_with('/') || path.is_empty() && !named;
        Some(if is_folder { Self::collection(namespace, path, query) } else { Target::parse_rest(rest, query).map(Self::Object) })
    }

    fn collection(namespace: &str, path: &'a str, query: &'a str) -> Result<Self, Problem> {
        let namespace = Namespace::parse(&decode(namespace)?).map_err(bad_name)?;
        let (viewer, path) = without_viewer(decode(path)?);
        let collection = Collection::parse(namespace, &path).map_err(bad_name)?;
        let tokens = parameters(query).filter(|(name, _)| *name == "token");
        let tokens = tokens.filter_map(|(_, token)| decode(token).ok()).map(Secret::new).collect();
        Ok(Self::Collection { collection, tokens, query, viewer })
    }

    /// The viewer's token in its path.
    pub(super) fn viewer(&self) -> Option<&Secret<'a>> {
        match self {
            Self::Object(target) => target.viewer.as_deref(),
            Self::Collection { viewer, .. } => viewer.as_deref(),
        }
    }

    /// Whether it begins with a token, or is nothing but one: no object has such a name.
    pub(super) fn begins_with_token(&self) -> bool {
        let name = match self {
            Self::Object(target) => target.object.key.as_str(),
            Self::Collection { collection, .. } => collection.prefix.trim_end_matches('/'),
        };
        self.viewer().is_some() || name.strip_prefix('~').is_some_and(has_form)
    }

    /// What `?cat=` says, where it is there: the first one counts. Anybody may mean anything by that name.
    pub(super) fn cat(&self) -> Option<&'a str> {
        let query = match self {
            Self::Object(target) if !target.has_cat => return None,
            Self::Object(target) => target.query,
            Self::Collection { query, .. } => query,
        };
        parameters(query).find(|(name, _)| *name == "cat").map(|(_, value)| value)
    }

    /// What one of Akamai's names for a token says, as it was written: the first one counts.
    pub(super) fn edge_auth(&self) -> Option<&'a str> {
        let query = match self {
            Self::Object(target) if !target.has_cat => return None,
            Self::Object(target) => target.query,
            Self::Collection { query, .. } => query,
        };
        parameters(query).find(|(name, _)| EDGE_AUTH_NAMES.contains(name)).map(|(_, value)| value)
    }

    /// Whether a viewer's token may be in its path or query.
    pub(super) fn may_have_viewer(&self) -> bool {
        match self {
            Self::Object(target) => target.has_cat || target.viewer.is_some(),
            Self::Collection { .. } => self.viewer().is_some() || self.cat().or(self.edge_auth()).is_some(),
        }
    }

    /// Its query without a viewer's token.
    pub(super) fn query_without_cat(&self) -> String {
        let query = match self {
            Self::Object(Target { query, .. }) | Self::Collection { query, .. } => query,
        };
        let in_query = self.in_query();
        let others = query.split('&').filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            // What named the object is in the path now.
            let is_token = name == "cat" || EDGE_AUTH_NAMES.contains(&name);
            let is_place = in_query && matches!(name, "key" | "key_base64");
            !(pair.is_empty() || is_token || is_place)
        });
        others.collect::<Vec<_>>().join("&")
    }

    /// The object's key, or what the keys of the folder begin with.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Object(target) => target.object.key.as_str(),
            Self::Collection { collection, .. } => &collection.prefix,
        }
    }

    pub(super) fn name(&self) -> Name {
        match self {
            Self::Object(target) => Name::Object(target.object.clone()),
            Self::Collection { collection, .. } => Name::Collection(collection.clone()),
        }
    }

    pub(super) fn namespace(&self) -> &Namespace {
        match self {
            Self::Object(target) => &target.object.namespace,
            Self::Collection { collection, .. } => &collection.namespace,
        }
    }

    pub(super) fn tokens(&self) -> &[Secret<'a>] {
        match self {
            Self::Object(target) => &target.tokens,
            Self::Collection { tokens, .. } => tokens,
        }
    }

    /// Whether it is the query that names it.
    pub(super) fn in_query(&self) -> bool {
        matches!(self, Self::Object(Target { in_query: true, .. }))
    }

    /// The path of its address.
    pub(super) fn path(&self) -> String {
        format!("/cache/{}/{}", self.namespace(), percent::encode_path(self.key()))
    }
}

/// What stands before the key of an object as a viewer's token does, `~TOKEN/`, and the key: in every namespace, whether viewers need tokens
/// there or not, for one URL must not mean two things. Elsewhere in a key it is a name like any other.
fn without_viewer(key: Cow<'_, str>) -> (Option<Box<Secret<'_>>>, Cow<'_, str>) {
    // Of nearly all keys this is the end.
    if !key.starts_with('~') {
        return (None, key);
    }
    let split = |key: &str| {
        let token = key.find('/')?;
        key.get(1..token).is_some_and(has_form).then_some(token)
    };
    let Some(token) = split(&key) else { return (None, key) };
    match key {
        Cow::Borrowed(key) => (Some(Box::new(Secret::new(&key[1..token]))), Cow::Borrowed(&key[token + 1..])),
        Cow::Owned(key) => (Some(Box::new(Secret::new(key[1..token].to_owned()))), Cow::Owned(key[token + 1..].to_owned())),
    }
}

/// What stands before the first slash, and what behind it.
fn first_segment(path: &str) -> (&str, &str) {
    // A namespace's name is short: the standard library's search begins at a higher price.
    path.bytes().position(|byte| byte == b'/').map_or((path, ""), |at| (&path[..at], &path[at + 1..]))
}

/// The raw name and value of each query parameter.
fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Decodes the value of a parameter, as in a form.
fn form(value: &str) -> Result<Cow<'_, str>, Problem> {
    if value.contains('+') { Ok(decode(&value.replace('+', " "))?.into_owned().into()) } else { decode(value) }
}

/// Decodes once. What may be read in two ways is not read: a `%` that begins no escape would stand for itself, and so does `%25`.
fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.as_bytes().contains(&b'%') {
        return Ok(Cow::Borrowed(text));
    }
    if !percent::is_sound(text) {
        return Err(Problem::bad_request(
            "a '%' in a URL begins an escape of two hexadecimal digits (RFC 3986 2.1): in a name write a '%' itself as %25",
        ));
    }
    percent::decode(text).ok_or_else(|| Problem::bad_request("the URL does not decode to UTF-8"))
}

fn bad_name(error: IdError) -> Problem {
    Problem::bad_request(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn parse(url: &'static str) -> Result<(String, String), ()> {
        let uri = Box::leak(Box::new(Uri::from_static(url)));
        let Resource::Object(target) = Resource::parse(uri, Naming::Object).unwrap().map_err(|_| ())? else { return Err(()) };
        Ok((target.object.namespace.to_string(), target.object.key.to_string()))
    }

    #[test]
    fn both_forms_mean_the_same_object() {
        let expected = Ok(("live".to_owned(), "a b/ü.ts".to_owned()));
        for url in [
            "/cache/live/a%20b/%C3%BC.ts",
            "/cache/live/a%20b%2F%C3%BC.ts",
            "/cache/live/a%20b/%C3%BC.ts?key=other&role=origin&CMCD=x",
            "/cache/live?key=a+b/%C3%BC.ts",
            "/cache/live/?key=a%20b/%C3%BC.ts",
            "/cache/live?key_base64=YSBiL8O8LnRz",
            "/cache/l%69ve?x&key=a%20b/%C3%BC.ts&key=second",
        ] {
            assert_eq!(parse(url), expected, "{url}");
        }
        for url in ["/cache/live?key_base64=YS50cw", "/cache/live?key_base64=YS50cw==", "/cache/live?key_base64=YS50cw%3D%3D"] {
            assert_eq!(parse(url), Ok(("live".to_owned(), "a.ts".to_owned())), "{url}");
        }
        assert_eq!(parse("/cache/live/a+b.ts"), Ok(("live".to_owned(), "a+b.ts".to_owned())));
        assert_eq!(parse("/cache/live/a%252Fb"), Ok(("live".to_owned(), "a%2Fb".to_owned())));
    }

    #[test]
    fn what_names_no_object_is_refused() {
        for url in [
            "/cache/",
            "/cache/live",
            "/cache/live/",
            "/cache/live?key=",
            "/cache/n%2Fs/a",
            "/cache//a",
            "/cache/live//a",
            "/cache/live/a//b",
            "/cache/live/../a",
            "/cache/live/%2e%2e/a",
            "/cache/live/a/",
            "/cache/live/a%00",
            "/cache/live/%ff",
            "/cache/live/100%.ts",
            "/cache/live/%zz.ts",
            "/cache/live/a%4",
            "/cache/live?key=%zz.ts",
            "/cache/l%zve/a.ts",
            "/cache/live?key_base64=!!",
        ] {
            assert_eq!(parse(url), Err(()), "{url}");
        }
        assert!(Resource::parse(&Uri::from_static("/cache"), Naming::Object).is_none());
        assert!(Resource::parse(&Uri::from_static("/other/live/a"), Naming::Object).is_none());
    }

    #[test]
    fn a_folder_has_a_name_too() {
        for (url, folder, is_folder, path) in [
            ("/cache/live", false, true, "/cache/live/"),
            ("/cache/live/", false, true, "/cache/live/"),
            ("/cache/live?role=origin&token=k", false, true, "/cache/live/"),
            ("/cache/live/a%20b/c/", false, true, "/cache/live/a%20b/c/"),
            ("/cache/live/a", true, true, "/cache/live/a/"),
            ("/cache/live/a(1)+%C3%BC.ts", false, false, "/cache/live/a(1)+%C3%BC.ts"),
            ("/cache/live?key=a%3F.ts", false, false, "/cache/live/a%3F.ts"),
        ] {
            let uri = Uri::from_static(url);
            let resource = Resource::parse(&uri, if folder { Naming::Folder } else { Naming::Both }).unwrap().unwrap();
            assert_eq!((matches!(resource, Resource::Collection { .. }), &*resource.path()), (is_folder, path), "{url}");
            assert_eq!(resource.tokens().len(), url.matches("token").count(), "{url}");
            assert_eq!(resource.in_query(), url.contains("?key="), "{url}");
        }
        for url in ["/cache/", "/cache//", "/cache/live//", "/cache/live/a//", "/cache/live/../", "/cache/live/%ff/"] {
            assert!(Resource::parse(&Uri::from_static(url), Naming::Both).unwrap().is_err(), "{url}");
        }
        assert!(Resource::parse(&Uri::from_static("/"), Naming::Folder).is_none());
    }

    #[test]
    fn a_ttl_is_a_whole_number() {
        for (query, expected) in [
            ("ttl_seconds=3600", Some(Some(3600))),
            ("role=origin", Some(None)),
            ("ttl_seconds=1&ttl_seconds=2", Some(Some(1))),
            ("ttl_seconds=99999999999999999999", Some(Some(u64::MAX))),
            ("ttl_seconds=", None),
            ("ttl_seconds=-1", None),
            ("ttl_seconds=+1", None),
            ("ttl_seconds=1.5", None),
            ("ttl_seconds=1h", None),
        ] {
            let target = Target::parse_rest("live/a", query).unwrap();
            assert_eq!(target.ttl_seconds().ok(), expected, "{query}");
        }
    }

    #[test]
    fn a_viewers_token_stands_before_the_key_and_is_no_part_of_it() {
        let token = format!("2D3RhE-_.{}", "a".repeat(40));
        let short = "a".repeat(39);
        for (url, viewer, key) in [
            (format!("/cache/live/~{token}/a/b.ts"), true, "a/b.ts".to_owned()),
            (format!("/cache/live/%7E{token}/a.ts"), true, "a.ts".to_owned()),
            (format!("/cache/live/%7e{token}%2Fa.ts"), true, "a.ts".to_owned()),
            (format!("/cache/live/~{}/a.ts", token.replace('-', "%2D")), true, "a.ts".to_owned()),
            (format!("/cache/live?key=~{token}/a.ts"), true, "a.ts".to_owned()),
            (format!("/cache/live/~{token}/~{token}/a.ts"), true, format!("~{token}/a.ts")),
            (format!("/cache/live/a/~{token}/a.ts"), false, format!("a/~{token}/a.ts")),
            (format!("/cache/live/~{token}"), false, format!("~{token}")),
            (format!("/cache/live/~{short}/a.ts"), false, format!("~{short}/a.ts")),
            (format!("/cache/live/~{token}=/a.ts"), false, format!("~{token}=/a.ts")),
            (format!("/cache/live/{token}/a.ts"), false, format!("{token}/a.ts")),
        ] {
            let uri: Uri = url.parse().unwrap();
            let resource = Resource::parse(&uri, Naming::Object).unwrap().unwrap();
            assert_eq!(resource.viewer().map(Secret::expose), viewer.then_some(&*token), "{url}");
            assert_eq!(resource.name().key(), key, "{url}");
        }
        for url in
            [format!("/cache/live/~{token}//a.ts"), format!("/cache/live/~{token}/../a.ts"), format!("/cache/live/~{token}/")]
        {
            let uri: Uri = url.parse().unwrap();
            assert!(Resource::parse(&uri, Naming::Object).unwrap().is_err(), "{url}");
        }
        let uri: Uri = format!("/cache/live/~{token}/").parse().unwrap();
        let folder = Resource::parse(&uri, Naming::Both).unwrap().unwrap();
        assert_eq!((folder.viewer().is_some(), &*folder.path()), (true, "/cache/live/"));
    }

    #[test]
    fn what_cat_says_is_the_first_one_and_the_rest_of_the_query_is_kept() {
        for (url, cat, rest) in [
            ("/cache/live/a.m3u8?cat=x&_HLS_msn=5&cat=y", Some("x"), "_HLS_msn=5"),
            ("/cache/live/a.m3u8?start=1&cat=", Some(""), "start=1"),
            ("/cache/live/a.m3u8?cats=x", None, "cats=x"),
            ("/cache/live?key=a.m3u8&cat=x&a=b", Some("x"), "a=b"),
        ] {
            let uri: Uri = url.parse().unwrap();
            let resource = Resource::parse(&uri, Naming::Object).unwrap().unwrap();
            assert_eq!((resource.cat(), &*resource.query_without_cat()), (cat, rest), "{url}");
            assert_eq!(resource.may_have_viewer(), cat.is_some(), "{url}");
        }
    }

    proptest! {
        #[test]
        fn no_url_panics(rest in "[ -~]*", query in any::<String>()) {
            let _ = Target::parse_rest(&rest, &query).map(|target| target.ttl_seconds().is_ok());
        }
    }
}
