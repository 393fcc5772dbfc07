//! From the first URL to every media playlist, as a player goes.

use super::access::does_not_reach;
use super::report::{Finding, Report, unanswered};
use crate::app::client::{Response, Server, Unanswered, Url, redacted, short_name};
use crate::hls::fault;
use crate::hls::playlist::{
    Media, Multivariant, Playlist, RenditionKind, Surroundings, Variables, is_reference, is_unknown, substituted,
};

/// Names that encoders are told to use, most usual first.
const USUAL: [&str; 4] = ["playlist.m3u8", "index.m3u8", "master.m3u8", "live.m3u8"];
/// More media playlists than a ladder with all its languages has.
const MAX_CHILDREN: usize = 40;

/// What was found at one place.
#[derive(Debug)]
pub(super) struct Stream {
    /// The playlist that a player is given.
    pub(super) entry: Url,
    pub(super) answer: Response,
    pub(super) multivariant: Option<Multivariant>,
    pub(super) children: Vec<MediaPlaylist>,
}

/// A media playlist.
#[derive(Debug)]
pub(super) struct MediaPlaylist {
    pub(super) name: String,
    pub(super) url: Url,
    pub(super) answer: Response,
    pub(super) media: Media,
    /// The peak rate that is announced for it; `None` for renditions and lone playlists.
    pub(super) bandwidth: Option<u64>,
    /// The URL of the audio that plays along, when it is not in the same segments.
    pub(super) audio: Option<Url>,
}

impl MediaPlaylist {
    pub(super) fn is_live(&self) -> bool {
        !self.media.ended
    }
}

/// How the playlist that players begin with was found.
#[derive(Debug)]
pub(super) enum EntryPlaylist {
    Found(Url, Response),
    /// It answered, but not with a playlist; the last one that was asked.
    Refused(Url, Response),
    Silent(Unanswered),
}

/// Looks for the entry: the one that is named, else the usual ones.
pub(super) async fn find(server: &Server, named: Option<&str>) -> EntryPlaylist {
    let candidates: Vec<Url> = match (named, &server.playlist) {
        (Some(name), _) => server.url(name).into_iter().collect(),
        (None, Some(url)) => vec![url.clone()],
        (None, None) => USUAL.iter().filter_map(|name| server.url(name)).collect(),
    };
    first_there(server, candidates).await
}

/// Asks for them one after the other, until one is there.
pub(super) async fn first_there(server: &Server, candidates: Vec<Url>) -> EntryPlaylist {
    let mut last = EntryPlaylist::Silent(Unanswered::Broken("no such URL".to_owned()));
    for url in candidates {
        last = match server.get(&url).await {
            Err(error) => EntryPlaylist::Silent(error),
            Ok(answer) if answer.status == 200 => return EntryPlaylist::Found(url, answer),
            // Said once for all of them.
            Ok(answer) if matches!(answer.status, 401 | 403) => return EntryPlaylist::Refused(url, answer),
            Ok(answer) => EntryPlaylist::Refused(url, answer),
        };
    }
    last
}

