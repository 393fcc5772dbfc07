//! What is on the way from an encoder to the origin may be cut off, damaged, late or never come: of two aligned encoders the other's copy stands
//! there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use super::encoders::{LivePair, PairClocks};
use super::shown::{Shown, answered, held, jumps};
use super::{PAIR, pairs};
use crate::harness::{Finally, Origin};
use crate::wire::Request;

/// What becomes of a segment on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Well,
    /// It ends in the middle.
    CutOff,
    /// One byte at the beginning of each packet of a stretch is wrong.
    OutOfStep,
    /// Packets in the middle are missing.
    Holed,
    /// It begins behind its key frame.
    NoKeyFrame,
    Empty,
    /// It is not taken, and not sent again.
    Refused,
    /// It comes three segments late, and so does all that follows.
    Late,
    /// Its playlist is there before it.
    ListedFirst,
    /// The playlist before it is written once more.
    ListedAgain,
}

impl Way {
    const ALL: [Self; 9] = [
        Self::CutOff,
        Self::OutOfStep,
        Self::Holed,
        Self::NoKeyFrame,
        Self::Empty,
        Self::Refused,
        Self::ListedFirst,
        Self::ListedAgain,
        Self::Late,
    ];

    fn changed(self, body: Vec<u8>) -> Vec<u8> {
        const PACKET: usize = 188;
        let packets = body.len() / PACKET;
        let part = |from: usize, to: usize| body[from * PACKET..to * PACKET].to_vec();
        match self {
            Self::CutOff => body[..body.len() / 2 + 50].to_vec(),
            Self::OutOfStep => {
                let mut body = body;
                (packets / 3..packets * 2 / 3).for_each(|packet| body[packet * PACKET] = 0);
                body
            }
            Self::Holed => [part(0, packets / 3), part(packets / 2, packets)].concat(),
            Self::NoKeyFrame => [part(0, 2), part(packets / 2, packets)].concat(),
            Self::Empty => Vec::new(),
            _ => body,
        }
    }
}

/// Sends what an encoder leaves in a folder, and its playlist, until it is over. Each is sent until it is taken, as MediaLive does, unless it
/// goes another way.
pub(super) fn send(put: impl Fn(&str, Vec<u8>) -> bool, folder: &Path, is_over: &AtomicBool, mut way: impl FnMut() -> Way) {
    let (mut sent, mut last) = (BTreeSet::new(), String::new());
    let put = |name: &str, body: Vec<u8>| {
        while !put(name, body.clone()) && !is_over.load(SeqCst) {
            thread::sleep(Duration::from_millis(100));
        }
    };
    while !is_over.load(SeqCst) {
        thread::sleep(Duration::from_millis(20));
        let playlist = fs::read_to_string(folder.join("p.m3u8")).unwrap_or_default();
        if playlist == last {
            continue;
        }
        for name in playlist.lines().filter(|line| !line.starts_with('#')) {
            // Of those that it has taken away again nobody knows.
            let Ok(body) = fs::read(folder.join(name)) else { continue };
            if !sent.insert(name.to_owned()) {
                continue;
            }
            let way = way();
            match way {
                Way::Late => thread::sleep(Duration::from_secs(3)),
                Way::ListedFirst => put("p.m3u8", playlist.clone().into_bytes()),
                Way::ListedAgain if !last.is_empty() => put("p.m3u8", last.clone().into_bytes()),
                _ => {}
            }
            if way != Way::Refused {
                put(name, way.changed(body));
            }
            if way == Way::ListedAgain && !last.is_empty() {
                put("p.m3u8", last.clone().into_bytes());
            }
        }
        put("p.m3u8", playlist.clone().into_bytes());
        last = playlist;
    }
}

#[test]
fn what_of_one_encoder_is_damaged_or_lost_on_its_way_is_shown_from_the_other() {
    let (origin, live) = (Origin::start_with_settings(PAIR), LivePair::start(PairClocks::Aligned));
    let folder = tempfile::tempdir().unwrap();
    let _a = live.encoder_to(folder.path(), 0);
    let (is_over, is_well) = (AtomicBool::new(false), AtomicBool::new(true));
    let put = |name: &str, body: Vec<u8>| {
        let request = Request::new("PUT", origin.path(&format!("live-a/{name}"))).bearer(&origin.encoder);
        request.body(body).send(origin.address).status == 204
    };
    // Every fourth one goes another way.
    let mut count = 0;
    let way = || {
        count += usize::from(!is_well.load(SeqCst));
        if count % 4 == 1 { Way::ALL[count / 4 % Way::ALL.len()] } else { Way::Well }
    };
    let mut shown = Shown::new("live/p.m3u8");
    thread::scope(|scope| {
        let finally = Finally(&is_over);
        scope.spawn(|| send(put, folder.path(), &is_over, way));
        // Viewers are to get this one.
        super::wait_for_pair(&origin, "the first is pushed", |pair| pair["active"] == "a");
        let _b = live.encoder(&origin, 1);
        super::wait_for_pair(&origin, "both are pushed", super::is_well);
        shown.watch(&origin, Duration::from_secs(1));
        // It stays that of which viewers get what they can.
        super::pin(&origin, Some("a"));
        let (from, since) = (shown.len() - 1, answered(&origin));
        is_well.store(false, SeqCst);
        shown.watch(&origin, Duration::from_secs(4 * Way::ALL.len() as u64 + 2));
        let frames = shown.frames(from);
        let stands = pairs(&origin);
        assert!(jumps(&frames).is_empty(), "{:?}, {stands:?}, {:?}", jumps(&frames), shown.viewer.versions.last());
        let lateness = shown.lateness(from);
        // Beside other tests the other one may be late itself; what the origin holds of it, or of the public list, is not its own.
        let (own, held) = (shown.lateness_of(1, from), held(&origin, 1, since));
        assert!(lateness <= 2.0 + own && held <= 2.0, "{lateness} s late, {own} s itself, held for {held} s: {stands:?}");
        assert!(stands[0]["borrowed"].as_u64() >= Some(5), "{stands:?}");
        assert!(!shown.viewer.versions.concat().contains("#EXT-X-DISCONTINUITY\n"), "{:?}", shown.viewer.versions.last());
        drop(finally);
    });
}
