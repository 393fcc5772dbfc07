//! What the machine gives this process: memory, descriptors, space on disk. Defaults are sized by it, and settings that do not fit are
//! told, with the number that does. The only module that knows rustix.

use std::fs;
use std::path::{Path, PathBuf};

use super::settings::Settings;
use crate::model::id::Namespace;
use crate::model::units::Size;
use crate::origin::policy::NamespacePolicy;
use crate::store::Durable;
use crate::web::ConnectionLimits;

/// What the process has before it stores anything: code, threads, tables, TLS.
const BASE: u64 = 40 << 20;
/// What an open connection takes: its buffers and what the runtime and the TLS library keep for it.
const CONNECTION: u64 = 12 << 10;
/// The least that uploads get by default.
const LEAST_IN_FLIGHT: u64 = 16 << 20;
/// Descriptors for everything that is no connection of the data listeners: key files, logs, histories, the admin listener; and for
/// each namespace's tier, up to a limit.
const FILES: u64 = 64;
const FILES_BY_NAMESPACE: u64 = 32;
const MOST_FILES: u64 = 512;

/// What there is. What can't be found out is not judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resources {
    memory: Option<Memory>,
    descriptors: Option<u64>,
    disk: Option<DiskLimit>,
}

/// The memory this process may use before the kernel ends it, and what says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Memory {
    bytes: u64,
    is_cgroup: bool,
}

/// The file system of the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DiskLimit {
    /// What objects may take of it.
    bytes: u64,
}

impl Resources {
    /// Looks at this process and at where its data directory is or would be.
    pub(super) fn read(data_dir: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let memory = memory(Path::new("/"), &text("/proc/self/cgroup"), &text("/proc/meminfo"));
        let limits = text("/proc/self/limits");
        let descriptors = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        // Soft and hard limit; the soft one is raised at a start. `unlimited` is no number.
        let descriptors = descriptors.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        Self { memory, descriptors, disk: disk(data_dir) }
    }

    /// Sizes what the settings leave to the machine, cuts the connections to what there are descriptors and memory for, and says what
    /// does not fit, each with what does.
    pub(super) fn fit(&self, settings: &mut Settings) -> Vec<String> {
        let mut said = Vec::new();
        self.fit_descriptors(settings, &mut said);
        if let Some(memory) = self.memory {
            memory.fit(settings, &mut said);
        }
        if let Some(disk) = self.disk {
            disk.judge(settings, &mut said);
        }
        said
    }

    fn fit_descriptors(&self, settings: &mut Settings, said: &mut Vec<String>) {
        let Some(limit) = self.descriptors else { return };
        let wanted = settings.connections.total as u64;
        let by_namespaces = FILES_BY_NAMESPACE * settings.namespaces.len() as u64;
        let reserve = (FILES + by_namespaces).min(MOST_FILES).min(limit / 2);
        let fits = |total: u64| total + ConnectionLimits::for_uploads(total) + reserve <= limit;
        if fits(wanted) {
            return;
        }
        // What is beside the total is a sixteenth of it at most, or a few.
        let total = (1..=limit.saturating_sub(reserve)).rev().find(|&total| fits(total)).unwrap_or(1);
        settings.connections.total = usize::try_from(total).unwrap_or(usize::MAX);
        said.push(format!(
            "connections.total is {wanted}, but this process may have {limit} descriptors (open files) only, and keeps {reserve} of them for \
             files and keys: {total} connections are taken. Raise the limit (LimitNOFILE=, ulimit -n, --ulimit nofile=), or set \
             connections.total = {total}"
        ));
    }
}

/// What a namespace of this hot capacity takes: its objects with the allocator's loss, and what may wait for its durable tier when it has
/// left the hot store.
fn taken(policy: &NamespacePolicy) -> u64 {
    let waiting = if policy.durable == Durable::Off { 0 } else { policy.tier_options().write_behind };
    policy.hot_capacity + policy.hot_capacity / 10 + waiting
}

/// The largest hot capacity that takes no more than `share`.
fn capacity_for(share: u64, policy: &NamespacePolicy) -> u64 {
    let (mut low, mut high) = (0, share);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if taken(&NamespacePolicy { hot_capacity: middle, ..policy.clone() }) <= share { low = middle } else { high = middle - 1 }
    }
    // Whole mebibytes: it is to be read, and written into settings.
    low & !((1 << 20) - 1)
}

