//! The variables of the environment that are ours: which are read, and which look like one and are not.
//!
//! Nearly all stand for a flag, so that the command line's own grammar has them. A value is looked at nowhere here, for it may be a secret.

use std::collections::BTreeSet;
use std::env;

use super::args::CommandFactory;
use super::{data_dir, viewer_key};

/// What the names of all of them begin with.
const OURS: &str = "SPRINGHEAD_";
/// What those begin with by which tests are told of this machine. Whatever they start has them, too.
const OF_TESTS: &str = "SPRINGHEAD_TEST_";
/// What the build tells the compiler (`build.rs`), which cargo hands on to what it runs.
const OF_THE_BUILD: &str = "SPRINGHEAD_RUSTC";
/// Those that stand for no flag, since what they hold is not for a command line to show.
const SECRET: [&str; 2] = [data_dir::SIGNING_KEY_VARIABLE, viewer_key::VARIABLE];

/// The names of all that are read, by whichever command. `C` is the whole command line.
pub(super) fn known<C: CommandFactory>() -> BTreeSet<String> {
    let mut known = BTreeSet::from(SECRET.map(str::to_owned));
    let mut left = vec![C::command()];
    while let Some(command) = left.pop() {
        known.extend(command.get_arguments().filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned())));
        left.extend(command.get_subcommands().cloned());
    }
    known
}

/// What is to be said of variables here that look like ours and are read by nothing, a sentence each: who set one takes it to be in force.
pub(super) fn unread<C: CommandFactory>() -> Vec<String> {
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unread = strangers(names.filter(|name| name.starts_with(OURS)).collect(), &known::<C>());
    let said = |name: String| {
        format!(
            "the variable {name} is set, and nothing reads it: what it says is not in force. 'springhead serve --help' names those there are; all \
             else is said in the settings file"
        )
    };
    unread.into_iter().map(said).collect()
}

/// Those of these names, all of which look like ours, that are not.
fn strangers(mut names: BTreeSet<String>, known: &BTreeSet<String>) -> BTreeSet<String> {
    // Kubernetes tells each container of the services beside it, and one of those may be called as we are: NAME_SERVICE_HOST, NAME_SERVICE_PORT,
    // NAME_PORT, NAME_PORT_8080_TCP and more.
    let services: Vec<String> = names.iter().filter_map(|name| name.strip_suffix("_SERVICE_HOST").map(str::to_owned)).collect();
    let is_of_a_service = |name: &str| {
        let mut rests = services.iter().filter_map(|service| name.strip_prefix(service.as_str()));
        rests.any(|rest| rest == "_PORT" || rest.starts_with("_PORT_") || rest.starts_with("_SERVICE_"))
    };
    names.retain(|name| !(known.contains(name) || name == OF_THE_BUILD || name.starts_with(OF_TESTS) || is_of_a_service(name)));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_strange_that_is_neither_read_nor_somebody_elses() {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        let known = known::<super::super::Cli>();
        for name in
            ["SPRINGHEAD_LISTEN", "SPRINGHEAD_CONFIG", "SPRINGHEAD_SIGNING_KEY", "SPRINGHEAD_VIEWER_KEY", "SPRINGHEAD_KEY"]
        {
            assert!(known.contains(name), "{name}");
        }
        for (names, strange) in [
            (&["SPRINGHEAD_LISTEN", "SPRINGHEAD_RUSTC", "SPRINGHEAD_TEST_VALKEY"][..], &[][..]),
            (&["SPRINGHEAD_ACK", "SPRINGHEAD_LISTN", "SPRINGHEAD_"], &["SPRINGHEAD_", "SPRINGHEAD_ACK", "SPRINGHEAD_LISTN"]),
            (&["SPRINGHEAD_PORT", "SPRINGHEAD_SERVICE_PORT"], &["SPRINGHEAD_PORT", "SPRINGHEAD_SERVICE_PORT"]),
            (
                &[
                    "SPRINGHEAD_SERVICE_HOST",
                    "SPRINGHEAD_SERVICE_PORT",
                    "SPRINGHEAD_SERVICE_PORT_HTTP",
                    "SPRINGHEAD_PORT",
                    "SPRINGHEAD_PORT_8080_TCP_ADDR",
                    "SPRINGHEAD_ADMIN_SERVICE_HOST",
                    "SPRINGHEAD_ADMIN_PORT_8081_TCP",
                    "SPRINGHEAD_ACK",
                ],
                &["SPRINGHEAD_ACK"],
            ),
        ] {
            assert_eq!(strangers(set(names), &known), set(strange), "{names:?}");
        }
    }
}
