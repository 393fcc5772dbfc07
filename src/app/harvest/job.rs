//! One harvest that was ordered: where it goes, how it stands, and how that is told.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::CopyCounts;
use super::window::HarvestWindow;
use crate::app::client::Url;
use crate::auth::grant::Grant;
use crate::hls::shift::Window;
use crate::model::clock::WallTime;
use crate::model::id::{Namespace, ObjectId};
use crate::store::Location;
use crate::web::admin::harvest::Progress;

/// The longest name below the folder, in bytes.
const LONGEST_NAME: usize = 200;

/// One harvest.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) entry: ObjectId,
    /// Of the playlist.
    pub(super) url: Url,
    pub(super) asked: HarvestWindow,
    /// What was asked for; when an older harvest is gone on with, what that was.
    pub(super) window: Mutex<Window>,
    pub(super) out: Out,
    pub(super) keys: bool,
    pub(super) replaces: bool,
    /// Whose order it is.
    pub(super) by: Option<Arc<Grant>>,
    pub(super) at: WallTime,
    pub(super) counts: Arc<CopyCounts>,
    pub(super) cancel: CancellationToken,
    pub(super) state: Mutex<JobState>,
}

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// To a name below the folder that is set.
    Folder { root: PathBuf, name: String },
    /// Into a bucket.
    Bucket(Location),
}

#[derive(Clone, Debug)]
pub(super) enum JobState {
    Waiting,
    Running,
    Done { at: WallTime, playlist: String },
    Failed { at: WallTime, error: String },
    Cancelled { at: WallTime },
}

impl JobState {
    pub(super) const fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// A name below the folder: no way out of it, nothing hidden, and nothing that a shell or file system takes for more than a name.
pub(super) fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    text.len() <= LONGEST_NAME && text.split('/').all(is_part)
}

impl Out {
    /// As it is shown: below the folder, where that is on the server is nobody's business.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Folder { name, .. } => name.clone(),
            Self::Bucket(location) => location.to_string(),
        }
    }

    pub(super) fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.shown())
    }
}

impl Job {
    /// What all keys begin with that it may read.
    pub(super) fn prefix(&self) -> Option<String> {
        self.by.as_ref().and_then(|grant| grant.prefix.clone())
    }

    /// Whether a recording of this playlist, written `NAMESPACE/KEY`, or as an address by the command, is one that who orders looks after.
    pub(super) fn may_touch(&self, playlist: &str) -> bool {
        let known = || playlist.split_once('/').and_then(|(name, key)| Some((Namespace::parse(name).ok()?, key)));
        let reaches = |grant: &Arc<Grant>| known().is_some_and(|(namespace, key)| grant.oversees_key(&namespace, key));
        self.by.as_ref().is_none_or(|grant| grant.oversees_all() || reaches(grant))
    }

    /// Once over, it stays as it is. Whether this was its end.
    pub(super) fn end(&self, end: JobState) -> bool {
        let mut state = self.state.lock();
        let was_over = state.is_over();
        if !was_over {
            *state = end;
        }
        !was_over
    }

    pub(super) fn progress(&self) -> Progress {
        let state = self.state.lock().clone();
        let (counts, window) = (&self.counts, *self.window.lock());
        let (name, out, error, ended) = match state {
            JobState::Waiting => ("waiting", self.out.shown(), None, None),
            JobState::Running => ("running", self.out.shown(), None, None),
            JobState::Done { at, playlist } => ("done", playlist, None, Some(at)),
            JobState::Failed { at, error } => ("failed", self.out.shown(), Some(error), Some(at)),
            JobState::Cancelled { at } => ("cancelled", self.out.shown(), None, Some(at)),
        };
        let kept = CopyCounts::read(&counts.kept);
        Progress {
            id: self.id.clone(),
            state: name,
            namespace: self.entry.namespace.to_string(),
            playlist: self.entry.key.to_string(),
            prefix: self.prefix(),
            start: window.start.map(|start| start.to_string()),
            end: window.end.map(|end| end.to_string()),
            out,
            total: CopyCounts::read(&counts.total),
            files: CopyCounts::read(&counts.copied) + kept,
            kept,
            bytes: CopyCounts::read(&counts.bytes),
            missing: CopyCounts::read(&counts.missing),
            missing_files: counts.named.lock().clone(),
            left_out: counts.left_out.lock().clone(),
            gaps: CopyCounts::read(&counts.gaps),
            gap_times: counts.gap_times.lock().clone(),
            error,
            ordered: self.at.to_string(),
            ended: ended.map(|at| at.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for name in ["a", "show/2026-01-02", "A_b.c/d-e"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(201);
        for name in [
            "", ".", "..", "../a", "a/..", "a/../b", "/a", "a/", "a//b", ".a", "a/.b", "-a", "a\\b", "a b", "a\0", "~", "a%2fb",
            "c:a", "\u{e4}", &long,
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
