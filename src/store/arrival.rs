//! Waiting for an object that is not here yet.
//!
//! Whoever wants a key asks first to be told and looks afterwards, so that nothing can happen unseen in between.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::futures::OwnedNotified;

use super::HotNamespace;
use crate::model::id::Key;

/// Completes with the next news of a key from the moment it was made: a version of it was published, an upload of it has become
/// readable, or one has ended without being stored. It does not say which: look again. Cancel-safe: dropping it is the end of
/// the waiting.
#[must_use = "nothing waits before this is awaited"]
pub struct NextNews {
    namespace: Arc<HotNamespace>,
    key: Key,
    news: Pin<Box<OwnedNotified>>,
}

impl HotNamespace {
    /// The next news of a key: see [`NextNews`]. To miss nothing, ask for this first and look for the object afterwards.
    pub fn arrivals(self: &Arc<Self>, key: &Key) -> NextNews {
        let news = Box::pin(self.waiters().wait_for(key));
        NextNews { namespace: Arc::clone(self), key: key.clone(), news }
    }
}

impl Future for NextNews {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.news.as_mut().poll(cx)
    }
}

impl Drop for NextNews {
    fn drop(&mut self) {
        self.namespace.waiters().give_up(&self.key);
    }
}

impl std::fmt::Debug for NextNews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NextNews").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{key, meta, namespace};
    use bytes::Bytes;
    use std::future::poll_fn;
    use std::time::Duration;

    /// Whether it has come, without waiting for it.
    async fn has_come(arrival: &mut NextNews) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *arrival).poll(cx).is_ready())).await
    }

    #[tokio::test]
    async fn news_of_a_key_reach_those_who_wait_for_it_and_nobody_else() {
        let hot = namespace();
        let (mut mine, mut also_mine, mut other) = (hot.arrivals(&key("a")), hot.arrivals(&key("a")), hot.arrivals(&key("b")));
        assert_eq!(hot.waiters().sizes(), (3, 2));
        assert!(!has_come(&mut mine).await);
        let mut upload = hot.create(&key("a"), Some(1), hot.stamp()).unwrap();
        upload.write(Bytes::from_static(b"x")).unwrap();
        assert!(!has_come(&mut mine).await, "nothing of it can be seen yet");
        let body = upload.body();
        upload.publish(body, meta(&hot), hot.clock().now(), |_| true).unwrap();
        // Announced before it was polled for the first time.
        assert!(has_come(&mut also_mine).await && has_come(&mut mine).await);
        assert!(!has_come(&mut other).await);
        drop((mine, also_mine, other));
        assert_eq!(hot.waiters().sizes(), (0, 0), "nothing is left of those who have gone");
    }

    #[tokio::test]
    async fn an_upload_that_breaks_off_is_news() {
        let hot = namespace();
        let upload = hot.create(&key("a"), None, hot.stamp()).unwrap();
        let mut arrival = hot.arrivals(&key("a"));
        assert!(!has_come(&mut arrival).await);
        drop(upload);
        assert!(has_come(&mut arrival).await);
        assert!(!hot.is_uploading(&key("a")));
    }

    /// Asking first and looking afterwards misses nothing, however the two threads meet.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_happens_unseen() {
        let hot = namespace();
        for round in 0..2_000 {
            let name = key(&format!("k{round}"));
            let (writer, wanted) = (Arc::clone(&hot), name.clone());
            let write = tokio::spawn(async move {
                let mut upload = writer.create(&wanted, Some(0), writer.stamp()).unwrap();
                let body = upload.body();
                upload.publish(body, meta(&writer), writer.clock().now(), |_| true).unwrap();
            });
            let arrival = hot.arrivals(&name);
            if hot.peek(&name).is_none() {
                tokio::time::timeout(Duration::from_secs(20), arrival).await.expect("it was announced");
                assert!(hot.peek(&name).is_some());
            }
            write.await.unwrap();
        }
        assert_eq!(hot.waiters().sizes(), (0, 0));
    }
}
