//! SIGHUP: the settings and the signing keys are read again, and what can change without a restart does, field by field and reported so.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use super::data_dir::DataDir;
use super::resources::Resources;
use super::settings::{Loaded, MadeNamespaces, SettingChange, SettingPlaces, Settings};
use super::telemetry::Logs;
use super::{Failure, viewer_key};
use crate::auth::verify::Verifier;
use crate::origin::Origin;
use crate::web::{Limits, Web};

/// Reads the settings as at the start: the same file, flags and environment. What the admin API has made is read in this data directory; without
/// one, in the one that they name.
pub(super) type Load = Box<dyn Fn(Option<&Path>) -> Result<Loaded, Failure> + Send + Sync>;

/// Something that the server's loop does, where the settings are.
pub(super) type LoopErrand = Box<dyn FnOnce(&mut Reloader) + Send>;

/// The parts that settings reach, and the settings in force.
pub(super) struct Reloader {
    pub(super) load: Load,
    pub(super) settings: Settings,
    /// Where each was said.
    pub(super) places: SettingPlaces,
    /// Whether they are those of a settings file without a setting in it, as somebody may start with.
    pub(super) are_of_empty_file: bool,
    /// The namespaces that the admin API has made.
    pub(super) made: MadeNamespaces,
    /// Which of them are not here as all nodes have them, and why, as it was last told.
    pub(super) unlike: Vec<String>,
    /// What waits for the next start.
    pub(super) waiting: Vec<SettingChange>,
    pub(super) origin: Origin,
    pub(super) web: Web,
    pub(super) logs: Logs,
    /// Have the certificates looked at.
    pub(super) certificates: [Arc<Notify>; 2],
    pub(super) data: DataDir,
    pub(super) verifier: Arc<Verifier>,
}

/// What differs after the settings were read again.
pub(super) struct ReloadedSettings {
    /// What is in force now.
    pub(super) changed: Vec<SettingChange>,
    /// What waits for the next start.
    pub(super) waiting: Vec<SettingChange>,
}

/// What clients are held to under these settings.
pub(super) fn limits(settings: &Settings) -> Limits {
    Limits { timeouts: settings.timeouts, drain: settings.drain_timeout, connections: settings.connections }
}

/// Says what to do about a key file that a running server has read and that is not there any more.
fn gone(data: &DataDir, file: &str, why: &str) -> anyhow::Error {
    let place = data.path().join(file);
    anyhow::anyhow!("there is no {} any more: put it back from your backup, and reload; {why}", place.display())
}

fn unread_viewer_keys(error: &str) -> String {
    format!("the viewer keys are not reloaded, and those that were in force stay: {error}")
}

fn in_both(name: &str, one: &Settings, other: &Settings) -> bool {
    [one, other].iter().all(|settings| settings.namespaces.keys().any(|namespace| namespace.as_str() == name))
}

impl Reloader {
    /// Does an errand, which may block.
    pub(super) fn run_one(&mut self, errand: LoopErrand) {
        tokio::task::block_in_place(|| errand(self));
    }

    /// Does errands for ever, as long as the server's loop has not begun. Cancel-safe.
    pub(super) async fn run(&mut self, errands: &mut mpsc::Receiver<LoopErrand>) {
        while let Some(errand) = errands.recv().await {
            self.run_one(errand);
        }
        std::future::pending::<()>().await;
    }

