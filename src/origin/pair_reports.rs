//! Public playlists with two sources in the words of the admin API.

use serde::Serialize;

use super::Origin;

/// A public playlist with two sources, as it is told.
#[derive(Clone, Debug, Serialize)]
pub struct PairReport {
    /// The namespace.
    pub namespace: String,
    /// The public prefix.
    pub public: String,
    /// The playlist.
    pub playlist: String,
    /// How the sources stand to each other: aligned, offset, shifted or foreign.
    pub relation: &'static str,
    /// Why they are not aligned, and what to do about it.
    pub apart: Option<String>,
    /// The source that viewers get: a or b.
    pub active: &'static str,
    /// The one that somebody has pinned.
    pub pinned: Option<&'static str>,
    /// How much later than its twin a segment comes, in seconds.
    pub skew_seconds: Option<f64>,
    /// Lines that the other source has lent.
    pub borrowed: u64,
    /// The sources.
    pub sources: Vec<PairSourceReport>,
    /// The last switches, oldest first.
    pub switches: Vec<SwitchReport>,
}

/// A source of it.
#[derive(Clone, Debug, Serialize)]
pub struct PairSourceReport {
    /// a or b.
    pub source: &'static str,
    /// Its prefix.
    pub prefix: String,
    /// Whether segments have come of late.
    pub up: bool,
    /// Why not, where its encoder has said so: ended or deleted.
    pub out: Option<&'static str>,
    /// When its newest segment was stored, RFC 3339.
    pub newest: Option<String>,
    /// Public lines that were taken of it since the server began.
    pub lines: u64,
}

/// A switch.
#[derive(Clone, Debug, Serialize)]
pub struct SwitchReport {
    /// When, RFC 3339.
    pub time: String,
    /// The source that viewers get since.
    pub to: &'static str,
    /// Why: stalled, ended, deleted, pinned, together or returned.
    pub reason: &'static str,
    /// The media sequence number of the first segment of it.
    pub sequence: u64,
}

impl Origin {
    /// How every public playlist with two sources stands, in the order of namespaces and names.
    #[must_use]
    pub fn pairs(&self) -> Vec<PairReport> {
        let mut reports = Vec::new();
        for hosted in self.inner.namespaces.load().values() {
            for pair in hosted.policy.pairs.iter().filter(|pair| pair.sources.len() == 2) {
                let of = (pair.public.as_str(), pair.sources.as_slice());
                let known = hosted.work.pairs.below(&pair.public);
                let pinned = hosted.pinned(&pair.public);
                reports
                    .extend(known.iter().filter_map(|public| hosted.work.pairs.report(hosted.name.as_str(), of, public, pinned)));
            }
        }
        reports.sort_by(|one, other| (&one.namespace, &one.playlist).cmp(&(&other.namespace, &other.playlist)));
        reports
    }
}
