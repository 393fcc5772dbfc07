//! Blocking playlist reload: what a request for the future of a playlist is worth (RFC 8216bis 6.2.5.2).

use std::time::Duration;

use super::rendition::FollowedRendition;

impl FollowedRendition {
    /// Whether the playlist has this segment, or this partial segment, already (RFC 8216bis 6.2.5.2).
    pub(super) fn has(&self, msn: u64, part: Option<u64>) -> bool {
        if msn > self.next {
            return false;
        }
        if msn == self.next {
            return part.is_some_and(|part| part < self.parts);
        }
        let Some(part) = part else { return true };
        // A part past the last one of a whole segment means the first one of the next segment.
        match self.whole_parts.iter().find(|(sequence, _)| *sequence == msn) {
            Some(&(_, count)) if count > 0 && part >= count => msn < self.next.saturating_sub(1) || self.parts > 0,
            _ => true,
        }
    }

    /// Whether a request is too far ahead to wait for (RFC 8216bis 6.2.5.2): more than two segments, or by more parts than make
    /// three seconds (three, for parts of a second and more).
    pub(super) fn is_too_far(&self, msn: u64, part: Option<u64>) -> bool {
        // `next - 1` is the last segment in the playlist.
        if msn > self.next.saturating_add(1) {
            return true;
        }
        let Some(part) = part else { return false };
        let ahead = match self.part_target {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
            Some(target) if target < Duration::from_secs(1) && !target.is_zero() => (3.0 / target.as_secs_f64()).ceil() as u64,
            _ => 3,
        };
        match msn.checked_sub(self.next) {
            Some(0) => part >= self.parts.saturating_add(ahead),
            Some(_) => part >= ahead,
            None => false,
        }
    }
}
