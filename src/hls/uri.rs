//! A URI in a playlist -> the object of ours that it means.

use std::borrow::Cow;

use crate::model::id::{Key, Namespace, ObjectId};
use crate::model::percent::decode;

/// The object a URI means that stands in this playlist (RFC 3986 5.2): relative to it, from the root as `/cache/{namespace}/{key}`,
/// or absolute with such a path. Query and fragment name nothing; escapes are decoded once. `None`: no object of ours, or none that can be
/// known.
///
/// The host of an absolute URI is not looked at: we are known by other names to CDNs, fronts and encoders.
#[must_use]
pub fn resolve(playlist: &ObjectId, uri: &str) -> Option<ObjectId> {
    match meant(playlist, uri)? {
        Meant::Ours(object) => Some(object),
        Meant::Under { .. } => None,
    }
}

/// What a URI may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant<'a> {
    /// An object of ours, by its own address.
    Ours(ObjectId),
    /// What stands at the root, or under another host, without `/cache/` in front: somebody else's, or this object by the address that a CDN
    /// gives it, whose root is the playlist's namespace.
    Under {
        /// The host as it is written, with its port; empty: the one that the playlist was had from.
        host: &'a str,
        /// The object, if it is one.
        object: ObjectId,
    },
}

/// The same as [`resolve`], with what may be ours under a CDN's address.
#[must_use]
pub fn meant<'a>(playlist: &ObjectId, uri: &'a str) -> Option<Meant<'a>> {
    let path = uri.split(['?', '#']).next().unwrap_or_default().trim_ascii();
    // A variable of which nobody knows what it stands for (RFC 8216bis 4.3).
    if path.contains("{$") {
        return None;
    }
    let plain = |byte: u8| !matches!(byte, b'%' | b'/' | b':');
    if path.bytes().all(plain) {
        // A neighbour, which is what almost every line of every playlist names.
        let folder = playlist.key.as_str().rfind('/').map_or("", |at| &playlist.key.as_str()[..=at]);
        let key = Key::parse(&[folder, path].concat()).ok()?;
        return Some(Meant::Ours(ObjectId { namespace: playlist.namespace.clone(), key }));
    }
    let mut segments: Vec<Cow<'_, str>> = Vec::new();
    let mut under = None;
    let relative = match split_origin(path)? {
        (_, "") => return None,
        (host, absolute) if absolute.starts_with('/') => {
            if absolute[1..].split('/').next() != Some("cache") {
                under = Some(host.unwrap_or_default());
                segments.extend(["cache", playlist.namespace.as_str()].map(Cow::Borrowed));
            }
            &absolute[1..]
        }
        (Some(_), _) => return None,
        (None, relative) => {
            segments.extend(["cache", playlist.namespace.as_str()].map(Cow::Borrowed));
            segments.extend(playlist.key.as_str().split('/').map(Cow::Borrowed));
            segments.pop();
            relative
        }
    };
    for segment in relative.split('/') {
        match segment {
            "." => {}
            // Above the root there is nothing: the root stays (RFC 3986 5.2.4).
            ".." if under.is_some() && segments.len() == 2 => {}
            ".." => drop(segments.pop()),
            // Ours is read before it is decoded, as the server reads it.
            "cache" if segments.is_empty() => segments.push("cache".into()),
            _ if segments.is_empty() => return None,
            other => segments.push(decode(other)?),
        }
    }
    let [cache, namespace, key @ ..] = &segments[..] else { return None };
    if cache != "cache" {
        return None;
    }
    let object = ObjectId { namespace: Namespace::parse(namespace).ok()?, key: Key::parse(&key.join("/")).ok()? };
    Some(match under {
        None => Meant::Ours(object),
        Some(host) => Meant::Under { host, object },
    })
}

/// The host that the URI names, if it names one, and its path. `None` for other schemes than those of HTTP.
fn split_origin(uri: &str) -> Option<(Option<&str>, &str)> {
    let rest = match uri.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => {
            if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
                return None;
            }
            rest
        }
        _ => uri,
    };
    let Some(authority) = rest.strip_prefix("//") else {
        // `http:a` is what the RFC calls a mistake of earlier times (5.2.2).
        return (rest.len() == uri.len()).then_some((None, rest));
    };
    let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
    Some((Some(authority.rsplit('@').next().unwrap_or(authority)), path))
}

