//! Harvests of an origin in this process, run again when it has less: into folders and into buckets.

use std::time::Duration;

use super::room::{ListLimits, long_turns};
use super::sink::LocalFolder;
use super::source::Inside;
use super::window::HarvestWindow;
use super::*;
use crate::auth::grant::{Grant, KeyId, Role, Scope};
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::model::id::{Key, Namespace, ObjectId};
use crate::origin::policy::NamespacePolicy;
use crate::origin::{Origin, PutSpec};

/// How long what is about to expire lives, and everything else.
const BRIEFLY: u64 = 600;
const LONG: u64 = 36_000;

struct Recorded {
    clock: Clock,
    origin: Origin,
    name: Namespace,
}

impl Recorded {
    fn new() -> Self {
        let (clock, name) = (Clock::manual(), Namespace::parse("live").unwrap());
        let namespaces = [(name.clone(), NamespacePolicy::default())];
        let origin = Origin::new(namespaces, 1 << 30, clock.clone(), &Arc::new(Metrics::new()));
        Self { clock, origin, name }
    }

    fn object(&self, key: &str) -> ObjectId {
        ObjectId { namespace: self.name.clone(), key: Key::parse(key).unwrap() }
    }

    fn grant(&self, role: Role) -> Grant {
        let scope = Scope::Only(vec![self.name.clone()]);
        Grant { key_id: KeyId::parse("k").unwrap(), role, scope, prefix: None, paths: None, is_edge: false, ends: None }
    }

    async fn put(&self, key: &str, body: &str, ttl_seconds: u64) {
        let spec = PutSpec { ttl_seconds: Some(ttl_seconds), ..PutSpec::default() };
        let (namespace, stamp) = (self.origin.namespace(&self.name), self.origin.stamp());
        let mut upload = namespace.put(&self.grant(Role::Readwrite), &self.object(key), stamp, spec).await.unwrap();
        upload.write(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        upload.commit().await.unwrap();
    }

    /// Stores segments, the first of which expire soon, and a list of them.
    async fn put_rendition(&self, playlist: &str, segments: &[&str], brief: usize) {
        let folder = playlist.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
        for (number, name) in segments.iter().enumerate() {
            let ttl = if number < brief { BRIEFLY } else { LONG };
            self.put(&format!("{folder}/{name}"), &format!("media {name}"), ttl).await;
            list += &format!("#EXTINF:2,\n{name}\n");
        }
        self.put(playlist, &format!("{list}#EXT-X-ENDLIST\n"), LONG).await;
    }

    /// Runs the same harvest, of all there is, by what is there now.
    async fn harvest(&self, sink: &Sink, playlist: &str) -> (anyhow::Result<String>, Arc<CopyCounts>) {
        self.harvest_in(&mut ListRoom::boundless(), sink, playlist).await
    }

    async fn harvest_in(
        &self,
        room: &mut ListRoom<'_>,
        sink: &Sink,
        playlist: &str,
    ) -> (anyhow::Result<String>, Arc<CopyCounts>) {
        let counts = Arc::new(CopyCounts::default());
        let work = async {
            let asked = HarvestWindow::default();
            let record = HarvestRecord::new(format!("live/{playlist}"), &asked, asked.window(self.clock.wall()).unwrap());
            let resumed = resume(sink, record, false, |_| true, room).await?;
            let window = window::parse(&resumed.record.window).unwrap();
            let (origin, grant) = (self.origin.clone(), self.grant(Role::Readonly));
            let inside = Inside { origin, grant, entry: self.object(playlist), window };
            let counts = Arc::clone(&counts);
            let harvest = Harvest { source: Source::Inside(inside), sink: sink.clone(), keys: false, counts };
            let url = Url::parse(&format!("{NOWHERE}cache/live/{playlist}")).unwrap();
            harvest.copy(harvest.prepare(&url, resumed, room).await?).await
        };
        (work.await, counts)
    }

    /// Lets what is brief expire.
    fn wait(&self) {
        self.clock.advance(Duration::from_secs(BRIEFLY + 1));
    }
}

fn sinks(folder: &tempfile::TempDir) -> [Sink; 2] {
    let bucket = store::Folder::open(&store::Location::memory(), &store::Access::default(), BUCKET_WITHIN).unwrap();
    [Sink::Folder(LocalFolder::new(folder.path(), "a/b")), Sink::Bucket { folder: bucket, url: "memory".to_owned() }]
}

async fn text(sink: &Sink, name: &str) -> String {
    String::from_utf8(sink.read(name).await.unwrap().unwrap_or_default().to_vec()).unwrap()
}

fn counted(counts: &CopyCounts) -> [u64; 4] {
    [&counts.total, &counts.copied, &counts.kept, &counts.gaps].map(CopyCounts::read)
}

const MASTER_TEXT: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhi/p.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nlo/p.m3u8\n";

#[tokio::test]
async fn what_the_source_has_lost_is_no_less_of_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    for sink in sinks(&folder) {
        let world = Recorded::new();
        world.put_rendition("ch/hi/p.m3u8", &["1.ts", "2.ts", "3.ts", "4.ts"], 2).await;
        world.put_rendition("ch/lo/p.m3u8", &["1.ts", "2.ts", "3.ts", "4.ts"], 4).await;
        world.put("ch/m.m3u8", MASTER_TEXT, LONG).await;
        world.clock.advance(Duration::from_secs(30));
        let (done, counts) = world.harvest(&sink, "ch/m.m3u8").await;
        assert_eq!((done.unwrap().as_str(), counted(&counts)), (MASTER, [8, 8, 0, 0]));
        let names = [MASTER, "0/playlist.m3u8", "1/playlist.m3u8"];
        let texts = [text(&sink, names[0]).await, text(&sink, names[1]).await, text(&sink, names[2]).await];
        assert_eq!(recording::segments(&texts[1]) + recording::segments(&texts[2]), 8);
        // The beginning of one has expired and all of the other, and then all.
        for more in [BRIEFLY, LONG] {
            world.clock.advance(Duration::from_secs(more));
            let (done, counts) = world.harvest(&sink, "ch/m.m3u8").await;
            assert_eq!((done.unwrap().as_str(), counted(&counts)), (MASTER, [8, 0, 8, 0]));
            assert_eq!([text(&sink, names[0]).await, text(&sink, names[1]).await, text(&sink, names[2]).await], texts);
            assert!(counts.left_out.lock().is_empty());
        }
    }
}

