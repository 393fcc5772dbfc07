//! How the streams are, for people and tools.

use std::collections::HashSet;

use serde::Serialize;

use super::dash::Dash;
use super::known::FactsReport;
use super::rendition::{Counts, FollowedRendition};
use super::streams::{Child, Master};
use super::{ByKey, Live};
use crate::model::clock::Moment;
use crate::model::event::EventKind;
use crate::model::id::Key;
use crate::model::liveness::Standing;

/// A stream: a multivariant playlist and its children, a lone media playlist, or an MPD.
#[derive(Clone, Debug, Serialize)]
pub struct StreamReport {
    /// The namespace.
    pub namespace: String,
    /// The key of its multivariant playlist, MPD or lone media playlist.
    pub stream: String,
    /// hls or dash.
    pub format: &'static str,
    /// How it stands: as its worst rendition does, the ended ones apart; stale where no variant has ever come.
    pub state: Standing,
    /// Troubles that last, beside those of its renditions.
    pub troubles: Vec<&'static str>,
    /// The playlists that it names and that are not here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// What is wrong with the multivariant playlist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The renditions.
    pub renditions: Vec<RenditionReport>,
}

/// One media playlist.
#[derive(Clone, Debug, Serialize)]
pub struct RenditionReport {
    /// Its key.
    pub playlist: String,
    /// What it is to its stream: variant, audio, video, subtitles, i-frames, other.
    pub kind: &'static str,
    /// How it stands.
    pub state: Standing,
    /// Troubles that last: see `event` in the log.
    pub troubles: Vec<&'static str>,
    /// Seconds between segments, as announced.
    pub target_duration_s: f64,
    /// The media sequence number of the oldest segment listed.
    pub media_sequence: Option<u64>,
    /// That of the newest one.
    pub last_sequence: Option<u64>,
    /// The newest segment.
    pub last_segment: Option<String>,
    /// What that one's bytes say of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_segment_facts: Option<FactsReport>,
    /// The initialization segment that it is read with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialization: Option<String>,
    /// Seconds since the last segment of those listed came.
    pub last_arrival_age_s: Option<f64>,
    /// When a new segment was listed last.
    pub last_updated: String,
    /// Seconds since then.
    pub age_s: f64,
    /// Upload time over duration of the last segments.
    pub upload_ratio: Option<f64>,
    /// Bits a second, measured over the last segments.
    pub bitrate: Option<u64>,
    /// Bits a second, announced by the multivariant playlist.
    pub announced_bandwidth: Option<u64>,
    /// Width and height, announced.
    pub resolution: Option<(u32, u32)>,
    /// How far this server's clock is past the end of the newest segment by EXT-X-PROGRAM-DATE-TIME, in seconds.
    pub behind_clock_s: Option<f64>,
    /// What happened so far.
    #[serde(flatten)]
    pub counts: Counts,
    /// What is wrong with the playlist itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl Live {
    /// Every stream of the namespace as of now, in the order of their names. The lock is taken for a few at a time.
    pub(in crate::origin) fn report(&self, now: Moment) -> Vec<StreamReport> {
        let mut owned: HashSet<Key> = HashSet::new();
        let mut reports = Vec::new();
        let stream = |key: &Key, format, renditions: Vec<RenditionReport>| StreamReport {
            namespace: self.namespace.to_string(),
            stream: key.to_string(),
            format,
            state: worst(&renditions),
            troubles: Vec::new(),
            missing: Vec::new(),
            fault: None,
            renditions,
        };
        let (masters, lone, manifests) = {
            let state = self.state.lock();
            let masters: Vec<Key> = state.streams.iter().map(|(key, _)| key.clone()).collect();
            (masters, keys(&state.renditions), keys(&state.manifests))
        };
        for some in masters.chunks(AT_ONCE) {
            let state = self.state.lock();
            for key in some {
                let children = state.streams.children(key);
                let mut renditions = Vec::new();
                for (child, rendition) in children.iter().filter_map(|child| Some((child, state.renditions.get(&child.key)?))) {
                    owned.insert(child.key.clone());
                    renditions.push(rendition.report(&child.key, Some(child), now));
                }
                let mut report = stream(key, "hls", renditions);
                if let Some(master) = state.streams.get(key) {
                    report.judge(master);
                }
                reports.push(report);
            }
        }
        let lone: Vec<Key> = lone.into_iter().filter(|key| !owned.contains(key)).collect();
        for some in lone.chunks(AT_ONCE) {
            let state = self.state.lock();
            let there = some.iter().filter_map(|key| Some((key, state.renditions.get(key)?)));
            reports.extend(there.map(|(key, rendition)| stream(key, "hls", vec![rendition.report(key, None, now)])));
        }
        for some in manifests.chunks(AT_ONCE) {
            let state = self.state.lock();
            let there = some.iter().filter_map(|key| Some((key, state.manifests.get(key)?)));
            reports.extend(there.map(|(key, dash)| stream(key, "dash", vec![dash.report(key, now)])));
        }
        reports.sort_by(|one, other| one.stream.cmp(&other.stream));
        reports
    }
}

