//! The names for which other nodes are asked, where several share: each once at a time, and not many.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::id::Key;

/// So many names at a time. Who asks for more is told what is known here: a flood of names that are nowhere is not sent on.
const MOST: usize = 64;

/// Those of one namespace; each with what ends when it is known what there is.
#[derive(Debug, Default)]
pub(super) struct Relays(Mutex<HashMap<Key, watch::Receiver<()>, RandomState>>);

/// Asks others for a name, which is among these as long as this lives.
#[derive(Debug)]
pub(super) struct Relaying {
    relays: Arc<Relays>,
    pub(super) key: Key,
    /// Goes when it is known what there is.
    pub(super) known: Option<watch::Sender<()>>,
}

impl Relays {
    /// What ends when it is known of a name what there is; and the right to ask others for it, where nobody does yet. `None`: too much is asked for.
    pub(super) fn join(self: &Arc<Self>, key: &Key) -> Option<(watch::Receiver<()>, Option<Relaying>)> {
        let mut asked = self.0.lock();
        if let Some(known) = asked.get(key) {
            return Some((known.clone(), None));
        }
        if asked.len() >= MOST {
            return None;
        }
        let (ends, known) = watch::channel(());
        asked.insert(key.clone(), known.clone());
        Some((known, Some(Relaying { relays: Arc::clone(self), key: key.clone(), known: Some(ends) })))
    }
}

impl Drop for Relaying {
    fn drop(&mut self) {
        self.relays.0.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_for_once_at_a_time_and_not_many_are() {
        let (relays, key) = (Arc::new(Relays::default()), |number: usize| Key::parse(&format!("{number}.ts")).unwrap());
        let (known, first) = relays.join(&key(0)).unwrap();
        let mut first = first.unwrap();
        let (other, none) = relays.join(&key(0)).unwrap();
        assert!(none.is_none() && known.has_changed().is_ok());
        first.known.take();
        assert!(known.has_changed().is_err() && other.has_changed().is_err(), "all are told");
        let all: Vec<_> = (1..MOST).map(|number| relays.join(&key(number)).unwrap().1.unwrap()).collect();
        assert!(relays.join(&key(MOST)).is_none() && relays.join(&key(0)).is_some());
        drop(first);
        assert!(relays.join(&key(MOST)).is_some_and(|(_, asks)| asks.is_some()));
        drop(all);
    }
}
