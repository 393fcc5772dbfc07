//! A server that is asked: an origin, or a CDN in front of one. Addresses, and how they are asked.
//!
//! Invariant: the key is sent to the host of the base URL and to no other, however playlists and redirects may point.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, ORIGIN};
use http::{HeaderMap, Method};
use serde::Serialize;

use super::http::{Call, HttpClient, Response, Unanswered, Url};
use crate::auth::secret::Secret;
use crate::auth::viewer::{has_form, in_path, is_edge_auth};

/// More than the largest segment that makes sense.
const MAX_BODY: usize = 64 << 20;
/// As many as a browser's player would follow, and then some.
const REDIRECTS: usize = 5;

/// Which side of the delivery is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::app) enum At {
    Origin,
    Cdn,
}

/// One server, and how it is asked.
#[derive(Debug)]
pub(in crate::app) struct Server {
    pub(in crate::app) at: At,
    /// What relative names are resolved against; ends with a slash.
    pub(in crate::app) base: Url,
    /// The playlist, where the address given is one.
    pub(in crate::app) playlist: Option<Url>,
    /// Whether this is taken for a Springhead's own address.
    pub(in crate::app) ours: bool,
    key: Option<Secret<'static>>,
    client: HttpClient,
    web_origin: String,
    timeout: Duration,
    stays: bool,
}

/// What an address means.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::app) struct Address {
    pub(in crate::app) base: Url,
    pub(in crate::app) playlist: Option<Url>,
    pub(in crate::app) namespace: Option<String>,
    /// The key that stood in its query as `token`, where it is a Springhead's address; it stands there no more.
    pub(in crate::app) key: Option<Secret<'static>>,
    /// The viewer's token that stood in the query of an address that is no playlist's: that of a playlist leads to its place by itself.
    viewer: Option<Secret<'static>>,
}

impl Address {
    /// Reads a URL: a server's, with or without `/cache/{namespace}`, or a playlist's. The `token` of one of ours is a key, which children
    /// do not inherit: it goes into a header with each request. In a playlist's of another server it may mean anything, and stays.
    pub(in crate::app) fn parse(text: &str) -> Result<Self, String> {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&with_scheme).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("takes an http:// or https:// URL".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("takes no user and password: give the key with --key".to_owned());
        }
        url.set_fragment(None);
        let namespace = url.path().strip_prefix("/cache/").and_then(|rest| rest.split('/').next());
        let namespace = namespace.filter(|name| !name.is_empty()).map(str::to_owned);
        let last = url.path().rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let is_playlist = [".m3u8", ".m3u", ".mpd"].iter().any(|ending| last.ends_with(ending));
        let key = if namespace.is_some() || !is_playlist { take_key(&mut url) } else { None };
        if is_playlist {
            let base = url.join("./").map_err(|error| error.to_string())?;
            return Ok(Self { base, playlist: Some(url), namespace, key, viewer: None });
        }
        let viewer = url.query_pairs().find(|(name, _)| name == "cat").map(|(_, token)| Secret::new(token.into_owned()));
        url.set_query(None);
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self { base: url, playlist: None, namespace, key, viewer })
    }

    /// The folder of this namespace, where the address is a server's alone.
    pub(in crate::app) fn within(mut self, namespace: &str) -> Result<Self, String> {
        if self.playlist.is_none() && self.namespace.is_none() {
            self.base = self.base.join(&format!("cache/{namespace}/")).map_err(|error| error.to_string())?;
        }
        self.with_own_viewer()
    }

    /// The same address, with the viewer's token that stood in its query where it travels.
    pub(in crate::app) fn with_own_viewer(mut self) -> Result<Self, String> {
        if let Some(token) = self.viewer.take() {
            self.carry(&token)?;
        }
        Ok(self)
    }

    /// Puts a viewer's token where it travels: behind the namespace, or where the path names none, first of all.
    pub(in crate::app) fn carry(&mut self, token: &Secret<'_>) -> Result<(), String> {
        let token = token.expose().trim();
        let token = Secret::new(token.strip_prefix('~').unwrap_or(token));
        let token = if is_edge_auth(token.expose()) { in_path(&token) } else { token.expose().into() };
        if !has_form(&token) {
            return Err("is no viewer's token: it takes 'token' as 'springhead token viewer' prints it".to_owned());
        }
        for url in std::iter::once(&mut self.base).chain(&mut self.playlist) {
            if has_viewer(url.path()) {
                return Err("there is a token in the URL already".to_owned());
            }
            let behind =
                url.path().strip_prefix("/cache/").and_then(|rest| rest.find('/')).map_or(1, |at| "/cache/".len() + at + 1);
            let (before, rest) = url.path().split_at(behind);
            let path = format!("{before}~{token}/{rest}");
            url.set_path(&path);
        }
        Ok(())
    }
}

