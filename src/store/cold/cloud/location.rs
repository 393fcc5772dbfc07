//! `s3://bucket/prefix` and the like: which bucket, and where in it.

use std::fmt;

use thiserror::Error;

use crate::model::id::Namespace;

/// The longest prefix, in bytes. Buckets take names of 1,024 bytes, the namespace's and the key's part included.
const MAX_PREFIX: usize = 256;

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// Amazon S3 and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage. A bucket is called a container there.
    Azure,
    /// The process's own memory.
    Memory,
}

/// A place in a bucket. It holds no credential, so that it may be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub(super) provider: Provider,
    pub(super) bucket: String,
    /// Without a slash at either end; may be empty.
    pub(super) prefix: String,
}

/// Why a text names no place. What was written is not repeated: it may hold a credential that does not belong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LocationError {
    /// Another scheme, or none.
    #[error("begins with s3://, gs:// or az://")]
    Scheme,
    /// A bucket no provider has.
    #[error("names a bucket of 3 to 63 of a-z 0-9 . _ - behind the two slashes, and no credentials, host or port beside it")]
    Bucket,
    /// A prefix that is no path.
    #[error("has behind the bucket a path of at most {MAX_PREFIX} bytes, without ?, #, and empty, '.' or '..' segments")]
    Prefix,
}

impl Location {
    /// Reads `s3://BUCKET[/PREFIX]`, `gs://…` or `az://CONTAINER[/PREFIX]`.
    ///
    /// # Errors
    /// [`LocationError`] says what such a text has to look like.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let (scheme, rest) = text.split_once("://").ok_or(LocationError::Scheme)?;
        let provider = match scheme {
            "s3" => Provider::S3,
            "gs" => Provider::Google,
            "az" => Provider::Azure,
            _ => return Err(LocationError::Scheme),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(allowed) {
            return Err(LocationError::Bucket);
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let refused = |c: char| c.is_control() || matches!(c, '?' | '#' | '\\');
        let odd_segment = || prefix.split('/').any(|segment| matches!(segment, "" | "." | ".."));
        if prefix.len() > MAX_PREFIX || prefix.contains(refused) || (!prefix.is_empty() && odd_segment()) {
            return Err(LocationError::Prefix);
        }
        Ok(Self { provider, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// Whether another place lies below this one, not at it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let rest = if self.prefix.is_empty() {
            Some(other.prefix.as_str()).filter(|prefix| !prefix.is_empty())
        } else {
            other.prefix.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('/'))
        };
        self.provider == other.provider && self.bucket == other.bucket && rest.is_some()
    }

    /// Where a namespace has its objects in this place: in a folder of its own.
    #[must_use]
    pub fn of_namespace(&self, namespace: &Namespace) -> Self {
        let prefix = [self.prefix.as_str(), namespace.as_str()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        Self { prefix: prefix.join("/"), ..self.clone() }
    }

    /// Whether what is written to one place may be an object of the other: one lies below the other, or they are the same.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self == other || self.contains(other) || other.contains(self)
    }

    /// A bucket in the process's own memory, empty: the same code as for the others, without a network.
    #[must_use]
    pub fn memory() -> Self {
        Self { provider: Provider::Memory, bucket: "memory".to_owned(), prefix: String::new() }
    }
}

impl Provider {
    /// The word before the slashes.
    pub(super) const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
            Self::Memory => "memory",
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.provider.scheme(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        for (text, shown) in [
            ("s3://live-bucket", "s3://live-bucket"),
            ("s3://live-bucket/", "s3://live-bucket"),
            ("gs://a.b_c/one/two words/", "gs://a.b_c/one/two words"),
            ("az://container/x", "az://container/x"),
        ] {
            assert_eq!(Location::parse(text).unwrap().to_string(), shown);
        }
        for (text, why) in [
            ("", LocationError::Scheme),
            ("disk", LocationError::Scheme),
            ("https://bucket.s3.amazonaws.com", LocationError::Scheme),
            ("memory://memory", LocationError::Scheme),
            ("s3://", LocationError::Bucket),
            ("s3://ab/x", LocationError::Bucket),
            ("s3:///x", LocationError::Bucket),
            ("s3://KEY:SECRET@bucket/x", LocationError::Bucket),
            ("s3://bucket:9000/x", LocationError::Bucket),
            ("s3://bucket/a//b", LocationError::Prefix),
            ("s3://bucket/../b", LocationError::Prefix),
            ("az://bucket/a?sig=SECRET", LocationError::Prefix),
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error, why, "{text}");
            assert!(!error.to_string().contains("SECRET"));
        }
        assert_eq!(Location::parse(&format!("s3://bucket/{}", "x".repeat(257))), Err(LocationError::Prefix));
    }

    #[test]
    fn below_is_below_and_nothing_else() {
        let contains = |outer: &str, inner: &str| Location::parse(outer).unwrap().contains(&Location::parse(inner).unwrap());
        assert!(contains("s3://bucket/vod", "s3://bucket/vod/a/b") && contains("s3://bucket", "s3://bucket/a"));
        for (outer, inner) in [
            ("s3://bucket/vod", "s3://bucket/vod"),
            ("s3://bucket/vod", "s3://bucket/vod2/a"),
            ("s3://bucket/vod", "s3://bucket"),
            ("s3://bucket", "s3://bucket/"),
            ("s3://bucket/vod", "s3://bucket2/vod/a"),
            ("s3://bucket/vod", "gs://bucket/vod/a"),
        ] {
            assert!(!contains(outer, inner), "{inner} in {outer}");
        }
    }

    #[test]
    fn a_namespace_has_a_folder_in_its_place_and_no_two_may_share_names() {
        let place = |url: &str, name: &str| Location::parse(url).unwrap().of_namespace(&Namespace::parse(name).unwrap());
        assert_eq!(place("s3://bucket", "live").to_string(), "s3://bucket/live");
        assert_eq!(place("gs://bucket/a/b/", "live").to_string(), "gs://bucket/a/b/live");
        let a = place("s3://bucket", "a");
        for (url, name, overlaps) in [
            ("s3://bucket", "a", true),
            ("s3://bucket/a", "b", true),
            ("s3://bucket", "b", false),
            ("s3://bucket", "a.b", false),
            ("s3://bucket/a.b", "a", false),
            ("s3://bucket2/a", "b", false),
        ] {
            let other = place(url, name);
            assert!(a.overlaps(&other) == overlaps && other.overlaps(&a) == overlaps, "{other}");
        }
    }
}
