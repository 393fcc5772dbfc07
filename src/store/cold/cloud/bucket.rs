//! A bucket, in our words: the one place that knows `object_store`.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes as Stored, BackoffConfig, ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutOptions, RetryConfig, UpdateVersion,
};
use tokio::time::timeout;

use super::access::Access;
use super::advice::advice;
use super::fields::Fields;
use super::location::{Location, Provider};
use crate::model::clock::WallTime;
use crate::store::cold::{Attributes, ColdError};

/// A connection that is not there within this is not coming.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a request is tried again by itself: for what a moment heals. Whoever asked tries again later.
const RETRIES: usize = 2;

/// What is at a name.
pub(super) struct Fetched {
    pub(super) fields: Fields,
    /// The whole object's, also where a part was asked for.
    pub(super) length: u64,
    pub(super) body: Bytes,
    pub(super) state: BucketState,
}

/// In which state an object is, as its bucket tells states apart: a write may ask that it is still that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketState {
    pub(in crate::store) tag: Option<String>,
    pub(in crate::store) generation: Option<String>,
}

/// What a listing says of an object.
#[derive(Debug)]
pub(super) struct BucketSeen {
    /// Below the folder that was listed.
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) tag: String,
    pub(super) modified: WallTime,
}

/// A namespace's folder in a bucket. Cloning is cheap.
#[derive(Clone)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    provider: Provider,
    /// What all names begin with, a slash at its end.
    root: String,
    deadline: Duration,
}

