//! Date ranges of a list that goes on: an ID stands for one moment, whatever encoder used it (RFC 8216bis 6.2.1).

use super::list::SegmentLine;
use crate::hls::playlist::attributes::attributes;
use crate::model::clock::WallTime;

/// So many date ranges are known apart, and a change of one is looked for in so many lines before the one that is appended.
pub(super) const RANGES: usize = 32;
const LINES_WITH_CHANGES: usize = 8;

/// Date ranges of a line that is to be appended under this number after these of its version; `public`: those of the list. One whose ID
/// stands for another moment in the list gets an ID of its own: none is used twice. One that the encoder has changed in a line that is
/// public already goes with this line (RFC 8216bis 4.4.5.1).
pub(super) fn tell_apart((public, number): (&[String], u64), before: &[SegmentLine], line: &mut SegmentLine) {
    let before = &before[before.len().saturating_sub(LINES_WITH_CHANGES)..];
    let public = || public.iter().map(String::as_str);
    let own_id = |text: &str| {
        let id = said(text, "ID")?;
        let is_other = |known: &str| said(known, "ID") == Some(id) && moment(known) != moment(text);
        let is_named_before =
            |known: &&str| moment(known) == moment(text) && said(known, "ID").is_some_and(|own| is_made_of(own, id));
        let new = public().find(is_named_before).and_then(|known| said(known, "ID")).map(str::to_owned);
        let new = new.or_else(|| public().any(is_other).then(|| format!("{id}~{number}")))?;
        Some(text.replacen(&format!("ID=\"{id}\""), &format!("ID=\"{new}\""), 1))
    };
    let renamed: Vec<_> = line.date_ranges().take(RANGES).filter_map(|text| Some((text.to_owned(), own_id(text)?))).collect();
    for (old, new) in renamed {
        line.words = line.words.replace(&old, &new);
    }
    let mut carried = String::new();
    for text in before.iter().flat_map(SegmentLine::date_ranges).take(RANGES) {
        let text = own_id(text).unwrap_or_else(|| text.to_owned());
        let is_known = public().chain(line.date_ranges().take(RANGES)).any(|known| known == text);
        if !is_known && !carried.lines().any(|known| known == text) {
            carried.push_str(&text);
            carried.push('\n');
        }
    }
    line.words.insert_str(0, &carried);
}

/// What a date range says under this name.
fn said<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, list) = line.split_once(':')?;
    attributes(list).find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Whether an ID is this one told apart.
fn is_made_of(own: &str, id: &str) -> bool {
    own.strip_prefix(id).is_some_and(|rest| rest.starts_with('~'))
}

/// When a date range begins.
fn moment(line: &str) -> Option<WallTime> {
    WallTime::parse(said(line, "START-DATE")?)
}
