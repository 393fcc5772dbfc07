//! Springhead: a self-hosted HTTP origin for live video.
//!
//! Encoders push short segments and constantly rewritten playlists; CDNs pull them. In between stands this: a sharded store in
//! memory with a time to live on every object and a byte budget for every namespace, keys that are scoped and revocable, and
//! HTTP as encoders and CDNs really speak it.
//!
//! # The house
//!
//! Built in floors. A module uses only floors below its own, never sideways, never up; and within a folder the files use each other
//! in one direction: a folder's `mod.rs` and its files know each other, files beside each other never in a circle. `tests/it/tidy`
//! checks both.
//!
//! | floor | module | duty |
//! | --- | --- | --- |
//! | 6 | [`app`] | puts the house together: settings, commands, keys on disk, start and drain |
//! | 5 | [`web`] | the words of HTTP: URLs, headers, status codes, connections |
//! | 4 | [`origin`] | what an origin does: the rules of a write, of a read, of a removal, of liveness and of looking back |
//! | 3 | [`store`] | where bytes are: the hot store, uploads in flight, the byte account, the tier below |
//! | 2 | [`auth`] | pure judgement: a key string <-> what its holder may do |
//! | 2 | [`hls`] | what playlists and MPDs say, and the few changes an origin makes to them |
//! | 1 | [`metrics`] | every counter and gauge, by name and meaning |
//! | 0 | [`model`] | words: parsed once, always valid |
//!
//! # One PUT
//!
//! [`web`] reads the URL and the key from the headers, [`origin`] admits the upload, [`store`] reserves its bytes; only then is
//! the body touched, and from then on the upload goes on without its client if it has to. Its pieces go into the upload; its end
//! commits it: one step under the namespace's lock makes it the object and names what has to make room. There is one way to
//! abort: dropping the upload.
//!
//! # One GET
//!
//! The same first steps, one look-up under a shard's read lock, and the store's own bytes go to the socket by reference. Where
//! there is no whole version but an upload of one that can be read, its pieces go there in the same way, each as it comes; when the
//! upload breaks off, so does the answer. What has left memory is read once from the tier below for all who ask. What is not there
//! and about to arrive, by what the playlists say, is waited for.
//!
//! # When two rules collide
//!
//! Correct bytes > the live edge never stalls > the memory bound > durable > fast > small code.

pub mod app;
pub mod auth;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod hls;
pub mod metrics;
pub mod model;
pub mod origin;
pub mod store;
pub mod web;
