//! A low-latency HLS packager by script: ffmpeg encodes, and each fragment of three frames is a part. All is pushed twice: to
//! `files/` with each part as a file of its own, and to `ranges/` with each part as a range of its segment, which is uploaded as
//! it grows. What comes next is announced.

use std::collections::VecDeque;
use std::io::Read;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, SystemTime};

use crate::harness::{Origin, Process};
use crate::programs::program;
use crate::wire::{Request, Wire};

const PARTS: usize = 5;
const PART: Duration = Duration::from_millis(200);

/// The way its parts are to be had.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parts {
    Files,
    Ranges,
}

impl Parts {
    pub(crate) fn playlist(self) -> &'static str {
        match self {
            Self::Files => "files/p.m3u8",
            Self::Ranges => "ranges/p.m3u8",
        }
    }
}

struct Segment {
    number: usize,
    starts: SystemTime,
    parts: Vec<Vec<u8>>,
}

impl Segment {
    /// The attributes that name a part: one that is there, or the next one.
    fn part(&self, index: usize, kind: Parts) -> String {
        let (number, offset) = (self.number, self.parts[..index].iter().map(Vec::len).sum::<usize>());
        match (kind, self.parts.get(index)) {
            (Parts::Files, _) => format!("URI=\"part_{number}.{index}.m4s\""),
            (Parts::Ranges, Some(part)) => format!("URI=\"segment_{number}.m4s\",BYTERANGE=\"{}@{offset}\"", part.len()),
            (Parts::Ranges, None) => format!("URI=\"segment_{number}.m4s\",BYTERANGE-START={offset}"),
        }
    }
}

/// The last segments; all but the last one have all their parts.
fn playlist(segments: &VecDeque<Segment>, kind: Parts) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:1\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6,PART-HOLD-BACK=1.0\n\
         #EXT-X-PART-INF:PART-TARGET=0.2\n#EXT-X-MEDIA-SEQUENCE:{}\n#EXT-X-MAP:URI=\"init.mp4\"\n",
        segments[0].number
    );
    for (index, segment) in segments.iter().enumerate() {
        if !segment.parts.is_empty() {
            text += &format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", humantime::format_rfc3339_millis(segment.starts));
        }
        if index + 4 > segments.len() {
            for part in 0..segment.parts.len() {
                let independent = if part == 0 { ",INDEPENDENT=YES" } else { "" };
                text += &format!("#EXT-X-PART:DURATION=0.2,{}{independent}\n", segment.part(part, kind));
            }
        }
        if segment.parts.len() == PARTS {
            text += &format!("#EXTINF:1.0,\nsegment_{}.m4s\n", segment.number);
        }
    }
    let last = segments.back().unwrap();
    text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,{}\n", last.part(last.parts.len(), kind))
}

/// The next box of an ISO file, whole, and its type; `None` at the end.
fn next_box(from: &mut impl Read) -> Option<([u8; 4], Vec<u8>)> {
    let mut head = [0; 8];
    from.read_exact(&mut head).ok()?;
    let (size, kind) = head.split_at(4);
    let mut whole = head.to_vec();
    whole.resize(u32::from_be_bytes(size.try_into().unwrap()) as usize, 0);
    from.read_exact(&mut whole[8..]).ok()?;
    Some((kind.try_into().unwrap(), whole))
}

