//! Runs an entry point, and holds the memory that it takes against what it was sent.
//!
//! The counting allocator is here and nowhere else: the server's own code is without `unsafe`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that may be held whatever is sent: what is made at the first input and kept, and what the shortest one takes.
const ANYWAY: usize = 4 << 20;

/// What is allocated and not given back, and the most of it since an input came. One thread allocates, so the two never part.
static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn more(bytes: usize) {
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    MOST.fetch_max(held, Relaxed);
}

fn less(bytes: usize) {
    HELD.fetch_sub(bytes, Relaxed);
}

// SAFETY: all of it is the system allocator's work, with the arguments as they came; beside it two numbers are counted, which
// allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        less(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both at once, as it may be when it is moved.
        more(size);
        less(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Has an entry point read an input, and fails when it held more than so many bytes for each byte of it at any moment.
pub fn hold(target: fn(&[u8]), bytes: &[u8], for_each: usize) {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    target(bytes);
    let most = MOST.load(Relaxed).saturating_sub(before);
    let allowed = ANYWAY + for_each * bytes.len();
    assert!(most <= allowed, "{} bytes take {most} bytes of memory, and may take {allowed}", bytes.len());
    if std::env::var_os("SPRINGHEAD_FUZZ_MEMORY").is_some() && bytes.len() >= 10_000 {
        eprintln!("memory: {} for each of {}", most / bytes.len(), bytes.len());
    }
}
