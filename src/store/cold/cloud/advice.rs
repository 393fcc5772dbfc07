//! What is wrong when a bucket does not let us: which name or variable, in the words of whoever has to mend it.

/// What an error's text points at. The text is a provider's or a client's; codes in it are more reliable than statuses.
pub(super) fn advice(text: &str) -> Option<&'static str> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    // The first that fits counts: the more exact ones come first.
    let known: [(&[&str], &str); 11] = [
        (&["NoSuchBucket", "ContainerNotFound", "bucket does not exist"], "is the bucket's name in `durable` right?"),
        (&["InvalidAccessKeyId"], "AWS_ACCESS_KEY_ID is not known there"),
        (&["SignatureDoesNotMatch"], "AWS_SECRET_ACCESS_KEY is wrong, or not that of AWS_ACCESS_KEY_ID"),
        (&["ExpiredToken", "InvalidToken", "TokenRefreshRequired"], "AWS_SESSION_TOKEN is no longer good"),
        (
            &["incorrectly configured region", "PermanentRedirect", "AuthorizationHeaderMalformed"],
            "AWS_REGION is not the bucket's region",
        ),
        (
            &["AuthenticationFailed", "InvalidAuthenticationInfo"],
            "AZURE_STORAGE_ACCOUNT_NAME and the key or secret beside it do not fit",
        ),
        (
            &["invalid_grant", "invalid_client"],
            "the account in GOOGLE_APPLICATION_CREDENTIALS or AZURE_CLIENT_ID is not known there",
        ),
        (
            &["169.254.169.254", "169.254.170.2", "metadata.google.internal", "MetadataService", "latest/meta-data"],
            "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or GOOGLE_..., AZURE_...), or give this machine a \
             role",
        ),
        (
            &["AccessDenied", "403 Forbidden", "AuthorizationPermissionMismatch", "status code: 403"],
            "the credentials are known and may not do this; docs/buckets.md has what they need",
        ),
        (&["dns error", "failed to lookup"], "is the name in AWS_ENDPOINT_URL_S3, or the region, right?"),
        (
            &["error sending request", "Connection refused", "timed out", "connection closed"],
            "can this machine reach it? AWS_ENDPOINT_URL_S3 names a store of your own",
        ),
    ];
    known.iter().find(|(words, _)| has(words)).map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_that_is_wrong_is_named() {
        for (text, part) in [
            ("status code: 403 : <Code>InvalidAccessKeyId</Code>", "AWS_ACCESS_KEY_ID"),
            ("status code: 403 Forbidden: <Code>SignatureDoesNotMatch</Code>", "AWS_SECRET_ACCESS_KEY"),
            ("status code: 404 : <Code>NoSuchBucket</Code>", "name in `durable`"),
            ("status code: 403 Forbidden: <Code>AccessDenied</Code>", "may not do this"),
            (
                "Error performing PUT http://169.254.169.254/latest/api/token in 3 s: error sending request",
                "no credentials were found",
            ),
            ("Error performing GET http://127.0.0.1:9/b: error sending request: Connection refused", "AWS_ENDPOINT_URL_S3"),
        ] {
            assert!(advice(text).is_some_and(|advice| advice.contains(part)), "{text}: {:?}", advice(text));
        }
        assert_eq!(advice("status code: 503 : SlowDown"), None);
    }
}