/// The clients know credentials, and are not asked.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("provider", &self.provider).field("root", &self.root).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Prepares the clients; nothing is sent yet. A call that has no answer after `deadline`, retries included, has failed.
    pub(super) fn open(location: &Location, folder: &str, access: &Access, deadline: Duration) -> Result<Self, ColdError> {
        // A slash behind each part, and none for a part that is empty.
        let parts = [location.prefix.as_str(), folder];
        let root = parts.iter().filter(|part| !part.is_empty()).fold(String::new(), |root, part| root + part + "/");
        Ok(Self {
            store: connect(location, access, deadline).map_err(|error| ColdError::Denied(safe(&error.to_string())))?,
            provider: location.provider,
            root,
            deadline,
        })
    }

    pub(super) const fn provider(&self) -> Provider {
        self.provider
    }

    fn path(&self, name: &str) -> Result<Path, ColdError> {
        Path::parse(format!("{}{name}", self.root)).map_err(|error| ColdError::Unfit(error.to_string()))
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, RequestFailure> {
        match timeout(self.deadline, call).await {
            Ok(result) => result.map_err(|error| RequestFailure::of(&error)),
            Err(_) => Err(RequestFailure::Other(ColdError::Unavailable(format!("no answer within {:?}", self.deadline)))),
        }
    }

    /// Puts an object in place of any other, and says the tag it got. `headers` are those the store shall serve it with.
    pub(super) async fn put(
        &self,
        name: &str,
        body: Bytes,
        fields: &Fields,
        headers: Option<&Attributes>,
    ) -> Result<String, ColdError> {
        let attributes = self.attributes(fields, headers);
        let put = self.put_with(name, body, PutOptions { attributes, ..PutOptions::default() }).await;
        put.map(|state| tag(state.tag)).map_err(RequestFailure::here)
    }

    /// The same, where the object is still in this state; `None`: where there is none. Says in which it is now; `None`, and nothing has changed
    /// by this, where it was in another one.
    pub(super) async fn put_over(
        &self,
        name: &str,
        body: Bytes,
        fields: &Fields,
        headers: &Attributes,
        over: Option<&BucketState>,
    ) -> Result<Option<BucketState>, ColdError> {
        let mode = match over.cloned() {
            Some(BucketState { tag, generation }) => PutMode::Update(UpdateVersion { e_tag: tag, version: generation }),
            None => PutMode::Create,
        };
        let attributes = self.attributes(fields, Some(headers));
        match self.put_with(name, body, PutOptions { mode, attributes, ..PutOptions::default() }).await {
            Ok(state) => Ok(Some(state)),
            Err(RequestFailure::Changed) => Ok(None),
            Err(failure) => Err(failure.here()),
        }
    }

    fn attributes(&self, fields: &Fields, headers: Option<&Attributes>) -> Stored {
        let mut attributes: Stored =
            fields.iter().map(|(name, value)| (Attribute::Metadata(name.clone().into()), value.clone())).collect();
        if let Some(headers) = headers {
            // Google's store unpacks what it knows to be packed for whoever does not ask for it packed: then lengths and ranges
            // are no longer those of the body.
            let coding = headers.content_encoding.as_ref().filter(|_| self.provider != Provider::Google);
            for (attribute, value) in [
                (Attribute::ContentType, Some(&headers.content_type)),
                (Attribute::CacheControl, headers.cache_control.as_ref()),
                (Attribute::ContentEncoding, coding),
            ] {
                // They are for others who read the bucket: an odd one that a store might refuse is not worth the object.
                if let Some(text) = value.and_then(|value| value.to_str().ok()).filter(|text| is_ordinary(text)) {
                    attributes.insert(attribute, text.to_owned().into());
                }
            }
        }
        attributes
    }

    /// Puts a file there for others to use: nothing is kept with it but its type.
    pub(super) async fn put_plain(&self, name: &str, body: Bytes, content_type: &'static str) -> Result<(), ColdError> {
        let attributes: Stored = [(Attribute::ContentType, content_type)].into_iter().collect();
        let options = PutOptions { attributes, ..PutOptions::default() };
        self.put_with(name, body, options).await.map(drop).map_err(RequestFailure::here)
    }

    async fn put_with(&self, name: &str, body: Bytes, options: PutOptions) -> Result<BucketState, RequestFailure> {
        let path = self.path(name).map_err(RequestFailure::Other)?;
        let result = self.within(self.store.put_opts(&path, body.into(), options)).await?;
        Ok(BucketState { tag: result.e_tag, generation: result.version })
    }

    /// Reads an object, or the part of it that is in `range`, without the rest.
    pub(super) async fn get(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Fetched>, ColdError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        match self.fetch(name, options).await {
            // The range begins behind the end.
            Err(RequestFailure::Range) => Ok(self.head(name).await?),
            result => absent(result),
        }
    }

    /// Reads all of an object but its body.
    pub(super) async fn head(&self, name: &str) -> Result<Option<Fetched>, ColdError> {
        absent(self.fetch(name, GetOptions { head: true, ..GetOptions::default() }).await)
    }

    async fn fetch(&self, name: &str, options: GetOptions) -> Result<Fetched, RequestFailure> {
        let path = self.path(name).map_err(RequestFailure::Other)?;
        let is_head = options.head;
        let call = async {
            let result = self.store.get_opts(&path, options).await?;
            let mut fields = Fields::new();
            for (attribute, value) in &result.attributes {
                if let Attribute::Metadata(name) = attribute {
                    fields.insert(name.to_ascii_lowercase(), value.to_string());
                }
            }
            let length = result.meta.size;
            let state = BucketState { tag: result.meta.e_tag.clone(), generation: result.meta.version.clone() };
            let body = if is_head { Bytes::new() } else { result.bytes().await? };
            Ok(Fetched { fields, length, body, state })
        };
        self.within(call).await
    }

    /// Removes an object; it is no error when there is none.
    pub(super) async fn delete(&self, name: &str) -> Result<(), ColdError> {
        let path = self.path(name)?;
        match self.within(self.store.delete(&path)).await {
            Ok(()) | Err(RequestFailure::Absent) => Ok(()),
            Err(failure) => Err(failure.here()),
        }
    }

    /// Names what is below a folder of ours, or below all of them. It ends with the first error.
    pub(super) fn list(&self, folder: &str) -> BoxStream<'static, Result<BucketSeen, ColdError>> {
        let prefix = match self.path(folder) {
            Ok(prefix) => prefix,
            Err(error) => return futures_util::stream::iter([Err(error)]).boxed(),
        };
        let mut start = self.root.clone();
        if !folder.is_empty() {
            start.push_str(folder);
            start.push('/');
        }
        let deadline = self.deadline;
        let objects = self.store.list(Some(&prefix));
        let next = move |(mut objects, ended): (BoxStream<'static, Result<ObjectMeta, Error>>, bool)| async move {
            if ended {
                return None;
            }
            let next = match timeout(deadline, objects.next()).await {
                Ok(None) => return None,
                Ok(Some(Ok(object))) => Ok(object),
                Ok(Some(Err(error))) => Err(RequestFailure::of(&error).here()),
                Err(_) => Err(ColdError::Unavailable(format!("the listing did not go on within {deadline:?}"))),
            };
            let ended = next.is_err();
            Some((next, (objects, ended)))
        };
        let seen = move |object: Result<ObjectMeta, ColdError>| {
            let start = start.clone();
            async move {
                match object {
                    Ok(object) => Some(Ok(BucketSeen {
                        name: object.location.as_ref().strip_prefix(&start)?.to_owned(),
                        length: object.size,
                        tag: tag(object.e_tag),
                        modified: WallTime::from_millis(u64::try_from(object.last_modified.timestamp_millis()).unwrap_or(0)),
                    })),
                    Err(error) => Some(Err(error)),
                }
            }
        };
        futures_util::stream::unfold((objects, false), next).filter_map(seen).boxed()
    }
}