impl Memory {
    fn fit(self, settings: &mut Settings, said: &mut Vec<String>) {
        let limit = self.bytes;
        let place = if self.is_cgroup { "the memory limit of this container or cgroup" } else { "this machine's memory" };
        let most = usize::try_from((limit / 8 / CONNECTION).max(64)).unwrap_or(usize::MAX);
        if settings.connections.total > most {
            let wanted = std::mem::replace(&mut settings.connections.total, most);
            said.push(format!(
                "connections.total is {wanted}, but {place} is {}: {most} connections are taken, so that they leave memory for objects. \
                 Give it more, or set connections.total = {most}",
                Size(limit)
            ));
        }
        let default_in_flight = settings.max_in_flight;
        if settings.auto.max_in_flight {
            let largest = settings.namespaces.values().map(|policy| policy.max_object_size).max().unwrap_or(0);
            settings.max_in_flight =
                ((limit / 8) & !((1 << 20) - 1)).clamp(LEAST_IN_FLIGHT, default_in_flight.max(LEAST_IN_FLIGHT)).max(largest);
        }
        let fixed = |settings: &Settings| BASE + settings.max_in_flight + settings.connections.total as u64 * CONNECTION;
        let is_auto = |settings: &Settings, name: &Namespace| settings.auto.hot_capacity.contains(name);
        let explicit: u64 =
            settings.namespaces.iter().filter(|(name, _)| !is_auto(settings, name)).map(|(_, policy)| taken(policy)).sum();
        let rest = limit.saturating_sub(fixed(settings) + explicit);
        let mut cut = Vec::new();
        let share = rest / (settings.auto.hot_capacity.len().max(1) as u64);
        for name in &settings.auto.hot_capacity {
            let Some(policy) = settings.namespaces.get_mut(name) else { continue };
            let fits = capacity_for(share, policy).max(policy.max_object_size);
            if fits < policy.hot_capacity {
                policy.hot_capacity = fits;
                cut.push(format!("{name}={}", Size(fits)));
            }
        }
        if !cut.is_empty() {
            said.push(format!(
                "{place} is {}: by default hot_capacity is smaller here ({}) and max_in_flight is {}, so that all of it fits. Give it more \
                 memory, or say yourself what each namespace gets",
                Size(limit),
                cut.join(", "),
                Size(settings.max_in_flight)
            ));
        }
        let wanted = fixed(settings) + settings.namespaces.values().map(taken).sum::<u64>();
        if wanted > limit {
            said.push(too_much(settings, wanted, limit, fixed(settings), place));
        }
    }
}

/// Says that the settings take more memory than there is, and what would fit.
fn too_much(settings: &Settings, wanted: u64, limit: u64, fixed: u64, place: &str) -> String {
    let capacities: u64 = settings.namespaces.values().map(|policy| policy.hot_capacity).sum();
    let rest = limit.saturating_sub(fixed);
    let advice: Vec<String> = settings
        .namespaces
        .iter()
        .filter_map(|(name, policy)| {
            // Each in proportion to what it was to have.
            let share = u64::try_from(u128::from(rest) * u128::from(policy.hot_capacity) / u128::from(capacities.max(1))).ok()?;
            let fits = capacity_for(share, policy);
            (fits >= policy.max_object_size).then(|| format!("--namespace {name}={}", Size(fits)))
        })
        .collect();
    let advice = if advice.len() == settings.namespaces.len() {
        format!("this would fit: {}", advice.join(" "))
    } else {
        "give it more memory, or fewer namespaces, a smaller max_object_size and max_in_flight, and fewer connections".to_owned()
    };
    format!(
        "these settings may take {} of memory (hot_capacity of all namespaces {} with a tenth more for the allocator, what waits for durable \
         tiers, max_in_flight {}, {} connections), but {place} is {}: when they are used the process is killed; {advice}",
        Size(round(wanted)),
        Size(capacities),
        Size(settings.max_in_flight),
        settings.connections.total,
        Size(limit)
    )
}

/// Whether this user may write there.
pub(super) fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// To whole mebibytes, up.
fn round(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20) << 20
}

