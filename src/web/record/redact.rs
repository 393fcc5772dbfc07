//! Text that others have written, made fit to be shown: what is a credential, or might be one, is hidden.
//!
//! In doubt it is hidden: a diagnosis can do without a long random word, a key in a log can't be taken back.
//!
//! What a client wrote is cut to [`LONGEST`] before it is looked at, and is then gone through a fixed number of times from its front
//! to its end: nobody who is refused makes the refusal dear.

use std::borrow::Cow;

use axum::http::{HeaderName, Uri};

const HIDDEN: &str = "(hidden)";

/// Words in the name of a header or parameter that say: what follows is a secret.
const SECRET_WORDS: [&str; 13] = [
    "auth",
    "token",
    "secret",
    "passw",
    "credential",
    "signature",
    "session",
    "cookie",
    "apikey",
    "api-key",
    "api_key",
    "hdn",
    "_gda_",
];
/// Names that are secret as a whole, though no part of them says so.
const SECRET_NAMES: [&str; 6] = ["x-mediapackage-cdnidentifier", "sig", "jwt", "cat", "key-pair-id", "policy"];

/// The longest run of letters and digits that is taken for a word. An API key's parts are longer, a UUID is not.
const WORD: usize = 40;
/// The shortest run that can be a key.
const JWT: usize = 20;

/// How much of a text is looked at, in bytes: more than the longest name of an object, however it is escaped. What follows is neither
/// read nor shown.
const LONGEST: usize = 4096;
/// What stands for it.
const CUT: &str = "(cut)";

/// A header's value. Of a credential the scheme is left: it is what a diagnosis needs.
pub(in crate::web) fn header(name: &HeaderName, value: &[u8]) -> String {
    if !is_secret_name(name.as_str()) {
        // One more than is looked at: that it is cut is seen there.
        return words(&String::from_utf8_lossy(&value[..value.len().min(LONGEST + 1)])).into_owned();
    }
    let text = String::from_utf8_lossy(&value[..value.len().min(LONGEST)]);
    let scheme = text.split_once(' ').map(|(scheme, _)| scheme).filter(|scheme| {
        ["basic", "bearer", "digest", "negotiate", "ntlm", "aws4-hmac-sha256"].contains(&&*scheme.to_ascii_lowercase())
    });
    scheme.map_or_else(|| HIDDEN.to_owned(), |scheme| format!("{scheme} {HIDDEN}"))
}

/// A request's path and query.
pub(in crate::web) fn target(uri: &Uri) -> String {
    let mut text = name(uri.path()).into_owned();
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(&words(query));
    }
    text
}

/// The name of an object, or anything else in which long words are usual: only what looks like a signed key is hidden.
pub(in crate::web) fn name(text: &str) -> Cow<'_, str> {
    let (text, is_cut) = short(text);
    marked(masked_name(text), is_cut)
}

/// Text of any kind: long words are hidden too, and what stands behind the name of a secret.
pub(in crate::web) fn words(text: &str) -> Cow<'_, str> {
    let (text, is_cut) = short(text);
    marked(masked_words(text), is_cut)
}

/// As much of a text as is looked at, and whether that is not all. What the cut goes through is left out with the rest: half of a key
/// looks like none, and of a user and a password the sign that ends them is missing.
fn short(text: &str) -> (&str, bool) {
    if text.len() <= LONGEST {
        return (text, false);
    }
    let text = &text[..text.floor_char_boundary(LONGEST)];
    let whole = text.trim_end_matches(|c: char| u8::try_from(c).is_ok_and(is_inside));
    let in_authority = |at: &usize| !whole[*at..].contains(USER_INFO_ENDS);
    let end = whole.rfind("://").map(|at| at + 3).filter(in_authority).unwrap_or(whole.len());
    (&whole[..end], true)
}

fn marked(text: Cow<'_, str>, is_cut: bool) -> Cow<'_, str> {
    if is_cut { Cow::Owned(text.into_owned() + CUT) } else { text }
}

fn masked_name(text: &str) -> Cow<'_, str> {
    if has_only_short_runs(text) {
        return Cow::Borrowed(text);
    }
    match without_ingest_passwords(text) {
        Cow::Borrowed(text) => hide(text, looks_like_token),
        Cow::Owned(text) => hide(&text, looks_like_token).into_owned().into(),
    }
}

/// A line of the log, however long, in which anything may stand that somebody has called an object: keys, viewers' tokens and ingest
/// credentials are hidden as in a [`name`], but for what only looks a little like one.
pub(in crate::web) fn line(text: &str) -> Cow<'_, str> {
    let is_token = |run: &str| run.len() >= JWT && run.contains("eyJ") || looks_like_cat(run);
    match without_ingest_passwords(text) {
        Cow::Borrowed(text) => hide(text, is_token),
        Cow::Owned(text) => hide(&text, is_token).into_owned().into(),
    }
}

