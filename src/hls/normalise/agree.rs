//! How two sides stand to each other: whether their newest segments are the same, by one of their clocks.

use std::time::Duration;

use super::relation::{IN_COMMON, JOINS, LATENESS, Relation, SAME_CLOCK, SideClock, TimedLine};

/// How two sides stand to each other, and by which clock.
pub(super) fn relation(one: &[TimedLine], other: &[TimedLine], reach: Duration) -> (Relation, SideClock) {
    let reach = i64::try_from(reach.as_micros()).unwrap_or(i64::MAX);
    for (clock, relation) in
        [(SideClock::Player, Relation::Aligned), (SideClock::Content, Relation::Offset), (SideClock::Date, Relation::Offset)]
    {
        if agree(one, other, clock, reach) {
            return (relation, clock);
        }
    }
    let apart = |clock| one.last().zip(other.last()).and_then(|(one, other)| one.since(other, clock));
    let is_near = |clock: &SideClock| apart(*clock).is_some_and(|apart: i64| apart.abs() <= reach);
    // Where the content has a clock of its own, that tells: what players see may begin at 0 with each encoder.
    let has_own = |(player, content): (i64, i64)| player != content;
    let is_contents = apart(SideClock::Player).zip(apart(SideClock::Content)).is_some_and(has_own);
    let players = if is_contents { SideClock::Content } else { SideClock::Player };
    match [players, SideClock::Date].iter().find(|clock| is_near(clock)) {
        Some(clock) => (Relation::Shifted, *clock),
        None => (Relation::Foreign, SideClock::Player),
    }
}

/// The lines of which something is known, from where the clock went back last: what an encoder has made before it began again says nothing of what
/// it makes now.
fn newest_run(lines: &[TimedLine], clock: SideClock) -> Vec<TimedLine> {
    let here: Vec<TimedLine> = lines.iter().copied().filter(|line| line.known.is_some()).collect();
    let goes_back = |two: &[TimedLine]| two[0].since(&two[1], clock).is_some_and(|since| since > SAME_CLOCK);
    let from = here.windows(2).rposition(goes_back).map_or(0, |at| at + 1);
    here[from..].to_vec()
}

/// Whether the newest segments of both are the same by this clock: enough of them, and none that contradicts.
fn agree(one: &[TimedLine], other: &[TimedLine], clock: SideClock, reach: i64) -> bool {
    in_common(one, other, clock, reach).is_some_and(|common| common >= IN_COMMON)
}

/// How many of the newest segments of both are the same by this clock. `None`: some contradict, or both are nowhere near each other.
pub(super) fn in_common(one: &[TimedLine], other: &[TimedLine], clock: SideClock, reach: i64) -> Option<usize> {
    let (one, other) = (newest_run(one, clock), newest_run(other, clock));
    let (first, last) = (other.first()?, other.last()?);
    one.last().and_then(|newest| newest.since(last, clock)).filter(|apart| apart.abs() <= reach)?;
    let mut common = 0;
    for (at, line) in one.iter().enumerate().rev() {
        if let Some(own) = other.iter().find(|own| line.is_same(own, clock)) {
            // Sides that count from 0 have the same times, too, at other times.
            common += usize::from(line.came_with(own, reach / LATENESS));
            continue;
        }
        let Some((since, after)) = line.since(first, clock).zip(line.after(last, clock)) else { return Some(common) };
        let is_ahead = after >= -SAME_CLOCK;
        let is_before = since + line.micros <= SAME_CLOCK;
        if is_before {
            break;
        }
        // The last one of either may be cut off, by an encoder that ended.
        let is_cut_off = |own: &TimedLine, place: usize| {
            own.begins_with(line, clock) && (is_last(&one, at, clock) || is_last(&other, place, clock))
        };
        // It lies where the other has something else, unless that lacks it.
        let overlaps = |(place, own): (usize, &TimedLine)| {
            own.since(line, clock).is_some_and(|since| since < line.micros - SAME_CLOCK && since > SAME_CLOCK - own.micros)
                && !is_cut_off(own, place)
        };
        if !is_ahead && common < IN_COMMON && other.iter().enumerate().any(overlaps) {
            return None;
        }
    }
    Some(common)
}

/// Whether a line is the newest, or the one behind it does not go on where it ends: there its encoder began again.
fn is_last(lines: &[TimedLine], at: usize, clock: SideClock) -> bool {
    lines.get(at + 1).is_none_or(|next| next.after(&lines[at], clock).is_none_or(|after| after.abs() > JOINS))
}