    /// Reads the settings and the keys again: what differs now. Wrong settings change nothing at all, and neither do keys of no use, whose
    /// like stays in force.
    ///
    /// # Errors
    /// What is refused and what stays in its place, a sentence each. All of it is in the log as well.
    pub(super) fn reload(&mut self) -> Result<ReloadedSettings, Vec<String>> {
        // Files may stay the same and their content not; the watch finds out.
        self.certificates.iter().for_each(|watch| watch.notify_one());
        let signing_keys = self.reload_signing_keys();
        let viewer_keys = self.reload_viewer_keys(false).map_err(|error| {
            tracing::error!(error, "the viewer keys are not reloaded: those that were in force stay");
            unread_viewer_keys(&error)
        });
        let refused = [signing_keys, viewer_keys];
        let mut refused: Vec<_> = refused.into_iter().filter_map(Result::err).collect();
        let all = match self.reload_settings() {
            Ok(all) => all,
            Err(faults) => {
                refused.push(format!("the settings are not reloaded, and what was in force stays: {}", faults.join("; ")));
                return Err(refused);
            }
        };
        if refused.is_empty() {
            return Ok(all);
        }
        let keys: Vec<_> = all.changed.iter().chain(&all.waiting).map(|change| change.key.as_str()).collect();
        refused.push(match &*keys.join(", ") {
            "" => "the settings are reloaded, and nothing in them has changed".to_owned(),
            keys => format!("the settings are reloaded, with changes of {keys}"),
        });
        Err(refused)
    }

    /// Reads the settings again and puts them in force: what differs now. The keys are left as they are, but for the first viewer key, which is
    /// made where these settings are the first that need one.
    ///
    /// # Errors
    /// What is wrong with them, in the log as well: then nothing at all is changed.
    pub(super) fn reload_settings(&mut self) -> Result<ReloadedSettings, Vec<String>> {
        self.take_settings().inspect_err(|faults| {
            for fault in faults {
                tracing::error!(fault, "the settings are not reloaded: what was in force stays");
            }
        })
    }

    /// The same for who tells himself what is wrong: it is not in the log.
    ///
    /// # Errors
    /// What is wrong with them: then nothing at all is changed.
    pub(super) fn take_settings(&mut self) -> Result<ReloadedSettings, Vec<String>> {
        let Loaded { settings: mut new, places, made, empty_file, .. } = self.read_settings()?;
        for said in Resources::read(&self.settings.data_dir).fit(&mut new) {
            tracing::warn!("{said}");
        }
        // Before the settings are in force that turn viewers on.
        if viewer_key::is_needed(&new)
            && self.web.viewers().key_ids().is_empty()
            && let Err(error) = self.reload_viewer_keys(true)
        {
            return Err(vec![unread_viewer_keys(&error)]);
        }
        (self.places, self.made, self.are_of_empty_file) = (places, made, empty_file.is_some());
        Ok(self.put_in_force(&new))
    }

