//! The `springhead` program: see the library for everything but the allocator.

use std::process::ExitCode;

/// Chosen by measuring how much memory stored segments cost beyond their bytes, and how much of it comes back when they
/// expire: `benches/README.md` has the figures.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The allocator's settings: freed pages go back to the system after a quarter of a second, from a thread of its own, and bodies
/// of 256 KiB and more get pages of their own instead of sharing an arena's. `MALLOC_CONF` in the environment lies over them.
#[cfg(not(target_env = "msvc"))]
#[expect(
    unsafe_code,
    reason = "the allocator reads its settings from a symbol of this name, before main; nothing else is named so"
)]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_SETTINGS: Option<&'static std::ffi::c_char> =
    // SAFETY: the pointer comes from a static C string, so it is valid, aligned and never changes.
    Some(unsafe { &*c"background_thread:true,dirty_decay_ms:250,muzzy_decay_ms:0,oversize_threshold:262144".as_ptr() });

fn main() -> ExitCode {
    springhead::app::run()
}
