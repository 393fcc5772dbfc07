//! Gives back the memory of what has expired, so slowly that nobody who reads meanwhile notices.
//!
//! Nothing waits for it: who reads compares the expiry itself, and a write that needs room takes out what has expired first.

use std::time::Duration;

use super::Origin;
use crate::store::SWEPT_AT_ONCE;

/// After so many objects it rests. One takes 1 to 2 us, in steps that let others in between: a quarter of one core's time at most, where half a
/// million that fall due in one second took all of it, and who read in that second waited ten times as long as before.
const BEFORE_REST: usize = 4 * SWEPT_AT_ONCE;
/// How long it rests: the shortest that the runtime's timer knows.
const REST: Duration = Duration::from_millis(1);

impl Origin {
    /// Takes out of memory what has expired, in each namespace by turns. What falls due meanwhile is taken out too. A mistake that a namespace
    /// brings out keeps from it alone that it is swept. Cancel-safe: what is left is taken out the next time.
    pub async fn sweep(&self) {
        let mut since_rest = 0;
        loop {
            let mut is_done = true;
            for hosted in self.inner.namespaces.load_full().values() {
                let now = self.inner.clock.now();
                let taken = hosted.work.rounds.sweep.go(&hosted.name, now, || hosted.hot.sweep()).unwrap_or_default();
                if taken == 0 {
                    continue;
                }
                is_done &= taken < SWEPT_AT_ONCE;
                since_rest += taken;
                if since_rest >= BEFORE_REST {
                    since_rest = 0;
                    tokio::time::sleep(REST).await;
                } else {
                    tokio::task::yield_now().await;
                }
            }
            if is_done {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::model::id::{Key, Namespace};
    use crate::model::kind::Kind;
    use crate::model::meta::Meta;
    use crate::origin::policy::NamespacePolicy;

    #[tokio::test(start_paused = true)]
    async fn many_that_expire_at_once_go_by_turns_and_with_rests() {
        let (clock, ttl) = (Clock::manual(), Duration::from_secs(60));
        let policies = ["few", "many"].map(|name| (Namespace::parse(name).unwrap(), NamespacePolicy::default()));
        let origin = Origin::new(policies, 1 << 30, clock.clone(), &Arc::new(Metrics::new()));
        let held = || {
            let namespaces = origin.inner.namespaces.load();
            let mut held: Vec<_> =
                namespaces.values().map(|hosted| (hosted.name.as_str().to_owned(), hosted.hot.usage().objects)).collect();
            held.sort();
            held.into_iter().map(|(_, objects)| objects).collect::<Vec<_>>()
        };
        for hosted in origin.inner.namespaces.load().values() {
            for number in 0..if hosted.name.as_str() == "few" { SWEPT_AT_ONCE } else { 100 * BEFORE_REST } {
                let key = Key::parse(&format!("{number}.ts")).unwrap();
                let meta = Meta::plain(Kind::Segment, HeaderValue::from_static("x"), &clock, ttl);
                hosted.hot.take_in(hosted.hot.made(key, Bytes::from_static(b"x"), meta), || true);
            }
        }
        clock.advance(ttl);
        let began = tokio::time::Instant::now();
        let sweeping = tokio::time::timeout(3 * REST, origin.sweep()).await;
        assert!(sweeping.is_err(), "it rests");
        assert_eq!(held()[0], 0, "who has few waits for nobody who has many");
        assert!(held()[1] > 95 * BEFORE_REST, "and much is left: {:?}", held());
        origin.sweep().await;
        assert_eq!(held(), [0, 0]);
        assert!(began.elapsed() >= 99 * REST, "{:?}", began.elapsed());
    }
}
