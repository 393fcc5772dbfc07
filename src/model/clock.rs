//! Time, injected: the system's in service, a hand-moved one in tests, so that a test passes a day in a microsecond.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point on the monotonic clock, in milliseconds since some while before the process began. Deadlines are kept in this, so that a
/// step of the wall clock neither expires nor prolongs anything. The default is before all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// How long it is from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(span)))
    }
}

/// A moment that moves on while others look at it.
#[derive(Debug)]
pub struct Pulse(AtomicU64);

impl Pulse {
    /// One that has beaten at this moment.
    #[must_use]
    pub fn new(at: Moment) -> Self {
        Self(AtomicU64::new(at.0))
    }

    /// Beats: moves it to this moment, unless it is there or later already.
    pub fn beat(&self, at: Moment) {
        self.0.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Moves it to this moment, wherever it is.
    pub fn set(&self, at: Moment) {
        self.0.store(at.0, Ordering::Relaxed);
    }

    /// When it beat last.
    #[must_use]
    pub fn last(&self) -> Moment {
        Moment(self.0.load(Ordering::Relaxed))
    }
}

/// A point on the wall clock, in milliseconds since the Unix epoch: for headers, key expiry and logs, never for object expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(u64);

impl WallTime {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the Unix epoch, as keys and certificates have them.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Reads a date and time as RFC 3339 and ISO 8601 write them, and as encoders do: `2026-01-02T03:04:05.678Z`, an offset as
    /// `+09:00`, `+0900` or `+09`, any number of decimals (kept to the millisecond), none of it (then it is UTC, as DASH has it,
    /// ISO/IEC 23009-1). `None` when it does not read, names no day of the calendar, or lies before 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_ascii();
        let (date, rest) = text.split_at(text.bytes().position(|byte| matches!(byte, b'T' | b't' | b' '))?);
        let rest = &rest[1..];
        let [year, month, day] = fields(date, b'-', [4, 2, 2])?;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days_of_month = match month {
            2 => 28 + u64::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let zone = rest.bytes().position(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'));
        let (time, zone) = rest.split_at(zone.unwrap_or(rest.len()));
        let (time, decimals) =
            time.bytes().position(|byte| matches!(byte, b'.' | b',')).map_or((time, "0"), |at| (&time[..at], &time[at + 1..]));
        let [hour, minute, second] = fields(time, b':', [2, 2, 2])?;
        // 60: a leap second, the first one of the next minute here.
        let sane = (1..=days_of_month).contains(&day) && hour <= 23 && minute <= 59 && second <= 60;
        if !sane || decimals.is_empty() || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let millis = (0..3).fold(0, |sum, at| sum * 10 + decimals.as_bytes().get(at).map_or(0, |digit| u64::from(digit - b'0')));
        // A date to days: the inverse of what `Display` does.
        let (year, from_march) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
        let day_of_year = (153 * from_march + 2) / 5 + day - 1;
        let days = (year * 365 + year / 4 - year / 100 + year / 400 + day_of_year).checked_sub(719_468)?;
        let local = (days * 86_400 + hour * 3600 + minute * 60 + second) * 1000 + millis;
        match offset(zone)? {
            (true, offset) => local.checked_sub(offset).map(Self),
            (false, offset) => Some(Self(local + offset)),
        }
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// How long it is from `earlier` to this point; zero when `earlier` is later: a wall clock may be set back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The same point as the standard library's type.
    #[must_use]
    pub fn to_system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

/// That much later, to the millisecond; the end of time where there is no such point.
impl Add<Duration> for WallTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(span)))
    }
}

/// That much earlier, to the millisecond; the epoch where there is no such point.
impl Sub<Duration> for WallTime {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(span)))
    }
}

/// An instant by both clocks. A change carries the one at which it was decided, so that the same comes of it wherever and whenever it is
/// applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For spans and deadlines.
    pub moment: Moment,
    /// For people and for other machines.
    pub wall: WallTime,
    /// It lies before this process began: what was so then is state, and no news.
    pub is_past: bool,
}

fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A time zone: whether it is east of Greenwich, and by how many milliseconds.
fn offset(zone: &str) -> Option<(bool, u64)> {
    let Some((sign, offset)) = zone.split_at_checked(1) else { return Some((true, 0)) };
    if matches!(sign, "Z" | "z") {
        return offset.is_empty().then_some((true, 0));
    }
    let [hours, minutes] = match offset.len() {
        2 => [fields(offset, b':', [2])?[0], 0],
        4 => [fields(offset.get(..2)?, b':', [2])?[0], fields(offset.get(2..)?, b':', [2])?[0]],
        _ => fields(offset, b':', [2, 2])?,
    };
    (hours <= 23 && minutes <= 59).then_some((sign == "+", (hours * 60 + minutes) * 60_000))
}

