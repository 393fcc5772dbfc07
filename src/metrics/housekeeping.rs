//! The figures of what the server does for its own: its logs, what it writes down beside objects, and its duties in the background.

use super::{Count, Level, Registry};

/// Those of the whole process.
#[derive(Debug, Default)]
pub struct HousekeepingMetrics {
    /// Access log lines written.
    pub access_log_lines: Count,
    /// Access log lines lost: what they go to was slower than the requests, or failed.
    pub access_log_lines_dropped: Count,
    /// Lines of the server's own log that were lost for the same reasons.
    pub log_lines_dropped: Count,
    /// Spans that were made for the collector of traces.
    pub spans: Count,
    /// Those that it has taken.
    pub spans_sent: Count,
    /// Versions of playlists whose news was not written down for the next start.
    pub histories_dropped: Count,
    /// Duties in the background that have ended before the server.
    pub duties_ended: Level,
}

impl HousekeepingMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        let counters = [
            ("access_log_lines", "Access log lines written", &new.access_log_lines),
            (
                "access_log_lines_dropped",
                "Access log lines lost: what they go to was slower than the requests, or failed",
                &new.access_log_lines_dropped,
            ),
            (
                "log_lines_dropped",
                "Lines of the server's own log lost: what reads stderr was too slow, or writing there failed",
                &new.log_lines_dropped,
            ),
            ("spans", "Spans of requests that were made for the collector of traces", &new.spans),
            ("spans_sent", "Spans that the collector has taken; those that it never takes are lost", &new.spans_sent),
            (
                "histories_dropped",
                "Versions of playlists whose segments were not written down for the time after a restart: the disk was too slow, or failed",
                &new.histories_dropped,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "duties_ended",
            "Duties in the background that have ended, and that nobody does until the server is restarted",
            new.duties_ended.clone(),
        );
        new
    }
}
