//! Tickets: what stands in a printed link that signs in at the console. A file for each, named by the ticket's hash, so that who reads the
//! folder can't follow a link; who writes there may do everything anyway.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::data_dir::DataDir;
use crate::auth::signing::{hex, random, sha256};

fn folder(data: &DataDir) -> PathBuf {
    data.path().join("tickets")
}

/// Makes a ticket that signs in at the console, once.
pub(super) fn make(data: &DataDir) -> anyhow::Result<String> {
    data.create()?;
    data.make_folder(&folder(data))?;
    let ticket = hex(&random::<32>());
    let path = folder(data).join(hex(&sha256(ticket.as_bytes())));
    data.keep_new(&path, "").with_context(|| format!("can't write {}", path.display()))?;
    Ok(ticket)
}

/// Takes a ticket: whether it was one, made within this time. Tickets that are older are removed.
pub(super) fn take(data: &DataDir, ticket: &str, within: Duration) -> bool {
    let wanted = hex(&sha256(ticket.as_bytes()));
    let mut taken = false;
    for entry in fs::read_dir(folder(data)).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().map(|at| at.elapsed().unwrap_or_default());
        let is_over = age.is_none_or(|age| age > within);
        let is_wanted = entry.file_name().to_str() == Some(&wanted);
        // Who removes it has taken it: of two who follow one link at once, one.
        if (is_wanted || is_over) && fs::remove_file(entry.path()).is_ok() {
            taken |= is_wanted && !is_over;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_taken_once_and_in_time() {
        let place = tempfile::tempdir().unwrap();
        let data = DataDir::new(place.path());
        let long = Duration::from_secs(60);
        assert!(!take(&data, "x", long));
        let (one, other) = (make(&data).unwrap(), make(&data).unwrap());
        assert!(!take(&data, "x", long) && take(&data, &one, long) && !take(&data, &one, long));
        assert!(!take(&data, &other, Duration::ZERO), "too old");
        assert_eq!(fs::read_dir(folder(&data)).unwrap().count(), 0);
        let names: Vec<_> = [make(&data).unwrap()].into_iter().filter(|ticket| folder(&data).join(ticket).exists()).collect();
        assert!(names.is_empty(), "the folder names no ticket");
    }
}