/// The numbers of a date or time, each of exactly this many digits.
fn fields<const N: usize>(text: &str, separator: u8, widths: [usize; N]) -> Option<[u64; N]> {
    let mut rest = text.as_bytes();
    let mut numbers = [0; N];
    for (index, (number, width)) in numbers.iter_mut().zip(widths).enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(&[separator])?;
        }
        let (digits, after) = rest.split_at_checked(width)?;
        for digit in digits {
            *number = *number * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
        rest = after;
    }
    rest.is_empty().then_some(numbers)
}

/// As RFC 3339 has it, in UTC, with milliseconds.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, millis) = (self.0 / 86_400_000, self.0 % 86_400_000);
        // Days since the Unix epoch to a date: the civil-from-days algorithm, in which a year begins in March, so that the leap
        // day is its last. 719,468 days lie between 0000-03-01 and 1970-01-01; 146,097 make 400 years.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", millis % 1000)
    }
}

/// The time source. Cloning is cheap and every clone tells the same time.
#[derive(Clone)]
pub struct Clock(TimeSource);

#[derive(Clone)]
enum TimeSource {
    System {
        started: StdInstant,
    },
    /// `set`: by how many milliseconds its wall has been set.
    Manual {
        elapsed: Arc<AtomicU64>,
        set: Arc<AtomicI64>,
    },
}

#[expect(clippy::disallowed_types, reason = "the clock is the one place that asks the system for the time")]
type StdInstant = std::time::Instant;

/// This many milliseconds before the process began a system clock's moments begin, so that what was written before a restart has its
/// own: 400 days, longer than anything is kept.
const BEFORE_START: u64 = 400 * 86_400_000;

/// Where a manual clock's wall begins: 2026-01-01T00:00:00Z.
const MANUAL_WALL_START: u64 = 1_767_225_600_000;