/// Encodes and pushes until it is told to stop.
#[expect(clippy::disallowed_methods, reason = "from outside there is only real time")]
pub(crate) fn run(origin: &Origin, done: &AtomicBool) {
    let arguments = "-hide_banner -nostdin -v error -re -f lavfi -i testsrc2=size=320x180:rate=15 -c:v libx264 -preset ultrafast \
        -tune zerolatency -g 15 -keyint_min 15 -sc_threshold 0 -threads 1 -pix_fmt yuv420p -b:v 200k -f mp4 -flush_packets 1 \
        -movflags empty_moov+default_base_moof+skip_trailer -frag_duration 200000 pipe:1";
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(arguments.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut ffmpeg = Process(ffmpeg.spawn().unwrap());
    let mut encoded = ffmpeg.0.stdout.take().unwrap();

    let (mut wire, mut growing) = (Wire::open(origin.address), Wire::open(origin.address));
    let mut put = |key: &str, body: &[u8]| {
        let answer = wire.ask(&Request::new("PUT", origin.path(key)).bearer(&origin.encoder).body(body));
        assert_eq!(answer.status, 204, "{key}: {answer:?}");
    };
    let mut begins = None;
    let (mut init, mut part) = (Vec::new(), Vec::new());
    let mut segments: VecDeque<Segment> = VecDeque::new();
    while let Some((kind, bytes)) = next_box(&mut encoded)
        && !done.load(SeqCst)
    {
        match &kind {
            b"ftyp" => init = bytes,
            b"moov" => {
                init.extend(bytes);
                put("files/init.mp4", &init);
                put("ranges/init.mp4", &init);
            }
            b"moof" => part = bytes,
            b"mdat" => {
                part.extend(bytes);
                // Its first frame is one part old.
                let begins = *begins.get_or_insert_with(|| SystemTime::now() - PART);
                let start =
                    |number: usize| Segment { number, starts: begins + PART * (PARTS * number) as u32, parts: Vec::new() };
                if segments.is_empty() {
                    segments.push_back(start(0));
                }
                let segment = segments.back_mut().unwrap();
                let (number, index) = (segment.number, segment.parts.len());
                put(&format!("files/part_{number}.{index}.m4s"), &part);
                if index == 0 {
                    let path = origin.path(&format!("ranges/segment_{number}.m4s"));
                    let key = &origin.encoder;
                    growing.write(format!(
                        "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nTransfer-Encoding: chunked\r\n\r\n"
                    ));
                }
                growing.write([format!("{:x}\r\n", part.len()).as_bytes(), &part, b"\r\n"].concat());
                segment.parts.push(std::mem::take(&mut part));
                if segment.parts.len() == PARTS {
                    put(&format!("files/segment_{number}.m4s"), &segment.parts.concat());
                    assert_eq!(growing.write("0\r\n\r\n").answer_to("PUT").status, 204);
                    segments.push_back(start(number + 1));
                    if segments.len() > 9 {
                        segments.pop_front();
                    }
                }
                for kind in [Parts::Files, Parts::Ranges] {
                    put(kind.playlist(), playlist(&segments, kind).as_bytes());
                }
            }
            _ => {}
        }
    }
    assert!(done.load(SeqCst), "ffmpeg goes on until it is stopped");
}

/// A reader who asks for each announced part as soon as it is announced, until told to stop; how many it has read.
pub(crate) fn follow_hints(origin: &Origin, kind: Parts, done: &AtomicBool) -> usize {
    let mut wire = Wire::open(origin.address);
    let (mut read, mut query) = (0, String::new());
    while !done.load(SeqCst) {
        let path = format!("{}{query}", origin.path(kind.playlist()));
        let answer = wire.ask(&Request::new("GET", path).bearer(&origin.player));
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        let text = answer.text();
        let value = |name: &str| {
            let after = text.split(name).nth(1)?;
            Some(after.split(['"', ',', '\n']).next().unwrap().to_owned())
        };
        let folder = kind.playlist().split('/').next().unwrap();
        let hint = text.split("#EXT-X-PRELOAD-HINT:").nth(1).expect("the next part is announced");
        let uri = hint.split('"').nth(1).unwrap();
        let mut get = Request::new("GET", origin.path(&format!("{folder}/{uri}"))).bearer(&origin.player);
        if let Some((_, start)) = hint.split_once("BYTERANGE-START=") {
            get = get.header("Range", format!("bytes={}-", start.trim()));
        }
        let part = wire.ask(&get);
        assert!(matches!(part.status, 200 | 206) && part.body.len() > 8, "{hint} {part:?}");
        read += 1;
        let sequence: usize = value("#EXT-X-MEDIA-SEQUENCE:").unwrap().parse().unwrap();
        let of_next = text.rsplit("#EXTINF").next().unwrap();
        let (number, part) = (sequence + text.matches("#EXTINF").count(), of_next.matches("#EXT-X-PART:").count());
        query = format!("?_HLS_msn={number}&_HLS_part={part}");
    }
    read
}
