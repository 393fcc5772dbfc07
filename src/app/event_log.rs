//! What has happened to streams, written down: what was at a quarter past eight is to be told the next morning, whatever was restarted in
//! between. A task of its own writes, so that a slow disk holds up nobody who looks after streams.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::access_log::Rotated;
use super::data_dir::DataDir;
use super::duties::Duties;
use crate::origin::Event;
use crate::web::admin::events::{EventRing, REMEMBERED};

/// The log's files: so large, and so many older ones.
const FILES: (u64, u64) = (4 << 20, 3);
/// Lines that wait to be written; what comes beyond is not written down.
const QUEUE: usize = 1024;

/// Who is told of events.
#[derive(Clone, Debug)]
pub(super) struct EventLog {
    events: Arc<EventRing>,
    queue: mpsc::Sender<String>,
}

impl EventLog {
    /// Takes up what was written down before, and goes on.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub(super) fn start(data: &DataDir, events: Arc<EventRing>, duties: &Duties) -> anyhow::Result<Self> {
        let folder = data.events();
        data.make_folder(&folder)?;
        let path = folder.join("events.jsonl");
        let (limit, keep) = FILES;
        let mut file = Rotated::open(&path, limit, keep).with_context(|| format!("can't write {}", path.display()))?;
        let before = file.last_lines(REMEMBERED);
        events.remember(before.iter().rev().filter_map(|line| serde_json::from_str(line).ok()));
        let (queue, mut lines) = mpsc::channel::<String>(QUEUE);
        let writing = tokio::task::spawn_blocking(move || {
            let mut has_failed = false;
            while let Some(line) = lines.blocking_recv() {
                match file.write(line.as_bytes()) {
                    Ok(()) => has_failed = false,
                    Err(error) if !has_failed => {
                        has_failed = true;
                        tracing::error!(%error, "can't write the log of events: they are told, and not kept over a restart");
                    }
                    Err(_) => {}
                }
            }
        });
        duties.begin("event-log", async move { writing.await.unwrap_or_default() });
        Ok(Self { events, queue })
    }

    /// Something has happened.
    pub(super) fn tell(&self, event: &Event) {
        self.events.tell(event);
        if let Ok(line) = serde_json::to_string(event) {
            // Of more than that at once the log of the process tells.
            let _ = self.queue.try_send(line + "\n");
        }
    }
}