    /// Reads the settings as they are now. Nothing is changed by it.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn read_settings(&self) -> Result<Loaded, Vec<String>> {
        match (self.load)(Some(&self.settings.data_dir)) {
            // Editors empty a file before they write it, and on a full disk it stays so: nobody means that by it.
            Ok(Loaded { empty_file: Some(file), .. }) if !self.are_of_empty_file => Err(vec![format!(
                "{}: there is no setting in it any more, and what is in force is from one that had some: write it again, and reload; to go on \
                 with the defaults alone, restart the server with it",
                file.display()
            )]),
            Ok(loaded) => Ok(loaded),
            Err(Failure::Usage(faults)) => Err(faults.lines().map(str::to_owned).collect()),
            Err(Failure::Failed(error)) => Err(vec![format!("{error:#}")]),
            Err(Failure::Told) => Err(Vec::new()),
        }
    }

    /// Puts settings in force, as far as that can be done without a restart: what differs.
    fn put_in_force(&mut self, read: &Settings) -> ReloadedSettings {
        // What waits for a restart is compared with what is in force, not with what was read last.
        let new = self.settings.with_live(read);
        let (changed, waiting) = (new.changes_since(&self.settings), read.changes_since(&new));
        self.waiting.clone_from(&waiting);
        self.logs.set_level(new.log_level);
        self.web.set_limits(limits(&new));
        self.origin.configure(new.namespaces.clone(), new.max_in_flight);
        viewer_key::warn_of_strays(self.web.viewers(), &new);
        let old = &self.settings;
        for (namespace, policy) in new.namespaces.iter().filter(|(name, _)| !old.namespaces.contains_key(*name)) {
            tracing::info!(%namespace, hot_capacity_bytes = policy.hot_capacity, "a namespace is new");
        }
        for namespace in old.namespaces.keys().filter(|name| !new.namespaces.contains_key(*name)) {
            tracing::warn!(%namespace, "a namespace is gone, and with it what it held in memory");
        }
        // Each of their settings is said with them.
        let is_whole = |change: &SettingChange| change.namespace().is_some_and(|name| !in_both(name, old, &new));
        for SettingChange { key, from, to } in changed.iter().filter(|change| !is_whole(change)) {
            let (from, to) = (from.as_deref().unwrap_or("(none)"), to.as_deref().unwrap_or("(none)"));
            tracing::info!(setting = %key, from, to, "changed");
        }
        for SettingChange { key, to, .. } in &waiting {
            tracing::warn!(setting = %key, to = to.as_deref().unwrap_or("(none)"), "takes effect at the next start only");
        }
        tracing::info!(changes = changed.len() + waiting.len(), "settings reloaded");
        self.settings = new;
        ReloadedSettings { changed, waiting }
    }

    /// Reads the viewer keys again, or makes the first one where that is asked for. Of no use, and nothing changes.
    ///
    /// # Errors
    /// Why they are not in force.
    fn reload_viewer_keys(&self, make: bool) -> Result<(), String> {
        let before = self.web.viewers().key_ids();
        let signing_keys = self.verifier.signing_keys();
        let is_gone = !make && !before.is_empty() && viewer_key::is_needed(&self.settings) && viewer_key::is_missing(&self.data);
        let loaded = if is_gone {
            Err(gone(&self.data, viewer_key::FILE, "with a new one every viewer's token would be refused"))
        } else {
            viewer_key::load(&self.data, signing_keys.iter().map(String::as_str), make)
        };
        let keys = loaded.map_err(|error| format!("{error:#}"))?;
        let now: Vec<_> = keys.ids().map(str::to_owned).collect();
        // Others under the same ids, too: public keys, and Akamai's, which have none.
        self.web.viewers().replace_keys(keys);
        if now != before {
            let gone = before.iter().filter(|id| !now.contains(id)).cloned().collect::<Vec<_>>().join(",");
            let (from, to) = (before.join(","), now.join(","));
            tracing::info!(from, to, gone, "the viewer keys have changed: tokens of those that are gone are refused from now on");
        }
        Ok(())
    }

    /// Reads the signing keys again. Of no use, and nothing changes: without keys nobody is let in.
    ///
    /// # Errors
    /// Why they are not in force.
    fn reload_signing_keys(&self) -> Result<(), String> {
        let before = self.verifier.signing_keys();
        let ring = if self.data.lacks_signing_key() {
            Err(gone(&self.data, "signing.key", "with a new one every API key would be refused"))
        } else {
            self.data.key_ring(false)
        };
        match ring {
            Ok(ring) => {
                let now: Vec<_> = ring.ids().map(str::to_owned).collect();
                if now == before {
                    return Ok(());
                }
                self.verifier.replace_ring(ring);
                let (from, to) = (before.join(","), now.join(","));
                let gone = before.into_iter().filter(|id| !now.contains(id)).collect::<Vec<_>>().join(",");
                if gone.is_empty() {
                    tracing::info!(from, to, "the signing keys have changed");
                } else {
                    tracing::warn!(
                        from,
                        to,
                        gone,
                        "the signing keys have changed: what those signed that are gone is refused from now on"
                    );
                }
            }
            Err(error) => {
                let error = format!("{error:#}");
                let told = format!("the signing keys are not reloaded, and those that were in force stay: {error}");
                tracing::error!(error, "the signing keys are not reloaded: those that were in force stay");
                return Err(told);
            }
        }
        Ok(())
    }
}
