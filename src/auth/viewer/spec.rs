//! What a new token is to be, for whoever makes one: the command line, and back ends by the admin listener.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::claims::{TokenRenewal, ViewerClaims};
use super::place::Network;
use super::{UriMatch, UriPart, UriRule, has_form};
use crate::auth::secret::Secret;
use crate::auth::signing::random;
use crate::model::clock::WallTime;
use crate::model::id::{IdError, Key, Namespace};
use crate::model::units::Span;

/// How long a token is good where nothing is said, if the namespace allows that.
const LIFE: Duration = Duration::from_secs(2 * 3600);
/// The longest id, in bytes: all of it stands in logs.
const LONGEST_ID: usize = 16;

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct ViewerSpec {
    /// The namespace it is for.
    pub namespace: Namespace,
    /// What stands before the key in a path as viewers ask for it.
    pub base: String,
    /// What the keys begin with that it opens; empty: all.
    pub prefix: String,
    /// Whether a prefix may end within a name.
    pub exact_prefix: bool,
    /// How long it is good.
    pub life: Option<Duration>,
    /// The longest it may be good.
    pub most: Duration,
    /// What it is revoked by; else a random one.
    pub id: Option<String>,
    /// Who holds it.
    pub subject: Option<String>,
    /// What may be done; else GET and HEAD.
    pub methods: Option<Vec<String>>,
    /// From where; else from anywhere.
    pub addresses: Option<Vec<Network>>,
    /// In which countries; else in all.
    pub countries: Option<Vec<String>>,
    /// How it is renewed; else not.
    pub renewal: Option<TokenRenewal>,
}

/// What of it makes no sense. Each says what would.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Too short or too long a life.
    #[error("a token is good for 1s to {} here", Span(*.0))]
    Life(Duration),
    /// A prefix that no key begins with.
    #[error("a prefix begins without a slash, as object keys do")]
    Slash,
    /// A prefix that opens more than it seems to.
    #[error("the prefix {0:?} would open what begins so in other folders, too: end it in a slash, or say that it is exact")]
    Open(String),
    /// An id of the wrong length.
    #[error("an id has 1 to {LONGEST_ID} bytes")]
    Id,
    /// Methods that only read.
    #[error("methods are GET, HEAD and PROPFIND: a token writes nothing")]
    Methods,
    /// A prefix that no key begins with.
    #[error("no object's key begins so, and the token would open nothing: {0}")]
    Nothing(IdError),
    /// A prefix that is read as a token where it stands in a path.
    #[error("the prefix begins with a viewer's token, which no object's key does: say what stands behind \"~TOKEN/\"")]
    Token,
    /// Nobody is nowhere.
    #[error("of {0} none is named, so the token would be good nowhere: name some, or leave it out")]
    Nowhere(&'static str),
    /// A country that no header names so.
    #[error("{0:?} is no country as ISO 3166 has them: AT, or with a subdivision CH-ZH")]
    Country(String),
}

/// Whether some object's key can begin so.
///
/// # Errors
/// Why none can.
pub fn opens_something(prefix: &str) -> Result<(), SpecError> {
    let first = prefix.split('/').next().unwrap_or_default();
    if first.strip_prefix('~').is_some_and(has_form) {
        return Err(SpecError::Token);
    }
    Key::parse(&format!("{prefix}x")).map(drop).map_err(SpecError::Nothing)
}

