//! Segments that an MPD names by a template: those that come keep it alive, and who plays at the live edge asks for the next one before
//! its first frame is encoded.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;

use super::names::ListedNames;
use crate::hls::mpd::{Manifest, Representation};
#[cfg(any(test, fuzzing))]
use crate::model::id::ObjectId;
use crate::model::id::{Key, MAX_KEY};

/// Different templates of one MPD, the last of them: its last period is where it is live.
const OF_ONE: usize = 128;
/// Templates of all MPDs of a namespace; those that come when there are this many are not known.
const TOGETHER: usize = 8192;
/// Templates that have all before the number in common.
const ALIKE: usize = 16;
/// The digits of a name, from its end, that are looked at: a number stands among the last ones.
const DIGITS: usize = 64;

/// The names of a representation's segments (ISO/IEC 23009-1 5.3.9.4.4), as keys around their number or time. Neither part is longer
/// than a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    before: Box<str>,
    after: Box<str>,
    /// The digits of a short number are filled up to this many. `None`: it is a time, and there is no telling the next one.
    width: Option<usize>,
}

impl Numbered {
    /// From a template relative to its manifest; `None` when it has neither a number nor a time, or leads to another namespace.
    fn new(names: &ListedNames<'_>, template: &str) -> Option<Self> {
        let numbered = template.split_once("$Number");
        let is_numbered = numbered.is_some();
        let (before, rest) = numbered.or_else(|| template.split_once("$Time"))?;
        let (format, after) = rest.split_once('$')?;
        let width = if format.is_empty() { 1 } else { format.strip_prefix("%0")?.strip_suffix('d')?.parse().ok()? };
        let first = names.key(&format!("{before}0"))?;
        let before = first.as_str().strip_suffix('0')?.into();
        let after = after.split('?').next().filter(|after| after.len() <= MAX_KEY)?.into();
        Some(Self { before, after, width: is_numbered.then(|| std::cmp::min(width, 20)) })
    }

    /// Those of an MPD, each once: most representations have theirs from the adaptation set.
    pub(super) fn of(names: &ListedNames<'_>, manifest: &Manifest) -> Vec<NumberedTemplate> {
        let mut templates: Vec<NumberedTemplate> = Vec::new();
        let mut last: (Option<&str>, Option<usize>) = (None, None);
        for one in manifest.representations.iter().rev() {
            let Some(template) = one.media.as_deref() else { continue };
            if last.0 != Some(template) {
                let numbered = Self::new(names, template);
                let known = numbered.as_ref().and_then(|new| templates.iter().position(|known| *known.numbered == *new));
                if known.is_none() && templates.len() == OF_ONE {
                    // Of what it says of older periods no more is known.
                    templates.iter_mut().for_each(|known| known.periods |= OLDER);
                    break;
                }
                let added = numbered.filter(|_| known.is_none()).map(|numbered| {
                    let (numbered, numbers) = (Arc::new(numbered), SaidNumbers::of(one));
                    templates.push(NumberedTemplate { numbered, segment: one.segment, periods: 0, numbers });
                    templates.len() - 1
                });
                last = (Some(template), known.or(added));
            }
            if let Some(known) = last.1.and_then(|at| templates.get_mut(at)) {
                known.periods |= period_bit(manifest, one.period);
                known.numbers.narrow(one);
            }
        }
        templates
    }

    /// Bytes of memory, about.
    pub(super) fn bytes(&self) -> usize {
        2 * super::NAME_BYTES + self.before.len() + self.after.len()
    }

    /// Whether it is the name of one of these.
    fn names(&self, key: &Key) -> bool {
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(rest) = key.as_str().strip_prefix(&*self.before) else { return false };
        match self.after.split_once('$') {
            None => rest.strip_suffix(&*self.after).is_some_and(is_digits),
            // The number once more, or that of a part of the segment: what stands around the last one is enough.
            Some((middle, more)) => {
                let last = more.rsplit('$').next().unwrap_or_default();
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                digits > 0 && rest[digits..].starts_with(middle) && rest.ends_with(last)
            }
        }
    }

    /// The number of this segment; `None` when it is none of these, or when there is more in its name than one number.
    pub(super) fn number(&self, key: &Key) -> Option<u64> {
        let digits = key.as_str().strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        let number: u64 = digits.parse().ok()?;
        (self.key(number)? == *key).then_some(number)
    }

    /// The segment with this number.
    pub(super) fn key(&self, number: u64) -> Option<Key> {
        let width = self.width?;
        Key::parse(&format!("{}{number:0width$}{}", self.before, self.after)).ok()
    }

