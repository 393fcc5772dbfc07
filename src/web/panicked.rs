//! A request that panicked: what is told of it, and to whom.

use std::any::Any;
use std::borrow::Cow;

use super::problem::Problem;
use super::problem::code::Code;
use super::record::redact::words;

/// What a panic becomes: the log has its place and what it says, the client a 500.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Problem {
    tracing::error!(message = &*said(panic), "a request panicked; this is a bug");
    let detail = "the server made a mistake with this request; it goes on with others";
    Problem::new(Code::Internal, detail)
}

/// What a panic says. It may quote the request that it was for, with all that a client has to hide.
fn said(panic: &(dyn Any + Send)) -> Cow<'_, str> {
    let message = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    words(message.unwrap_or("a panic without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_panic_says_tells_no_key_and_no_token() {
        let token =
            "2D3RhEOhAQWhBEJ2MVhPpgFqc3ByaW5naGVhZAQacT-zAAdIAQIDBAUGBwgZATYBGQE4oQOhAXgYL2NhY2hlL2xpdmUtb3JpZ2luL3Nob3cv";
        let mac = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        for (quoted, secret) in [
            (format!("/cache/live-origin/~{token}/show/a.ts"), token),
            (format!("/cache/live-origin/show/a.ts?cat={token}"), token),
            (format!("Cookie: cat={token}; a=b"), token),
            (token.to_owned(), token),
            (format!("a.ts?hdnts=exp=1900000000~acl=/cache/*~hmac={mac}"), mac),
            ("http://momento:a-password@origin/cache/live-origin/a.ts".to_owned(), "a-password"),
        ] {
            let panic = format!("called `Option::unwrap()` on a `None` value: {quoted}");
            let said = said(&panic).into_owned();
            assert!(said.starts_with("called") && said.contains("unwrap"), "what happened is told: {said}");
            let parts = secret.as_bytes().windows(secret.len().min(16));
            let mut told = parts.filter(|part| said.contains(std::str::from_utf8(part).unwrap()));
            assert!(told.next().is_none(), "a secret in {said}");
        }
        assert_eq!(
            said(&"index out of bounds: the len is 3 but the index is 7"),
            "index out of bounds: the len is 3 but the index is 7"
        );
        assert_eq!(said(&7), "a panic without a message");
    }
}
