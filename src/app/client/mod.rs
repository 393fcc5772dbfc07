//! What the commands that talk HTTP share: doctor, harvest, and the server itself where it posts webhooks.
//!
//! | file | duty |
//! | --- | --- |
//! | [`http`] | one request and all there is to know about its answer |
//! | [`server`] | a server that is asked: its address, its key, redirects |
//! | [`progress`] | what a terminal shows meanwhile |
//!
//! Invariants: a key goes to the host it was given for and to no other, however playlists and redirects may point. No URL is shown with
//! the values of its query. Nothing here judges an answer: that is for those who asked.

mod http;
mod progress;
mod server;

use std::fmt::Display;
use std::path::Path;

use anyhow::Context as _;

pub(super) use self::http::{Call, HttpClient, OpenedResponse, Response, TlsRules, Unanswered, Url};
pub(super) use self::progress::ProgressLine;
pub(super) use self::server::{Address, At, RequestOptions, Server, redacted, redacted_path, short_name};

use super::Failure;

/// The namespace that is meant where none is named: the one that a first start makes.
pub(super) const USUAL_NAMESPACE: &str = "live-origin";

/// An argument that makes no sense.
pub(super) fn usage(flag: &str, error: impl Display) -> Failure {
    Failure::Usage(format!("error: {flag}: {error}"))
}

/// Reads the file of `--ca`, if one is named.
pub(super) fn authorities(file: Option<&Path>) -> anyhow::Result<Option<Vec<u8>>> {
    file.map(|path| std::fs::read(path).with_context(|| format!("can't read {}", path.display()))).transpose()
}
