//! Names of objects: a namespace and a key.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The longest namespace name, in bytes.
const MAX_NAMESPACE: usize = 64;
/// The longest key, in bytes of UTF-8.
pub const MAX_KEY: usize = 1024;

/// A namespace's name: 1-64 of `A-Z a-z 0-9 . _ -`, the first one alphanumeric.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

/// An object's key within its namespace: 1-1,024 bytes of UTF-8 without control characters, and without an empty, `.` or `..`
/// path segment, so that it means the same to every CDN, proxy and disk on its way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Which object: a key in a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectId {
    /// The namespace it lives in.
    pub namespace: Namespace,
    /// Its key there.
    pub key: Key,
}

/// What a path means that ends in a slash: a folder, as WebDAV clients think of it. Nothing is stored for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The namespace it is in.
    pub namespace: Namespace,
    /// What the keys in it begin with, a slash at its end; empty for the namespace itself.
    pub prefix: String,
}

/// Why a name is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// A namespace name of the wrong length.
    #[error("a namespace name has 1 to {MAX_NAMESPACE} characters")]
    NamespaceLength,
    /// A namespace name with a character outside the allowed ones.
    #[error("a namespace name is made of A-Z a-z 0-9 . _ - and begins with a letter or digit")]
    NamespaceCharacter,
    /// A key of the wrong length.
    #[error("a key has 1 to {MAX_KEY} bytes")]
    KeyLength,
    /// A key with a control character in it.
    #[error("a key has no control characters")]
    KeyControl,
    /// A key that a file system or proxy would read as another key.
    #[error("a key has no empty, '.' or '..' path segment: take doubled, leading and trailing slashes out of the URL")]
    KeySegment,
}

impl Namespace {
    /// Checks a name and takes it.
    ///
    /// # Errors
    /// [`IdError`] says which rule the name breaks.
    pub fn parse(name: &str) -> Result<Self, IdError> {
        if name.is_empty() || name.len() > MAX_NAMESPACE {
            return Err(IdError::NamespaceLength);
        }
        let bytes = name.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !bytes[0].is_ascii_alphanumeric() || !bytes.iter().all(allowed) {
            return Err(IdError::NamespaceCharacter);
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key {
    /// Checks an already percent-decoded key and takes it.
    ///
    /// # Errors
    /// [`IdError`] says which rule the key breaks.
    pub fn parse(key: &str) -> Result<Self, IdError> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(IdError::KeyLength);
        }
        // Nearly every key is of printable ASCII, and none of its segments is empty or begins with a dot: one look is enough then.
        let mut before = b'/';
        let is_plain = key.bytes().all(|byte| {
            let begins = std::mem::replace(&mut before, byte) == b'/';
            matches!(byte, b' '..=b'~') && !(begins && matches!(byte, b'/' | b'.'))
        });
        if !(is_plain && before != b'/') {
            Self::check(key)?;
        }
        Ok(Self(Arc::from(key)))
    }

    fn check(key: &str) -> Result<(), IdError> {
        if key.chars().any(char::is_control) {
            return Err(IdError::KeyControl);
        }
        if key.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(IdError::KeySegment);
        }
        Ok(())
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the last dot of the last path segment, in lower case; empty when there is none.
    #[must_use]
    pub fn extension(&self) -> Cow<'_, str> {
        let key = &*self.0;
        // It is short: the standard library's search begins at a higher price.
        let at = key.bytes().rposition(|byte| matches!(byte, b'.' | b'/')).filter(|at| key.as_bytes().get(*at) == Some(&b'.'));
        let extension = at.and_then(|at| key.get(at + 1..)).unwrap_or_default();
        if extension.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(extension.to_ascii_lowercase())
        } else {
            Cow::Borrowed(extension)
        }
    }
}

impl Collection {
    /// Checks the path of a folder within its namespace, with or without a slash at its end.
    ///
    /// # Errors
    /// [`IdError`], as for the key of an object.
    pub fn parse(namespace: Namespace, path: &str) -> Result<Self, IdError> {
        let prefix = match path {
            "" => String::new(),
            path => format!("{}/", Key::parse(path.strip_suffix('/').unwrap_or(path))?),
        };
        Ok(Self { namespace, prefix })
    }
}

impl Borrow<str> for Namespace {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    #[test]
    fn namespaces_follow_their_rule() {
        for good in ["live-origin", "a", "0", "A.b_c-d", &"x".repeat(64)] {
            assert_eq!(Namespace::parse(good).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", IdError::NamespaceLength),
            (&*"x".repeat(65), IdError::NamespaceLength),
            ("-a", IdError::NamespaceCharacter),
            (".a", IdError::NamespaceCharacter),
            ("a/b", IdError::NamespaceCharacter),
            ("a b", IdError::NamespaceCharacter),
            ("é", IdError::NamespaceCharacter),
        ] {
            assert_eq!(Namespace::parse(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn keys_follow_their_rule() {
        for good in ["playlist.m3u8", "a/b/c.ts", "日本語.ts", "...", "a..b", " ", &"k".repeat(1024)] {
            assert_eq!(Key::parse(good).unwrap().as_str(), good);
        }
        for (bad, why) in [
            ("", IdError::KeyLength),
            (&*"k".repeat(1025), IdError::KeyLength),
            ("a\nb", IdError::KeyControl),
            ("a\u{7f}", IdError::KeyControl),
            ("a\0", IdError::KeyControl),
            ("/a", IdError::KeySegment),
            ("a//b", IdError::KeySegment),
            ("a/", IdError::KeySegment),
            ("a/./b", IdError::KeySegment),
            ("../a", IdError::KeySegment),
        ] {
            assert_eq!(Key::parse(bad), Err(why), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn the_quick_look_at_a_key_says_what_the_rule_says(key in "[a./~ \\x00-\\x1f\\x7fé\u{85}]{1,8}") {
            prop_assert_eq!(Key::parse(&key).map(drop), Key::check(&key));
        }
    }

    #[test]
    fn the_extension_is_that_of_the_last_segment() {
        for (key, extension) in [("a/b.M3U8", "m3u8"), ("a.ts/b", ""), ("x", ""), (".hidden", "hidden"), ("a.tar.gz", "gz")] {
            assert_eq!(Key::parse(key).unwrap().extension(), extension, "{key}");
        }
    }
}
