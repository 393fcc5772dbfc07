//! Players in a real browser, through nginx as a CDN, while encoders and the origin die: what they show goes on, frame after frame.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::encoders::{LivePair, PairClocks, RATE};
use super::{PAIR, sent};
use crate::durable;
use crate::front::{Front, free_port};
use crate::harness::{Finally, Origin, eventually};
use crate::players::{Play, Players};
use crate::turns::BrowserTurn;
use crate::wire::Request;

fn play(player: &str, front: &Front, seconds: u64) -> Value {
    // A name of its own for each: they share a browser's cache, which asks for the range that its own player has had, and hands the other one a
    // list that is cut there.
    let url = front.url(&format!("live/p.m3u8?of={player}"));
    json!({ "player": player, "url": url, "seconds": seconds, "numbers": true })
}

/// Frames were shown in order, and as many as their numbers say: a segment that is lost would be ten fewer. Not all are painted on a busy machine.
fn shows_all(play: &Play) {
    play.goes_on(0);
    // Some are counted twice while the player finds where to begin.
    let numbers = &play.numbers[play.numbers.len().min(20)..];
    let is_in_order = numbers.windows(2).all(|two| two[0].0 < two[1].0);
    let ahead: Vec<i64> = numbers.iter().map(|(number, frames)| i64::from(*number) - i64::from(*frames)).collect();
    let left_out = ahead.iter().max().zip(ahead.iter().min()).map(|(most, least)| most - least);
    assert!(is_in_order && left_out.is_some_and(|count| count <= i64::from(RATE) / 2), "{left_out:?} {play:?}");
}

/// Two encoders push the same pictures. One is killed, begins again from 0 over its own names, and then the other is killed: no player
/// notices any of it.
#[test]
fn players_play_through_the_death_of_either_of_two_encoders() {
    let turn = BrowserTurn::wait();
    let origin = Origin::start_with_settings(PAIR);
    let front = Front::start(&origin);
    let live = LivePair::start(PairClocks::Aligned);
    let a = live.encoder(&origin, 0);
    let b = live.encoder(&origin, 1);
    super::wait_for_pair(&origin, "both are pushed", super::is_well);
    let plays = ["hls.js", "shaka-player", "browser"].map(|player| play(player, &front, 26));
    let mut players = Players::start(&turn, &plays);
    players.wait_until_playing();
    thread::sleep(Duration::from_secs(2));
    drop(a);
    thread::sleep(Duration::from_secs(5));
    let _again = live.encoder(&origin, 0);
    super::wait_for_pair(&origin, "the first is back", super::is_well);
    drop(b);
    for play in players.finish() {
        assert!(play.stalls.is_empty() && play.missed.is_empty() && play.broken.is_empty(), "{play:?}");
        shows_all(&play);
    }
    super::wait_for_pair(&origin, "the first is shown", |pair| pair["active"] == "a");
}

/// One of the encoders is killed, and the origin with it, before viewers have anything of the other.
#[test]
fn a_player_plays_on_when_the_origin_is_killed_in_the_middle_of_a_switch() {
    let turn = BrowserTurn::wait();
    let (folder, listen) = (tempfile::tempdir().unwrap(), format!("127.0.0.1:{}", free_port()));
    let (mut origin, _settings) = durable::start_at(&listen, &format!("default_ttl = \"1h\"\nack = \"durable\"\n{PAIR}"));
    let front = Front::start(&origin);
    let live = LivePair::start(PairClocks::Aligned);
    let folders = ["a", "b"].map(|side| folder.path().join(side));
    folders.iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
    let a = live.encoder_to(&folders[0], 0);
    let _b = live.encoder_to(&folders[1], 1);
    let (is_over, encoder, address) = (AtomicBool::new(false), origin.encoder.clone(), listen.parse().unwrap());
    thread::scope(|scope| {
        let finally = Finally(&is_over);
        for (side, folder) in ["live-a", "live-b"].into_iter().zip(&folders) {
            let (encoder, is_over) = (&encoder, &is_over);
            let put = move |name: &str, body: Vec<u8>| {
                let request = Request::new("PUT", format!("/cache/live-origin/{side}/{name}")).bearer(encoder);
                request.body(body).try_send(address).is_some_and(|answer| answer.status == 204)
            };
            scope.spawn(move || sent::send(put, folder, is_over, || sent::Way::Well));
        }
        super::wait_for_pair(&origin, "both are pushed", super::is_well);
        let mut players = Players::start(&turn, &[play("hls.js", &front, 20)]);
        players.wait_until_playing();
        thread::sleep(Duration::from_secs(3));
        drop(a);
        // The other one has a segment that it will never have: it is the other's turn.
        let is_late = || {
            let stands = super::pairs(&origin).remove(0);
            let newest = |side: usize| stands["sources"][side]["newest"].as_str().map(str::to_owned);
            (newest(1) > newest(0)).then_some(())
        };
        assert!(eventually(Duration::from_secs(10), is_late).is_some(), "{:?}", super::pairs(&origin));
        origin.signal("KILL");
        assert!(!origin.wait().success());
        origin.launch();
        origin.address = address;
        super::wait_for_pair(&origin, "the other one is shown", |pair| pair["active"] == "b");
        let play = players.finish().remove(0);
        drop(finally);
        shows_all(&play);
        // As long as a server takes to begin on a busy machine, less what the player has.
        let stood: f64 = play.stalls.iter().map(|(_, seconds)| seconds).sum();
        assert!(stood <= 3.0, "{stood} {play:?}");
    });
}