/// Whether a path has a viewer's token where it belongs: first of all, or first behind the namespace.
fn has_viewer(path: &str) -> bool {
    let rest =
        path.strip_prefix("/cache/").and_then(|rest| rest.split_once('/')).map_or(path.trim_start_matches('/'), |(_, rest)| rest);
    rest.split('/').next().is_some_and(is_viewer)
}

/// Whether a part of a path is a viewer's token.
fn is_viewer(part: &str) -> bool {
    ["~", "%7E", "%7e"].iter().any(|sign| part.strip_prefix(sign).is_some_and(has_form))
}

/// Takes the first `token` that says something out of a URL's query, and with it all others and what goes with them.
fn take_key(url: &mut Url) -> Option<Secret<'static>> {
    let query = url.query()?.to_owned();
    let is_of_key = |pair: &str| matches!(pair.split('=').next(), Some("token" | "inherit_token"));
    let (of_key, rest): (Vec<&str>, Vec<&str>) = query.split('&').partition(|pair| is_of_key(pair));
    if of_key.is_empty() {
        return None;
    }
    let key = url.query_pairs().find(|(name, value)| name == "token" && !value.is_empty()).map(|(_, value)| value.into_owned());
    url.set_query(Some(&*rest.join("&")).filter(|rest| !rest.is_empty()));
    key.map(Secret::new)
}

/// What is common to the servers of one run.
#[derive(Clone, Debug)]
pub(in crate::app) struct RequestOptions {
    pub(in crate::app) client: HttpClient,
    /// As which web site a browser would ask.
    pub(in crate::app) web_origin: String,
    pub(in crate::app) timeout: Duration,
    /// Whether no host is asked but that of the base URL, however playlists and redirects may point: who writes a playlist
    /// must not have a server ask what only that server reaches.
    pub(in crate::app) stays: bool,
}

impl Server {
    pub(in crate::app) fn new(
        at: At,
        address: Address,
        ours: bool,
        key: Option<Secret<'static>>,
        options: RequestOptions,
    ) -> Self {
        let Address { base, playlist, .. } = address;
        let RequestOptions { client, web_origin, timeout, stays } = options;
        Self { at, base, playlist, ours, key, client, web_origin, timeout, stays }
    }

    /// Goes where the playlist's address leads on its own host, as `?cat=TOKEN` does to a path with the token in it: what the playlist lists lies
    /// beside that (RFC 3986 5.1.3), and so does what is asked for by name. Another host is not gone to here.
    pub(in crate::app) async fn settle(&mut self) {
        for _ in 0..REDIRECTS {
            let Some(playlist) = self.playlist.clone() else { return };
            let Ok(answer) = self.once(Method::GET, &playlist, &[], Bytes::new()).await else { return };
            let next = redirect(&playlist, &answer).filter(|next| next.origin() == self.base.origin());
            let Some((next, base)) = next.and_then(|next| Some((next.clone(), next.join("./").ok()?))) else { return };
            (self.playlist, self.base) = (Some(next), base);
        }
    }

    /// The URL of an object by its name.
    pub(in crate::app) fn url(&self, name: &str) -> Option<Url> {
        // As a relative path: a name with a colon in it would else be taken for a scheme.
        self.base.join(&format!("./{}", name.trim_start_matches('/'))).ok()
    }

    /// The URL of an object by its name in the namespace of the base URL, whatever folder of that the base URL is in.
    pub(in crate::app) fn in_namespace(&self, name: &str) -> Option<Url> {
        let rest = self.base.path().strip_prefix("/cache/");
        let Some(namespace) = rest.and_then(|rest| rest.split('/').next()).filter(|namespace| !namespace.is_empty()) else {
            return self.url(name);
        };
        self.root(&format!("/cache/{namespace}/{}", name.trim_start_matches('/')))
    }

    /// The URL of something at the root of the server.
    pub(in crate::app) fn root(&self, path: &str) -> Option<Url> {
        self.base.join(path).ok()
    }

    /// What stands at the root, here or under another host, by the address that it has in the namespace of the base URL: a CDN's root is
    /// that. `None`: it is in a namespace already, or the base URL is in none.
    pub(in crate::app) fn own_address(&self, url: &Url) -> Option<Url> {
        let rest = self.base.path().strip_prefix("/cache/")?;
        let namespace = rest.split('/').next().filter(|name| !name.is_empty())?;
        if !matches!(url.scheme(), "http" | "https") || url.path().starts_with("/cache/") {
            return None;
        }
        let mut own = self.base.clone();
        own.set_path(&format!("/cache/{namespace}{}", url.path()));
        own.set_query(url.query());
        Some(own)
    }

