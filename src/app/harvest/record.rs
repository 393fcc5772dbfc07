//! What is remembered of a harvest beside what it has copied (`harvest.json`), and who may go on there.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::planned::RecordingPlan;
use super::room::ListRoom;
use super::sink::Sink;
use super::window::HarvestWindow;
use super::{MASTER, PLAYLIST, RECORD, aside};
use crate::hls::shift::Window;

/// What was asked for and what it meant then: a second run copies the rest of the same.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HarvestRecord {
    playlist: String,
    asked: Vec<Option<String>>,
    pub(super) window: String,
    /// What it writes here, as far as that is known: nothing else is deleted when another one takes its place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) files: BTreeSet<String>,
    /// What is copied, once that is known. Versions before did not write it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) plan: Option<RecordingPlan>,
}

impl HarvestRecord {
    pub(super) fn new(playlist: String, asked: &HarvestWindow, window: Window) -> Self {
        Self { playlist, asked: asked.words(), window: window.to_string(), files: BTreeSet::new(), plan: None }
    }

    /// What it is of, as whoever ordered it would say it.
    fn words(&self) -> String {
        let asked = ["from", "to", "last"].iter().zip(&self.asked);
        let words: String = asked.filter_map(|(word, text)| Some(format!(", {word} {}", text.as_deref()?))).collect();
        format!("{}{words}", self.playlist)
    }

    /// Whether it has written this file, or was about to when it was broken off.
    fn wrote(&self, name: &str) -> bool {
        let draft = name.strip_suffix("part");
        name == RECORD
            || self.files.contains(name)
            || draft.is_some_and(|stem| self.files.range(stem.to_owned()..).next().is_some_and(|file| file.starts_with(stem)))
    }
}

/// A harvest that has been taken up, or begun.
pub(super) struct Resumed {
    pub(super) record: HarvestRecord,
    /// What an earlier one has copied to its place, to be deleted as soon as there is something to copy instead.
    pub(super) replaced: Vec<String>,
}

/// Takes up the harvest that was begun there, or begins one. `replaces`: it begins anew in any case, in place of what an earlier harvest
/// has copied there, and of nothing else. `may`: whether one of this playlist may be told of, gone on with and replaced.
pub(super) async fn resume(
    sink: &Sink,
    record: HarvestRecord,
    replaces: bool,
    may: impl Fn(&str) -> bool,
    room: &mut ListRoom<'_>,
) -> anyhow::Result<Resumed> {
    let mut lengths = sink.lengths().await?;
    // In memory a record takes some twice of what is written.
    let takes = lengths.get(RECORD).map_or(0, |length| usize::try_from(length.saturating_mul(2)).unwrap_or(usize::MAX));
    if !room.has_for(takes) {
        drop(lengths);
        room.wait().await;
        lengths = sink.lengths().await?;
    }
    // One that has copied nothing, because there was nothing or for want of a right, has not taken its place.
    let is_taken = lengths.keys().any(|name| name != RECORD);
    let place = sink.name("");
    if let Some(text) = sink.read(RECORD).await?.filter(|_| is_taken) {
        // That of a long recording is long, and is read beside the runtime.
        let known = aside(move || Ok(serde_json::from_slice::<HarvestRecord>(&text))).await?;
        let known = known.with_context(|| format!("{} is damaged", sink.name(RECORD)))?;
        if !may(&known.playlist) {
            bail!("{place} holds another harvest, of what the key of this order does not reach: name another place");
        }
        if !replaces {
            if known.playlist != record.playlist || known.asked != record.asked {
                let is_whole = lengths.contains_key(MASTER) || lengths.contains_key(PLAYLIST);
                let state = if is_whole { "" } else { ", which is not whole" };
                bail!(
                    "{place} holds another harvest: of {}{state}; order the same again to go on with that, replace it (--replace, or \
                     \"replace\": true in an order), which deletes what it has copied, or name another place",
                    known.words()
                );
            }
            return Ok(Resumed { record: known, replaced: Vec::new() });
        }
        if let Some(foreign) = lengths.keys().filter(|name| !known.wrote(name)).min() {
            bail!("{place} holds what no harvest has written there, {foreign} for one: nothing is deleted; name another place");
        }
        // What names others goes first: what is left is not to be taken for a recording.
        let mut replaced: Vec<_> = lengths.into_keys().filter(|name| name != RECORD).collect();
        replaced.sort_by_key(|name| (!name.ends_with(MASTER), !name.ends_with(PLAYLIST)));
        return Ok(Resumed { record, replaced });
    } else if is_taken {
        bail!("{place} is not empty and holds no harvest: name another place");
    }
    sink.write(RECORD, Bytes::from(serde_json::to_vec(&record)?)).await?;
    Ok(Resumed { record, replaced: Vec::new() })
}
