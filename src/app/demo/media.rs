//! The loop that the demo plays: eight seconds as CMAF segments, built into the program. `tests/demo-media` has made them.
//!
//! Each turn of the loop is the same bytes with later times: one 64-bit `baseMediaDecodeTime` and a count in each segment (ISO/IEC
//! 14496-12 8.8.5 and 8.8.12).

/// A rendition of it.
#[derive(Debug)]
pub(super) struct DemoRendition {
    pub(super) name: &'static str,
    pub(super) initialization: &'static [u8],
    /// The segments of one turn, each with its length in units of `scale`.
    segments: [(&'static [u8], u64); 4],
    scale: u64,
}

macro_rules! rendition {
    ($name:literal, $scale:literal, $lengths:expr) => {{
        const LENGTHS: [u64; 4] = $lengths;
        DemoRendition {
            name: $name,
            initialization: include_bytes!(concat!("media/", $name, "-init.mp4")),
            segments: [
                (include_bytes!(concat!("media/", $name, "-0.m4s")), LENGTHS[0]),
                (include_bytes!(concat!("media/", $name, "-1.m4s")), LENGTHS[1]),
                (include_bytes!(concat!("media/", $name, "-2.m4s")), LENGTHS[2]),
                (include_bytes!(concat!("media/", $name, "-3.m4s")), LENGTHS[3]),
            ],
            scale: $scale,
        }
    }};
}

/// 640x360 and 320x180 at 25 frames a second, and a tone in mono.
pub(super) const RENDITIONS: [DemoRendition; 3] = [
    rendition!("high", 12_800, [25_600; 4]),
    rendition!("low", 12_800, [25_600; 4]),
    rendition!("audio", 48_000, [96_256, 96_256, 96_256, 95_232]),
];

/// How long one turn is, in seconds.
const TURN: u64 = 8;

/// What the multivariant playlist says of them.
pub(super) const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"tone\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"1\",URI=\"audio.m3u8\"\n\
    #EXT-X-STREAM-INF:BANDWIDTH=112000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=25,AUDIO=\"audio\"\nhigh.m3u8\n\
    #EXT-X-STREAM-INF:BANDWIDTH=82000,CODECS=\"avc1.640015,mp4a.40.2\",RESOLUTION=320x180,FRAME-RATE=25,AUDIO=\"audio\"\nlow.m3u8\n";

impl DemoRendition {
    /// How long the segment of this number plays, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "units of a few seconds")]
    pub(super) fn seconds(&self, number: u64) -> f64 {
        self.segments[place(number)].1 as f64 / self.scale as f64
    }

    /// The segment of this number, with its time.
    pub(super) fn segment(&self, number: u64) -> Vec<u8> {
        let turn = number / self.segments.len() as u64;
        let before: u64 = self.segments[..place(number)].iter().map(|(_, length)| length).sum();
        let mut body = self.segments[place(number)].0.to_vec();
        let count = u32::try_from(number + 1).unwrap_or(u32::MAX);
        put(&mut body, &["moof", "mfhd"], 4, &count.to_be_bytes());
        put(&mut body, &["moof", "traf", "tfdt"], 4, &(turn * TURN * self.scale + before).to_be_bytes());
        body
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number % 4).unwrap_or(0)
}

/// Writes bytes into a box, so many behind its head. What is not found is left: the loop is built in, and a test looks at it.
fn put(body: &mut [u8], path: &[&str], at: usize, bytes: &[u8]) {
    let Some((first, rest)) = path.split_first() else {
        if let Some(place) = body.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        return;
    };
    let mut from = 0;
    while let Some(head) = body.get(from..from + 8) {
        let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let is_it = &head[4..] == first.as_bytes();
        let end = from + size.max(8);
        if is_it {
            if let Some(inner) = body.get_mut(from + 8..end) {
                put(inner, rest, at, bytes);
            }
            return;
        }
        from = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_goes_on_without_a_seam() {
        for rendition in &RENDITIONS {
            let mut end = 0.0_f64;
            for number in 0..12 {
                let body = rendition.segment(number);
                let begins = time(&body);
                #[expect(clippy::cast_precision_loss, reason = "units of a few seconds")]
                let begins = begins as f64 / rendition.scale as f64;
                assert!((begins - end).abs() < 1e-9, "{} {number}: {begins} after {end}", rendition.name);
                end = begins + rendition.seconds(number);
                assert_eq!(body.len(), rendition.segments[place(number)].0.len());
            }
            assert!((end - 24.0).abs() < 1e-9, "{end}");
        }
    }

    fn time(body: &[u8]) -> u64 {
        let at = body.windows(4).position(|window| window == b"tfdt").unwrap();
        u64::from_be_bytes(body[at + 8..at + 16].try_into().unwrap())
    }
}