impl DiskLimit {
    fn judge(self, settings: &Settings, said: &mut Vec<String>) {
        let on_disk = settings.namespaces.values().filter(|policy| policy.durable == Durable::Disk);
        let (wanted, count) = on_disk.fold((0, 0u64), |(sum, count), policy| (sum + policy.durable_capacity, count + 1));
        if wanted > self.bytes {
            let fits = (self.bytes / count.max(1) / 10 * 9) >> 20 << 20;
            said.push(format!(
                "durable_capacity of all namespaces is {} together, but the disk of {} has space for {} only: the oldest segments will go early. \
                 Give it more, or set durable_capacity = \"{}\" for each",
                Size(wanted),
                settings.data_dir.display(),
                Size(round(self.bytes)),
                Size(fits)
            ));
        }
    }
}

/// The least of what the control groups allow (version 1 and 2, all the way up) and of what the machine has.
fn memory(root: &Path, groups: &str, machine: &str) -> Option<Memory> {
    let total = machine.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let total = total.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map(|kib| kib << 10);
    let base = root.join("sys/fs/cgroup");
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (mounts, files): (&[PathBuf], &[&str]) = if controllers.is_empty() {
            (&[base.clone(), base.join("unified")], &["memory.max", "memory.high"])
        } else if controllers.split(',').any(|name| name == "memory") {
            (&[base.join("memory"), base.join(controllers)], &["memory.limit_in_bytes"])
        } else {
            continue;
        };
        for mount in mounts {
            // In a container the path may be that outside of it: its own group is then the mount itself.
            let mut folder = Some(Path::new(path.trim_start_matches('/')));
            while let Some(here) = folder {
                for file in files {
                    let limit =
                        fs::read_to_string(mount.join(here).join(file)).ok().and_then(|text| text.trim().parse::<u64>().ok());
                    least = [least, limit].into_iter().flatten().min();
                }
                folder = here.parent();
            }
        }
    }
    // Version 1 writes no limit as a number close to 2^63.
    match (least.filter(|limit| total.is_none_or(|total| *limit < total)), total) {
        (Some(bytes), _) if bytes < 1 << 60 => Some(Memory { bytes, is_cgroup: true }),
        (_, Some(bytes)) => Some(Memory { bytes, is_cgroup: false }),
        _ => None,
    }
}

