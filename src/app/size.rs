//! `springhead size`: the arithmetic of a channel.

use crate::model::units::{parse_bitrate, parse_duration, parse_size};

/// What the container adds to the encoded media.
const CONTAINER_PERCENT: u64 = 110;

/// Segment sizes, and the hot capacity that keeps them for this long. Of two sources each stores its own.
pub(super) fn work_out(
    bitrates: &[String],
    (segment, keep): (&str, &str),
    max_object_size: &str,
    sources: u64,
) -> Result<String, String> {
    let wrong = |flag: &str, error: String| format!("error: {flag}: {error}");
    let ladder = bitrates
        .iter()
        .map(|text| parse_bitrate(text).map_err(|error| wrong("--bitrates", error.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    let segment = parse_duration(segment).map_err(|error| wrong("--segment", error.to_string()))?.as_millis();
    let keep = parse_duration(keep).map_err(|error| wrong("--keep", error.to_string()))?.as_millis();
    let limit = parse_size(max_object_size).map_err(|error| wrong("--max-object-size", error.to_string()))?;
    if segment == 0 || keep < segment {
        return Err(wrong("--keep", "has to be at least one segment long".to_owned()));
    }
    if !(1..=2).contains(&sources) {
        return Err(wrong("--sources", "is 1 or 2".to_owned()));
    }
    let size = |bitrate: u64| {
        let bytes = u128::from(bitrate) * segment * u128::from(CONTAINER_PERCENT) / (8 * 1000 * 100);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    };
    let count = u64::try_from(keep.div_ceil(segment)).unwrap_or(u64::MAX);
    let mut text = String::from("bitrate      segment size (media + 10 % for the container)\n");
    let mut sum = 0u64;
    for &bitrate in &ladder {
        let bytes = size(bitrate);
        sum = sum.saturating_add(bytes);
        let warning = if bytes > limit {
            format!("  <- over max_object_size of {max_object_size}: shorten the segments or raise the limit")
        } else if bytes > limit / 2 {
            "  <- a burst of twice the bitrate would pass max_object_size".to_owned()
        } else {
            String::new()
        };
        text += &format!("{:<12} {:>8} KiB{warning}\n", format!("{}k", bitrate / 1000), bytes.div_ceil(1024));
    }
    let needed = sum.saturating_mul(count).saturating_mul(sources);
    let mib = needed.div_ceil(1 << 20);
    // Uploads in flight, playlists and bursts, and a round figure.
    let advised = mib.saturating_add(mib / 16 + 1).div_ceil(10) * 10;
    text += &format!("\nsegments kept of each rendition   {count}\n");
    if sources > 1 {
        text += &format!("sources                           {sources}\n");
    }
    text += &format!("bytes in memory                   {mib} MiB\n");
    text += &format!("hot_capacity to set               {advised}MiB\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_of_three_for_five_minutes_takes_200_mib() {
        let ladder = ["2500k", "1500k", "750k"].map(str::to_owned);
        let text = work_out(&ladder, ("2.5s", "5m"), "10MiB", 1).unwrap();
        for part in ["840 KiB", "504 KiB", "252 KiB", "120\n", "187 MiB", "200MiB"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("<-"));
        let text = work_out(&ladder, ("2.5s", "5m"), "10MiB", 2).unwrap();
        assert!(text.contains("374 MiB") && text.contains("400MiB"), "{text}");
    }

    #[test]
    fn a_segment_over_the_limit_is_named() {
        let text = work_out(&["50M".to_owned()], ("2s", "10s"), "10MiB", 1).unwrap();
        assert!(text.contains("over max_object_size of 10MiB"), "{text}");
        assert!(work_out(&["1M".to_owned()], ("0s", "1s"), "10MiB", 1).is_err());
        assert!(work_out(&["1M".to_owned()], ("1s", "1s"), "10MiB", 3).unwrap_err().contains("--sources"));
        assert!(work_out(&["1M".to_owned()], ("2s", "1s"), "10MiB", 1).is_err());
        assert!(work_out(&["quick".to_owned()], ("2s", "10s"), "10MiB", 1).unwrap_err().contains("--bitrates"));
    }
}