/// Reads the entry and fetches what it lists. `explain` says what a refusal means here.
pub(super) async fn walk(
    server: &Server,
    entry: Url,
    answer: Response,
    report: &mut Report,
    mut explain: impl AsyncFnMut(&Url, &Response) -> Finding,
) -> Option<Stream> {
    let title = vec![short_name(&entry)];
    let playlist = match read_within(&answer, Surroundings { imports: None, query: entry.query() }) {
        Ok(playlist) => playlist,
        Err(finding) => {
            report.add_about(server.at, &title, Finding { step: "multivariant", ..finding });
            return None;
        }
    };
    let multivariant = match playlist {
        Playlist::Media(media) => {
            report.add_about(server.at, &title, Finding::ok("multivariant", "none: this is a media playlist by itself"));
            let child = MediaPlaylist {
                name: short_name(&entry),
                url: entry.clone(),
                answer: answer.clone(),
                media,
                bandwidth: None,
                audio: None,
            };
            report.add_about(server.at, &[&child.name], describe(&child));
            return Some(Stream { entry, answer, multivariant: None, children: vec![child] });
        }
        Playlist::Multivariant(multivariant) => multivariant,
    };
    report.add_about(server.at, &title, contents(&multivariant));
    let outer = Surroundings { imports: None, query: entry.query() };
    let variables = Variables::of(&String::from_utf8_lossy(&answer.body), outer);
    let mut children: Vec<MediaPlaylist> = Vec::new();
    for wanted in listed(server, &entry, &multivariant) {
        let about = vec![short_name(&wanted.url)];
        let finding = match server.get(&wanted.url).await {
            Err(error) => unanswered("playlist", &error, "the server's log, or the CDN's, has the reason"),
            Ok(answer) if answer.status != 200 => explain(&wanted.url, &answer).await,
            Ok(answer) => match read_within(&answer, Surroundings { imports: Some(&variables), query: wanted.url.query() }) {
                Err(finding) => finding,
                Ok(Playlist::Multivariant(_)) => Finding::failure(
                    "playlist",
                    "a multivariant playlist where a media playlist is expected",
                    "two outputs of the encoder have the same name: change one",
                ),
                Ok(Playlist::Media(media)) => {
                    let child = MediaPlaylist {
                        name: short_name(&wanted.url),
                        url: wanted.url,
                        answer,
                        media,
                        bandwidth: wanted.bandwidth,
                        audio: wanted.audio,
                    };
                    let finding = describe(&child);
                    children.push(child);
                    finding
                }
            },
        };
        report.add_about(server.at, &about, finding);
    }
    Some(Stream { entry, answer, multivariant: Some(multivariant), children })
}

/// A playlist, or why it is none.
pub(super) fn read(answer: &Response) -> Result<Playlist, Finding> {
    read_within(answer, Surroundings::default())
}

/// The same, with its variables as far as they are known from where it was had.
fn read_within(answer: &Response, surroundings: Surroundings<'_>) -> Result<Playlist, Finding> {
    const STEP: &str = "playlist";
    if let Some(cut) = &answer.cut {
        let length = answer.header("content-length");
        let text = format!("truncated: {} of {length} bytes came ({cut})", answer.body.len());
        return Err(Finding::failure(STEP, text, "whoever answers closed the connection too early: see its log"));
    }
    let text = std::str::from_utf8(&answer.body).map(|text| substituted(text, surroundings));
    let known = text.as_deref().map_or(&*answer.body, str::as_bytes);
    crate::hls::playlist::parse(known).map_err(|fault| {
        Finding::failure(
            STEP,
            fault.to_string(),
            "is this URL a playlist's? An error page or a compressed file would look like this",
        )
    })
}

struct NamedPlaylist {
    url: Url,
    bandwidth: Option<u64>,
    audio: Option<Url>,
}

/// The media playlists that a multivariant playlist names, each once.
fn listed(server: &Server, entry: &Url, multivariant: &Multivariant) -> Vec<NamedPlaylist> {
    let resolve = |uri: &str| Some(uri).filter(|uri| !is_unknown(uri)).and_then(|uri| server.locate(entry, uri));
    let mut all: Vec<NamedPlaylist> = Vec::new();
    let mut add = |new: NamedPlaylist| match all.iter_mut().find(|listed| listed.url == new.url) {
        // The same video with several audio groups is listed several times: the largest announcement is the one to keep to.
        Some(known) => known.bandwidth = known.bandwidth.max(new.bandwidth),
        None => all.push(new),
    };
    for variant in multivariant.variants.iter().filter(|variant| !variant.i_frames_only) {
        let of_group = |group: &String| {
            let rendition = multivariant.renditions.iter().find(|rendition| {
                rendition.kind == RenditionKind::Audio && rendition.group == *group && rendition.uri.is_some()
            })?;
            resolve(rendition.uri.as_deref()?)
        };
        if let Some(url) = resolve(&variant.uri) {
            let audio = variant.audio.as_ref().and_then(of_group).filter(|audio| *audio != url);
            add(NamedPlaylist { url, bandwidth: variant.bandwidth, audio });
        }
    }
    for rendition in &multivariant.renditions {
        if let Some(url) = rendition.uri.as_deref().and_then(resolve) {
            add(NamedPlaylist { url, bandwidth: None, audio: None });
        }
    }
    all.truncate(MAX_CHILDREN);
    all
}

