//! What playlists have listed before this process began, or before their namespace came: handed over by who wrote it down.
//!
//! Namespaces of several nodes take up nothing: of what another node has removed meanwhile this one's files know nothing.

use std::sync::Arc;

use super::{HistoryLog, Hosted, Live, Namespaces, Origin};
use crate::hls::history::Listed;
use crate::model::id::{Key, Namespace};

impl Origin {
    /// Has the histories of playlists written down from now on. Once. Of the namespaces that are named, what was written down before is then
    /// taken up by [`Self::restore_history`], and all of it has been when [`Self::history_restored`] is called: windows of the past wait for
    /// that. Those that come later are [told](HistoryLog::opened) to who writes.
    pub fn keep_histories(&self, history_log: Arc<dyn HistoryLog>) -> Vec<Namespace> {
        let history_log = self.inner.history_log.get_or_init(|| history_log);
        let (namespaces, takes_up) = (self.inner.namespaces.load(), self.takes_up_histories());
        let keep = |(name, hosted): (&Namespace, &Arc<Hosted>)| {
            hosted.live.keep_in(history_log, takes_up);
            takes_up.then(|| name.clone())
        };
        namespaces.iter().filter_map(keep).collect()
    }

    /// Takes up what was written down of a playlist's history, oldest first, unless that was done.
    pub fn restore_history(&self, namespace: &Namespace, playlist: &Key, listed: Vec<Listed>) {
        if let Some(hosted) = self.inner.namespaces.load().get(namespace).filter(|hosted| hosted.live.is_restoring()) {
            hosted.live.restore(playlist, listed, self.inner.clock.wall());
        }
    }

    /// All that was written down of a namespace's histories has been taken up.
    pub fn history_restored(&self, namespace: &Namespace) {
        if let Some(hosted) = self.inner.namespaces.load().get(namespace) {
            hosted.live.end_restoring();
        }
    }

    /// The same for a namespace that is about to come.
    pub(super) fn keep_history(&self, live: &Live) {
        if let Some(history_log) = self.inner.history_log.get() {
            live.keep_in(history_log, self.takes_up_histories());
        }
    }

    fn takes_up_histories(&self) -> bool {
        self.inner.store.shared().is_none()
    }

    /// Has what was written down read of those that have come.
    pub(super) fn read_histories(&self, before: &Namespaces) {
        let Some(history_log) = self.inner.history_log.get() else { return };
        for (name, hosted) in self.inner.namespaces.load().iter().filter(|(name, _)| !before.contains_key(*name)) {
            if hosted.live.is_restoring() && !history_log.opened(name) {
                hosted.live.end_restoring();
            }
        }
    }

    /// How many segments are remembered of a playlist; `None`: that is not known yet.
    #[cfg(test)]
    pub(crate) fn remembers(&self, namespace: &Namespace, playlist: &Key) -> Option<usize> {
        let hosted = Arc::clone(self.inner.namespaces.load().get(namespace)?);
        let listed = || hosted.live.stretch(playlist, None, None).map_or(0, |stretch| stretch.listed.len());
        (!hosted.live.is_restoring()).then(listed)
    }
}

#[cfg(test)]
mod tests {
    use crate::hls::history::Listed;
    use crate::model::id::{Key, Namespace};
    use crate::origin::HistoryLog;
    use crate::origin::policy::NamespacePolicy;
    use crate::origin::shared_public::tests::sharing_origin;

    #[derive(Debug)]
    struct NoLog;

    impl HistoryLog for NoLog {
        fn listed(&self, _: &Namespace, _: &Key, _: &[std::sync::Arc<Listed>]) {}

        fn removed(&self, _: &Namespace, _: &Key) {}

        fn opened(&self, _: &Namespace) -> bool {
            panic!("nothing is to be read");
        }
    }

    /// What another node has deleted while this one was away would come back.
    #[tokio::test]
    async fn several_nodes_take_up_nothing_whenever_their_namespaces_come() {
        let (origin, name) = sharing_origin(NamespacePolicy::default());
        assert!(origin.keep_histories(std::sync::Arc::new(NoLog)).is_empty());
        let later = Namespace::parse("later").unwrap();
        let namespaces = [&name, &later].map(|name| (name.clone(), NamespacePolicy::default()));
        origin.configure(namespaces, 1 << 30);
        for name in [name, later] {
            assert_eq!(origin.remembers(&name, &Key::parse("p.m3u8").unwrap()), Some(0), "no window waits for anything");
        }
    }
}
