//! What an origin does: the rules of a write, of a read and of a removal.
//!
//! The web floor hands over words ([`crate::model`]) and a [`Grant`]; it never sees the store. Nothing here can be called without
//! a grant, so no path can forget to ask.

mod error;
mod get;
pub mod policy;
mod put;
mod remove;
mod types;

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

pub use error::OriginError;
pub use get::Found;
pub use put::{PutSpec, Stored, Upload};

use self::policy::NamespacePolicy;
use crate::auth::grant::{Action, Grant};
use crate::metrics::{Metrics, NamespaceMetrics, Traffic};
use crate::model::clock::Clock;
use crate::model::id::{Namespace, ObjectId};
use crate::store::{HotNamespace, Store};

/// The origin: a cheap handle, cloned into every request.
#[derive(Clone, Debug)]
pub struct Origin {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    places: HashMap<Namespace, Place, RandomState>,
    clock: Clock,
}

/// A namespace, its rules and its bytes.
#[derive(Clone, Debug)]
struct Place {
    policy: Arc<NamespacePolicy>,
    hot: Arc<HotNamespace>,
    metrics: NamespaceMetrics,
}

impl Origin {
    /// An origin with these namespaces. `max_in_flight` bounds the bytes of all uploads in flight together.
    #[must_use]
    pub fn new(
        namespaces: impl IntoIterator<Item = (Namespace, NamespacePolicy)>,
        max_in_flight: u64,
        clock: Clock,
        metrics: &Metrics,
    ) -> Self {
        let namespaces: Vec<_> = namespaces.into_iter().collect();
        let capacities = namespaces.iter().map(|(name, policy)| (name.clone(), policy.hot_capacity));
        let store = Store::new(capacities, max_in_flight, &clock, metrics);
        let places = namespaces
            .into_iter()
            .filter_map(|(name, policy)| {
                let hot = Arc::clone(store.namespace(&name)?);
                let place = Place { policy: Arc::new(policy), hot, metrics: metrics.namespace(&name) };
                Some((name, place))
            })
            .collect();
        Self { inner: Arc::new(Inner { places, clock }) }
    }

    /// The rules of a namespace, if it is configured. They say how to answer, not what is stored, so no grant is asked for.
    #[must_use]
    pub fn policy(&self, namespace: &Namespace) -> Option<&NamespacePolicy> {
        self.inner.places.get(namespace).map(|place| &*place.policy)
    }

    /// Where the requests of a namespace are counted, if it is configured.
    #[must_use]
    pub fn traffic(&self, namespace: &Namespace) -> Option<&Arc<Traffic>> {
        self.inner.places.get(namespace).map(|place| &place.metrics.traffic)
    }

    /// Takes a bounded number of expired objects out of memory; says whether more are due now. To be called a few times a
    /// second, and again at once while it says so.
    #[must_use]
    pub fn sweep(&self) -> bool {
        let mut more = false;
        for place in self.inner.places.values() {
            more |= place.hot.sweep();
        }
        more
    }

    /// The time source.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Where the object is or will be, if the holder of the grant may do this to it. Tells that a namespace is unknown only to
    /// those who may see it, so that names can't be probed.
    fn admit(&self, grant: &Grant, action: Action, object: &ObjectId) -> Result<&Place, OriginError> {
        if !grant.sees(&object.namespace) {
            return Err(OriginError::Forbidden);
        }
        let place = self.inner.places.get(&object.namespace).ok_or(OriginError::UnknownNamespace)?;
        if !grant.allows(action, object) {
            return Err(OriginError::Forbidden);
        }
        Ok(place)
    }
}
