//! Programs of others that tests start. One that is missing fails the test that needs it, and says what installs it: a test that
//! passes over what it can't do says nothing. What may be missing stands in tests/optional, and nowhere else.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What each machine has that a shell script runs on. Tests that start nothing but these and the server are quick ones.
pub(crate) const EVERYWHERE: [&str; 9] = ["bash", "chown", "date", "id", "kill", "nice", "sh", "tar", "timeout"];

/// What starts this program, which `tests/run` installs.
pub(crate) fn program(name: &str) -> Command {
    assert_is_here(name);
    Command::new(name)
}

/// The same, ended after this many seconds: what asks for something that never comes may ask for ever.
pub(crate) fn limited(seconds: u32, program: impl AsRef<OsStr>) -> Command {
    assert_is_here(&program);
    let mut command = Command::new("timeout");
    command.arg("--kill-after=5").arg(seconds.to_string()).arg(program);
    command
}

/// Ends the test if this program is not installed; what starts it may be a script of ours.
pub(crate) fn assert_is_here(program: impl AsRef<OsStr>) {
    let program = program.as_ref();
    let name = program.to_string_lossy();
    if EVERYWHERE.contains(&&*name) {
        return;
    }
    assert_not_quick(&name);
    // Some folders are on the path of root alone.
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let is_here = folders.into_iter().any(|folder| folder.join(program).is_file());
    assert!(is_here, "{name} is not installed: tests/run does it");
}

/// Ends a test that `tests/quick` runs and that needs more than it may: it is to be named there.
pub(crate) fn assert_not_quick(what: &str) {
    assert!(env::var_os("SPRINGHEAD_TEST_QUICK").is_none(), "a quick test may not need {what}: name it in tests/quick");
}

/// What `tests/run` keeps in target/test-tools, unless this variable says where else it is.
pub(crate) fn kept(variable: &str, place: &str) -> PathBuf {
    assert_not_quick(place);
    let installed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools").join(place);
    let path = env::var_os(variable).map_or_else(installed, PathBuf::from);
    assert!(path.exists(), "{} is not there: tests/run installs it", path.display());
    path
}

/// What is only tried where this variable names it. tests/optional lists it with the tests that pass without it, and `tests/run` says so.
pub(crate) fn optional(variable: &str) -> Option<PathBuf> {
    let list = include_str!("../optional");
    assert!(list.lines().any(|line| line.split_whitespace().next() == Some(variable)), "tests/optional does not list {variable}");
    let path = PathBuf::from(env::var_os(variable)?);
    assert!(path.exists(), "{variable} names {}, which is not there", path.display());
    Some(path)
}

/// Whether this is root, to whom some programs are more particular.
pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// Mounts a file system. Who may not has to leave such a test out by its name.
pub(crate) fn mount(arguments: &[&OsStr]) {
    assert_not_quick("root");
    let mounted = Command::new("mount").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&mounted.stderr).into_owned();
    assert!(mounted.status.success(), "this test mounts a file system: run it as root, or leave it out with --skip; {said}");
}

/// The opposite; whether it is done.
pub(crate) fn unmount(arguments: &[&OsStr]) -> bool {
    Command::new("umount").args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
