//! `springhead console`: a link that signs in at the console of the server on a data directory.

use std::net::SocketAddr;

use anyhow::anyhow;

use super::data_dir::DataDir;
use super::health::reachable;
use super::settings::Settings;
use super::{Failure, print, tickets};

/// Prints the link. Who can write to the data directory may do everything anyway.
pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    let data = DataDir::new(&settings.data_dir);
    // The admin listener is the last of them.
    let Some(address) = data.listening().last().copied() else {
        let place = settings.data_dir.display();
        return Err(
            anyhow!("no server has listened on the data directory {place}: start one, or name its own with --data-dir").into()
        );
    };
    let link = link(address, data.admin_has_tls(), &tickets::make(&data)?);
    Ok(print(&format!("{link}\nIt signs in once, within two minutes."))?)
}

/// A page of it in clear, for who signs in by himself.
pub(super) fn page(listen: SocketAddr, page: &str) -> String {
    format!("http://{}/#{page}", reachable(listen))
}

/// The ticket stands in the fragment, which no browser sends: so it gets into no log and no Referer.
pub(super) fn link(listen: SocketAddr, has_tls: bool, ticket: &str) -> String {
    let scheme = if has_tls { "https" } else { "http" };
    format!("{scheme}://{}/#ticket={ticket}", reachable(listen))
}
