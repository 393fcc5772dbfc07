//! `springhead config check`: the settings file, whether the machine has what it asks for, and what a start with it would open.

use std::fs::{self, Metadata};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::args::Args;
use super::certificates::Certificates;
use super::data_dir::DataDir;
use super::resources::{Resources, is_writable};
use super::settings::{AccessLogOutput, Loaded, Settings};
use super::shell::quote;
use super::{Failure, buckets, complain, print, viewer_key};
use crate::auth::signing::random;
use crate::model::clock::Clock;
use crate::origin::policy::{NamespacePolicy, PairPolicy};
use crate::store::{Durable, cold};

/// What is to be checked, and how far.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The file.
    #[arg(env = "SPRINGHEAD_CONFIG")]
    pub(super) file: PathBuf,
    /// Judge the text alone: heed no variable, open no certificate and look at no folder, as where the file is made for another machine.
    #[arg(long)]
    pub(super) text_only: bool,
    /// Also ask the buckets whether they are there and let this server in, with the credentials of this environment.
    #[arg(long, conflicts_with = "text_only")]
    pub(super) reach: bool,
}

/// Checks settings that have been read already. What would keep a start from succeeding is a failure, all of it in one run; what is
/// only odd is a warning, and so is what is to be said of the environment.
pub(super) fn run(loaded: Loaded, args: &CheckArgs, of_environment: Vec<String>) -> Result<(), Failure> {
    let Loaded { mut settings, contradicted, .. } = loaded;
    let mut found = CheckResult { warnings: [contradicted, of_environment].concat(), ..CheckResult::default() };
    found.warnings.extend(Resources::read(&settings.data_dir).fit(&mut settings));
    look(&settings, &mut found);
    if args.reach {
        reach(&settings, &mut found)?;
    }
    for warning in &found.warnings {
        complain(&format!("warning: {warning}"));
    }
    if !found.faults.is_empty() {
        return Err(anyhow!("{}\na start with this file would fail", found.faults.join("\n")).into());
    }
    let file = args.file.display();
    Ok(print(&match found.warnings.len() {
        0 => format!("{file}: good"),
        1 => format!("{file}: a start with it would succeed; mind the warning"),
        count => format!("{file}: a start with it would succeed; mind the {count} warnings"),
    })?)
}

#[derive(Debug, Default)]
struct CheckResult {
    faults: Vec<String>,
    warnings: Vec<String>,
}

/// Opens what a start opens, and leaves all as it was.
fn look(settings: &Settings, found: &mut CheckResult) {
    match Certificates::load(&settings.tls) {
        Ok(None) => {}
        Ok(Some(certificates)) => {
            if certificates.tls().expires() <= Clock::system().wall() {
                found.warnings.push("tls.certificate has ended: clients refuse it".to_owned());
            }
        }
        Err(error) => found.faults.push(format!("{error:#}")),
    }
    match Certificates::of_admin(&settings.admin_tls) {
        Ok(None) => {}
        Ok(Some(certificates)) => {
            if certificates.tls().expires() <= Clock::system().wall() {
                found.warnings.push("admin_tls.certificate has ended: browsers and scripts refuse it".to_owned());
            }
        }
        Err(error) => found.faults.push(format!("{error:#}")),
    }
    let (faults, warnings) = viewer_key::check(settings);
    found.faults.extend(faults);
    found.warnings.extend(warnings);
    signing_keys(&DataDir::new(&settings.data_dir), found);
    data_dir(&settings.data_dir, found);
    addresses(settings, found);
    engine_files(settings, found);
    found.warnings.extend(unread_by_the_server(settings));
    of_no_use(settings, found);
    unbounded(settings, found);
    if let AccessLogOutput::File(file) = &settings.access_log.output {
        match file.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }) {
            Some(folder) if !folder.is_dir() => {
                found.faults.push(format!("access_log.output: there is no folder {}", folder.display()));
            }
            _ => {}
        }
    }
    found.warnings.extend(harvest_folder(settings));
}