/// Listings and answers to a PUT quote it differently.
pub(super) fn tag(tag: Option<String>) -> String {
    tag.unwrap_or_default().trim_matches('"').to_owned()
}

fn is_ordinary(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.trim() == text && !text.contains("  ")
}

fn absent(result: Result<Fetched, RequestFailure>) -> Result<Option<Fetched>, ColdError> {
    match result {
        Ok(fetched) => Ok(Some(fetched)),
        Err(RequestFailure::Absent) => Ok(None),
        Err(failure) => Err(failure.here()),
    }
}

/// Why a request came to nothing.
#[derive(Debug, PartialEq, Eq)]
enum RequestFailure {
    /// There is no such object.
    Absent,
    /// The range lies behind the object's end.
    Range,
    /// The object is not in the state that was asked for.
    Changed,
    Other(ColdError),
}

impl RequestFailure {
    /// Reads the error's text, because its parts are not open to us.
    fn of(error: &Error) -> Self {
        let whole = error.to_string();
        let text = match advice(&whole) {
            Some(advice) => format!("{advice} ({})", safe(&whole)),
            None => safe(&whole),
        };
        let has = |words: &[&str]| words.iter().any(|word| whole.contains(word));
        let status = whole.split_once("status code: ").and_then(|(_, rest)| rest.get(..3)?.parse::<u16>().ok());
        // Stores answer 404 also where the bucket is missing: that says nothing of the object.
        if has(&["NoSuchBucket", "ContainerNotFound", "bucket does not exist"]) {
            return Self::Other(ColdError::Denied(format!("there is no such bucket: {text}")));
        }
        Self::Other(match error {
            Error::NotFound { .. } => return Self::Absent,
            Error::Precondition { .. } | Error::AlreadyExists { .. } => return Self::Changed,
            Error::NotImplemented { .. } => ColdError::Denied(format!("it has no conditional writes: {text}")),
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ColdError::Denied(text),
            _ if has(&["incorrectly configured region", "PermanentRedirect", "AuthorizationHeaderMalformed"]) => {
                ColdError::Denied(format!("the bucket is in another region than the one that is set: {text}"))
            }
            // Another write of it is under way; or what is not known there, a condition among them.
            _ if status == Some(409) && has(&["ConditionalRequestConflict"]) => return Self::Changed,
            _ if status == Some(416) || has(&["InvalidRange"]) => return Self::Range,
            _ if status == Some(507) || has(&["StorageFull", "QuotaExceeded"]) => ColdError::Full(text),
            _ if status == Some(413) || has(&["MetadataTooLarge", "KeyTooLong", "EntityTooLarge", "InvalidBlobOrBlock"]) => {
                ColdError::Unfit(text)
            }
            _ => ColdError::Unavailable(text),
        })
    }

    fn here(self) -> ColdError {
        match self {
            Self::Absent => ColdError::Unavailable("the store knows nothing of it".to_owned()),
            Self::Range => ColdError::Unavailable("the store refuses the range".to_owned()),
            Self::Changed => ColdError::Unavailable("another writer came in between".to_owned()),
            Self::Other(error) => error,
        }
    }
}

/// An error's text without what may hold a credential: a URL's query, and the body of an answer but its code.
fn safe(text: &str) -> String {
    let (head, body) = text.split_once("status code: ").map_or((text, None), |(head, rest)| (head, Some(rest)));
    let mut shown = String::with_capacity(text.len());
    for word in head.split_inclusive(char::is_whitespace) {
        match word.split_once('?').filter(|(url, _)| url.contains("://")) {
            Some((url, _)) => shown.extend([url, "?… "]),
            None => shown.push_str(word),
        }
    }
    if let Some(body) = body {
        let status = body.split([':', '<', '{', '\n']).next().unwrap_or_default().trim();
        let code = body.split_once("<Code>").and_then(|(_, rest)| Some(rest.split_once('<')?.0)).unwrap_or_default();
        shown = format!("{shown}status {status} {code}");
    }
    let end = shown.char_indices().nth(400).map_or(shown.len(), |(end, _)| end);
    shown[..end].trim().to_owned()
}

