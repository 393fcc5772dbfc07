//! Why a viewer's token does not open what is asked for.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::claims::Unsupported;
use crate::auth::grant::KeyId;
use crate::model::clock::WallTime;

/// Why a token does not open what is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ViewerError {
    /// It is none, or not of ours. Which of the two, and why, is for the log.
    #[error("{0}")]
    Invalid(&'static str),
    /// It says what is not understood here.
    #[error("{0}")]
    Unsupported(Unsupported),
    /// Past its end.
    #[error("it has ended")]
    Expired {
        /// Which token it is.
        id: KeyId,
        /// When it ended.
        at: WallTime,
    },
    /// Its time has not begun.
    #[error("its time has not begun")]
    NotYet {
        /// Which token it is.
        id: KeyId,
        /// When it begins.
        from: WallTime,
    },
    /// Revoked, by its id or with others.
    #[error("it has been revoked")]
    Revoked {
        /// Which token it is.
        id: KeyId,
    },
    /// It is for another place.
    #[error("it is for another place")]
    Place {
        /// Which token it is.
        id: KeyId,
    },
    /// It is used more than one may be.
    #[error("it is used too much")]
    Limit {
        /// Which token it is.
        id: KeyId,
        /// When it is worth to try again.
        wait: Duration,
    },
    /// It is for something else.
    #[error("it is for another {beyond}")]
    Scope {
        /// Which token it is.
        id: KeyId,
        /// What differs.
        beyond: Beyond,
    },
}

/// What a token is not for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// The namespace (`aud`).
    Namespace,
    /// The host (`catu`).
    Host,
    /// The path (`catu`).
    Path,
    /// The method (`catm`).
    Method,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespace => "namespace",
            Self::Host => "host",
            Self::Path => "path",
            Self::Method => "method",
        })
    }
}

impl ViewerError {
    /// Which token it is, where it was made with one of our keys.
    #[must_use]
    pub fn key_id(&self) -> Option<&KeyId> {
        match self {
            Self::Invalid(_) | Self::Unsupported(_) => None,
            Self::Expired { id, .. }
            | Self::NotYet { id, .. }
            | Self::Revoked { id }
            | Self::Place { id }
            | Self::Limit { id, .. }
            | Self::Scope { id, .. } => Some(id),
        }
    }
}
