//! `Cache-Control` as uploads carry it: it may shorten what the kind of an object gives, and never lengthens it.
//!
//! Not all of it is meant for the object. A forward proxy adds `max-age=259200` to the requests it passes on (RFC 9111 5.2.1: in a request
//! that speaks of what the client would take), and a live playlist that is kept for three days is no live playlist.

use http::HeaderValue;

/// One directive that can shorten, or goes along with one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directive<'a> {
    /// `no-store`, `no-cache`: what caches may keep they may not use.
    Never(&'a str),
    /// `private`: only the reader's own cache.
    Private,
    /// `max-age`, `s-maxage`, with its seconds.
    For(&'a str, u64),
    /// What says nothing of how long: `public`, `must-revalidate`, `proxy-revalidate`, `no-transform`.
    Beside(&'a str),
}

/// The directives of a response that are understood. What is for requests alone, what lengthens (`stale-while-revalidate`,
/// `stale-if-error`, `immutable`) and what is unknown is none of them.
fn directives(text: &str) -> impl Iterator<Item = Directive<'_>> {
    text.split(',').filter_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        let is = |known: &&str| name.eq_ignore_ascii_case(known);
        if let Some(name) = ["no-store", "no-cache"].into_iter().find(is) {
            return Some(Directive::Never(name));
        }
        if name.eq_ignore_ascii_case("private") {
            return Some(Directive::Private);
        }
        if let Some(name) = ["max-age", "s-maxage"].into_iter().find(is) {
            let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            return is_number.then(|| Directive::For(name, value.parse().unwrap_or(u64::MAX)));
        }
        ["public", "must-revalidate", "proxy-revalidate", "no-transform"].into_iter().find(is).map(Directive::Beside)
    })
}

/// What is kept of it with the object; `None`: nothing of it can shorten anything.
pub(super) fn kept(sent: &HeaderValue) -> Option<HeaderValue> {
    let text = sent.to_str().ok()?;
    let shortens = |directive: &Directive<'_>| !matches!(directive, Directive::Beside(_));
    if !directives(text).any(|directive| shortens(&directive)) {
        return None;
    }
    let is_narrow = directives(text).any(|directive| matches!(directive, Directive::Never(_) | Directive::Private));
    written(directives(text).filter(|directive| !(is_narrow && *directive == Directive::Beside("public"))))
}

/// What caches are told of an object with this kept, where its kind gives `max_age` seconds; `None`: what its kind gives.
pub(super) fn served(kept: &HeaderValue, max_age: u64) -> Option<HeaderValue> {
    let text = kept.to_str().ok()?;
    if directives(text).any(|directive| matches!(directive, Directive::Never(_))) {
        return Some(kept.clone());
    }
    let is_private = directives(text).any(|directive| directive == Directive::Private);
    let spans =
        || directives(text).filter_map(|directive| if let Directive::For(_, span) = directive { Some(span) } else { None });
    // Without a `max-age` browsers reckon by themselves, and keep what has stood still for long (RFC 9111 4.2.2).
    let has_own = directives(text).any(|directive| matches!(directive, Directive::For("max-age", _)));
    if has_own && spans().all(|span| span <= max_age) {
        return Some(kept.clone());
    }
    if !is_private && spans().all(|span| span >= max_age) {
        return None;
    }
    // Some of it is too long: each span is cut, and all else stays.
    let cut = directives(text).map(|directive| match directive {
        Directive::For(name, span) => Directive::For(name, span.min(max_age)),
        other => other,
    });
    written(cut.chain((!has_own).then_some(Directive::For("max-age", max_age))))
}

fn written<'a>(directives: impl Iterator<Item = Directive<'a>>) -> Option<HeaderValue> {
    let words: Vec<String> = directives
        .map(|directive| match directive {
            Directive::Never(name) | Directive::Beside(name) => name.to_owned(),
            Directive::Private => "private".to_owned(),
            Directive::For(name, span) => format!("{name}={span}"),
        })
        .collect();
    HeaderValue::try_from(words.join(", ")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    /// What caches are told of an object whose kind gives a minute.
    fn told(sent: &str) -> String {
        let own = HeaderValue::from_static("the kind's");
        let served = kept(&HeaderValue::from_str(sent).unwrap()).and_then(|kept| served(&kept, 60));
        served.unwrap_or(own).to_str().unwrap().to_owned()
    }

    #[test]
    fn it_shortens_and_never_lengthens() {
        for (sent, expected) in [
            ("max-age=7", "max-age=7"),
            ("public, max-age=60", "public, max-age=60"),
            ("max-age=0", "max-age=0"),
            ("MAX-AGE=\"7\"", "max-age=7"),
            ("max-age=259200", "the kind's"),
            ("max-age=99999999999999999999999", "the kind's"),
            ("public, max-age=61", "the kind's"),
            ("max-age=259200, s-maxage=5", "max-age=60, s-maxage=5"),
            ("s-maxage=5", "s-maxage=5, max-age=60"),
            ("public, s-maxage=5, must-revalidate", "public, s-maxage=5, must-revalidate, max-age=60"),
            ("private, s-maxage=259200", "private, s-maxage=60, max-age=60"),
            ("no-store", "no-store"),
            ("no-cache, no-store, must-revalidate", "no-cache, no-store, must-revalidate"),
            ("no-cache, max-age=259200", "no-cache, max-age=259200"),
            ("public, no-cache=\"set-cookie\"", "no-cache"),
            ("private", "private, max-age=60"),
            ("private, max-age=259200", "private, max-age=60"),
            ("private, max-age=5", "private, max-age=5"),
            ("max-age=5, stale-while-revalidate=86400, stale-if-error=9, immutable", "max-age=5"),
            ("max-age=5, must-revalidate", "max-age=5, must-revalidate"),
            ("max-stale=5, only-if-cached, min-fresh=3", "the kind's"),
            ("public", "the kind's"),
            ("must-revalidate", "the kind's"),
            ("max-age=-1", "the kind's"),
            ("max-age", "the kind's"),
            ("", "the kind's"),
        ] {
            assert_eq!(told(sent), expected, "{sent}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_is_kept_longer(sent in "[a-z0-9=,\" -]{0,60}|(max-age|s-maxage|private|public|no-cache)(=[0-9]{1,6})?(, (max-age|s-maxage)=[0-9]{1,6}){0,3}", max_age in 0u64..100_000) {
            let Some(kept) = kept(&HeaderValue::from_str(&sent).unwrap()) else { return Ok(()) };
            let Some(served) = served(&kept, max_age) else { return Ok(()) };
            let text = served.to_str().unwrap();
            let is_never = directives(text).any(|directive| matches!(directive, Directive::Never(_)));
            let longest = directives(text).filter_map(|directive| if let Directive::For(_, span) = directive { Some(span) } else { None }).max();
            assert!(is_never || longest.is_some_and(|longest| longest <= max_age), "{sent}: {text}");
        }

        #[test]
        fn no_header_panics(sent in any::<Vec<u8>>()) {
            if let Ok(sent) = HeaderValue::from_bytes(&sent) {
                let _ = kept(&sent).and_then(|kept| served(&kept, 1));
            }
        }
    }
}
