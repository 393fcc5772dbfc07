//! A backend in memory, which the suite itself is tried on, and which can be made slow, failing, full or dead.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use springhead::model::id::Key;
use springhead::store::cold::{Attributes, Care, Cold, ColdError, Later, ListedObject};
use tokio::sync::mpsc;

use super::conformance;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Each call takes this long.
    Slow(Duration),
    /// Each call waits until there is another fault.
    Held,
    /// Each call fails.
    Failing,
    /// Each write finds no space.
    Full,
    /// No call ever ends.
    Dead,
    /// Each read brings other bytes than were written.
    Wrong,
    /// Each read finds nothing, and a listing names nothing.
    Gone,
    /// Each object is in a form of later versions.
    Later,
}

/// A backend in memory, with faults. What it is asked is counted.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    objects: Mutex<BTreeMap<Key, (Attributes, Bytes)>>,
    fault: Mutex<Fault>,
    /// How many bytes fit, with 8 KiB for each object; 0 is no limit.
    pub(crate) space: AtomicU64,
    pub(crate) full: AtomicU64,
    pub(crate) puts: AtomicU64,
    pub(crate) gets: AtomicU64,
    pub(crate) ranges: AtomicU64,
    pub(crate) deletes: AtomicU64,
}

impl Memory {
    pub(crate) fn set_fault(&self, fault: Fault) {
        *self.fault.lock() = fault;
    }

    pub(crate) fn held(&self, key: &Key) -> Option<Bytes> {
        self.objects.lock().get(key).map(|(_, body)| body.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.lock().len()
    }

    async fn suffer(&self, is_write: bool) -> Result<(), ColdError> {
        let fault = loop {
            let fault = *self.fault.lock();
            if fault != Fault::Held {
                break fault;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        match fault {
            Fault::Slow(span) => tokio::time::sleep(span).await,
            Fault::Failing => return Err(ColdError::Unavailable("it fails".to_owned())),
            Fault::Full if is_write => return Err(ColdError::Full("it is full".to_owned())),
            Fault::Dead => std::future::pending().await,
            Fault::Later if !is_write => return Err(ColdError::Later("its form is 2".to_owned())),
            Fault::None | Fault::Held | Fault::Full | Fault::Wrong | Fault::Gone | Fault::Later => {}
        }
        Ok(())
    }

    /// What a reader is given of an object.
    fn read(&self, key: &Key) -> Option<(Attributes, Bytes)> {
        let (attributes, body) = self.objects.lock().get(key).cloned()?;
        match *self.fault.lock() {
            Fault::Gone => None,
            Fault::Wrong => Some((attributes, body.iter().map(|byte| byte ^ 1).collect())),
            _ => Some((attributes, body)),
        }
    }
}

impl Cold for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn put<'a>(&'a self, key: &'a Key, body: Bytes, attributes: &'a Attributes, _: Care) -> Later<'a, ()> {
        Box::pin(async move {
            self.puts.fetch_add(1, Ordering::SeqCst);
            self.suffer(true).await?;
            let mut objects = self.objects.lock();
            let space = self.space.load(Ordering::SeqCst);
            let takes = |body: &Bytes| body.len() as u64 + 8192;
            if space > 0 && objects.values().map(|(_, body)| takes(body)).sum::<u64>() + takes(&body) > space {
                self.full.fetch_add(1, Ordering::SeqCst);
                return Err(ColdError::Full("it is full".to_owned()));
            }
            objects.insert(key.clone(), (attributes.clone(), body));
            Ok(())
        })
    }

    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Option<(Attributes, Bytes)>> {
        Box::pin(async move {
            self.gets.fetch_add(1, Ordering::SeqCst);
            self.suffer(false).await?;
            Ok(self.read(key))
        })
    }

    fn get_range<'a>(&'a self, key: &'a Key, range: Range<u64>) -> Later<'a, Option<(Attributes, Bytes)>> {
        Box::pin(async move {
            self.ranges.fetch_add(1, Ordering::SeqCst);
            self.suffer(false).await?;
            Ok(self.read(key).map(|(attributes, body)| {
                let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap().min(body.len()));
                (attributes, body.slice(start..end))
            }))
        })
    }

    fn head<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Attributes>> {
        Box::pin(async move {
            self.suffer(false).await?;
            Ok(self.read(key).map(|(attributes, _)| attributes))
        })
    }

    fn delete<'a>(&'a self, key: &'a Key, _: Care) -> Later<'a, ()> {
        Box::pin(async move {
            self.deletes.fetch_add(1, Ordering::SeqCst);
            self.suffer(true).await?;
            self.objects.lock().remove(key);
            Ok(())
        })
    }

    fn list(&self) -> mpsc::Receiver<Result<ListedObject, ColdError>> {
        let mut objects: Vec<ListedObject> =
            self.objects.lock().keys().map(|key| ListedObject { key: key.clone(), attributes: None }).collect();
        if *self.fault.lock() == Fault::Gone {
            objects.clear();
        }
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            for object in objects {
                if sender.send(Ok(object)).await.is_err() {
                    break;
                }
            }
        });
        receiver
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_in_memory_conforms() {
    conformance::check(Arc::new(Memory::default())).await;
}
