//! Texts that all nodes have beside objects: each under a name, made, changed and removed by the rules of objects, and known to every node as
//! these are. A text stands in the index itself, so whoever has that has all of them. And words, of less weight: whoever has one says so again and
//! again, until it is over.

use bytes::Bytes;
use tokio::time::timeout;

use super::changes::MARK;
use super::commit::Wish;
use super::engine::EngineError;
use super::handle::LaneHandle;
use super::share::{COMMIT_WITHIN, FRESH_WITHIN, SharedStore};
use super::{Decision, EngineTime, ObjectName, PooledWords, Precondition, SharedBody, SharedObject, UploadId};
use crate::model::clock::WallTime;
use crate::store::{StoreError, hash};

/// They do not expire: for as long as the engine can say.
pub(super) const FOR_GOOD: EngineTime = 1 << 53;

fn own_name(name: &str) -> ObjectName {
    ObjectName::from(format!("{MARK}{name}"))
}

async fn in_time<T>(asks: impl Future<Output = Result<T, EngineError>>) -> Result<T, String> {
    let told = timeout(FRESH_WITHIN, asks).await.map_err(|_| "the engine does not answer".to_owned())?;
    told.map_err(|error| error.to_string())
}

impl SharedStore {
    /// All of them live in one lane: their changes have one order.
    fn texts_lane(&self) -> &LaneHandle {
        &self.0.lanes[0]
    }

    /// All texts that are there, with their names, as far as that is known here.
    #[must_use]
    pub fn texts(&self) -> Vec<(String, String)> {
        let text = |object: &SharedObject| String::from_utf8_lossy(&object.described).into_owned();
        let all = self.texts_lane().below(&MARK.to_string()).into_iter();
        all.filter_map(|(name, indexed)| Some((name[MARK.len_utf8()..].to_owned(), text(indexed.object.as_ref()?)))).collect()
    }

    /// The text of this name, as far as that is known here.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let object = self.texts_lane().known(&own_name(name))?.object?;
        Some(String::from_utf8_lossy(&object.described).into_owned())
    }

    /// Waits until what is known here of a text is all that was answered before, on whichever node. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::Unshared`].
    pub async fn fresh_text(&self, name: &str) -> Result<(), StoreError> {
        timeout(FRESH_WITHIN, self.texts_lane().fresh(&own_name(name))).await.map_err(|_| StoreError::Unshared)
    }

    /// Makes a text another one, where it is as it was; `None`: there is none. `false`, and nothing has changed: it is not. Dropped, it may
    /// or may not happen.
    ///
    /// # Errors
    /// [`StoreError::Unshared`]: it may or may not have happened. [`StoreError::Busy`]: the engine has no room, and nothing has changed.
    pub async fn change_text(&self, name: &str, before: Option<&str>, after: Option<&str>) -> Result<bool, StoreError> {
        let tag = |text: &str| hash::of_body(text.as_bytes());
        let expected = before.map_or(Precondition::Absence, |text| Precondition::OneOf(vec![tag(text)]));
        let object = after.map(|text| SharedObject {
            etag: tag(text),
            length: 0,
            is_bare: false,
            expires: FOR_GOOD,
            described: Bytes::copy_from_slice(text.as_bytes()),
        });
        let wish = Wish { name: own_name(name), expected, object, body: SharedBody::default(), goes_below: false };
        match timeout(COMMIT_WITHIN, self.texts_lane().commit(UploadId(self.upload().0), wish)).await {
            Ok(Decision::Done(_) | Decision::Absent) => Ok(true),
            Ok(Decision::Unexpected) => Ok(false),
            Ok(Decision::NoRoom) => Err(StoreError::Busy),
            Err(_) => Err(StoreError::Unshared),
        }
    }

    /// Adds words to a list that all nodes know, each until a time, and tells all that are in it. To be called again and again: so what one
    /// node adds comes to all of them. Cancel-safe.
    ///
    /// # Errors
    /// Why the engine can't be asked.
    pub async fn pool(&self, list: &str, own: &[(String, WallTime)]) -> Result<Vec<String>, String> {
        // By the engine's clock, which says what is over.
        let own: Vec<_> = own.iter().map(|(word, until)| (word.clone(), self.0.clock.of_wall(*until))).collect();
        in_time(self.0.engine.pool(list, &own)).await
    }

    /// Adds words to such a list, where many of them are there for long: they stay until they are over, or the engine loses them. Cancel-safe.
    ///
    /// # Errors
    /// Why the engine can't be asked.
    pub async fn add_words(&self, list: &str, own: &[(String, WallTime)]) -> Result<(), String> {
        let own: Vec<_> = own.iter().map(|(word, until)| (word.clone(), self.0.clock.of_wall(*until))).collect();
        in_time(self.0.engine.add_words(list, &own)).await
    }

    /// Tells all words of a list, where that is not what is known here by this mark. Cancel-safe.
    ///
    /// # Errors
    /// Why the engine can't be asked.
    pub async fn words(&self, list: &str, known: Option<&str>) -> Result<PooledWords, String> {
        in_time(self.0.engine.words(list, known)).await
    }

    /// Waits until a text has changed since this was last asked. Cancel-safe.
    pub async fn text_changed(&self) {
        self.0.text_news.notified().await;
    }
}