fn masked_words(text: &str) -> Cow<'_, str> {
    if has_only_short_runs(text) && !text.bytes().any(|byte| matches!(byte, b'=' | b'@')) {
        return Cow::Borrowed(text);
    }
    let text = match without_ingest_passwords(text) {
        Cow::Borrowed(text) => without_user_info(text),
        Cow::Owned(text) => without_user_info(&text).into_owned().into(),
    };
    let named = match text {
        Cow::Borrowed(text) => without_named(text),
        Cow::Owned(text) => without_named(&text).into_owned().into(),
    };
    let long =
        |run: &str| looks_like_token(run) || run.split(['.', '-', '_', '%']).any(|word| word.len() > WORD) || is_random(run);
    match named {
        Cow::Borrowed(text) => hide(text, long),
        Cow::Owned(text) => hide(&text, long).into_owned().into(),
    }
}

/// Whether there is surely nothing that [`hide`] would hide. Cheap: it is asked of each line of the access log.
fn has_only_short_runs(text: &str) -> bool {
    text.len() < JWT || text.as_bytes().split(|&byte| !is_inside(byte)).all(|run| run.len() < JWT)
}

/// What a key is made of, and what may be put between.
fn is_inside(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'%' | b'~')
}

/// A run as long as a key's part, made of letters of both cases and digits: not a product's name.
fn is_random(run: &str) -> bool {
    let has = |test: fn(&u8) -> bool| run.bytes().any(|byte| test(&byte));
    run.len() > WORD && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit)
}

/// Three parts with dots between them, or the beginning that every JWT has; dots may be percent-encoded.
fn looks_like_jwt(run: &str) -> bool {
    if run.len() < JWT {
        return false;
    }
    run.contains("eyJ") || run.split('.').filter(|part| part.len() >= 16).count() >= 3 || run.matches("%2E").count() >= 2
}

/// A signed text of any make: an API key, or a viewer's token.
fn looks_like_token(run: &str) -> bool {
    looks_like_jwt(run) || looks_like_cat(run)
}

/// How a Common Access Token begins: the tags of a CWT and of what is authenticated or signed, in base64url.
const CAT_BEGINS: [&str; 4] = ["2D3RhE", "2D3ShE", "0YRD", "0oRD"];

/// What stands in a path as a viewer's token does, or begins as a Common Access Token.
fn looks_like_cat(run: &str) -> bool {
    run.len() >= WORD
        && (["~", "%7E", "%7e"].iter().any(|sign| run.split(sign).skip(1).any(|rest| rest.len() >= WORD))
            || CAT_BEGINS.iter().any(|begin| run.contains(begin)))
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.contains(&&*name) || SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Hides the runs of key characters that `test` says are none of anybody's business.
fn hide(text: &str, test: impl Fn(&str) -> bool) -> Cow<'_, str> {
    let inside = |c: char| u8::try_from(c).is_ok_and(is_inside);
    // Nearly all text has nothing to hide, and costs no copy.
    if !text.split(|c| !inside(c)).any(&test) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        out.push_str(if test(&rest[..end]) { HIDDEN } else { &rest[..end] });
        rest = &rest[end..];
        let next = rest.find(inside).unwrap_or(rest.len());
        out.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    Cow::Owned(out)
}

/// Hides the value of each `name=value` whose name says that it is a secret.
fn without_named(text: &str) -> Cow<'_, str> {
    let part_ends = |c: char| matches!(c, '&' | ';' | ',' | ' ' | '?' | '"' | '\'');
    let is_hidden = |part: &str| part.split_once('=').is_some_and(|(name, value)| !value.is_empty() && is_secret_name(name));
    if !text.split(part_ends).any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(part_ends) {
        let (bare, end) = part.strip_suffix(part_ends).map_or((part, ""), |bare| (bare, &part[bare.len()..]));
        match bare.split_once('=').filter(|_| is_hidden(bare)) {
            Some((name, _)) => out.extend([name, "=", HIDDEN, end]),
            None => out.push_str(part),
        }
    }
    Cow::Owned(out)
}

/// How long the id of a key is, in hexadecimal digits, and its ingest password, in base64url.
const KEY_ID: usize = 16;
const INGEST_PASSWORD: usize = 24;

