//! `springhead cluster`: the engine that the nodes share and which nodes there are, and what is not as it has to be; and its primaries, spread
//! over the machines.

use std::fmt::Write as _;

use anyhow::anyhow;

use super::args::{ArgMatches, Subcommand};
use super::place::PlaceArgs;
use super::settings::Settings;
use super::{Failure, cluster, print};
use crate::model::clock::Clock;
use crate::model::units::{Size, Span};
use crate::store::shared::{self, EngineReport, PrimaryMove, ValkeyAddress, examine};

#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Show the engine's servers, the nodes, and what is not as it has to be: the exit status is 1 then.
    Status {
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Hand primaries over to replicas on other machines, until none has more than it has to.
    Balance {
        #[command(flatten)]
        place: PlaceArgs,
    },
}

/// Hands primaries over, and prints which.
fn balance(settings: &Settings) -> Result<(), Failure> {
    let address = engine(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let mut moved = 0;
    let told = |PrimaryMove { from, to }: &PrimaryMove| {
        moved += 1;
        // Who reads no more has it done all the same.
        let _ = print(&format!("moved   {from} -> {to}\n"));
    };
    runtime.block_on(shared::balance(&address, told)).map_err(|error| anyhow!("{error}"))?;
    if moved == 0 {
        print("nothing to move: no machine has two primaries more than another that could have one of them\n")?;
    }
    Ok(())
}

fn engine(settings: &Settings) -> Result<ValkeyAddress, Failure> {
    let none = || Failure::Usage("the settings name no engine ([cluster] engine): this server is by itself".to_owned());
    cluster::address(settings)?.ok_or_else(none)
}

/// Does what is asked for.
pub(super) fn run(command: ClusterCommand, matches: &ArgMatches) -> Result<(), Failure> {
    match command {
        ClusterCommand::Status { place } => status(&place.load(matches)?),
        ClusterCommand::Balance { place } => balance(&place.load(matches)?),
    }
}

/// Prints what there is. Fails where something is not as it has to be.
fn status(settings: &Settings) -> Result<(), Failure> {
    let address = engine(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let report = runtime.block_on(examine(&address, &Clock::system())).map_err(|error| anyhow!("{error}"))?;
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
