//! Parameters of URIs: a URI without some of them, by the look of the text.

use std::borrow::Cow;

use super::uri::is_scheme;
use crate::model::percent::decode;

/// A query parameter of a URI; or a whole element of its path that begins with a tilde, as a viewer's token does, under that sign as its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Its name, decoded.
    pub name: Cow<'a, str>,
    /// Its value, decoded as in a form.
    pub value: Cow<'a, str>,
    /// The URI names a host or scheme, and a path there that is none of ours: somebody else's, say of a server of content keys.
    pub elsewhere: bool,
    /// It is what a variable stands for (EXT-X-DEFINE): by its own name, or by that of the parameter whose value it is to be.
    pub is_definition: bool,
}

/// A URI without what is to be dropped; `None` when there is none of that.
pub(super) fn strip_uri(uri: &str, users: bool, drop: &impl Fn(&Parameter<'_>) -> bool) -> Option<String> {
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
    let path = without_elements(path, elsewhere, drop);
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

/// A path without the elements that are to be dropped, each with the slash behind it.
fn without_elements<'a>(path: Cow<'a, str>, elsewhere: bool, drop: &impl Fn(&Parameter<'_>) -> bool) -> Cow<'a, str> {
    let is_dropped = |part: &str| {
        let named = part.strip_suffix('/').and_then(|part| ["~", "%7E", "%7e"].iter().find_map(|sign| part.strip_prefix(sign)));
        named.is_some_and(|value| {
            let value = decode(value).unwrap_or(Cow::Borrowed(value));
            drop(&Parameter { name: Cow::Borrowed("~"), value, elsewhere, is_definition: false })
        })
    };
    // Of nearly all paths this is the end.
    if !(path.contains('~') || path.contains("%7")) || !path.split_inclusive('/').any(is_dropped) {
        return path;
    }
    let left: String = path.split_inclusive('/').filter(|part| !is_dropped(part)).collect();
    // A name in a folder must not become nothing, nor one from the root, nor one under a scheme.
    let first = left.split('/').next().unwrap_or_default();
    let is_other =
        left.is_empty() || left.starts_with('/') && !path.starts_with('/') || first.contains(':') && !path.starts_with(first);
    Cow::Owned(if is_other { format!("./{left}") } else { left })
}

/// A query, with the sign it begins with, without the parameters that are to be dropped.
pub(super) fn without_parameters<'a>(part: &'a str, elsewhere: bool, drop: &impl Fn(&Parameter<'_>) -> bool) -> Cow<'a, str> {
    let Some((mark, parameters)) = part.split_at_checked(1) else { return Cow::Borrowed(part) };
    let (mut kept, mut dropped, mut separator, mut rest) = (String::new(), false, "", parameters);
    loop {
        let end = rest.find('&').unwrap_or(rest.len());
        let (name, value) = rest[..end].split_once('=').unwrap_or((&rest[..end], ""));
        // What stands behind a second question mark was put there as a parameter, whoever may read it as one.
        let name = name.rsplit('?').next().unwrap_or_default();
        let parameter = Parameter { name: form(name), value: form(value), elsewhere, is_definition: false };
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
pub(super) fn form(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Cow::Owned(decode(&spaced).map(Cow::into_owned).unwrap_or(spaced));
    }
    decode(text).unwrap_or(Cow::Borrowed(text))
}
