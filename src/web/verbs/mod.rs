//! One file per verb: [`get`], [`put`], [`delete`], and the two of WebDAV in [`dav`]; [`reply`] turns what a reader gets into headers and
//! status, [`inherit`] hands keys down a playlist.
//!
//! Invariants: what a verb is given has been authorized, from the headers alone, before the body is touched. An upload that has come
//! whole is stored though its client has gone ([`detached`]).
//!
//! No verb decides what is found, stored or removed: that is the origin's; it says in HTTP what came of it.

pub(super) mod dav;
pub(super) mod delete;
mod detached;
pub(super) mod get;
mod inherit;
pub(super) mod put;
mod reply;