#[tokio::test]
async fn what_was_broken_off_goes_on_with_gaps_for_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    for sink in sinks(&folder) {
        let world = Recorded::new();
        world.put_rendition("ch/hi/p.m3u8", &["1.ts", "2.ts", "3.ts", "4.ts"], 2).await;
        world.put_rendition("ch/lo/p.m3u8", &["1.ts", "2.ts"], 2).await;
        world.put("ch/m.m3u8", MASTER_TEXT, LONG).await;
        world.clock.advance(Duration::from_secs(30));
        world.harvest(&sink, "ch/m.m3u8").await.0.unwrap();
        let whole = text(&sink, "0/playlist.m3u8").await;
        // As it was when it was broken off: nothing of the second one.
        let lost = ["0/2.ts", "0/4.ts", "1/1.ts", "1/2.ts", "0/playlist.m3u8", "1/playlist.m3u8", MASTER];
        for name in lost {
            sink.delete(name).await.unwrap();
        }
        world.wait();
        let (done, counts) = world.harvest(&sink, "ch/m.m3u8").await;
        assert_eq!((done.unwrap().as_str(), counted(&counts)), (MASTER, [3, 1, 2, 1]));
        assert_eq!(text(&sink, "0/playlist.m3u8").await, whole.replace("\n2.ts", "\n#EXT-X-GAP\ngap"));
        assert_eq!(text(&sink, "0/4.ts").await, "media 4.ts");
        assert_eq!(text(&sink, MASTER).await, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n0/playlist.m3u8\n");
        assert_eq!(*counts.left_out.lock(), ["1/playlist.m3u8: nothing of it is to be had any more"]);
        // Of nothing there is no recording.
        for name in ["0/1.ts", "0/3.ts", "0/4.ts", "0/playlist.m3u8", MASTER] {
            sink.delete(name).await.unwrap();
        }
        sink.write("0/5.part", Bytes::new()).await.unwrap();
        world.clock.advance(Duration::from_secs(LONG));
        let failed = world.harvest(&sink, "ch/m.m3u8").await.0.unwrap_err().to_string();
        assert!(failed.contains("nothing to play") && text(&sink, MASTER).await.is_empty(), "{failed}");
    }
}

/// Of equal length, as the files of audio are.
#[tokio::test]
async fn a_files_name_never_stands_for_other_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for sink in sinks(&folder) {
        let world = Recorded::new();
        world.put_rendition("ch/p.m3u8", &["20/seg.ts", "21/seg.ts"], 1).await;
        world.clock.advance(Duration::from_secs(30));
        world.harvest(&sink, "ch/p.m3u8").await.0.unwrap();
        let list = text(&sink, PLAYLIST).await;
        world.wait();
        // What lies under the name of the first by now is something else, too.
        world.put("ch/20/seg.ts", "else! 20/seg.ts", LONG).await;
        let (done, counts) = world.harvest(&sink, "ch/p.m3u8").await;
        assert_eq!((done.unwrap().as_str(), text(&sink, PLAYLIST).await), (PLAYLIST, list));
        assert_eq!(counted(&counts)[2..], [2, 0]);
        let bytes = [text(&sink, "seg.ts").await, text(&sink, "seg-2.ts").await];
        assert_eq!(bytes, ["media 20/seg.ts", "media 21/seg.ts"]);
    }
}

