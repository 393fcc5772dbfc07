//! What recordings there were, written down: a restart forgets none of those that are remembered at all.

use std::collections::HashSet;

use anyhow::Context as _;
use parking_lot::Mutex;

use crate::app::access_log::Rotated;
use crate::app::data_dir::DataDir;
use crate::web::admin::harvest::Progress;

/// The files: so large, and so many older ones.
const FILES: (u64, u64) = (1 << 20, 1);
/// This many lines are looked at, of some for each recording.
const LINES: usize = 1000;

/// Recordings before this process, and a place for those of now.
#[derive(Debug)]
pub(in crate::app) struct RecordingLog {
    file: Mutex<Rotated>,
    before: Vec<Progress>,
}

impl RecordingLog {
    /// Takes up what was written down before, and goes on. Of those that were not over nothing more came: their process ended.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub(in crate::app) fn open(data: &DataDir) -> anyhow::Result<Self> {
        let folder = data.path().join("harvests");
        data.make_folder(&folder)?;
        let path = folder.join("harvests.jsonl");
        let (limit, keep) = FILES;
        let mut file = Rotated::open(&path, limit, keep).with_context(|| format!("can't write {}", path.display()))?;
        // The newest line of each is how it stood.
        let mut known = HashSet::new();
        let lines = file.last_lines(LINES);
        let mut before: Vec<Progress> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        before.retain(|progress: &Progress| known.insert(progress.id.clone()));
        for progress in before.iter_mut().filter(|progress| matches!(progress.state, "waiting" | "running")) {
            progress.state = "failed";
            progress.error = Some("the server ended before it was over: ordered again, it goes on where it was".to_owned());
        }
        before.sort_by(|one, other| other.ordered.cmp(&one.ordered));
        Ok(Self { file: Mutex::new(file), before })
    }

    /// Writes down how one stands now; it is on stable storage when this returns. Of two who do so at once the later line is the later state.
    pub(super) fn note(&self, progress: impl FnOnce() -> Progress) {
        let mut file = self.file.lock();
        let progress = progress();
        let Ok(line) = serde_json::to_string(&progress) else { return };
        if let Err(error) = file.write(format!("{line}\n").as_bytes()).and_then(|()| file.sync()) {
            tracing::warn!(%error, id = progress.id, "can't write down how a harvest stands: a restart forgets it");
        }
    }

    /// Those of processes before, newest first.
    pub(super) fn before(&self) -> &[Progress] {
        &self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(id: &str, state: &'static str) -> Progress {
        let text = format!(
            r#"{{"id": "{id}", "state": "{state}", "namespace": "n", "playlist": "p", "start": null, "end": null, "out": "o", "total": 1,
            "files": 1, "kept": 0, "bytes": 1, "missing": 0, "missing_files": [], "left_out": [], "gaps": 0, "gap_times": [], "error": null,
            "ordered": "{id}", "ended": null}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_last_word_on_each_is_remembered() {
        let place = tempfile::tempdir().unwrap();
        let data = DataDir::new(place.path());
        data.create().unwrap();
        let log = RecordingLog::open(&data).unwrap();
        assert!(log.before().is_empty());
        for (id, state) in [("1", "waiting"), ("2", "waiting"), ("1", "done"), ("3", "waiting")] {
            log.note(|| progress(id, state));
        }
        let log = RecordingLog::open(&data).unwrap();
        let states: Vec<_> = log.before().iter().map(|one| (one.id.as_str(), one.state)).collect();
        assert_eq!(states, [("3", "failed"), ("2", "failed"), ("1", "done")]);
        assert!(
            serde_json::from_str::<Progress>(&serde_json::to_string(&progress("1", "done")).unwrap().replace("done", "x"))
                .is_err()
        );
    }
}
