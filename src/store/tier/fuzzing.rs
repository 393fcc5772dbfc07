//! A way to the journal's lines, for `crate::fuzzing` alone.

use super::journal::{Line, Lines, parse};
use crate::model::clock::Clock;

/// What is written of what a line says, where it says anything.
pub(crate) fn line_again(line: &str) -> Option<String> {
    let clock = Clock::manual();
    let mut lines = Lines::default();
    match parse(line, &clock)? {
        Line::Written(key, slot) => lines.written(&key, &slot, &clock),
        Line::Removed(key) => lines.removed(&key),
    }
    Some(lines.text().to_owned())
}