/// The signing keys that a start would read. Where there are none, it makes one.
fn signing_keys(data: &DataDir, found: &mut CheckResult) {
    let Err(error) = (if data.lacks_signing_key() { Ok(()) } else { data.key_ring(false).map(drop) }) else { return };
    let is_denied = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    // The server may be another user, whose file it is.
    if error.downcast_ref().is_some_and(is_denied) {
        found.warnings.push(format!("{error:#}; can the server's user?"));
    } else {
        found.faults.push(format!("{error:#}"));
    }
}

/// What a start writes to in the data directory, where it is there.
const WRITTEN: [&str; 12] = [
    "lock",
    "keys",
    "revoked",
    "namespaces",
    "audit",
    "audit/audit.jsonl",
    "events",
    "events/events.jsonl",
    "harvests",
    "harvests/harvests.jsonl",
    "history",
    "objects",
];

/// Whether a start could make the data directory, or write in the one there is. Nothing is left of the attempt.
fn data_dir(data_dir: &Path, found: &mut CheckResult) {
    let Some(place) = nearest(data_dir) else { return };
    let shown = place.display();
    let (Ok(owner), Ok(process)) = (fs::metadata(place), fs::metadata("/proc/self")) else { return };
    // Whose it is runs the server, as a rule.
    let mut say = |said: String, advice: &str| {
        if owner.uid() == process.uid() {
            found.faults.push(format!("{said}{advice}"));
        } else {
            found.warnings.push(format!("{said}; can the server's?"));
        }
    };
    if !owner.is_dir() {
        let said = if place == data_dir { "is no folder".to_owned() } else { format!("can't be made, for {shown} is no folder") };
        found.faults.push(format!("data_dir: {} {said}", data_dir.display()));
    } else if place != data_dir {
        // Whether a folder can be made no mode tells: some file systems, as /proc, take none.
        let attempt = place.join(format!(".springhead-check-{:032x}", u128::from_le_bytes(random())));
        match fs::create_dir(&attempt) {
            Ok(()) => drop(fs::remove_dir(&attempt)),
            Err(error) => say(format!("data_dir: this user can't make a folder in {shown} ({error})"), ": name another one"),
        }
    } else if !is_writable(place) {
        say(format!("data_dir: this user can't write to {shown}"), ": 'chmod u+rwx' opens it, or name another one");
    } else {
        let there = WRITTEN.iter().filter_map(|name| Some((*name, fs::symlink_metadata(place.join(name)).ok()?)));
        let there: Vec<_> = there.collect();
        let closed: Vec<_> = there.iter().map(|(name, _)| *name).filter(|name| !is_writable(&place.join(name))).collect();
        let of_root: Vec<_> = there.iter().filter(|(_, found)| found.uid() == 0).map(|(name, _)| *name).collect();
        let spelled = place.display().to_string();
        let in_shell = quote(&spelled);
        let give = format!("\"chown -R --reference={in_shell} {in_shell}\" as root gives them to it");
        if !closed.is_empty() {
            let said = format!("data_dir: this user can't write to what is there of {}, in {shown}", closed.join(", "));
            say(said, &format!(": they may be those of a server that another user has started; {give}"));
        } else if process.uid() == 0 && owner.uid() != 0 && !of_root.is_empty() {
            found.warnings.push(format!(
                "data_dir: {} in {shown} belong to root, and the directory to the user with the id {}: a server of that user can't write to them; \
                 {give}",
                of_root.join(", "),
                owner.uid()
            ));
        }
    }
}

/// Each address is listened on once; port 0 is another one each time.
fn addresses(settings: &Settings, found: &mut CheckResult) {
    let of = |key: &'static str, list: &[SocketAddr]| list.iter().map(|address| (key, *address)).collect::<Vec<_>>();
    let all =
        [of("listen", &settings.listen), of("tls.listen", &settings.tls.listen), of("admin_listen", &[settings.admin_listen])];
    let all = all.concat();
    for (index, (key, address)) in all.iter().enumerate().filter(|(_, (_, address))| address.port() != 0) {
        let Some((other, _)) = all.iter().take(index).find(|(_, other)| other == address) else { continue };
        let said = format!("{key}: {address} is in {other} as well, and an address is listened on once");
        // There the system lets both have it, and gives connections to either.
        if settings.reuse_port { found.warnings.push(said) } else { found.faults.push(said) }
    }
}