/// Whether a text is a country, or a subdivision of one, as the headers of CDNs have it (ISO 3166-1 alpha-2, ISO 3166-2).
fn is_country(text: &str) -> bool {
    let (country, part) = text.split_once('-').map_or((text, None), |(country, part)| (country, Some(part)));
    let is_code = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
    is_code
        && part.is_none_or(|part| {
            (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        })
}

impl ViewerSpec {
    /// The claims of a token that is made now.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn claims(&self, now: WallTime) -> Result<ViewerClaims, SpecError> {
        // A renewed one outlives itself: the deadline is its end.
        let last = self.renewal.map_or(0, |renewal| renewal.deadline.saturating_sub(now.seconds()));
        let life = self.life.unwrap_or(LIFE.min(self.most));
        if life < Duration::from_secs(1) || life > self.most || Duration::from_secs(last) > self.most {
            return Err(SpecError::Life(self.most));
        }
        if self.prefix.starts_with('/') {
            return Err(SpecError::Slash);
        }
        if !(self.prefix.is_empty() || self.prefix.ends_with('/') || self.exact_prefix) {
            return Err(SpecError::Open(self.prefix.clone()));
        }
        opens_something(&self.prefix)?;
        if self.addresses.as_ref().is_some_and(Vec::is_empty) {
            return Err(SpecError::Nowhere("the addresses"));
        }
        let countries = self.countries.as_deref();
        if countries.is_some_and(<[String]>::is_empty) {
            return Err(SpecError::Nowhere("the countries"));
        }
        if let Some(unknown) = countries.unwrap_or_default().iter().find(|country| !is_country(country)) {
            return Err(SpecError::Country(unknown.clone()));
        }
        let id = match self.id.as_deref().map(str::as_bytes) {
            None => random::<8>().to_vec(),
            Some(id) if (1..=LONGEST_ID).contains(&id.len()) => id.to_vec(),
            Some(_) => return Err(SpecError::Id),
        };
        let reads = |method: &String| matches!(method.as_str(), "GET" | "HEAD" | "PROPFIND");
        if self.methods.as_ref().is_some_and(|methods| methods.is_empty() || !methods.iter().all(reads)) {
            return Err(SpecError::Methods);
        }
        let path = format!("{}{}", self.base, self.prefix);
        Ok(ViewerClaims {
            id,
            expires: now.seconds() + life.as_secs(),
            issued: Some(now.seconds()),
            subject: self.subject.clone().map(Secret::new),
            audience: vec![self.namespace.to_string()],
            rules: Arc::new([UriRule { part: UriPart::Path, matching: UriMatch::Prefix, any_of: vec![path] }]),
            methods: self.methods.clone(),
            addresses: self.addresses.clone(),
            countries: self.countries.clone(),
            renewal: self.renewal,
            ..ViewerClaims::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_said() {
        let spec = ViewerSpec {
            namespace: Namespace::parse("live").unwrap(),
            base: "/cache/live/".to_owned(),
            prefix: "show/".to_owned(),
            exact_prefix: false,
            life: None,
            most: Duration::from_secs(3600),
            id: None,
            subject: None,
            methods: None,
            addresses: None,
            countries: None,
            renewal: None,
        };
        let now = WallTime::from_seconds(1_000);
        let claims = spec.claims(now).unwrap();
        assert_eq!((claims.expires, claims.issued, claims.id.len()), (4_600, Some(1_000), 8));
        assert_eq!(claims.rules[0].any_of, ["/cache/live/show/"]);
        assert_ne!(spec.claims(now).unwrap().id, claims.id);
        let wrong = |change: fn(&mut ViewerSpec)| {
            let mut spec = spec.clone();
            change(&mut spec);
            spec.claims(now).unwrap_err()
        };
        let hour = SpecError::Life(Duration::from_secs(3600));
        assert_eq!(wrong(|spec| spec.life = Some(Duration::from_secs(3601))), hour);
        assert_eq!(wrong(|spec| spec.life = Some(Duration::from_millis(999))), hour);
        assert_eq!(wrong(|spec| "/show/".clone_into(&mut spec.prefix)), SpecError::Slash);
        assert_eq!(wrong(|spec| "show".clone_into(&mut spec.prefix)), SpecError::Open("show".to_owned()));
        assert_eq!(wrong(|spec| spec.id = Some(String::new())), SpecError::Id);
        assert_eq!(wrong(|spec| spec.id = Some("x".repeat(17))), SpecError::Id);
        assert_eq!(wrong(|spec| spec.methods = Some(vec!["PUT".to_owned()])), SpecError::Methods);
        assert_eq!(wrong(|spec| spec.methods = Some(Vec::new())), SpecError::Methods);
        for (prefix, reason) in [("a//", "begins so"), ("../", "begins so"), ("a/./", "begins so"), ("a\n/", "begins so")] {
            let error = ViewerSpec { prefix: prefix.to_owned(), ..spec.clone() }.claims(now).unwrap_err();
            assert!(error.to_string().contains(reason), "{prefix:?}: {error}");
        }
        let token = format!("~{}/", "a".repeat(60));
        let error = ViewerSpec { prefix: token.clone(), ..spec.clone() }.claims(now).unwrap_err();
        assert!(error == SpecError::Token && !error.to_string().contains(&token));
        assert_eq!(wrong(|spec| spec.addresses = Some(Vec::new())), SpecError::Nowhere("the addresses"));
        assert_eq!(wrong(|spec| spec.countries = Some(Vec::new())), SpecError::Nowhere("the countries"));
        for (country, is_one) in
            [("AT", true), ("CH-ZH", true), ("US-9", true), ("at", false), ("Austria", false), ("CH-", false)]
        {
            let countries = Some(vec![country.to_owned()]);
            assert_eq!(ViewerSpec { countries, ..spec.clone() }.claims(now).is_ok(), is_one, "{country}");
        }
        let exact = ViewerSpec { prefix: "show".to_owned(), exact_prefix: true, ..spec };
        assert_eq!(exact.claims(now).unwrap().rules[0].any_of, ["/cache/live/show"]);
    }
}
