//! Two real encoders of one picture, whose frames carry their numbers: however they stand to each other, and whatever becomes of them on the
//! way.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use crate::front::free_port;
use crate::harness::{NAMESPACE, Origin, Process};
use crate::programs::program;

/// Frames in a second.
pub(crate) const RATE: u32 = 10;
/// A number has so many bits, each a square of so many pixels.
const BITS: usize = 12;
const SQUARE: usize = 12;

/// How the encoders stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PairClocks {
    /// Transport streams of the same times.
    Aligned,
    /// Fragmented MP4: each process counts from 0, and an edit list says the rest.
    Offset,
    /// Transport streams of one clock, cut elsewhere.
    Shifted,
    /// Transport streams whose clocks have nothing to do with each other.
    Foreign,
}

/// What draws a frame's number into its picture.
fn numbered() -> String {
    let width = BITS * SQUARE;
    let mut filter = format!("drawbox=x=0:y=0:w={width}:h={SQUARE}:color=black:t=fill");
    for bit in 0..BITS {
        let x = bit * SQUARE;
        let _ =
            write!(filter, ",drawbox=x={x}:y=0:w={SQUARE}:h={SQUARE}:color=white:t=fill:enable='mod(floor(n/pow(2,{bit})),2)'");
    }
    filter
}

/// The numbers of the frames in a file, in their order.
pub(crate) fn numbers(file: &std::path::Path) -> Vec<u32> {
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "fatal", "-i"]).arg(file);
    let filter = format!("crop={}:{SQUARE}:0:0,scale={BITS}:1:flags=area,format=gray", BITS * SQUARE);
    ffmpeg.args(["-an", "-vsync", "passthrough", "-vf", &filter, "-f", "rawvideo", "-"]);
    let frames = ffmpeg.stdin(Stdio::null()).output().unwrap().stdout;
    let number = |frame: &[u8]| frame.iter().enumerate().map(|(bit, light)| u32::from(*light > 128) << bit).sum();
    frames.chunks_exact(BITS).map(number).collect()
}

/// A picture with sound that goes to two encoders, a key frame each second.
pub(crate) struct LivePair {
    clocks: PairClocks,
    _generator: Process,
    ports: [u16; 2],
}

impl LivePair {
    pub(crate) fn start(clocks: PairClocks) -> Self {
        let ports = [free_port(), free_port()];
        let mut ffmpeg = program("ffmpeg");
        let picture = format!("testsrc2=size=160x90:rate={RATE},{}", numbered());
        ffmpeg.args("-nostdin -v error -re -f lavfi -i".split(' ')).arg(picture);
        ffmpeg.args("-re -f lavfi -i sine=frequency=440:sample_rate=48000".split(' '));
        ffmpeg.args("-c:v mpeg2video -g 10 -bf 0 -sc_threshold 1000000000 -qscale:v 2 -c:a mp2 -map 0:v -map 1:a".split(' '));
        let to = ports.map(|port| format!("[f=mpegts]udp://127.0.0.1:{port}?pkt_size=1316")).join("|");
        ffmpeg.args(["-output_ts_offset", "40000", "-f", "tee", &to]);
        Self { clocks, _generator: Process(ffmpeg.stdout(Stdio::null()).spawn().unwrap()), ports }
    }

    /// An encoder of one side, which counts from 0 at each start, as far as its output.
    fn encode(&self, side: usize) -> Command {
        let (port, quality) = (self.ports[side], ["24", "30"][side]);
        let mut ffmpeg = program("ffmpeg");
        ffmpeg.args("-nostdin -v error -copyts -fflags nobuffer -analyzeduration 1500000 -i".split(' '));
        // Some seconds of it, where the encoder gets no processor: packets that are dropped would be a fault of its own.
        ffmpeg.arg(format!("udp://127.0.0.1:{port}?fifo_size=100000&overrun_nonfatal=1&buffer_size=4000000"));
        ffmpeg.args("-c:v libx264 -preset ultrafast -tune zerolatency -threads 1 -pix_fmt yuv420p -qp".split(' ')).arg(quality);
        let own_grid = "expr:if(isnan(prev_forced_t),1,gte(t,floor(prev_forced_t+0.401)+0.6))";
        let is_elsewhere = side == 1 && self.clocks == PairClocks::Shifted;
        ffmpeg.args(["-g", "1000", "-sc_threshold", "0", "-force_key_frames", if is_elsewhere { own_grid } else { "source" }]);
        ffmpeg.args("-c:a aac -b:a 64k -muxdelay 0 -muxpreload 0 -hls_time 1 -hls_list_size 6".split(' '));
        match self.clocks {
            PairClocks::Offset => ffmpeg.args(["-hls_segment_type", "fmp4"]),
            PairClocks::Foreign if side == 1 => ffmpeg.args(["-output_ts_offset", "30000"]),
            _ => &mut ffmpeg,
        };
        ffmpeg.args(["-f", "hls", "-hls_flags"]);
        ffmpeg.stdout(Stdio::null());
        ffmpeg
    }

    /// One that pushes to the origin by itself, and ends its playlist when it is told to end.
    pub(crate) fn encoder(&self, origin: &Origin, side: usize) -> Process {
        let folder = ["live-a", "live-b"][side];
        let mut ffmpeg = self.encode(side);
        ffmpeg.args(["independent_segments", "-method", "PUT", "-headers"]);
        ffmpeg.arg(format!("Authorization: Bearer {}\r\n", origin.encoder));
        ffmpeg.arg(format!("http://{}/cache/{NAMESPACE}/{folder}/p.m3u8", origin.address));
        Process(ffmpeg.spawn().unwrap())
    }

    /// One that writes to a folder, from where somebody else sends.
    pub(crate) fn encoder_to(&self, folder: &std::path::Path, side: usize) -> Process {
        let mut ffmpeg = self.encode(side);
        ffmpeg.arg("independent_segments+omit_endlist+temp_file").arg(folder.join("p.m3u8"));
        Process(ffmpeg.spawn().unwrap())
    }
}

/// Sends a signal to an encoder.
pub(crate) fn signal(encoder: &Process, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &encoder.0.id().to_string()]).status().unwrap();
    assert!(sent.success());
}
