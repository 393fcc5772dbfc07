//! One file per verb: [`get`], [`put`], [`delete`], and the two of WebDAV in [`dav`]; [`reply`] turns what a reader gets into headers and
//! status, [`inherit`] hands keys down a playlist.
//!
//! Invariants: what a verb is given has been authorized, from the headers alone, before the body is touched. An upload that has come
//! whole is stored though its client has gone ([`detached`]).
//!
//! No verb decides what is found, stored or removed: that is the origin's; it says in HTTP what came of it.

pub(super) mod dav;
pub(super) mod delete;
pub(super) mod detached;
pub(super) mod get;
mod inherit;
pub(super) mod put;
mod reply;

use super::problem::Problem;
use super::problem::code::Code;
use crate::model::id::Key;
use crate::origin::{NamespaceHandle, OriginError};

/// Why a write or removal is not done; below a public prefix with the names of those where encoders write.
fn refused(error: OriginError, namespace: &NamespaceHandle, key: &Key) -> Problem {
    let pair = namespace.policy().and_then(|policy| policy.pair_of(key.as_str()));
    match pair.filter(|_| error == OriginError::PublicName) {
        Some(pair) => {
            let (public, sources) = (&pair.public, pair.sources.join("\" or \""));
            let detail = format!(
                "what viewers read below \"{public}\" is made by this server of what encoders store below \"{sources}\": write there"
            );
            Problem::new(Code::PublicName, detail)
        }
        None => error.into(),
    }
}
