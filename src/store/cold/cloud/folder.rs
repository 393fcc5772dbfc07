//! A folder of plain files in a bucket, for others to read: nothing of ours is kept with them, and nothing is known of them but what
//! the bucket says.
//!
//! Invariant: a file is there whole or not at all. It goes there in one PUT, which buckets take whole or not at all.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::access::Access;
use super::bucket::Bucket;
use super::location::Location;
use crate::store::cold::ColdError;

/// Files below a place in a bucket. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Folder {
    bucket: Bucket,
}

impl Folder {
    /// Prepares the way there; nothing is asked yet. A call that has no answer after `deadline`, retries included, has failed.
    ///
    /// # Errors
    /// [`ColdError::Denied`] when what is set, in the location and in the environment, does not make a client.
    pub fn open(location: &Location, access: &Access, deadline: Duration) -> Result<Self, ColdError> {
        Ok(Self { bucket: Bucket::open(location, "", access, deadline)? })
    }

    /// Puts a file there, in place of any other. Cancel-safe: it is there whole or not at all.
    ///
    /// # Errors
    /// [`ColdError`].
    pub async fn put(&self, name: &str, body: Bytes, content_type: &'static str) -> Result<(), ColdError> {
        self.bucket.put_plain(name, body, content_type).await
    }

    /// Reads a file; `None` when there is none.
    ///
    /// # Errors
    /// [`ColdError`].
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, ColdError> {
        Ok(self.bucket.get(name, None).await?.map(|fetched| fetched.body))
    }

    /// Takes a file away; it is no error when there is none. Cancel-safe.
    ///
    /// # Errors
    /// [`ColdError`].
    pub async fn delete(&self, name: &str) -> Result<(), ColdError> {
        self.bucket.delete(name).await
    }

    /// Every file's length, in bytes, by its name. One request for each 1,000 files.
    ///
    /// # Errors
    /// [`ColdError`].
    pub async fn lengths(&self) -> Result<HashMap<String, u64>, ColdError> {
        let (mut listing, mut lengths) = (self.bucket.list(""), HashMap::new());
        while let Some(seen) = listing.next().await {
            let seen = seen?;
            lengths.insert(seen.name, seen.length);
        }
        Ok(lengths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_put_read_listed_and_deleted() {
        let folder = Folder::open(&Location::memory(), &Access::default(), Duration::from_secs(5)).unwrap();
        assert_eq!(folder.get("a/b.ts").await, Ok(None));
        assert_eq!(folder.lengths().await, Ok(HashMap::new()));
        folder.put("a/b.ts", Bytes::from_static(b"old"), "video/mp2t").await.unwrap();
        folder.put("a/b.ts", Bytes::from_static(b"newer"), "video/mp2t").await.unwrap();
        folder.put("c.m3u8", Bytes::new(), "application/vnd.apple.mpegurl").await.unwrap();
        assert_eq!(folder.get("a/b.ts").await, Ok(Some(Bytes::from_static(b"newer"))));
        assert_eq!(folder.lengths().await.unwrap(), HashMap::from([("a/b.ts".to_owned(), 5), ("c.m3u8".to_owned(), 0)]));
        folder.delete("a/b.ts").await.unwrap();
        folder.delete("a/b.ts").await.unwrap();
        assert_eq!(folder.lengths().await.unwrap(), HashMap::from([("c.m3u8".to_owned(), 0)]));
    }
}
