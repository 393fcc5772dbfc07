//! The last segments of a stream, each as it came: for a strip of tiles per rendition.

use std::time::Duration;

use serde::Serialize;

use super::Live;
use super::rendition::FollowedRendition;
use super::segment::{Arrival, ListedSegment};
use crate::model::clock::{Clock, Moment};
use crate::model::id::Key;

/// A segment came late when it was awaited for so many target durations.
const LATE: f64 = 1.5;

/// The last segments of one rendition.
#[derive(Clone, Debug, Serialize)]
pub struct RenditionTimeline {
    /// The key of its playlist.
    pub playlist: String,
    /// What it is to its stream.
    pub kind: &'static str,
    /// Seconds between segments, as announced.
    pub target_duration_s: f64,
    /// Bits a second, announced.
    pub announced_bandwidth: Option<u64>,
    /// The segments, the oldest first.
    pub segments: Vec<SegmentTile>,
}

/// One segment.
#[derive(Clone, Debug, Serialize)]
pub struct SegmentTile {
    /// Its media sequence number.
    pub sequence: u64,
    /// Its key.
    pub key: String,
    /// Seconds that it plays, as the playlist says.
    pub duration_s: f64,
    /// When it had come, RFC 3339; null when it has not.
    pub arrived: Option<String>,
    /// Bytes of its body.
    pub bytes: Option<u64>,
    /// Seconds that its upload took.
    pub upload_s: Option<f64>,
    /// Seconds since the one before it had come.
    pub interval_s: Option<f64>,
    /// `on-time`, `late`, `missing`, or `again` when one of its name had come before with other bytes.
    pub state: &'static str,
    /// Whether it can be read still.
    pub is_here: bool,
}

impl Live {
    /// The last segments of a stream; `None` when there is no such stream. `here`: whether an object can be read.
    pub(in crate::origin) fn timeline(
        &self,
        stream: &Key,
        clock: &Clock,
        here: impl Fn(&Key) -> bool,
    ) -> Option<Vec<RenditionTimeline>> {
        let state = self.state.lock();
        let arrivals = self.arrivals.lock();
        let came = |listed: &ListedSegment| listed.arrived.clone().or_else(|| arrivals.get(&listed.key).cloned());
        let strip = |key: &Key, kind, bandwidth, rendition: &FollowedRendition| RenditionTimeline {
            playlist: key.to_string(),
            kind,
            target_duration_s: rendition.stated.unwrap_or(rendition.target).as_secs_f64(),
            announced_bandwidth: bandwidth,
            segments: tiles(rendition, clock, came, &here),
        };
        if state.streams.get(stream).is_some() {
            let children = state.streams.children(stream);
            let known = children.iter().filter_map(|child| Some((child, state.renditions.get(&child.key)?)));
            return Some(known.map(|(child, rendition)| strip(&child.key, child.kind, child.bandwidth, rendition)).collect());
        }
        let rendition = state.renditions.get(stream)?;
        Some(vec![strip(stream, "variant", None, rendition)])
    }
}

fn tiles(
    rendition: &FollowedRendition,
    clock: &Clock,
    came: impl Fn(&ListedSegment) -> Option<Arrival>,
    here: impl Fn(&Key) -> bool,
) -> Vec<SegmentTile> {
    let mut before: Option<Moment> = None;
    let tile = |listed: &ListedSegment| {
        let arrival = came(listed);
        let interval = match (&arrival, before) {
            (Some(arrival), Some(before)) => Some(arrival.at.since(before)),
            _ => None,
        };
        before = arrival.as_ref().map(|arrival| arrival.at).or(before);
        let took = arrival.as_ref().and_then(|arrival| arrival.took);
        let is_late = took.is_some_and(|took| took > listed.duration)
            || interval.is_some_and(|interval| interval > rendition.target.mul_f64(LATE));
        SegmentTile {
            sequence: listed.sequence,
            key: listed.key.to_string(),
            duration_s: listed.duration.as_secs_f64(),
            arrived: arrival.as_ref().map(|arrival| clock.wall_of(arrival.at).to_string()),
            bytes: arrival.as_ref().map(|arrival| arrival.bytes),
            upload_s: took.as_ref().map(Duration::as_secs_f64),
            interval_s: interval.as_ref().map(Duration::as_secs_f64),
            state: match &arrival {
                None => "missing",
                Some(arrival) if arrival.is_again => "again",
                Some(_) if is_late => "late",
                Some(_) => "on-time",
            },
            is_here: here(&listed.key),
        }
    };
    rendition.recent.iter().map(tile).collect()
}