    /// Where a URI of a playlist leads that was had from here: what begins at the root is in the namespace, as it is for a CDN.
    pub(in crate::app) fn locate(&self, playlist: &Url, uri: &str) -> Option<Url> {
        let url = playlist.join(uri).ok()?;
        let is_here = url.origin() == self.base.origin();
        Some(if is_here { self.own_address(&url).unwrap_or(url) } else { url })
    }

    /// Whether it is asked with a viewer's token; and whether this URL has lost it.
    pub(in crate::app) fn has_viewer(&self) -> bool {
        has_viewer(self.base.path())
    }

    pub(in crate::app) fn loses_viewer(&self, url: &Url) -> bool {
        self.has_viewer() && !has_viewer(url.path())
    }

    /// Whether requests carry a key.
    pub(in crate::app) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    pub(in crate::app) async fn get(&self, url: &Url) -> Result<Response, Unanswered> {
        self.ask(Method::GET, url, &[], Bytes::new()).await
    }

    pub(in crate::app) async fn head(&self, url: &Url) -> Result<Response, Unanswered> {
        self.ask(Method::HEAD, url, &[], Bytes::new()).await
    }

    /// Asks as a player in a browser would, with the key if the host is the one it is for.
    pub(in crate::app) async fn ask(
        &self,
        method: Method,
        url: &Url,
        more: &[(HeaderName, &str)],
        body: Bytes,
    ) -> Result<Response, Unanswered> {
        let mut url = url.clone();
        for _ in 0..REDIRECTS {
            let answer = self.once(method.clone(), &url, more, body.clone()).await?;
            match redirect(&url, &answer) {
                Some(next) => url = next,
                None => return Ok(answer),
            }
        }
        Err(Unanswered::Broken(format!("more than {REDIRECTS} redirects")))
    }

    /// The same, and no redirect is followed.
    async fn once(&self, method: Method, url: &Url, more: &[(HeaderName, &str)], body: Bytes) -> Result<Response, Unanswered> {
        if self.stays && url.origin() != self.base.origin() {
            return Err(Unanswered::Elsewhere);
        }
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&self.web_origin) {
            headers.insert(ORIGIN, value);
        }
        for (name, value) in more {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if url.origin() == self.base.origin()
            && let Some(key) = &self.key
            && let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
        {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        self.client.ask(Call { method, url, headers, body, timeout: self.timeout, max_body: MAX_BODY }).await
    }
}

/// Where an answer leads, if it leads elsewhere.
fn redirect(url: &Url, answer: &Response) -> Option<Url> {
    let next = (300..400).contains(&answer.status).then(|| url.join(answer.header("location")).ok()).flatten();
    next.filter(|next| next != url)
}

/// A path as it may be shown: without a viewer's token in it.
pub(in crate::app) fn redacted_path(path: &str) -> String {
    path.split('/').map(|part| if is_viewer(part) { "~…" } else { part }).collect::<Vec<_>>().join("/")
}

/// A URL as it may be shown: values of a query may be keys, so only their names are.
pub(in crate::app) fn redacted(url: &Url) -> String {
    let mut text = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        text += &format!(":{port}");
    }
    text += &redacted_path(url.path());
    if let Some(query) = url.query() {
        let names: Vec<_> = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default()).collect();
        text += &format!("?{}=…", names.join("=…&"));
    }
    text
}