#[tokio::test]
async fn what_a_version_before_has_copied_is_made_no_less() {
    let folder = tempfile::tempdir().unwrap();
    for sink in sinks(&folder) {
        let world = Recorded::new();
        world.put_rendition("ch/p.m3u8", &["1.ts", "2.ts", "3.ts"], 1).await;
        world.clock.advance(Duration::from_secs(30));
        world.harvest(&sink, "ch/p.m3u8").await.0.unwrap();
        let forget_plan = async || {
            let mut record: serde_json::Value = serde_json::from_str(&text(&sink, RECORD).await).unwrap();
            assert!(record.as_object_mut().unwrap().remove("plan").is_some());
            sink.write(RECORD, Bytes::from(record.to_string())).await.unwrap();
        };
        forget_plan().await;
        let (done, counts) = world.harvest(&sink, "ch/p.m3u8").await;
        assert_eq!((done.unwrap().as_str(), counted(&counts)), (PLAYLIST, [3, 3, 0, 0]), "nobody knows what was there");
        let list = text(&sink, PLAYLIST).await;
        forget_plan().await;
        world.wait();
        let failed = world.harvest(&sink, "ch/p.m3u8").await.0.unwrap_err().to_string();
        assert!(failed.contains("holds 3 segments, and 2"), "{failed}");
        assert_eq!((text(&sink, PLAYLIST).await, text(&sink, "1.ts").await), (list, "media 1.ts".to_owned()));
    }
}

/// Nothing of it is there before, and nothing after it was refused; and who waits does so for one of its kind alone.
#[tokio::test(start_paused = true)]
async fn a_server_makes_no_endless_list_and_few_long_ones() {
    let folder = tempfile::tempdir().unwrap();
    for sink in sinks(&folder) {
        let world = Recorded::new();
        world.put_rendition("ch/hi/p.m3u8", &["1.ts", "2.ts"], 0).await;
        world.put_rendition("ch/lo/p.m3u8", &["1.ts", "2.ts"], 0).await;
        world.put("ch/m.m3u8", MASTER_TEXT, LONG).await;
        world.clock.advance(Duration::from_secs(30));
        let turns = long_turns();
        let room = |short, most| ListRoom::of(&turns, &world.name, ListLimits { short, most });
        // One of them would do.
        let failed = world.harvest_in(&mut room(5_000, 5_000), &sink, "ch/m.m3u8").await.0.unwrap_err().to_string();
        assert!(failed.contains("more files than a server remembers") && failed.contains("`springhead harvest`"), "{failed}");
        assert!(!sink.lengths().await.unwrap().keys().any(|name| name != RECORD), "nothing was copied");
        let mut other = room(0, 0);
        other.wait().await;
        let (mut long, mut short) = (room(1_000, 20_000), room(20_000, 20_000));
        let mut waiting = Box::pin(world.harvest_in(&mut long, &sink, "ch/m.m3u8"));
        assert!(tokio::time::timeout(Duration::from_secs(60), &mut waiting).await.is_err(), "there is one already");
        let place = Sink::Folder(LocalFolder::new(folder.path(), "short"));
        let (done, counts) = world.harvest_in(&mut short, &place, "ch/hi/p.m3u8").await;
        assert_eq!(
            (done.unwrap().as_str(), counted(&counts)[1]),
            (PLAYLIST, if matches!(sink, Sink::Folder(_)) { 2 } else { 0 })
        );
        drop(other);
        let (done, counts) = waiting.await;
        assert_eq!((done.unwrap().as_str(), counted(&counts)), (MASTER, [4, 4, 0, 0]));
        drop(long);
        // What was written down before is as long.
        let mut other = room(0, 0);
        other.wait().await;
        let mut long = room(100, 20_000);
        let mut waiting = Box::pin(world.harvest_in(&mut long, &sink, "ch/m.m3u8"));
        assert!(tokio::time::timeout(Duration::from_secs(60), &mut waiting).await.is_err());
        drop(other);
        let (done, counts) = waiting.await;
        assert_eq!((done.unwrap().as_str(), counted(&counts)), (MASTER, [4, 0, 4, 0]));
    }
}