/// The space for objects where the data directory is: all that is free, and where objects are there already all there is, because what
/// they take is theirs.
fn disk(data_dir: &Path) -> Option<DiskLimit> {
    let place = data_dir
        .ancestors()
        .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path })
        .find(|path| path.exists())?;
    // Some file systems, as /proc, do not say how large they are.
    let stat = rustix::fs::statvfs(place).ok().filter(|stat| stat.f_blocks > 0)?;
    let blocks = if data_dir.join("objects").exists() { stat.f_blocks } else { stat.f_bavail };
    Some(DiskLimit { bytes: blocks.saturating_mul(stat.f_frsize) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::settings::Auto;

    const MIB: u64 = 1 << 20;

    fn with(memory: u64) -> Resources {
        Resources { memory: Some(Memory { bytes: memory, is_cgroup: true }), ..Resources::default() }
    }

    fn capacities(settings: &Settings) -> Vec<u64> {
        settings.namespaces.values().map(|policy| policy.hot_capacity / MIB).collect()
    }

    fn wanted(settings: &Settings) -> u64 {
        let fixed = BASE + settings.max_in_flight + settings.connections.total as u64 * CONNECTION;
        fixed + settings.namespaces.values().map(taken).sum::<u64>()
    }

    #[test]
    fn the_defaults_fit_into_every_machine_that_has_room_for_an_object() {
        for memory in [160, 200, 256, 300, 512, 700, 1024, 1500, 2048] {
            let mut settings = Settings::default();
            let said = with(memory * MIB).fit(&mut settings);
            assert!(wanted(&settings) <= memory * MIB, "{memory} MiB: {} MiB, {settings:?}", wanted(&settings) / MIB);
            let is_told = said.iter().any(|line| line.contains("hot_capacity is smaller here"));
            assert_eq!(is_told, capacities(&settings)[0] < 1024, "{memory} MiB: {said:?}");
        }
        let mut settings = Settings::default();
        assert_eq!(with(4 << 30).fit(&mut settings), Vec::<String>::new());
        assert_eq!(settings, Settings::default(), "where there is enough, nothing is changed");
    }

    #[test]
    fn what_was_asked_for_is_not_changed_but_judged_with_what_fits() {
        let mut settings = Settings { auto: Auto::default(), ..Settings::default() };
        settings.connections.total = 100;
        settings.max_in_flight = 32 * MIB;
        for policy in settings.namespaces.values_mut() {
            policy.hot_capacity = 1 << 40;
        }
        let said = with(256 * MIB).fit(&mut settings);
        assert_eq!((said.len(), capacities(&settings)), (1, vec![1 << 20]), "{said:?}");
        let fits = said[0].split("--namespace live-origin=").nth(1).unwrap();
        for policy in settings.namespaces.values_mut() {
            policy.hot_capacity = crate::model::units::parse_size(fits).unwrap();
        }
        assert_eq!(with(256 * MIB).fit(&mut settings), Vec::<String>::new(), "the number that is told fits");
    }

    #[test]
    fn many_namespaces_share_what_there_is() {
        let mut settings = Settings::default();
        for number in 0..7 {
            let name = Namespace::parse(&format!("n{number}")).unwrap();
            settings.namespaces.insert(name.clone(), NamespacePolicy::default());
            settings.auto.hot_capacity.insert(name);
        }
        with(4 << 30).fit(&mut settings);
        let shares = capacities(&settings);
        assert!(shares.iter().all(|share| *share == shares[0] && *share > 200), "{shares:?}");
        assert!(wanted(&settings) <= 4 << 30);
    }

    #[test]
    fn descriptors_are_kept_for_files() {
        let mut settings = Settings::default();
        let few = Resources { descriptors: Some(256), ..Resources::default() };
        let said = few.fit(&mut settings);
        let total = settings.connections.total as u64;
        assert!(total >= 100 && total + ConnectionLimits::for_uploads(total) + 96 <= 256, "{total}");
        assert!(said.len() == 1 && said[0].contains("16384") && said[0].contains("256 descriptors"), "{said:?}");
        let mut settings = Settings::default();
        let enough = Resources { descriptors: Some(20_000), ..Resources::default() };
        assert_eq!((enough.fit(&mut settings), settings), (Vec::new(), Settings::default()));
        let mut settings = Settings::default();
        Resources { descriptors: Some(8), ..Resources::default() }.fit(&mut settings);
        assert!(settings.connections.total >= 1);
    }

    #[test]
    fn a_disk_that_is_too_small_is_told() {
        let mut settings = Settings::default();
        let small = Resources { disk: Some(DiskLimit { bytes: 5 << 30 }), ..Resources::default() };
        let said = small.fit(&mut settings);
        assert!(said.len() == 1 && said[0].contains("10GiB") && said[0].contains("durable_capacity = \"4608MiB\""), "{said:?}");
        let large = Resources { disk: Some(DiskLimit { bytes: 50 << 30 }), ..Resources::default() };
        assert_eq!(large.fit(&mut settings), Vec::<String>::new());
    }

    #[test]
    fn the_least_limit_of_all_groups_above_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join("sys/fs/cgroup").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let machine = "MemTotal:        4194304 kB\nMemFree: 1 kB\n";
        let read = |groups: &str| memory(root.path(), groups, machine);
        let of_the_machine = Some(Memory { bytes: 4 << 30, is_cgroup: false });
        assert_eq!(read("0::/\n"), of_the_machine);
        // Version 2, a service below a slice.
        write("a.slice/memory.max", "268435456\n");
        write("a.slice/b.service/memory.max", "max\n");
        assert_eq!(read("0::/a.slice/b.service\n"), Some(Memory { bytes: 256 * MIB, is_cgroup: true }));
        // Version 1, in a container that sees the path of the outside.
        write("memory/memory.limit_in_bytes", "134217728\n");
        assert_eq!(read("4:memory:/docker/0123\n1:cpu:/\n"), Some(Memory { bytes: 128 * MIB, is_cgroup: true }));
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(read("4:memory:/docker/0123\n"), of_the_machine);
        assert_eq!(memory(root.path(), "", ""), None);
    }

    #[test]
    fn this_machine_is_read() {
        let resources = Resources::read(Path::new("./no-such-folder/data"));
        assert!(resources.memory.is_some() && resources.disk.is_some_and(|disk| disk.bytes > 0), "{resources:?}");
    }
}