/// Whether this is how a scheme looks (RFC 3986 3.1).
pub(super) fn is_scheme(text: &str) -> bool {
    text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: &str, key: &str) -> ObjectId {
        ObjectId { namespace: Namespace::parse(namespace).unwrap(), key: Key::parse(key).unwrap() }
    }

    #[test]
    fn uris_mean_objects() {
        let playlist = id("live", "show/video/a.m3u8");
        for (uri, namespace, key) in [
            ("a_1.ts", "live", "show/video/a_1.ts"),
            ("a_1.ts?token=k&x=/y#z", "live", "show/video/a_1.ts"),
            ("./a.ts", "live", "show/video/a.ts"),
            ("hd/../a.ts", "live", "show/video/a.ts"),
            ("../audio/b.m4s", "live", "show/audio/b.m4s"),
            ("../../c.ts", "live", "c.ts"),
            ("../../../other/c.ts", "other", "c.ts"),
            ("../../../../../cache/other/c.ts", "other", "c.ts"),
            ("a%20b%2Fc.ts", "live", "show/video/a b/c.ts"),
            ("a%252F.ts", "live", "show/video/a%2F.ts"),
            ("100%.ts", "live", "show/video/100%.ts"),
            ("a b.ts", "live", "show/video/a b.ts"),
            ("\u{e4}.ts", "live", "show/video/\u{e4}.ts"),
            ("/cache/live/x.ts", "live", "x.ts"),
            ("/cache/l%69ve/x.ts", "live", "x.ts"),
            ("https://cdn.example/cache/other/x/y.ts?q", "other", "x/y.ts"),
            ("HTTP://u:p@[::1]:8080/cache/other/x.ts", "other", "x.ts"),
            ("//cdn.example/cache/other/x.ts", "other", "x.ts"),
            ("10:30.ts", "live", "show/video/10:30.ts"),
            ("...", "live", "show/video/..."),
            ("a_1.ts?token={$token}", "live", "show/video/a_1.ts"),
            ("{a}$.ts", "live", "show/video/{a}$.ts"),
        ] {
            assert_eq!(resolve(&playlist, uri), Some(id(namespace, key)), "{uri}");
        }
        assert_eq!(resolve(&id("live", "a.m3u8"), "b.ts"), Some(id("live", "b.ts")));
    }

    #[test]
    fn what_a_cdn_calls_ours_is_told_apart() {
        let playlist = id("live", "show/video/a.m3u8");
        for (uri, host, key) in [
            ("https://cdn.example/show/s1.ts?x#y", "cdn.example", "show/s1.ts"),
            ("//u:p@cdn.example:8443/s%201.ts", "cdn.example:8443", "s 1.ts"),
            ("/show/s1.ts", "", "show/s1.ts"),
            ("/../x/../../s1.ts", "", "s1.ts"),
            ("https://cdn.example/live/cache/s1.ts", "cdn.example", "live/cache/s1.ts"),
        ] {
            assert_eq!(meant(&playlist, uri), Some(Meant::Under { host, object: id("live", key) }), "{uri}");
        }
        assert_eq!(meant(&playlist, "https://cdn.example/cache/other/x.ts"), Some(Meant::Ours(id("other", "x.ts"))));
        for uri in
            ["https://cdn.example", "https://cdn.example/", "/", "/x/", "//", "/..", "ftp://cdn.example/x.ts", "/{$a}/x.ts"]
        {
            assert_eq!(meant(&playlist, uri), None, "{uri}");
        }
    }

    #[test]
    fn what_is_not_ours_means_none() {
        for uri in [
            "",
            "?x",
            "#x",
            "/",
            "/x.ts",
            "/cache/",
            "/cache/live",
            "/cache/live/",
            "/%63ache/live/x.ts",
            "//host",
            "http://host",
            "https://host/x.ts",
            "http:x.ts",
            "data:text/plain,abc",
            "skd://key",
            "ftp://host/cache/live/x.ts",
            "a:b.ts",
            "x/",
            "a//b.ts",
            ".",
            "..",
            "../..",
            "%2e%2e/x.ts",
            "%2e%2e",
            "a%00.ts",
            "a%ff.ts",
            "{$path}/a.ts",
            "a{$n}.ts?x",
            "/cache/-/x.ts",
        ] {
            assert_eq!(resolve(&id("live", "show/a.m3u8"), uri), None, "{uri}");
        }
    }
}