    /// The segment before this one; `None` when it is none of these, or the first.
    fn previous(&self, key: &Key) -> Option<Key> {
        self.key(self.number(key)?.checked_sub(1)?)
    }
}

/// A template of an MPD.
#[derive(Clone, Debug)]
pub(super) struct NumberedTemplate {
    pub(super) numbered: Arc<Numbered>,
    /// How long a segment is.
    pub(super) segment: Option<Duration>,
    /// In which periods it stands, a bit each.
    pub(super) periods: u64,
    /// What is said of their numbers.
    pub(super) numbers: SaidNumbers,
}

/// The numbers that the segments of a template have, by what is said in the last period that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SaidNumbers {
    period: usize,
    /// When that begins, after the presentation does, if that is said.
    period_start: Option<Duration>,
    numbers: Range<u64>,
}

impl SaidNumbers {
    fn of(one: &Representation) -> Self {
        let numbering = &one.numbering;
        Self { period: one.period, period_start: numbering.period_start(), numbers: numbering.numbers() }
    }

    /// Of several representations with one template that holds which is said of all.
    fn narrow(&mut self, one: &Representation) {
        let numbers = one.numbering.numbers();
        if one.period == self.period {
            self.numbers = self.numbers.start.max(numbers.start)..self.numbers.end.min(numbers.end);
        }
    }

    /// Whether both are of one period: in another one the count begins anew.
    pub(super) fn goes_with(&self, other: &Self) -> bool {
        self.period_start == other.period_start
    }

    /// Whether there is a segment with this number.
    pub(super) fn has(&self, number: u64) -> bool {
        self.numbers.contains(&number)
    }
}

/// The periods that are so far from the last one that they are not told apart.
pub(super) const OLDER: u64 = 1 << 63;

/// The bit of a period: the last one has the first.
pub(super) fn period_bit(manifest: &Manifest, period: usize) -> u64 {
    let newest = manifest.representations.last().map_or(0, |last| last.period);
    1 << newest.saturating_sub(period).min(63)
}

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}${}${}", self.before, if self.width.is_some() { "Number" } else { "Time" }, self.after)
    }
}

/// A template, and the MPD that it is of.
type OfManifest = (Key, Arc<Numbered>);

/// The templates of a namespace's live MPDs, by what stands before the number: to find one for a name costs the same however many
/// there are.
#[derive(Debug, Default)]
pub(super) struct Templates {
    by_before: HashMap<Box<str>, Vec<OfManifest>, RandomState>,
    count: usize,
}

impl Templates {
    /// Takes up one of an MPD; says whether its segments are known by it now.
    pub(super) fn add(&mut self, manifest: &Key, numbered: &Arc<Numbered>) -> bool {
        let alike = self.by_before.get(&numbered.before).map_or(0, Vec::len);
        let has_room = self.count < TOGETHER && alike < ALIKE;
        if has_room {
            self.by_before.entry(numbered.before.clone()).or_default().push((manifest.clone(), Arc::clone(numbered)));
            self.count += 1;
        }
        has_room
    }

    /// Lets go of those of an MPD.
    pub(super) fn remove<'a>(&mut self, manifest: &Key, templates: impl IntoIterator<Item = &'a Arc<Numbered>>) {
        for numbered in templates {
            let Some(alike) = self.by_before.get_mut(&numbered.before) else { continue };
            let before = alike.len();
            alike.retain(|(of, known)| of != manifest || !Arc::ptr_eq(known, numbered));
            self.count -= before - alike.len();
            if alike.is_empty() {
                self.by_before.remove(&numbered.before);
            }
        }
    }

    /// The segment before this one, and the MPD that numbers them.
    pub(super) fn previous<'a>(&'a self, key: &'a Key) -> Option<(Key, &'a Key)> {
        self.alike(key).find_map(|(manifest, numbered)| Some((numbered.previous(key)?, manifest)))
    }

    /// The MPDs of which this is a segment, and by which template of theirs.
    pub(super) fn naming<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a OfManifest> {
        self.alike(key).filter(|(_, numbered)| numbered.names(key))
    }

    /// The same, all of them; and whether they mean one segment by it. They do not where the name before the number of one is that of another with
    /// some digits behind it.
    pub(super) fn all_naming<'a>(&'a self, key: &'a Key) -> (Vec<&'a OfManifest>, bool) {
        let naming: Vec<_> = self.naming(key).collect();
        let is_clear = naming.windows(2).all(|pair| pair[0].1 == pair[1].1);
        (naming, is_clear)
    }

    /// Those whose number or time may begin somewhere in this name.
    fn alike<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a OfManifest> {
        let name = if self.count == 0 { "" } else { key.as_str() };
        let digits = name.bytes().enumerate().rev().filter(|(_, byte)| byte.is_ascii_digit()).take(DIGITS);
        digits.filter_map(move |(at, _)| self.by_before.get(&name[..at])).flatten()
    }
}