/// Hides the password of each `id:password` as an encoder is given it: typed into one field, it gets into a name or a product's.
fn without_ingest_passwords(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let is_of_password = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let (mut out, mut copied) = (String::new(), 0);
    for at in KEY_ID..bytes.len() {
        let sign = match bytes[at] {
            b':' => 1,
            b'%' if bytes.get(at + 1..at + 3).is_some_and(|escape| escape.eq_ignore_ascii_case(b"3a")) => 3,
            _ => continue,
        };
        let begins = at + sign;
        let length = bytes[begins..].iter().take(INGEST_PASSWORD + 1).take_while(is_of_password).count();
        if length == INGEST_PASSWORD && bytes[at - KEY_ID..at].iter().all(u8::is_ascii_hexdigit) {
            out.extend([&text[copied..begins], HIDDEN]);
            copied = begins + length;
        }
    }
    if copied == 0 { Cow::Borrowed(text) } else { Cow::Owned(out + &text[copied..]) }
}

/// What user and password in a URL end before, at the latest.
const USER_INFO_ENDS: [char; 4] = ['/', '?', '#', ' '];

/// Hides each `user:password@` in a URL.
fn without_user_info(text: &str) -> Cow<'_, str> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let end = after.find(USER_INFO_ENDS).unwrap_or(after.len());
        // What ends in the beginning of another one is left to that.
        let (authority, behind) = after.split_at(if after[..end].ends_with(':') { end - 1 } else { end });
        out.push_str(before);
        match authority.rsplit_once('@') {
            Some((_, host)) => out.extend([HIDDEN, "@", host]),
            None => out.push_str(authority),
        }
        rest = behind;
    }
    if out.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(out + rest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    const KEY: &str =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJqdGkiOiJrMSIsInNjb3BlIjoiKiJ9.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZy1lbm91Z2g";

    fn shown(name: &'static str, value: &str) -> String {
        header(&HeaderName::from_static(name), value.as_bytes())
    }

    #[test]
    fn secrets_are_hidden_and_what_a_diagnosis_needs_is_left() {
        for (name, value, expected) in [
            ("authorization", "Basic bW9tZW50bzprZXk=", "Basic (hidden)"),
            ("authorization", "bare-key", "(hidden)"),
            ("authorization", "Odd scheme", "(hidden)"),
            ("cookie", "a=b", "(hidden)"),
            ("x-mediapackage-cdnidentifier", "abc", "(hidden)"),
            ("x-amz-security-token", "abc", "(hidden)"),
            ("user-agent", "Lavf/60.3.100", "Lavf/60.3.100"),
            ("host", "origin.example.com:8080", "origin.example.com:8080"),
            ("x-request-id", "018f3f5e-7c2a-7b3e-9d55-0242ac120002", "018f3f5e-7c2a-7b3e-9d55-0242ac120002"),
            (
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
                "application/x-www-form-urlencoded; charset=utf-8",
            ),
            ("referer", "https://u:p@h/a?token=abc&b=c", "https://(hidden)@h/a?token=(hidden)&b=c"),
            ("x-note", "token=abc; role=origin", "token=(hidden); role=origin"),
        ] {
            assert_eq!(shown(name, value), expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_key_is_found_wherever_it_stands() {
        let encoded = KEY.replace('.', "%2E");
        let parts: Vec<&str> = KEY.split('.').collect();
        let beheaded = &KEY[1..];
        for key in [KEY, &encoded, beheaded] {
            for text in [format!("curl {key}"), format!("x={key}&y=1"), format!("\"{key}\""), format!("a/{key}/b")] {
                let uri: Uri = format!("/cache/live/a.ts?{}", text.replace([' ', '"'], "+")).parse().unwrap();
                for shown in [words(&text).into_owned(), shown("user-agent", &text), target(&uri)] {
                    assert!(parts.iter().all(|part| !shown.contains(&part[1..])), "{text} -> {shown}");
                }
            }
        }
        let uri: Uri = format!("/cache/live/{KEY}/a.ts?ttl_seconds=60&role=origin&password=x").parse().unwrap();
        assert_eq!(target(&uri), "/cache/live/(hidden)/a.ts?ttl_seconds=60&role=origin&password=(hidden)");
        assert_eq!(
            name("channel_20260101T000000_720p30_avc_main_0000000000001.ts"),
            "channel_20260101T000000_720p30_avc_main_0000000000001.ts"
        );
    }

    #[test]
    fn a_viewers_token_is_hidden_wherever_it_stands() {
        let token =
            "2D3RhEOhAQWhBEJ2MVhPpgFqc3ByaW5naGVhZAQacT-zAAdIAQIDBAUGBwgZATYBGQE4oQOhAXgYL2NhY2hlL2xpdmUtb3JpZ2luL3Nob3cv";
        for text in [
            format!("/cache/live/~{token}/a.ts"),
            format!("/cache/live/%7E{token}/a.ts"),
            format!("/cache/live/a.ts?cat={token}"),
            format!("CTA-Common-Access-Token={token}; a=b"),
            format!("https://cdn.example/~{}/a.ts", &token[6..60]),
            token.to_owned(),
        ] {
            let uri: Uri = format!("/cache/live/x?{}", text.replace([' ', '"'], "+")).parse().unwrap();
            for shown in [words(&text).into_owned(), target(&uri), shown("referer", &text), shown("cookie", &text)] {
                assert!((0..token.len() - 16).all(|at| !shown.contains(&token[at..at + 16])), "{text} -> {shown}");
            }
        }
        let path: Uri = format!("/cache/live/~{token}/a/b.ts?cat={token}").parse().unwrap();
        assert_eq!(target(&path), "/cache/live/(hidden)/a/b.ts?cat=(hidden)");
        assert_eq!(name("a~b/~short/c.ts"), "a~b/~short/c.ts");
    }

    #[test]
    fn an_ingest_password_behind_its_id_is_hidden() {
        let password = "Ab1-cD2_eF3gH4iJ5kL6mN7o";
        for sign in [":", "%3A", "%3a"] {
            let pair = format!("e370bb6371da9c5b{sign}{password}");
            for text in [
                pair.clone(),
                format!("live/{pair}/a.ts"),
                format!("{pair}@origin/a.ts"),
                format!("\u{e4}{pair}\u{e4}"),
                format!("{pair} {pair}"),
            ] {
                for shown in [words(&text), name(&text), line(&text), shown("user-agent", &text).into()] {
                    assert!(!shown.contains(&password[1..]) && shown.contains("e370bb6371da9c5b"), "{text} -> {shown}");
                }
            }
        }
        for text in [
            format!("e370bb6371da9c5b:{password}x"),
            format!("e370bb6371da9c5:{password}"),
            format!("channel-2026-01-02:{password}"),
            "e370bb6371da9c5b:".to_owned(),
        ] {
            assert_eq!(name(&text), text);
        }
    }

    #[test]
    fn no_key_is_in_a_line_and_what_only_looks_like_one_is_left() {
        let text = format!(
            "{{\"message\":\"can't write\",\"key\":\"live/{KEY}/a.ts\",\"host\":\"a-long-name-of-a-bucket.a-long-name-of-a-zone.a-long-name-of-a-cloud\"}}"
        );
        let expected = text.replace(KEY, HIDDEN);
        assert_eq!(line(&text), expected);
        let long = format!("{}{KEY}", "x ".repeat(LONGEST));
        assert!(line(&long).ends_with(&format!("x {HIDDEN}")), "however long it is");
    }

    #[test]
    fn every_user_of_a_text_is_hidden_in_one_pass() {
        assert_eq!(words("a://b/ http://u:p@h/x?y=ftp://v:q@i"), "a://b/ http://(hidden)@h/x?y=ftp://(hidden)@i");
        // So many that a call for each, or a copy of the rest for each, would be felt.
        let many = "://@".repeat(1_000_000);
        assert_eq!(without_user_info(&many).matches(HIDDEN).count(), 1_000_000);
        assert!(words(&many).len() < 10 * LONGEST, "and of what a client wrote only the beginning is looked at");
        assert!(shown("x-note", &many[..LONGEST + 4]).ends_with(CUT));
    }

    #[test]
    fn a_cut_shows_no_half_of_a_secret() {
        for (secret, hidden) in
            [(KEY, "eyJ"), ("token=abcdefgh", "abc"), ("http://user:pass@host/", "use"), ("Ab1-Cd2.Ef3_", "Ab1")]
        {
            for before in LONGEST - secret.len() - 2..LONGEST + 2 {
                let text = format!("{} {secret} {}", "x ".repeat(before / 2), "y".repeat(30));
                let shown = words(&text);
                assert!(shown.len() <= LONGEST + CUT.len() + HIDDEN.len());
                let whole = shown.contains(secret) && secret.starts_with("Ab1");
                assert!(whole || !shown.contains(hidden), "{secret} after {before}: {}", &shown[LONGEST - 60..]);
            }
        }
    }

    proptest! {
        #[test]
        fn a_key_between_anything_is_hidden(before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
            let text = words(&format!("{before} {KEY} {after}")).into_owned();
            assert!(!text.contains("c2lnbmF0dXJl"), "{text}");
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = (words(&text), name(&text), line(&text));
        }
    }
}
