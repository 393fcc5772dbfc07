//! Figures that many threads count at once, each on memory of its own: what two processors write by turns has to go from one's cache to the
//! other's each time, which costs more than the work that is counted.
//!
//! A thread has a stripe for as long as it lives. Whoever asks for the figure adds the stripes up: what it finds is what there was at one
//! moment or the next, as it is with any counter that goes on meanwhile.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// So many threads have a stripe alone; more share them.
pub(super) const STRIPES: usize = 16;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The stripe of the thread that asks.
pub(super) fn mine() -> usize {
    let mine = MINE.get();
    if mine < STRIPES {
        return mine;
    }
    let mine = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    MINE.set(mine);
    mine
}

/// As much as processors fetch at a time: two lines of a cache.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// What many threads take and let go of all the time, with a count of those who have it for each stripe: one count for all is written by
/// each of them, however little they do with it.
#[derive(Debug)]
pub struct CountedApart<T>([StripedArc<T>; STRIPES]);

/// A handle of it.
#[derive(Debug)]
pub struct StripedArc<T>(Arc<Apart<Arc<T>>>);

impl<T> CountedApart<T> {
    /// One for each stripe.
    pub fn new(shared: &Arc<T>) -> Self {
        Self(std::array::from_fn(|_| StripedArc(Arc::new(Apart(Arc::clone(shared))))))
    }

    /// The handle of the thread that asks.
    pub fn take(&self) -> StripedArc<T> {
        self.0[mine()].clone()
    }
}

impl<T> Clone for StripedArc<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for StripedArc<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.0.0
    }
}

/// One number. It may be counted up by one thread and down by another: a stripe alone means nothing, and may be below zero.
#[derive(Debug, Default)]
pub struct Striped([Apart<AtomicU64>; STRIPES]);

impl Striped {
    pub(super) fn add(&self, more: u64) {
        self.0[mine()].0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, stripe| sum.wrapping_add(stripe.0.load(Ordering::Relaxed)))
    }
}

/// A row of numbers. A thread that counts none of it takes no memory for it.
#[derive(Debug)]
pub(super) struct StripedRow {
    length: usize,
    stripes: [OnceLock<Box<[AtomicU64]>>; STRIPES],
}

/// Numbers that stand for themselves in memory: a whole cache line more than there are, so that no two rows share one.
const LINE: usize = 16;

impl StripedRow {
    pub(super) fn new(length: usize) -> Self {
        Self { length, stripes: std::array::from_fn(|_| OnceLock::new()) }
    }

    /// The thread's own numbers.
    pub(super) fn mine(&self) -> &[AtomicU64] {
        self.stripes[mine()].get_or_init(|| (0..self.length + LINE).map(|_| AtomicU64::new(0)).collect())
    }

    /// All of them, added up.
    pub(super) fn sums(&self) -> Vec<u64> {
        let mut sums = vec![0; self.length];
        for stripe in self.stripes.iter().filter_map(OnceLock::get) {
            for (sum, number) in sums.iter_mut().zip(stripe) {
                *sum += number.load(Ordering::Relaxed);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_apart_and_are_added_up() {
        let (number, row) = (Striped::default(), StripedRow::new(3));
        std::thread::scope(|scope| {
            for _ in 0..STRIPES + 4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        number.add(1);
                        row.mine()[1].fetch_add(2, Ordering::Relaxed);
                    }
                });
            }
        });
        let threads = STRIPES as u64 + 4;
        assert_eq!((number.sum(), row.sums()), (threads * 1000, vec![0, threads * 2000, 0]));
        number.add((threads * 1000 - 7).wrapping_neg());
        assert_eq!(number.sum(), 7, "counted up there and down here");
    }

    #[test]
    fn who_takes_a_handle_changes_no_count_of_another_thread() {
        let shared = Arc::new(7);
        let apart = CountedApart::new(&shared);
        let of_all = Arc::strong_count(&shared);
        let counts = || -> Vec<usize> { apart.0.iter().map(|stripe| Arc::strong_count(&stripe.0)).collect() };
        let (mine, again) = (apart.take(), apart.take());
        assert_eq!(counts().iter().filter(|count| **count != 1).collect::<Vec<_>>(), [&3]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let theirs = apart.take().clone();
                assert_eq!(counts().iter().filter(|count| **count == 1).count(), STRIPES - 2);
                assert_eq!(**theirs, 7);
            });
        });
        assert_eq!((**mine, Arc::strong_count(&shared)), (7, of_all));
        drop((mine, again, apart));
        assert_eq!(Arc::strong_count(&shared), 1, "nothing is kept");
    }

    #[test]
    fn no_two_stripes_share_a_line_of_a_cache() {
        let (number, row) = (Striped::default(), StripedRow::new(3));
        let lines: Vec<_> = number.0.iter().map(|stripe| std::ptr::from_ref(stripe).addr() / 128).collect();
        assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "{lines:?}");
        let ends = |row: &StripedRow| {
            let mine = row.mine();
            (mine.as_ptr().addr(), std::ptr::from_ref(&mine[row.length]).addr())
        };
        let (begin, end) = ends(&row);
        let (other_begin, other_end) = std::thread::scope(|scope| scope.spawn(|| ends(&row)).join().unwrap());
        assert!(
            begin.abs_diff(other_end) >= 64 && end.abs_diff(other_begin) >= 64,
            "what each counts lies a line apart from the other"
        );
    }
}