fn contents(multivariant: &Multivariant) -> Finding {
    const STEP: &str = "multivariant";
    let trick = multivariant.variants.iter().filter(|variant| variant.i_frames_only).count();
    let variants = multivariant.variants.len() - trick;
    let renditions = multivariant.renditions.iter().filter(|rendition| rendition.uri.is_some()).count();
    let mut text = format!("lists {variants} variants, {renditions} renditions");
    if trick > 0 {
        text += &format!(", {trick} for trick play");
    }
    if variants == 0 {
        return Finding::failure(STEP, text, "a player finds nothing to play: does the encoder have a video output?");
    }
    let secret = multivariant.variants.iter().any(|variant| {
        let query = variant.uri.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| matches!(*name, "token" | "_gda_")).any(|(_, value)| !is_reference(value))
    });
    if secret {
        let advice = "every viewer can read it: take the token out of the encoder's destination URL, revoke the key and give \
            the encoder another";
        return Finding::failure(STEP, format!("{text}; a credential stands in its URIs"), advice);
    }
    if let Some(fault) = fault::words(&multivariant.faults) {
        return Finding::warning(STEP, format!("{text}; {fault}"), "players differ in what they forgive: set the encoder right");
    }
    Finding::ok(STEP, text)
}

fn describe(child: &MediaPlaylist) -> Finding {
    const STEP: &str = "playlist";
    let media = &child.media;
    let target = media.target_duration.unwrap_or_default().as_secs_f64();
    let state = if media.ended { "ended" } else { "live" };
    let count = media.segments.len();
    let (first, last) = (media.media_sequence, media.last_sequence().unwrap_or(media.media_sequence));
    let text = format!("{state}, target duration {target} s, {count} segments, {first} to {last}");
    if count == 0 && media.parts.is_empty() {
        return Finding::failure(
            STEP,
            format!("{state}, no segments"),
            "the encoder has begun and sent nothing yet, or can't: see its log",
        );
    }
    let longest = media.segments.iter().map(|segment| segment.duration.as_secs_f64().round()).fold(0.0, f64::max);
    if media.target_duration.is_some() && longest > target.ceil() {
        let text = format!("{text}; but a segment of {longest} s is longer than the target duration");
        return Finding::warning(
            STEP,
            text,
            "RFC 8216 4.3.3.1: players reload too often or stall; set the keyframe interval to divide the segment length",
        );
    }
    match fault::words(&media.faults) {
        Some(fault) => {
            Finding::warning(STEP, format!("{text}; {fault}"), "players differ in what they forgive: set the encoder right")
        }
        None => Finding::ok(STEP, text),
    }
}

/// What it means that there is no playlist at the origin.
pub(super) fn absent(answer: &Response, url: &Url, guessed: bool) -> Finding {
    const STEP: &str = "multivariant";
    let text = match guessed {
        true => format!("none of {} is there ({})", USUAL.join(", "), answer.status),
        false => format!("{} answers {}", redacted(url), answer.status),
    };
    let advice = match (answer.status, guessed) {
        (404, true) => {
            "does the encoder push, and to this namespace? Name its playlist with --playlist \
                NAME; refused \
             uploads are at /v1/ingest/rejected on the admin listener"
        }
        (404, false) => "it was never pushed, has expired, or is stale and withheld: does the encoder push, and under this name?",
        (429 | 503, _) => "a rate limit, or the server is starting or draining: try again",
        _ => "the server's log has the reason",
    };
    Finding::failure(STEP, text, advice)
}

/// What it means that a listed media playlist is not there at the origin.
pub(super) fn withheld(server: &Server, url: &Url, answer: &Response) -> Finding {
    let text = format!("listed, but {} answers {}", redacted(url), answer.status);
    let advice = match answer.status {
        404 => {
            "the encoder no longer writes it, or it is stale and withheld (on_stale); an old multivariant playlist may name \
                renditions that are gone"
        }
        401 | 403 => does_not_reach(server, url),
        _ => "the server's log has the reason",
    };
    Finding::failure("playlist", text, advice)
}