/// What a start reads to speak to the engine.
fn engine_files(settings: &Settings, found: &mut CheckResult) {
    let cluster = &settings.cluster;
    let files = [("cluster.ca", &cluster.ca), ("cluster.password_file", &cluster.password_file)];
    for (key, file) in files.into_iter().filter(|_| cluster.engine.is_some()) {
        let Some(Err(error)) = file.as_ref().map(fs::read) else { continue };
        let file = file.as_deref().unwrap_or(Path::new("")).display();
        // The server may be another user, whose file it is.
        if error.kind() == io::ErrorKind::PermissionDenied {
            found.warnings.push(format!("{key}: this user can't read {file}: {error}; can the server's?"));
        } else {
            found.faults.push(format!("{key}: can't read {file}: {error}"));
        }
    }
}

/// Files that root, who asks, can read, and whose the data directory is can't: the server is that user, as a rule.
fn unread_by_the_server(settings: &Settings) -> Vec<String> {
    let Ok(server) = fs::metadata(&settings.data_dir) else { return Vec::new() };
    if server.uid() == 0 || fs::metadata("/proc/self").map_or(true, |process| process.uid() != 0) {
        return Vec::new();
    }
    let Settings { tls, admin_tls, cluster, .. } = settings;
    let files = [
        ("tls.certificate", &tls.certificate),
        ("tls.key", &tls.key),
        ("tls.client_ca", &tls.client_ca),
        ("admin_tls.certificate", &admin_tls.certificate),
        ("admin_tls.key", &admin_tls.key),
        ("cluster.ca", &cluster.ca),
        ("cluster.password_file", &cluster.password_file),
    ];
    let closed = |(key, file): (&str, &Option<PathBuf>)| {
        let place = closed_to(&server, file.as_deref()?)?;
        let (place, uid) = (place.display(), server.uid());
        Some(format!(
            "{key}: the user with the id {uid}, whose the data directory is, has no way into {place}; can the server's? Give it a copy of its \
             own, renewed with the certificate (docs/operating.md)"
        ))
    };
    files.into_iter().filter_map(closed).collect()
}

/// The file, or the folder on its way, that keeps a user out. What a group may that is not root's is not known of a user who may be in it.
fn closed_to(user: &Metadata, file: &Path) -> Option<PathBuf> {
    let lets_in = |path: &Path, right: u32| {
        fs::metadata(path).map_or(true, |place| {
            let mode = match place.mode() {
                mode if place.uid() == user.uid() => mode >> 6,
                mode if place.gid() == 0 => mode,
                mode => mode | (mode >> 3),
            };
            mode & right != 0
        })
    };
    let (real, absolute) = (fs::canonicalize(file).ok()?, std::path::absolute(file).ok()?);
    let folders = [&absolute, &real].into_iter().flat_map(|file| file.ancestors().skip(1));
    let closed = folders.filter(|folder| !lets_in(folder, 0o1)).last().map(Path::to_owned);
    closed.or_else(|| (!lets_in(&real, 0o4)).then_some(real))
}

/// What is said and does nothing.
fn of_no_use(settings: &Settings, found: &mut CheckResult) {
    let cluster = &settings.cluster;
    let lone = |key: &str, lacks: &str| format!("{key} does nothing without {lacks}");
    if settings.tls.listen.is_empty() && settings.tls.certificate.is_some() {
        found.warnings.push(lone("tls.certificate", "tls.listen"));
    }
    for (key, is_said) in [
        ("cluster.node", cluster.node.is_some()),
        ("cluster.user", cluster.user.is_some()),
        ("cluster.password_file", cluster.password_file.is_some()),
    ] {
        if is_said && cluster.engine.is_none() {
            found.warnings.push(lone(key, "cluster.engine"));
        }
    }
    for (name, policy) in &settings.namespaces {
        if policy.shared_capacity.is_some() && cluster.engine.is_none() {
            found.warnings.push(lone(&format!("namespaces.{name}.shared_capacity"), "cluster.engine"));
        }
        let bounds_bucket = policy.durable_capacity != NamespacePolicy::default().durable_capacity;
        if bounds_bucket && cluster.engine.is_some() && matches!(policy.durable, Durable::Bucket(_)) {
            found.warnings.push(format!(
                "namespaces.{name}.durable_capacity does nothing where nodes share: the bucket below them keeps all until its TTL is over"
            ));
        }
        for (index, pair) in policy.pairs.iter().enumerate() {
            if !pair.prefers_first && pair.return_after != PairPolicy::default().return_after {
                found.warnings.push(lone(&format!("namespaces.{name}.pairs.{}.return_after", index + 1), "prefer = \"first\""));
            }
        }
    }
}

