//! What is kept of streams and done for them is bounded, whatever is written.

use std::fmt::Write as _;

use super::{Reload, Scene, key};
use crate::hls::texts::{HEAD, MASTER, ONE};

#[test]
fn a_stream_that_is_written_keeps_its_place_beside_any_number_of_others() {
    let mut scene = Scene::new();
    scene.playlist("master.m3u8", MASTER);
    for number in 0..5000 {
        if number % 500 == 0 {
            scene.pass(2.0);
            scene.turn("a", number / 500);
        }
        scene.playlist(&format!("junk/{number}.m3u8"), ONE);
    }
    let told = [scene.look(), scene.look(), scene.look()].concat();
    assert_eq!(told.iter().filter(|event| event.starts_with("unfollowed")).count(), 1, "once for all of them");
    let report = scene.report();
    let renditions: usize = report.iter().map(|stream| stream.renditions.len()).sum();
    assert!(renditions <= crate::origin::live::state::FOLLOWED, "{renditions}");
    let real = report.iter().flat_map(|stream| &stream.renditions).find(|rendition| rendition.playlist == "a/p.m3u8").unwrap();
    assert_eq!((real.last_sequence, real.counts.counter_restarts), (Some(9), 0), "it was followed all the time");
    assert!(scene.counts("unfollowed"));
    let gauge = "springhead_streams_followed{namespace=\"live\"} 4096\n";
    assert!(scene.metrics.render().contains(gauge));
    scene.pass(3600.0);
    let _ = scene.look();
    assert!(scene.report().is_empty());
    assert!(scene.metrics.render().contains("springhead_streams_followed{namespace=\"live\"} 0\n"), "and nothing is left behind");
}

#[test]
fn what_has_its_end_makes_room_first() {
    let mut scene = Scene::new();
    for number in 0..3000 {
        scene.playlist(&format!("live/{number}.m3u8"), ONE);
    }
    for number in 0..3000 {
        scene.playlist(&format!("done/{number}.m3u8"), &format!("{ONE}#EXT-X-ENDLIST\n"));
    }
    let told = scene.look();
    assert!(!told.iter().any(|event| event.starts_with("unfollowed")), "that is nothing to tell");
    let live = scene.report().iter().filter(|stream| stream.stream.starts_with("live/")).count();
    assert_eq!(live, 3000);
}

#[test]
fn no_playlist_makes_its_readers_wait_for_days() {
    let mut scene = Scene::new();
    scene.playlist(
        "a/p.m3u8",
        "#EXTM3U\n#EXT-X-TARGETDURATION:86400\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXTINF:2,\n0.ts\n",
    );
    assert_eq!(scene.live.reload(&key("a/p.m3u8"), 1, None), Reload::Wait(crate::origin::live::LONGEST_RELOAD));
}

#[test]
fn what_is_kept_of_playlists_is_bounded_whatever_they_list() {
    let mut scene = Scene::new();
    let name = "n".repeat(900);
    let mut hostile = HEAD.to_owned();
    for number in 0..600 {
        let _ = write!(
            hostile,
            "#EXT-X-MAP:URI=\"{number}{name}\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k{number}{name}\"\n#EXTINF:2,\n{number}.ts\n"
        );
    }
    for number in 0..300 {
        let _ = writeln!(hostile, "#EXT-X-PART:DURATION=1,URI=\"p{number}\"");
    }
    let noted = scene.playlist("a/p.m3u8", &hostile);
    assert!(noted.needs.len() <= 1024, "{}", noted.needs.len());
    assert!(noted.needs.iter().any(|needed| needed.as_str().starts_with("a/599")), "the newest ones");
    // This many of them that all together would take a good deal more.
    for number in 0..100 {
        scene.playlist(&format!("{number}/p.m3u8"), &hostile);
    }
    let followed = scene.report().len();
    assert!((10..90).contains(&followed), "{followed}: 64 MiB hold this many");
}
