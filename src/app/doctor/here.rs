//! The same steps by order of a running server, for a stream of its own: what a player finds at its data listener, with a key that is made for
//! it, is shown to nobody and ends by itself.
//!
//! Invariant: no host is asked but that listener, whatever a playlist names.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::report::Report;
use super::{DoctorRequest, examine, plan};
use crate::app::Failure;
use crate::app::data_dir::DataDir;
use crate::app::health::reachable;
use crate::auth::grant::{Role, Scope};
use crate::auth::key::KeySpec;
use crate::model::clock::Clock;
use crate::model::id::ObjectId;
use crate::model::percent;
use crate::web::admin::controls::DoctorReport;

/// How long the key is good.
const LIFETIME: Duration = Duration::from_secs(300);
/// How many of the last segments of each rendition have to be there.
const SEGMENTS: usize = 6;
/// How long each answer may take.
const TIMEOUT: &str = "10s";

/// Walks a stream that is served at this address, and does not wait to see it advance: the server knows that itself. Blocks.
///
/// # Errors
/// When it can't be begun.
pub(in crate::app) fn examine_here(
    data: &DataDir,
    at: SocketAddr,
    object: &ObjectId,
    prefix: Option<String>,
) -> anyhow::Result<DoctorReport> {
    let ObjectId { namespace, key } = object;
    let now = Clock::system().wall();
    let spec = KeySpec {
        role: Role::Readonly,
        scope: Scope::parse([namespace.as_str()])?,
        prefix,
        // As a CDN reads that has checked its viewers' tokens.
        is_edge: true,
        expires: Some(now + LIFETIME),
    };
    let issued = data.key_ring(false)?.issue(&spec, now)?;
    let request = DoctorRequest {
        base: format!("http://{}/cache/{namespace}/{}", reachable(at), percent::encode_path(key.as_str())),
        namespace: Some(namespace.to_string()),
        key: Some(issued.token.expose().to_owned()),
        viewer_token: None,
        cdn: None,
        playlist: None,
        twin: None,
        write: false,
        watch: Some("0s".to_owned()),
        segments: SEGMENTS,
        web_origin: None,
        ca: None,
        timeout: TIMEOUT.to_owned(),
        json: true,
        // A playlist is written by whoever may store one, and this machine reaches more than he does.
        stays: true,
    };
    let mut plan = plan(request).map_err(|failure| match failure {
        Failure::Failed(error) => error,
        Failure::Usage(text) => anyhow!(text),
        Failure::Told => anyhow!("this can't be walked"),
    })?;
    let mut report = Report::new(true, plan.key.as_ref());
    // Of that key there is nothing to be told.
    plan.key = None;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start")?;
    runtime.block_on(examine(&plan, &mut report));
    Ok(report.into_answer())
}
