//! Another encoder's copy of the stream: whether one may stand for the other in a pair, and if not, why.

use std::collections::HashMap;
use std::sync::Arc;

use super::report::{Finding, Report, unanswered};
use super::walk::{self, EntryPlaylist, MediaPlaylist};
use crate::app::client::Server;
use crate::hls::normalise::{Relation, SideSegment, WhyApart, stands};
use crate::media;
use crate::model::clock::WallTime;
use crate::model::facts::SegmentFacts;

const STEP: &str = "twin";
/// So many of the newest segments of both are looked into.
const SEGMENTS: usize = 8;

/// Compares the media playlists of both, in their order.
pub(super) async fn compare(server: &Arc<Server>, name: &str, children: &[MediaPlaylist], report: &mut Report) {
    let candidates = server.in_namespace(name).into_iter().collect();
    let (url, answer) = match walk::first_there(server, candidates).await {
        EntryPlaylist::Found(url, answer) => (url, answer),
        EntryPlaylist::Refused(url, answer) => {
            return report.add(server.at, Finding { step: STEP, ..walk::absent(&answer, &url, false) });
        }
        EntryPlaylist::Silent(error) => {
            return report.add(server.at, unanswered(STEP, &error, "the server's log has the reason"));
        }
    };
    let explain = async |url: &_, answer: &_| walk::withheld(server, url, answer);
    let Some(twin) = walk::walk(server, url, answer, report, explain).await else { return };
    if twin.children.len() != children.len() {
        let text = format!("it has {} media playlists, and the stream has {}", twin.children.len(), children.len());
        report.add(server.at, Finding::warning(STEP, text, "give both encoders the same outputs"));
    }
    for (own, other) in children.iter().zip(&twin.children) {
        let known = [segments(server, own).await, segments(server, other).await];
        let texts = [own, other].map(|child| String::from_utf8_lossy(&child.answer.body).into_owned());
        let found = stands([&texts[0], &texts[1]], &|side, uri| known[side].get(uri).copied());
        report.add_about(server.at, &[&own.name, &other.name], judge(found));
    }
}

fn judge(found: Option<(Relation, Option<WhyApart>)>) -> Finding {
    let Some((relation, apart)) = found else {
        let advice = "pairs are composed of live media playlists of whole segments: see the page on normalised playlists for what is left as it came";
        return Finding::warning(STEP, "one of them can't be compared", advice);
    };
    match apart {
        None => {
            Finding::ok(STEP, "aligned: a segment of one stands for that of the other, and viewers see nothing when either goes")
        }
        Some(apart) => Finding::warning(
            STEP,
            format!("{}: {apart}", relation.as_str()),
            "as a pair they work: when one goes, viewers get a discontinuity",
        ),
    }
}

/// What is known of the newest segments of a playlist, by their URIs. When they came nobody can tell from here.
async fn segments(server: &Server, child: &MediaPlaylist) -> HashMap<String, SideSegment> {
    let media = &child.media;
    let facts = async |uri: &str| -> Option<SegmentFacts> {
        let answer = server.get(&server.locate(&child.url, uri)?).await.ok()?;
        (answer.status == 200).then(|| media::facts(&answer.body))
    };
    let map = media.segments.last().and_then(|segment| segment.map).map(|at| media.maps[at].uri.as_str());
    let initialization = match map {
        Some(uri) => facts(uri).await,
        None => None,
    };
    let mut known = HashMap::new();
    let newest = &media.segments[media.segments.len().saturating_sub(SEGMENTS)..];
    for segment in newest.iter().filter(|segment| segment.range.is_none()) {
        let Some(own) = facts(&segment.uri).await else { continue };
        let own = initialization.as_ref().map_or_else(|| own.clone(), |initialization| own.clone().with(initialization));
        known.insert(segment.uri.clone(), SideSegment::of(&own, WallTime::default()));
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::doctor::report::Severity;

    #[test]
    fn what_is_not_aligned_is_said_with_the_reason() {
        assert_eq!(judge(Some((Relation::Aligned, None))).verdict, Severity::Ok);
        let shifted = judge(Some((Relation::Shifted, Some(WhyApart::OtherCuts(600_000)))));
        assert_eq!(shifted.verdict, Severity::Warning);
        assert!(shifted.text.starts_with("shifted: they are cut at other places, the nearest 0.600 s apart"), "{}", shifted.text);
        assert_eq!(judge(None).verdict, Severity::Warning);
    }
}