/// By each of an MPD's templates the names of a segment and of the one before it, where they are keys; and which one is found to be
/// before it. For `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(in crate::origin) fn found_by(object: &ObjectId, manifest: &Manifest, number: u64) -> Vec<[Option<Key>; 3]> {
    let names = ListedNames::of(object, std::iter::empty(), |_| false);
    let numbered: Vec<_> = Numbered::of(&names, manifest).into_iter().map(|template| template.numbered).collect();
    let mut templates = Templates::default();
    for one in &numbered {
        templates.add(&object.key, one);
    }
    let found = |one: &Arc<Numbered>| {
        let width = one.width.unwrap_or(1);
        let key = |number| Key::parse(&format!("{}{number:0width$}{}", one.before, one.after)).ok();
        let asked = key(number);
        // Where it is a time that stands there, or more than one number, nothing is said of the one before.
        let before = number.checked_sub(1).filter(|_| one.width.is_some()).and_then(key);
        let found = asked.as_ref().and_then(|key| templates.previous(key)).map(|(key, _)| key);
        if let Some(asked) = &asked {
            assert!(templates.naming(asked).all(|(manifest, _)| *manifest == object.key));
        }
        [asked, before, found]
    };
    let all = numbered.iter().map(found).collect();
    templates.remove(&object.key, &numbered);
    assert_eq!((templates.count, templates.by_before.len()), (0, 0), "what is let go of leaves nothing");
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::mpd;
    use crate::model::id::Namespace;

    fn templates(texts: &[String]) -> Vec<Arc<Numbered>> {
        let object = ObjectId { namespace: Namespace::parse("live").unwrap(), key: Key::parse("a/p.mpd").unwrap() };
        let sets = texts.iter().map(|text| {
            format!("<AdaptationSet><SegmentTemplate media='{text}'/>{}</AdaptationSet>", "<Representation/>".repeat(20))
        });
        let text = format!("<MPD type='dynamic'><Period>{}</Period></MPD>", sets.collect::<String>());
        let names = ListedNames::of(&object, std::iter::empty(), |_| false);
        Numbered::of(&names, &mpd::parse(text.as_bytes()).unwrap()).into_iter().map(|template| template.numbered).collect()
    }

    #[test]
    fn a_template_is_kept_once_and_no_mpd_has_very_many() {
        assert_eq!(templates(&["$Number$.m4s".to_owned(), "$Number$.m4s".to_owned()]).len(), 1);
        let many: Vec<String> = (0..200).map(|number| format!("{number}-$Number$.m4s")).collect();
        let kept = templates(&many);
        assert_eq!(kept.len(), OF_ONE);
        assert_eq!(&*kept[0].before, "a/199-", "the last ones");
        assert!(templates(&[format!("$Number${}", "x".repeat(MAX_KEY + 1))]).is_empty());
    }

    #[test]
    fn what_is_taken_up_is_found_and_what_is_let_go_leaves_nothing() {
        let mut all = Templates::default();
        let manifests: Vec<Key> = (0..400).map(|number| Key::parse(&format!("a/{number}.mpd")).unwrap()).collect();
        let sets: Vec<_> =
            (0..400).map(|set| templates(&(0..40).map(|at| format!("{set}-{at}-$Number$.m4s")).collect::<Vec<_>>())).collect();
        for (manifest, set) in manifests.iter().zip(&sets) {
            for one in set {
                all.add(manifest, one);
            }
        }
        assert_eq!(all.count, TOGETHER);
        let segment = Key::parse("a/7-39-100.m4s").unwrap();
        let (previous, manifest) = all.previous(&segment).unwrap();
        assert_eq!((previous.as_str(), manifest), ("a/7-39-99.m4s", &manifests[7]));
        let alike: Vec<String> = (0..50).map(|end| format!("same$Number$.{end}")).collect();
        for (manifest, set) in manifests.iter().zip(&sets) {
            all.remove(manifest, set);
        }
        assert_eq!((all.count, all.by_before.len()), (0, 0));
        let alike = templates(&alike);
        let known: Vec<_> = alike.iter().map(|one| all.add(&manifests[0], one)).collect();
        assert_eq!(known.iter().filter(|known| **known).count(), ALIKE, "and it is said which are not known");
        assert_eq!(all.count, ALIKE);
        all.remove(&manifests[0], &alike);
        assert_eq!((all.count, all.by_before.len()), (0, 0));
    }
}
