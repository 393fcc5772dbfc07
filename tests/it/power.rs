//! What a power cut leaves: the order of writes as the kernel sees it, and a file system that is cut off in the middle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use crate::durable::{body, files, push, start};
use crate::harness::{BINARY, Origin, bytes, eventually};
use crate::programs::{self, program};

/// A system call, in the order in which it ended.
#[derive(Debug)]
struct Call {
    name: String,
    arguments: String,
    result: i64,
}

/// Puts the lines of `strace -f` together: a call that another thread interrupts stands in two of them.
fn calls(text: &str) -> Vec<Call> {
    let mut open: BTreeMap<&str, String> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let whole = if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            open.insert(thread, begun.to_owned());
            continue;
        } else if let Some((_, end)) = rest.split_once(" resumed>").filter(|_| rest.starts_with("<... ")) {
            open.remove(thread).unwrap_or_default() + end
        } else {
            rest.to_owned()
        };
        let Some((name, rest)) = whole.split_once('(') else { continue };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { continue };
        let result = result.split_whitespace().next().and_then(|text| text.split('<').next()?.parse().ok()).unwrap_or(-1);
        calls.push(Call { name: name.to_owned(), arguments: arguments.trim_end().to_owned(), result });
    }
    calls
}

/// The file of a descriptor, as `strace -y` shows it: `7</a/b>`.
fn file(call: &Call) -> Option<&Path> {
    let (_, rest) = call.arguments.split_once('<')?;
    Some(Path::new(rest.split_once('>')?.0))
}

/// What is in quotes.
fn quoted(call: &Call) -> Vec<&str> {
    call.arguments.split('"').skip(1).step_by(2).collect()
}

#[test]
fn an_upload_is_acknowledged_after_what_a_power_cut_needs() {
    let (mut origin, _folder) = start("ack = \"durable\"\n");
    let trace = origin.folder().join("trace.txt");
    let traced = program("strace").args(["-qq", "-o", "/dev/null", "true"]).status().unwrap();
    assert!(traced.success(), "strace may not trace here: leave this test out with --skip");
    origin.stop();
    // From its first call on, so that the folders it makes are seen as well.
    let watched = "trace=fsync,fdatasync,rename,renameat,renameat2,write,writev,sendto,sendmsg";
    // The tracer aside, so that signals reach the server.
    origin.launch_under(&["strace", "-D", "-f", "-y", "-q", "-s", "64", "-e", watched, "-o", trace.to_str().unwrap()]);
    let keys: Vec<String> = (0..12).map(|n| format!("live/{}/{n}.ts", n % 3)).collect();
    for (n, key) in (0..).zip(&keys) {
        origin.store(key, bytes(n, 30_000));
    }
    origin.stop();
    let ended = || fs::read_to_string(&trace).ok().filter(|text| text.trim_end().ends_with("+++ exited with 0 +++"));
    let text = eventually(Duration::from_secs(10), ended).expect("the trace ends");
    let calls = calls(&text);
    let data = origin.data_dir();
    let (bodies, attributes) = (data.join("objects/live-origin"), data.join("objects/.meta/live-origin"));
    let mut synced: BTreeSet<PathBuf> = BTreeSet::new();
    // Where a synced file went, step by step; and what has a synced name.
    let mut moved: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut placed: BTreeSet<PathBuf> = BTreeSet::new();
    let mut safe: BTreeSet<PathBuf> = BTreeSet::new();
    let mut acknowledged = 0;
    for call in &calls {
        match &*call.name {
            "fsync" | "fdatasync" if call.result == 0 => {
                let path = file(call).unwrap().to_owned();
                safe.extend(placed.iter().filter(|file| file.parent() == Some(&path)).cloned());
                synced.insert(path);
            }
            "rename" | "renameat" | "renameat2" if call.result == 0 => {
                let names = quoted(call);
                let [from, to] = [names[0], names[1]].map(PathBuf::from);
                let first = moved.get(&from).unwrap_or(&from).clone();
                if to.starts_with(&bodies) || to.starts_with(&attributes) {
                    assert!(synced.contains(&first), "{} was put in its place before it was synced", first.display());
                    placed.insert(to.clone());
                }
                moved.insert(to, first);
            }
            "write" | "writev" | "sendto" | "sendmsg" if call.arguments.contains("HTTP/1.1 204") => {
                let key = &keys[acknowledged];
                for path in [bodies.join(key), attributes.join(format!("{key}.json"))] {
                    assert!(safe.contains(&path), "{key} was acknowledged before the name of {} was synced", path.display());
                    for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with(&data)) {
                        assert!(synced.contains(folder), "the name of what is in {} was never synced", folder.display());
                    }
                }
                acknowledged += 1;
            }
            _ => {}
        }
    }
    assert_eq!(acknowledged, keys.len(), "every answer was seen");
}

