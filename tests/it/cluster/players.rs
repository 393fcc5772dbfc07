//! A player in a real browser plays on while the engine's primary and two of three nodes die.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::kit::Cluster;
use crate::front::Front;
use crate::harness::Finally;
use crate::players::{Players, push_hls, send_until_taken, wait_for_segments};
use crate::turns::BrowserTurn;

/// A load balancer stands before the nodes, for encoder and players: where one does not answer another one is asked. Whoever asks for
/// an upload or a playlist meanwhile waits, and viewers notice nothing.
#[test]
fn hls_js_plays_through_the_death_of_the_engines_primary_and_of_two_nodes() {
    const FLAGS: &str = "-hls_flags independent_segments+program_date_time+omit_endlist";
    let turn = BrowserTurn::wait();
    let mut cluster = Cluster::start_on_shards(None, 3);
    let front = Front::before(&cluster.nodes);
    let files = cluster.nodes[2].folder().join("files");
    fs::create_dir(&files).unwrap();
    let _encoder = push_hls(files.to_str().unwrap(), 2, FLAGS);
    let (done, to) = (AtomicBool::new(false), front.url("ingest"));
    thread::scope(|scope| {
        let finally = Finally(&done);
        scope.spawn(|| send_until_taken(&files, &to, &done));
        wait_for_segments(&cluster.nodes[2], "playlist_1.m3u8", 4);
        let play = json!({"player": "hls.js", "url": front.url("playlist_1.m3u8"), "seconds": 26});
        let mut players = Players::start(&turn, &[play.clone(), play]);
        players.wait_until_playing();
        thread::sleep(Duration::from_secs(3));
        let primary = cluster.engine.primary_now();
        cluster.engine.servers[primary].kill();
        for node in 0..2 {
            thread::sleep(Duration::from_secs(5));
            cluster.nodes[node].signal("KILL");
            assert!(!cluster.nodes[node].wait().success());
        }
        let plays = players.finish();
        drop(finally);
        for play in plays {
            play.goes_on(0);
            assert!(play.stalls.iter().all(|(_, seconds)| *seconds <= 0.5), "{play:?}");
        }
    });
}