impl Clock {
    /// The system's monotonic and wall clocks.
    #[must_use]
    pub fn system() -> Self {
        Self(TimeSource::System { started: StdInstant::now() })
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual() -> Self {
        Self(TimeSource::Manual { elapsed: Arc::default(), set: Arc::default() })
    }

    /// Now, for deadlines.
    #[must_use]
    pub fn now(&self) -> Moment {
        match &self.0 {
            TimeSource::System { started } => moment_after(started.elapsed()),
            TimeSource::Manual { elapsed, .. } => Moment(elapsed.load(Ordering::SeqCst)),
        }
    }

    /// Now, for people and for other machines.
    #[must_use]
    pub fn wall(&self) -> WallTime {
        match &self.0 {
            TimeSource::System { .. } => {
                #[expect(clippy::disallowed_methods, reason = "the clock is the one place that asks the system for the time")]
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                WallTime(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
            }
            TimeSource::Manual { elapsed, set } => {
                let shown = MANUAL_WALL_START + elapsed.load(Ordering::SeqCst);
                WallTime(shown.saturating_add_signed(set.load(Ordering::SeqCst)))
            }
        }
    }

    /// Now, by both.
    #[must_use]
    pub fn both(&self) -> Now {
        Now { moment: self.now(), wall: self.wall(), is_past: false }
    }

    /// The same instant by both, where the system's monotonic clock has been read already: to read a clock takes as long as much of a read.
    #[must_use]
    pub fn both_at(&self, instant: StdInstant) -> Now {
        let moment = match &self.0 {
            TimeSource::System { started } => moment_after(instant.saturating_duration_since(*started)),
            TimeSource::Manual { .. } => self.now(),
        };
        Now { moment, wall: self.wall(), is_past: false }
    }

    /// The instant at which something was written that has been kept since before this process began.
    #[must_use]
    pub fn past(&self, written: WallTime) -> Now {
        Now { moment: self.moment_of(written), wall: written, is_past: true }
    }

    /// Which wall time a moment is or will be, if the wall clock is not set meanwhile: for deadlines that outlive the process.
    #[must_use]
    pub fn wall_of(&self, moment: Moment) -> WallTime {
        let (now, wall) = (self.now(), self.wall());
        wall + moment.since(now) - now.since(moment)
    }

    /// The moment of a wall time. One before all moments is the first: what was due then is due.
    #[must_use]
    pub fn moment_of(&self, wall: WallTime) -> Moment {
        let (now, now_wall) = (self.now(), self.wall());
        Moment(now.0.saturating_add(wall.0.saturating_sub(now_wall.0)).saturating_sub(now_wall.0.saturating_sub(wall.0)))
    }

    /// The moment of a deadline that was set at `written`. Of a time that lies in the future, by a clock that was set back since, never more
    /// is left than was given.
    #[must_use]
    pub fn deadline_of(&self, written: WallTime, deadline: WallTime) -> Moment {
        self.moment_of(deadline).min(self.now() + deadline.since(written))
    }

    /// The wall time of a deadline that was set at `written`, to be read again as the same by [`Clock::deadline_of`]: where the writing
    /// lies in the future, what is left counts from there.
    #[must_use]
    pub fn wall_of_deadline(&self, written: WallTime, deadline: Moment) -> WallTime {
        self.wall_of(deadline) + written.since(self.wall())
    }

    /// Moves a manual clock forward. The system's clock can't be moved, so there this does nothing.
    pub fn advance(&self, span: Duration) {
        if let TimeSource::Manual { elapsed, .. } = &self.0 {
            elapsed.fetch_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock's wall by so many milliseconds, as somebody or NTP may: its moments go on as before.
    #[cfg(test)]
    pub(crate) fn set_wall(&self, millis: i64) {
        if let TimeSource::Manual { set, .. } = &self.0 {
            set.fetch_add(millis, Ordering::SeqCst);
        }
    }
}

/// The moment that is so long after a system clock was started.
fn moment_after(span: Duration) -> Moment {
    Moment(BEFORE_START.saturating_add(whole_millis(span)))
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.0 {
            TimeSource::System { .. } => "system",
            TimeSource::Manual { .. } => "manual",
        };
        write!(f, "Clock({source})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn dates_read_as_encoders_write_them() {
        for (text, shown) in [
            ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678Z"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000Z"),
            ("2026-01-02T03:04:05", "2026-01-02T03:04:05.000Z"),
            (" 2026-01-02t03:04:05.6z ", "2026-01-02T03:04:05.600Z"),
            ("2026-01-02 03:04:05.6789123+09:00", "2026-01-01T18:04:05.678Z"),
            ("2026-01-02T03:04:05.678+0000", "2026-01-02T03:04:05.678Z"),
            ("2026-01-02T03:04:05.678-0330", "2026-01-02T06:34:05.678Z"),
            ("2026-01-02T03:04:05+02", "2026-01-02T01:04:05.000Z"),
            ("2024-02-29T23:59:60Z", "2024-03-01T00:00:00.000Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
            ("2000-03-01T00:00:00Z", "2000-03-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(WallTime::parse(text).map(|time| time.to_string()).as_deref(), Some(shown), "{text}");
        }
        for bad in [
            "",
            "T",
            "2026-01-02",
            "2026-1-2T03:04:05Z",
            "2025-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:04Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05.\u{e4}Z",
            "2026-01-02T03:04:05Zx",
            "2026-01-02T03:04:05+",
            "2026-01-02T03:04:05+24:00",
            "2026-01-02T03:04:05+\u{e4}\u{e4}",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "0000-01-01T00:00:00Z",
            "+026-01-02T03:04:05Z",
        ] {
            assert_eq!(WallTime::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_date_that_is_shown_reads_back(millis in 0u64..253_402_300_800_000) {
            let time = WallTime::from_millis(millis);
            assert_eq!(WallTime::parse(&time.to_string()), Some(time));
        }

        #[test]
        fn no_date_panics(text in any::<String>(), like in "[0-9T:.Z+-]{0,40}") {
            let _ = (WallTime::parse(&text), WallTime::parse(&like));
        }
    }

    #[test]
    fn an_instant_is_the_same_moment_as_now() {
        let (system, manual) = (Clock::system(), Clock::manual());
        manual.advance(Duration::from_secs(7));
        assert_eq!(manual.both_at(StdInstant::now()), manual.both());
        let before = system.both();
        let (at, after) = (system.both_at(StdInstant::now()), system.both());
        assert!(before.moment <= at.moment && at.moment <= after.moment && before.wall <= at.wall && !at.is_past);
    }

    #[test]
    fn a_span_is_added_and_taken_away_to_the_ends_of_time() {
        let (noon, span) = (WallTime::from_seconds(43_200), Duration::from_micros(1_500_900));
        assert_eq!((noon + span, noon - span), (WallTime::from_millis(43_201_500), WallTime::from_millis(43_198_500)));
        assert_eq!(noon - Duration::from_secs(86_400), WallTime::from_millis(0));
        assert_eq!(noon + Duration::MAX, WallTime::from_millis(u64::MAX));
        assert_eq!(WallTime::from_seconds(u64::MAX), WallTime::from_millis(u64::MAX));
    }

    #[test]
    fn a_deadline_is_never_further_away_than_it_was_set() {
        let (before, set_back) = (Clock::manual(), Clock::manual());
        before.advance(Duration::from_secs(3600));
        let (written, minute) = (before.wall(), Duration::from_secs(60));
        let deadline = before.wall_of(before.now() + minute);
        assert_eq!(set_back.deadline_of(written, deadline).since(set_back.now()), minute);
        // Written down again by the clock that was set back, as often as it likes, it is no nearer either.
        let mut again = deadline;
        for _ in 0..3 {
            again = set_back.wall_of_deadline(written, set_back.deadline_of(written, again));
        }
        assert_eq!(again, deadline);
        before.advance(Duration::from_secs(40));
        assert_eq!(before.deadline_of(written, deadline).since(before.now()).as_secs(), 20);
        assert_eq!(before.wall_of_deadline(written, before.deadline_of(written, deadline)), deadline);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (951_868_800, "2000-03-01T00:00:00.007Z"),
            (1_767_225_599, "2025-12-31T23:59:59.007Z"),
            (1_767_225_600, "2026-01-01T00:00:00.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ] {
            assert_eq!(WallTime::from_millis(seconds * 1000 + 7).to_string(), expected);
        }
    }
}