/// Of a command by itself, so that nothing else is seen.
#[test]
fn a_recordings_files_have_their_names_when_their_bytes_are_there_for_good() {
    let origin = Origin::start();
    let names: Vec<String> = (0..4).map(|number| format!("{number}.ts")).collect();
    names.iter().for_each(|name| origin.store(name, name.clone()));
    let listed: String = names.iter().map(|name| format!("#EXTINF:2,\n{name}\n")).collect();
    origin.store("p.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{listed}#EXT-X-ENDLIST\n"));
    origin.store("m.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\np.m3u8\n");
    let folder = fs::canonicalize(origin.folder()).unwrap();
    let (trace, out) = (folder.join("trace.txt"), folder.join("clips/one"));
    let watched = "trace=fsync,fdatasync,rename,renameat,renameat2";
    let mut command = program("strace");
    command.args(["-f", "-y", "-q", "-e", watched, "-o", trace.to_str().unwrap(), BINARY, "harvest"]);
    command.args([&*format!("http://{}", origin.address), "--playlist", "m.m3u8", "--out", out.to_str().unwrap()]);
    assert!(command.env("SPRINGHEAD_KEY", &origin.player).status().unwrap().success());
    let calls = calls(&fs::read_to_string(&trace).unwrap());
    let mut synced: BTreeSet<PathBuf> = BTreeSet::new();
    let (mut placed, mut open) = (0, BTreeSet::new());
    for call in calls.iter().filter(|call| call.result == 0) {
        if call.name.starts_with("rename") {
            let names = quoted(call);
            assert!(synced.contains(Path::new(names[0])), "{call:?}: its bytes may be lost");
            let place = Path::new(names[1]);
            assert!(!place.ends_with("master.m3u8") || open.is_empty(), "{open:?} may be lost, and all seem to be there");
            open.insert(place.parent().unwrap().to_owned());
            placed += usize::from(place.starts_with(&out));
        } else {
            let path = file(call).unwrap().to_owned();
            open.remove(&path);
            synced.insert(path);
        }
    }
    // The segments, two playlists, and what is remembered: before there is anything, and with the plan.
    assert_eq!((placed, open), (8, BTreeSet::new()));
    assert!(synced.contains(&folder) && synced.contains(&folder.join("clips")), "{synced:?}");
}

/// An ext4 file system in a file, mounted.
struct Image {
    image: PathBuf,
    folder: PathBuf,
}

impl Image {
    fn make(image: PathBuf, folder: PathBuf) -> Self {
        fs::File::create(&image).unwrap().set_len(128 << 20).unwrap();
        let made = program("mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap();
        assert!(made.success(), "mkfs.ext4 makes a file system");
        let image = Self { image, folder };
        image.mount();
        image
    }

    fn mount(&self) {
        programs::mount(&["-o".as_ref(), "loop".as_ref(), self.image.as_os_str(), self.folder.as_os_str()]);
    }

    /// From here on nothing reaches the image any more, its own journal included: what was not synced is lost.
    fn cut(&self) {
        // EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, see fs/ext4/ext4.h of Linux.
        let script = "import fcntl, os, struct, sys\n\
                      fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
        assert!(program("python3").args(["-c", script]).arg(&self.folder).status().unwrap().success());
    }

    fn unmount(&self) {
        let gone = || programs::unmount(&[self.folder.as_os_str()]).then_some(());
        eventually(Duration::from_secs(10), gone).expect("it can be unmounted");
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        programs::unmount(&["-l".as_ref(), self.folder.as_os_str()]);
    }
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged_as_durable() {
    let (mut origin, folder) = start("ack = \"durable\"\nhot_capacity = \"4MiB\"\nmax_object_size = \"1MiB\"\n");
    origin.stop();
    let disk = Image::make(folder.path().join("image"), origin.data_dir().join("objects"));
    origin.launch();
    let (acknowledged, list) = (Mutex::new(Vec::new()), Mutex::new((0, 0)));
    let rounds = 5;
    for round in 0..rounds {
        let stop = AtomicBool::new(false);
        let safe = Mutex::new(0);
        thread::scope(|scope| {
            scope.spawn(|| push(&origin, round, &stop, &acknowledged, &list));
            thread::sleep(Duration::from_millis(400 + round * 173));
            disk.cut();
            // What is acknowledged from now on is not on this disk, or it is a fault: the server goes at once, and what it answers
            // in between is looked at as well.
            origin.signal("KILL");
            stop.store(true, Ordering::SeqCst);
            *safe.lock() = acknowledged.lock().len();
        });
        origin.wait();
        disk.unmount();
        disk.mount();
        origin.launch();
        let all = acknowledged.lock();
        for (key, seed, _) in all.iter() {
            let answer = origin.get(key);
            assert!(answer.status == 200 && answer.body == body(*seed), "round {round}: {key}: {}", answer.status);
        }
        let (safe, tried) = *list.lock();
        if safe > 0 {
            let text = origin.get("live/index.m3u8").text();
            let found: u64 = text.trim_end().rsplit('#').next().unwrap().parse().unwrap_or_else(|_| panic!("torn: {text:?}"));
            assert!((safe..=tried).contains(&found), "round {round}: {found}, acknowledged {safe}, tried {tried}");
            list.lock().0 = found;
        }
    }
    let checked = acknowledged.lock().len();
    eprintln!("{checked} objects are there after {rounds} power cuts");
    assert!(checked as u64 > rounds * 5);
    origin.wait_for_log("everything in the durable tier is known");
    assert!(files(&origin.data_dir().join("objects/.new")).is_empty(), "what was half-written is gone");
    origin.stop();
}
