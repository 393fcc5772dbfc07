//! What a segment's bytes say of it, for people and tools.

use serde::Serialize;

use crate::model::facts::{Defect, Medium, SegmentFacts, Track};

/// What a segment's bytes say of it.
#[derive(Clone, Debug, Serialize)]
pub struct FactsReport {
    /// ts, fmp4 or other.
    pub container: &'static str,
    /// The tracks, in the order in which they first come.
    pub tracks: Vec<TrackReport>,
    /// What is wrong with it, worst first.
    pub defects: Vec<&'static str>,
}

/// One track.
#[derive(Clone, Debug, Serialize)]
pub struct TrackReport {
    /// Its PID or track ID.
    pub id: u32,
    /// video, audio, or nothing where neither it nor its initialization segment tells.
    pub medium: Option<&'static str>,
    /// How it is coded, as ISO media calls it: `avc1`, `mp4a`; nothing where neither tells.
    pub codec: Option<String>,
    /// The first presentation time, in ticks.
    pub first: Option<u64>,
    /// The same in seconds, where the ticks are known.
    pub first_s: Option<f64>,
    /// How long it lasts.
    pub duration_s: Option<f64>,
    /// Whether its first picture can be decoded by itself.
    pub starts_with_keyframe: Option<bool>,
}

impl FactsReport {
    pub(in crate::origin) fn of(facts: &SegmentFacts) -> Self {
        let tracks = facts.tracks.iter().map(TrackReport::of).collect();
        Self { container: facts.container.as_str(), tracks, defects: facts.defects.iter().map(Defect::as_str).collect() }
    }
}

impl TrackReport {
    fn of(track: &Track) -> Self {
        let medium = track.medium.map(|medium| match medium {
            Medium::Video => "video",
            Medium::Audio => "audio",
        });
        Self {
            id: track.id,
            medium,
            codec: track.codec.map(|codec| codec.as_str().to_owned()),
            first: track.first,
            first_s: track.first_seconds(),
            duration_s: track.duration_seconds(),
            starts_with_keyframe: track.starts_with_keyframe,
        }
    }
}