fn connect(location: &Location, access: &Access, deadline: Duration) -> Result<Arc<dyn ObjectStore>, Error> {
    let bucket = location.bucket.as_str();
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(1), base: 2.0 },
        max_retries: RETRIES,
        retry_timeout: deadline,
    };
    let client = ClientOptions::new()
        .with_timeout(deadline)
        .with_connect_timeout(CONNECT.min(deadline))
        .with_user_agent(http::HeaderValue::from_static(concat!("springhead/", env!("CARGO_PKG_VERSION"))))
        .with_allow_http(access.is_plain());
    Ok(match location.provider {
        Provider::S3 => {
            let mut builder = AmazonS3Builder::new().with_client_options(client).with_retry(retry);
            for (key, value) in variables::<AmazonS3ConfigKey>(access, "AWS_") {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.with_bucket_name(bucket).build()?)
        }
        Provider::Google => {
            let mut builder = GoogleCloudStorageBuilder::new().with_client_options(client).with_retry(retry);
            for (key, value) in variables::<GoogleConfigKey>(access, "GOOGLE_") {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.with_bucket_name(bucket).build()?)
        }
        Provider::Azure => {
            let mut builder = MicrosoftAzureBuilder::new().with_client_options(client).with_retry(retry);
            for (key, value) in variables::<AzureConfigKey>(access, "AZURE_") {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.with_container_name(bucket).build()?)
        }
        Provider::Memory => Arc::new(InMemory::new()),
    })
}

/// Those of the environment's variables that the client knows. The bucket is said by its URL alone.
fn variables<'a, K: FromStr>(access: &'a Access, prefix: &'a str) -> impl Iterator<Item = (K, &'a str)> {
    access.0.iter().filter_map(move |(name, value)| {
        let known = name.starts_with(prefix) && !name.contains("BUCKET") && !name.contains("CONTAINER_NAME");
        known.then(|| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str()))).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let error = "Generic MicrosoftAzure error: Error performing PUT http://127.0.0.1:1/c/a.ts?sig=SECRET&se=1 in 3ms - \
                     Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?><Error>\
                     <Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>SECRET</AWSAccessKeyId></Error>";
        let shown = safe(error);
        assert!(!shown.contains("SECRET"), "{shown}");
        assert!(shown.contains("http://127.0.0.1:1/c/a.ts?…") && shown.ends_with("status 403 Forbidden SignatureDoesNotMatch"));
        let variables = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "SECRET")];
        let access = Access(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert!(!format!("{access:?}").contains("\"SECRET\""), "{access:?}");
        let location = Location::parse("s3://bucket/a").unwrap();
        let bucket = Bucket::open(&location, "ns", &access, Duration::from_secs(1)).unwrap();
        assert!(!format!("{bucket:?}").contains("SECRET"));
        assert!(safe(&"x ".repeat(1000)).len() <= 400);
    }

    #[test]
    fn failures_are_told_apart() {
        let of = |source: &str| RequestFailure::of(&Error::Generic { store: "S3", source: source.to_owned().into() });
        let absent =
            |source: &str| RequestFailure::of(&Error::NotFound { path: "a".to_owned(), source: source.to_owned().into() });
        assert_eq!(absent("<Code>NoSuchKey</Code>"), RequestFailure::Absent);
        assert!(matches!(absent("<Code>NoSuchBucket</Code>"), RequestFailure::Other(ColdError::Denied(_))));
        assert_eq!(of("non-2xx status code: 416 Range Not Satisfiable"), RequestFailure::Range);
        assert!(matches!(of("status code: 507 Insufficient Storage"), RequestFailure::Other(ColdError::Full(_))));
        assert!(matches!(of("status code: 400 : <Code>MetadataTooLarge</Code>"), RequestFailure::Other(ColdError::Unfit(_))));
        assert!(matches!(of("status code: 503 : SlowDown"), RequestFailure::Other(ColdError::Unavailable(_))));
    }
}
