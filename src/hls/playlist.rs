//! Reading an HLS playlist (RFC 8216).

use std::time::Duration;

/// The target duration a media playlist states (RFC 8216 4.3.3.1), if it states one that makes sense. Some packagers write it
/// with decimals, which the RFC does not allow and players accept.
#[must_use]
pub fn target_duration(playlist: &[u8]) -> Option<Duration> {
    const TAG: &[u8] = b"#EXT-X-TARGETDURATION:";
    // It stands in the head, before the first segment; a multivariant playlist has none at all.
    let line = playlist.split(|&byte| byte == b'\n').take(64).find_map(|line| line.trim_ascii().strip_prefix(TAG))?;
    let seconds: f64 = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
    (seconds > 0.0 && seconds <= 86_400.0).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn the_target_duration_is_found() {
        for (text, seconds) in [
            ("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n", Some(2.0)),
            ("#EXTM3U\r\n#EXT-X-TARGETDURATION:10\r\n", Some(10.0)),
            ("#EXTM3U\n#EXT-X-TARGETDURATION: 2.5\n", Some(2.5)),
            ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n", None),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:0\n", None),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:-1\n", None),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:NaN\n", None),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:inf\n", None),
            ("", None),
        ] {
            assert_eq!(target_duration(text.as_bytes()), seconds.map(Duration::from_secs_f64), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail in any::<Vec<u8>>()) {
            let _ = target_duration(&tail);
            let _ = target_duration(&[b"#EXT-X-TARGETDURATION:", &tail[..]].concat());
        }
    }
}