/// Of a playlist that reads, and in which is nothing a player could play.
const NOTHING_LISTED: &str = "it lists no segment and has no end: players have nothing to play, and wait or give up";

/// How many streams are looked at between two times at which others may have the lock.
const AT_ONCE: usize = 16;

fn keys<V>(of: &ByKey<V>) -> Vec<Key> {
    of.keys().cloned().collect()
}

impl StreamReport {
    /// What is to be said of the multivariant playlist itself.
    fn judge(&mut self, master: &Master) {
        self.missing = master.absent.iter().map(ToString::to_string).collect();
        if !self.missing.is_empty() {
            self.troubles.push(EventKind::RenditionMissing.as_str());
            let names_variants = master.children.iter().any(|child| child.kind == "variant");
            if names_variants && !self.renditions.iter().any(|rendition| rendition.kind == "variant") {
                self.state = Standing::Stale;
            }
        }
        self.fault.clone_from(&master.fault);
        self.troubles.extend(self.fault.is_some().then_some(EventKind::BrokenPlaylist.as_str()));
    }
}

fn worst(renditions: &[RenditionReport]) -> Standing {
    let alive = renditions.iter().map(|rendition| rendition.state).filter(|state| *state != Standing::Ended);
    alive.max().unwrap_or(Standing::Ended)
}

impl FollowedRendition {
    fn report(&self, key: &Key, child: Option<&Child>, now: Moment) -> RenditionReport {
        RenditionReport {
            playlist: key.to_string(),
            kind: child.map_or("variant", |child| child.kind),
            state: self.standing,
            troubles: self
                .troubles
                .iter()
                .copied()
                .chain((self.is_unread || self.fault.is_some()).then_some(EventKind::BrokenPlaylist))
                .chain((self.lists_what_is_lost() && !self.troubles.contains(&EventKind::Gap)).then_some(EventKind::Gap))
                .map(EventKind::as_str)
                .collect(),
            target_duration_s: self.stated.unwrap_or(self.target).as_secs_f64(),
            media_sequence: Some(self.media_sequence),
            last_sequence: self.next.checked_sub(1).filter(|last| *last >= self.media_sequence),
            last_segment: self.recent.back().map(|listed| listed.key.to_string()),
            last_segment_facts: None,
            initialization: self.needs.first().filter(|_| self.maps > 0).map(ToString::to_string),
            last_arrival_age_s: self.last_arrival().map(|at| now.since(at).as_secs_f64()),
            last_updated: self.updated.to_string(),
            age_s: now.since(self.pulse.last()).as_secs_f64(),
            upload_ratio: self.upload_ratio(),
            bitrate: self.bitrate(),
            announced_bandwidth: child.and_then(|child| child.bandwidth),
            resolution: child.and_then(|child| child.resolution),
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of a day are few")]
            behind_clock_s: self.clock_offset.newest_ms().map(|offset| offset as f64 / 1000.0),
            counts: self.counts,
            fault: self.fault.clone().or_else(|| self.is_unread.then(|| NOTHING_LISTED.to_owned())),
        }
    }
}

impl Dash {
    fn report(&self, key: &Key, now: Moment) -> RenditionReport {
        RenditionReport {
            playlist: key.to_string(),
            kind: "manifest",
            state: self.standing,
            troubles: (self.troubles.iter().copied())
                .chain(self.fault.is_some().then_some(EventKind::BrokenPlaylist))
                .map(EventKind::as_str)
                .collect(),
            target_duration_s: self.period.as_secs_f64(),
            media_sequence: None,
            last_sequence: None,
            last_segment: self.last.as_ref().map(ToString::to_string),
            last_segment_facts: None,
            initialization: None,
            last_arrival_age_s: self.last.as_ref().map(|_| now.since(self.pulse.last()).as_secs_f64()),
            last_updated: self.updated.to_string(),
            age_s: now.since(self.pulse.last()).as_secs_f64(),
            upload_ratio: None,
            bitrate: None,
            announced_bandwidth: None,
            resolution: None,
            behind_clock_s: None,
            counts: Counts { names_reused: self.names_reused, gaps: self.gaps, ..Counts::default() },
            fault: self.fault.clone(),
        }
    }
}