/// Namespaces that may fill the engine: others lose what they have there then, and where no other makes room, uploads are refused.
fn unbounded(settings: &Settings, found: &mut CheckResult) {
    if settings.cluster.engine.is_none() {
        return;
    }
    let bounded = |(_, policy): &(_, &NamespacePolicy)| policy.shared_capacity.is_some();
    let (with, without): (Vec<_>, Vec<_>) = settings.namespaces.iter().partition(bounded);
    let then = match with.first() {
        Some((neighbour, _)) => {
            format!("others, as {neighbour}, remove what is theirs then, and leave it the room. Give it one too")
        }
        None => "uploads are refused then, until something expires. Give each namespace one; the engine's maxmemory is to be 1.3 times the \
                 sum of all"
            .to_owned(),
    };
    for (name, _) in without {
        found.warnings.push(format!("namespaces.{name} has no shared_capacity, and may fill the engine; {then}"));
    }
}

/// What is to be said of the folder for recordings: it is opened when the first one is ordered.
pub(super) fn harvest_folder(settings: &Settings) -> Option<String> {
    let folder = settings.harvest.folder.as_deref()?;
    let shown = folder.display();
    if !folder.exists() {
        Some(format!("harvest.folder: there is no {shown}: orders to record fail until it is made"))
    } else if !folder.is_dir() || !is_writable(folder) {
        Some(format!("harvest.folder: {shown} is no folder that this user can write to: orders to record fail"))
    } else {
        None
    }
}

/// The path, or what there is of it.
fn nearest(path: &Path) -> Option<&Path> {
    let parts = path.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    parts.into_iter().find(|path| path.exists())
}

/// Asks each bucket for a listing, as a start does.
fn reach(settings: &Settings, found: &mut CheckResult) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start")?;
    let access = buckets::access();
    for (name, policy) in &settings.namespaces {
        let Durable::Bucket(url) = &policy.durable else { continue };
        let objects = settings.data_dir.join("objects");
        let asked = runtime.block_on(async {
            let (clock, readers) = (Clock::system(), settings.object_readers);
            let turns = cold::DiskTurns::new(clock.clone());
            let bucket: Arc<dyn cold::Cold> = cold::open(&policy.durable, &objects, name, &access, &clock, readers, &turns)?;
            bucket.probe().await
        });
        match asked {
            Ok(()) => print(&format!("namespaces.{name}.durable: {url} answers"))?,
            Err(error) => found.faults.push(format!("namespaces.{name}.durable: {url}: {error}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::settings::read_text;

    #[test]
    fn what_is_shown_of_several_nodes_bounds_what_their_engine_holds() {
        let warnings = |text: &str| {
            let mut found = CheckResult::default();
            unbounded(&read_text(text).unwrap(), &mut found);
            found.warnings
        };
        let recipe = include_str!("../../deploy/compose/cluster/springhead.toml");
        let page = include_str!("../../docs/several-nodes.md").split("```").nth(1).and_then(|block| block.strip_prefix("toml"));
        for text in [recipe, page.expect("docs/several-nodes.md begins with settings")] {
            assert_eq!(warnings(text), Vec::<String>::new(), "{text}");
            let without: Vec<_> = text.lines().filter(|line| !line.starts_with("shared_capacity")).collect();
            let said = warnings(&without.join("\n"));
            assert!(
                said.len() == 1 && said[0].contains("no shared_capacity") && said[0].contains("uploads are refused then"),
                "{said:?}"
            );
        }
    }
}
