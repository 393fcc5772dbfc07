//! `springhead cluster status`: the engine that the nodes share and which nodes there are, and what is not as it has to be.

use std::fmt::Write as _;

use anyhow::anyhow;

use super::args::Subcommand;
use super::place::PlaceArgs;
use super::settings::Settings;
use super::{Failure, cluster, print};
use crate::model::units::{Size, Span};
use crate::store::shared::{EngineReport, examine};

#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Show the engine's servers, the nodes, and what is not as it has to be: the exit status is 1 then.
    Status {
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// Prints what there is. Fails where something is not as it has to be.
pub(super) fn status(settings: &Settings) -> Result<(), Failure> {
    let Some(address) = cluster::address(settings)? else {
        return Err(Failure::Usage("the settings name no engine ([cluster] engine): this server is by itself".to_owned()));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let report = runtime.block_on(examine(&address)).map_err(|error| anyhow!("{error}"))?;
    print(&written(&report))?;
    if report.faults.is_empty() {
        return Ok(());
    }
    Err(anyhow!("{} to be mended: see above", report.faults.len()).into())
}

fn written(report: &EngineReport) -> String {
    let mut text = String::new();
    for server in &report.servers {
        let role = match (server.is_primary, server.lanes) {
            (true, 0) => "primary of no lane".to_owned(),
            (true, lanes) => format!("primary of {lanes} lanes"),
            (false, _) => "replica".to_owned(),
        };
        let most = if server.most == 0 { "any".to_owned() } else { Size(server.most).to_string() };
        // Writing to a String can't fail.
        let _ = writeln!(text, "server  {}  {role}, {}, uses {} of {most}", server.address, server.release, Size(server.used));
    }
    for node in &report.nodes {
        let _ = writeln!(text, "node    {}  springhead {}, heard of {} ago", node.name, node.release, Span(node.silent));
    }
    for fault in &report.faults {
        let _ = writeln!(text, "fault   {fault}");
    }
    text
}