/// What a URL is called for short.
pub(in crate::app) fn short_name(url: &Url) -> String {
    let name = url.path().rsplit('/').next().unwrap_or_default();
    redacted_path(if name.is_empty() { url.path() } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, base, playlist, namespace) in [
            ("http://h:8080", "http://h:8080/", None, None),
            ("h:8080", "http://h:8080/", None, None),
            ("https://h/cache/live-origin", "https://h/cache/live-origin/", None, Some("live-origin")),
            (
                "https://h/cache/live/a/b.m3u8?x=1#f",
                "https://h/cache/live/a/",
                Some("https://h/cache/live/a/b.m3u8?x=1"),
                Some("live"),
            ),
            ("https://h/path/?q=1", "https://h/path/", None, None),
            ("https://h/cache/live/a.mpd", "https://h/cache/live/", Some("https://h/cache/live/a.mpd"), Some("live")),
            ("https://h/show/INDEX.M3U8", "https://h/show/", Some("https://h/show/INDEX.M3U8"), None),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.base.as_str(), base);
            assert_eq!(address.playlist.as_ref().map(Url::as_str), playlist);
            assert_eq!(address.namespace.as_deref(), namespace);
        }
        for (text, left, key) in [
            ("https://h/cache/live/a.m3u8?token=a.b%2Ec&inherit_token=1", "https://h/cache/live/a.m3u8", Some("a.b.c")),
            ("https://h/cache/live/a.m3u8?x=1&token=&token=k&last=1m", "https://h/cache/live/a.m3u8?x=1&last=1m", Some("k")),
            ("https://h/cache/live/a.m3u8?tokens=k", "https://h/cache/live/a.m3u8?tokens=k", None),
            ("https://other.example/a.m3u8?token=theirs", "https://other.example/a.m3u8?token=theirs", None),
            ("https://h:8080/?token=k", "https://h:8080/", Some("k")),
            ("https://h/cache/live?token=k", "https://h/cache/live/", Some("k")),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.playlist.as_ref().unwrap_or(&address.base).as_str(), left);
            assert_eq!(address.key.as_ref().map(Secret::expose), key, "{text}");
        }
        for wrong in ["", "ftp://h/a", "http://user:secret@h/", "http://"] {
            let error = Address::parse(wrong).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_a_cdn_calls_by_its_root_has_an_address_of_its_own() {
        let server = |base: &str| {
            let client = HttpClient::new(crate::app::client::TlsRules::default(), crate::model::clock::Clock::system()).unwrap();
            let options = RequestOptions { client, web_origin: String::new(), timeout: Duration::from_secs(1), stays: false };
            Server::new(At::Origin, Address::parse(base).unwrap(), true, None, options)
        };
        let own = |base: &str, url: &str| server(base).own_address(&Url::parse(url).unwrap()).map(|own| own.to_string());
        let base = "http://h:8080/cache/live/show/a.m3u8";
        assert_eq!(own(base, "https://cdn.example/show/1.ts?x=1"), Some("http://h:8080/cache/live/show/1.ts?x=1".to_owned()));
        assert_eq!(own(base, "http://h:8080/show/1.ts"), Some("http://h:8080/cache/live/show/1.ts".to_owned()));
        assert_eq!(own(base, "https://cdn.example/cache/live/1.ts"), None);
        assert_eq!(own(base, "data:,x"), None);
        assert_eq!(own("https://any.example/live/a.m3u8", "https://cdn.example/1.ts"), None);
    }

    #[test]
    fn values_of_a_query_are_not_shown() {
        let url = Url::parse("https://u:p@h:1/a/b.m3u8?token=secret&ttl_seconds=5").unwrap();
        assert_eq!(redacted(&url), "https://h:1/a/b.m3u8?token=…&ttl_seconds=…");
        for sign in ["~", "%7E", "%7e"] {
            let with = Url::parse(&format!("https://h/cache/live/{sign}{}/a~b/", "a".repeat(60))).unwrap();
            assert_eq!(
                (redacted(&with), short_name(&with)),
                ("https://h/cache/live/~…/a~b/".to_owned(), "/cache/live/~…/a~b/".to_owned())
            );
        }
        let carried = |text: &str, token: &str| {
            let mut address = Address::parse(text).unwrap().within("live").unwrap();
            address
                .carry(&Secret::new(token.to_owned()))
                .map(|()| (address.base.to_string(), address.playlist.map(|url| url.to_string())))
        };
        let token = "a".repeat(60);
        assert_eq!(carried("http://h", &token).unwrap().0, format!("http://h/cache/live/~{token}/"));
        let (base, playlist) = carried("http://h/cache/b/show/p.m3u8", &format!("~{token}")).unwrap();
        assert_eq!(
            (base, playlist),
            (format!("http://h/cache/b/~{token}/show/"), Some(format!("http://h/cache/b/~{token}/show/p.m3u8")))
        );
        assert_eq!(carried("http://h/show/p.m3u8", &token).unwrap().0, format!("http://h/~{token}/show/"));
        let of = |text: &str| Address::parse(text).unwrap().within("live").map(|address| address.base.to_string());
        assert_eq!(of(&format!("http://h/?cat={token}")), Ok(format!("http://h/cache/live/~{token}/")));
        assert_eq!(of(&format!("http://h/cache/b?x=1&cat={token}")), Ok(format!("http://h/cache/b/~{token}/")));
        assert!(of("http://h/?cat=short").is_err());
        let akamai = "exp=1~acl=/*~hmac=00112233445566778899aabbccddeeff";
        assert!(carried("http://h", akamai).unwrap().0.starts_with("http://h/cache/live/~ZXhwPTF-"));
        assert!(carried("http://h", "short").is_err() && carried(&format!("http://h/cache/b/~{token}/a.m3u8"), &token).is_err());
        assert_eq!((short_name(&url), short_name(&Url::parse("https://h/a/").unwrap())), ("b.m3u8".to_owned(), "/a/".to_owned()));
    }
}
