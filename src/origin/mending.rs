//! What is done to playlists that their encoders did not, counted and told.

use std::sync::Arc;
use std::time::Duration;

use super::namespace::Hosted;

use crate::hls::normalise::{LeftAlone, SourceVersion, VersionStanding};
use crate::model::event::EventKind;
use crate::model::id::Key;
use crate::model::mended::Mended;

/// What has come of a step, beside the playlist.
#[derive(Debug)]
pub(super) struct StepNews {
    /// Of this version.
    pub(super) version: Arc<SourceVersion>,
    pub(super) mended: Vec<Mended>,
    pub(super) standing: VersionStanding,
    pub(super) again: Option<Duration>,
}

impl Hosted {
    /// Tells that a version can't be composed. `stays`: there is a composed playlist, which viewers keep.
    pub(super) fn tell_left_alone(&self, playlist: &Key, left_alone: LeftAlone, stays: bool) {
        let what = if stays { "viewers keep what was composed before this version" } else { "it is stored as it came" };
        let detail = format!("its playlist is not normalised, because {}: {what}", left_alone.why());
        self.live.tell(self.hot.clock().both(), playlist, EventKind::NotNormalised, detail);
    }

    /// Tells of which playlists that are composed in place viewers get nothing, because nothing that they list has come. To be called now and then.
    pub(super) fn tell_overdue(&self) {
        let now = self.hot.clock().both();
        for (playlist, version) in self.work.public.overdue(now.moment) {
            let (count, first) = (version.length(), version.names(usize::MAX).next().unwrap_or_default());
            let detail = format!(
                "its playlist lists {count} segments from {first} on, and none of them has come with all that it needs: viewers get 404 until one \
                 has. See that the encoder stores segments and initialisation segments where its playlist says"
            );
            self.live.tell(now, &playlist, EventKind::Gap, detail);
        }
    }

    /// What has come of a step is told, and what it has put off is done then.
    pub(super) fn tell_composed(self: &Arc<Self>, source: &Key, public: &Key, news: &StepNews) {
        self.tell_mended(source, source != public, &news.mended);
        self.tell_raised(public, &news.mended);
        let look = self.work.public.stands(source, &news.version, news.standing);
        if let Some(after) = news.again {
            self.look_again(source, look, after);
        }
    }

    /// Tells that a public playlist states a longer target duration from now on.
    pub(super) fn tell_raised(&self, public: &Key, mended: &[Mended]) {
        if mended.contains(&Mended::Target) {
            let detail = "a segment is longer than the target duration that viewers were told: they are told the longer one from now on, and \
                          players buffer by it. Give the encoder segments of one length, by key frames at equal distances";
            self.live.tell(self.hot.clock().both(), public, EventKind::TargetRaised, detail.to_owned());
        }
    }

    /// Counts and tells what was done that the encoder did not. Of a source's playlist that is followed by itself, `is_beside`, what is found
    /// by that is not told twice.
    pub(super) fn tell_mended(&self, playlist: &Key, is_beside: bool, mended: &[Mended]) {
        mended.iter().for_each(|what| self.metrics.count_mended(*what));
        self.say_mended(playlist, is_beside, mended);
    }

    /// Tells it, where another node has done and counted it.
    pub(super) fn say_mended(&self, playlist: &Key, is_beside: bool, mended: &[Mended]) {
        let now = self.hot.clock().both();
        for what in mended {
            let (kind, detail) = match what {
                Mended::Restart => (
                    EventKind::CounterRestart,
                    "the encoder counts anew: its segments are listed under the numbers that come next, behind a discontinuity",
                ),
                Mended::Hole => (
                    EventKind::SequenceHole,
                    "the encoder has left numbers out, or more than three segments in a row did not come: a discontinuity stands there",
                ),
                Mended::Gap => {
                    (EventKind::Gap, "a segment that is listed has not come and a later one has: it is listed as EXT-X-GAP")
                }
                Mended::Back => (EventKind::SequenceBack, "an older version of the playlist was written: it was passed over"),
                Mended::TwoWriters => (
                    EventKind::TwoWriters,
                    "two encoders write this playlist, and the one that began first is passed over as long as the other goes on: end one \
                     of them, or give each a name of its own",
                ),
                Mended::Length => (
                    EventKind::BrokenPlaylist,
                    "the length of a segment (EXTINF) is no number of seconds, 0, or many times that of the others: it is listed with the \
                     length of its media, or as EXT-X-GAP where its bytes do not tell",
                ),
                Mended::Date => (
                    EventKind::BrokenPlaylist,
                    "a date of a segment (EXT-X-PROGRAM-DATE-TIME), or one in an EXT-X-DATERANGE, is none: it is left out of what viewers get",
                ),
                Mended::Long => (
                    EventKind::WindowLost,
                    "the encoder lists more than 20,000 segments, or 8 MiB: the oldest are left out of what viewers get",
                ),
                // The first is told of the public playlist; the other shows there as a discontinuity.
                Mended::Target | Mended::Map => continue,
            };
            if !is_beside || matches!(what, Mended::TwoWriters | Mended::Long) {
                self.live.tell(now, playlist, kind, detail.to_owned());
            }
        }
    }
}
