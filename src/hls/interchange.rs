//! Whether the names of two encoders' MPDs mean the same, so that a player may have a segment of either for one that it asks for.

use std::collections::BTreeSet;

use super::presentation::{Manifest, Representation};
use crate::model::clock::WallTime;

/// Why names do not mean the same in both of these, and what to do about it; `None`: as far as MPDs tell, they do.
///
/// A name counts from the beginning of the presentation, in segments or in ticks (ISO/IEC 23009-1 5.3.9.4.4, 5.3.9.5.3): so that has to be one
/// moment, and the templates have to be the same. A number in a timeline counts from where the encoder began.
#[must_use]
pub fn apart(one: &Manifest, other: &Manifest) -> Option<String> {
    if one.availability_start != other.availability_start {
        let said = |start: Option<WallTime>| start.map_or_else(|| "at no moment".to_owned(), |start| format!("at {start}"));
        return Some(format!(
            "one begins {}, and the other {} (availabilityStartTime): names count from there. Have both count from 1970 (epoch locking)",
            said(one.availability_start),
            said(other.availability_start)
        ));
    }
    let of = |manifest: &Manifest| -> BTreeSet<(usize, String)> {
        manifest.representations.iter().map(|one| (one.period, one.id.to_string())).collect()
    };
    if let Some((_, id)) = of(one).symmetric_difference(&of(other)).next() {
        return Some(format!("representation {id:?} is in one and not in the other: give both encoders the same settings"));
    }
    for own in &one.representations {
        let Some(twin) = other.representations.iter().find(|twin| (twin.period, &twin.id) == (own.period, &own.id)) else {
            continue;
        };
        if let Some(why) = differs(own, twin) {
            return Some(format!("representation {:?}: {why}", own.id));
        }
    }
    let named = |manifest: &Manifest| -> BTreeSet<String> { manifest.initializations.iter().cloned().collect() };
    (named(one) != named(other))
        .then(|| "their initialisation segments have other names: give both encoders the same names".to_owned())
}

fn differs(own: &Representation, twin: &Representation) -> Option<&'static str> {
    if own.media != twin.media {
        return Some("its segments have other names: give both encoders the same template");
    }
    let Some(template) = &own.media else {
        return Some("its segments are listed one by one, which tells nothing of their times: use a template");
    };
    if own.numbering.start() != twin.numbering.start() {
        return Some("its first number or its period's start is another one");
    }
    let (is_listed, is_listed_there) = (own.numbering.is_listed(), twin.numbering.is_listed());
    if is_listed != is_listed_there {
        return Some("one lists times (SegmentTimeline), and the other does not");
    }
    if template.contains("$Number") && is_listed {
        return Some("its numbers count a timeline from where the encoder began: use $Time$, or $Number$ with a duration");
    }
    if own.segment != twin.segment {
        // Of a timeline that goes on at its end one may have more by now.
        return (!is_listed).then_some("its segments have other lengths");
    }
    (own.numbering.ticks() != twin.numbering.ticks()).then_some("its ticks have another length (timescale)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::mpd;

    fn manifest(start: &str, template: &str, id: &str) -> Manifest {
        let text = format!(
            "<MPD type='dynamic' {start}><Period start='PT0S'><AdaptationSet>{template}<Representation id='{id}' bandwidth='1'/>\
             </AdaptationSet></Period></MPD>"
        );
        mpd::parse(text.as_bytes()).unwrap()
    }

    const EPOCH: &str = "availabilityStartTime='1970-01-01T00:00:00Z'";

    fn numbered(media: &str, duration: u32, first: u32) -> String {
        format!(
            "<SegmentTemplate media='{media}' initialization='i-$RepresentationID$.mp4' duration='{duration}' startNumber='{first}'/>"
        )
    }

    fn timed(media: &str) -> String {
        format!(
            "<SegmentTemplate media='{media}' initialization='i.mp4' timescale='10'><SegmentTimeline><S t='100' d='20' r='5'/>\
             </SegmentTimeline></SegmentTemplate>"
        )
    }

    #[test]
    fn names_mean_the_same_where_they_count_alike_from_one_moment() {
        let well = manifest(EPOCH, &numbered("$Number$.m4s", 2, 1), "v");
        assert_eq!(apart(&well, &well), None);
        let times = manifest(EPOCH, &timed("$Time$.m4s"), "v");
        assert_eq!(apart(&times, &times), None);
        for (other, why) in [
            (manifest("availabilityStartTime='2026-01-01T00:00:00Z'", &numbered("$Number$.m4s", 2, 1), "v"), "epoch locking"),
            (manifest("", &numbered("$Number$.m4s", 2, 1), "v"), "at no moment"),
            (manifest(EPOCH, &numbered("$Number$.m4s", 2, 1), "w"), "is in one and not in the other"),
            (manifest(EPOCH, &numbered("x-$Number$.m4s", 2, 1), "v"), "other names"),
            (manifest(EPOCH, &numbered("$Number$.m4s", 4, 1), "v"), "other lengths"),
            (manifest(EPOCH, &numbered("$Number$.m4s", 2, 7), "v"), "first number"),
            (manifest(EPOCH, &timed("$Number$.m4s"), "v"), "lists times"),
        ] {
            let told = apart(&well, &other).unwrap_or_default();
            assert!(told.contains(why), "{told:?}, not {why:?}");
        }
        let counted = manifest(EPOCH, &timed("$Number$.m4s"), "v");
        assert!(apart(&counted, &counted).is_some_and(|why| why.contains("from where the encoder began")));
        let ticks = manifest(EPOCH, &timed("$Time$.m4s").replace("'10'", "'100'").replace("d='20'", "d='200'"), "v");
        assert!(apart(&times, &ticks).is_some_and(|why| why.contains("timescale")));
        let other = manifest(EPOCH, &numbered("$Number$.m4s", 2, 1).replace("i-", "j-"), "v");
        assert!(apart(&well, &other).is_some_and(|why| why.contains("initialisation")));
    }
}
