//! What a media segment's bytes say of it: found once, as it is uploaded, and kept with the object.

use std::fmt;

/// The container that the bytes are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Container {
    /// An MPEG-2 transport stream (ISO/IEC 13818-1; RFC 8216 3.2).
    Ts,
    /// Fragmented MP4 (ISO/IEC 14496-12; RFC 8216 3.3).
    Fmp4,
    /// Neither, or encrypted as a whole: nothing can be told of it.
    #[default]
    Other,
}

impl Container {
    /// All of them.
    const ALL: [Self; 3] = [Self::Ts, Self::Fmp4, Self::Other];

    /// Its name at `/v1/streams`, and where facts are kept.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ts => "ts",
            Self::Fmp4 => "fmp4",
            Self::Other => "other",
        }
    }
}

/// What a track is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Moving pictures.
    Video,
    /// Sound.
    Audio,
}

/// How a track is coded: the four characters by which its sample entry is called (ISO/IEC 14496-12 8.5.2), for streams of a transport
/// stream the ones they would have there; `id3_` and `scte` are what is no media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec([u8; 4]);

impl Codec {
    /// With other characters than letters, digits, dots and hyphens made underscores.
    #[must_use]
    pub fn new(name: [u8; 4]) -> Self {
        Self(name.map(|byte| if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') { byte } else { b'_' }))
    }

    /// The four characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What is known of a segment, or of an initialization segment, which has tracks without times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Its container.
    pub container: Container,
    /// Its tracks in the order in which they first come; those beyond [`MOST_TRACKS`] are left out.
    pub tracks: Vec<Track>,
    /// What is wrong with it.
    pub defects: Defects,
}

/// As many tracks of one segment are told of: more than any player takes.
pub const MOST_TRACKS: usize = 8;

/// One track of a segment. Times are in ticks of [`scale`](Track::scale).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// Its PID or track ID.
    pub id: u32,
    /// What it is for, where the bytes tell: in a fragment only the initialization segment does.
    pub medium: Option<Medium>,
    /// How it is coded, where the bytes tell.
    pub codec: Option<Codec>,
    /// Ticks in a second; `None`: the initialization segment tells.
    pub scale: Option<u32>,
    /// The first presentation time, as a player reads it before any edit list: a PTS of 33 bits, or the decode time of the first
    /// sample and its composition offset.
    pub first: Option<u64>,
    /// How long its samples last whose length is known.
    pub duration: u64,
    /// Samples that last as long as the initialization segment [says](Track::sample).
    pub undated: u32,
    /// Whether its first picture can be decoded by itself. `None`: the bytes do not tell, or there are no pictures.
    pub starts_with_keyframe: Option<bool>,
    /// Of an initialization segment: how long a sample lasts whose fragment does not say so.
    pub sample: u32,
    /// Of an initialization segment: what its edit list adds to each time (ISO/IEC 14496-12 8.6.6).
    pub edit: i64,
}

impl SegmentFacts {
    /// The track that decides where the segment begins and how long it is: the first with pictures, else the first with times.
    #[must_use]
    pub fn lead(&self) -> Option<&Track> {
        let timed = || self.tracks.iter().filter(|track| track.first.is_some());
        timed().find(|track| track.medium == Some(Medium::Video)).or_else(|| timed().next())
    }

    /// The same, with what their initialization segment says of its tracks.
    #[must_use]
    pub fn with(mut self, initialization: &Self) -> Self {
        for track in &mut self.tracks {
            let Some(declared) = initialization.tracks.iter().find(|declared| declared.id == track.id) else { continue };
            track.medium = track.medium.or(declared.medium);
            track.codec = track.codec.or(declared.codec);
            track.scale = track.scale.or(declared.scale);
            if declared.sample > 0 {
                track.duration = track.duration.saturating_add(u64::from(track.undated) * u64::from(declared.sample));
                track.undated = 0;
            }
            track.edit = declared.edit;
        }
        self
    }

    /// Whether there is anything worth keeping.
    #[must_use]
    pub fn tells(&self) -> bool {
        self.container != Container::Other || !self.defects.is_empty()
    }

    /// Bytes that they take.
    #[must_use]
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.tracks.capacity() * size_of::<Track>()
    }
}

impl Track {
    /// The first presentation time in seconds, where its ticks are known.
    #[must_use]
    pub fn first_seconds(&self) -> Option<f64> {
        self.seconds(self.first?)
    }

    /// How long it lasts in seconds, where all of that is known.
    #[must_use]
    pub fn duration_seconds(&self) -> Option<f64> {
        if self.undated > 0 || self.duration == 0 { None } else { self.seconds(self.duration) }
    }

    /// Ticks as seconds: what a double can't hold exactly is beyond any stream's clock.
    #[expect(clippy::cast_precision_loss, reason = "2^53 ticks of 90 kHz are three thousand years")]
    fn seconds(&self, ticks: u64) -> Option<f64> {
        self.scale.filter(|scale| *scale > 0).map(|scale| ticks as f64 / f64::from(scale))
    }
}

/// What can be wrong with a segment by its bytes alone, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// It has no bytes.
    Empty,
    /// Its container holds no media.
    NoMedia,
    /// It has no program association or program map table: a player can't begin with it (RFC 8216 3.2).
    NoTables,
    /// Its last packet or box is not whole.
    Truncated,
    /// The bytes between are no packets or boxes.
    Sync,
    /// Transport packets are missing (ISO/IEC 13818-1 2.4.3.3, `continuity_counter`).
    Continuity,
    /// Transport packets are marked as damaged.
    TransportError,
    /// Its first picture can't be decoded by itself (RFC 8216 3: a player can't begin or switch here).
    NoKeyframe,
    /// It stands in for media that is missing: the brand `slat` (DASH-IF Live Media Ingest 6.4).
    Filler,
}

impl Defect {
    /// All of them, worst first.
    pub const ALL: [Self; 9] = [
        Self::Empty,
        Self::NoMedia,
        Self::NoTables,
        Self::Truncated,
        Self::Sync,
        Self::Continuity,
        Self::TransportError,
        Self::NoKeyframe,
        Self::Filler,
    ];

    /// Its name in metrics, logs and `/v1`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NoMedia => "no-media",
            Self::NoTables => "no-tables",
            Self::Truncated => "truncated",
            Self::Sync => "sync",
            Self::Continuity => "continuity",
            Self::TransportError => "transport-error",
            Self::NoKeyframe => "no-keyframe",
            Self::Filler => "filler",
        }
    }
}

/// A set of [`Defect`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Defects(u16);

impl Defects {
    /// Adds one.
    pub fn insert(&mut self, defect: Defect) {
        self.0 |= 1 << defect as u16;
    }

    /// Whether it is in.
    #[must_use]
    pub const fn contains(self, defect: Defect) -> bool {
        self.0 & (1 << defect as u16) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in it, worst first.
    pub fn iter(self) -> impl Iterator<Item = Defect> {
        Defect::ALL.into_iter().filter(move |defect| self.contains(*defect))
    }
}

impl FromIterator<Defect> for Defects {
    fn from_iter<T: IntoIterator<Item = Defect>>(defects: T) -> Self {
        let mut set = Self::default();
        defects.into_iter().for_each(|defect| set.insert(defect));
        set
    }
}

impl fmt::Debug for Defects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Defect::as_str)).finish()
    }
}

/// The facts as one word of ASCII, as they are kept beside the object: the container, then each track, then each defect.
///
/// `ts,v256=avc1/90000@133500+180000k,a257=mp4a/90000@133200+179200,!continuity`
impl fmt::Display for SegmentFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.container.as_str())?;
        self.tracks.iter().try_for_each(|track| write!(f, ",{track}"))?;
        self.defects.iter().try_for_each(|defect| write!(f, ",!{}", defect.as_str()))
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let medium = match self.medium {
            Some(Medium::Video) => 'v',
            Some(Medium::Audio) => 'a',
            None => 't',
        };
        write!(f, "{medium}{}", self.id)?;
        self.codec.map_or(Ok(()), |codec| write!(f, "={}", codec.as_str()))?;
        let numbers = [
            ('/', self.scale.map(i128::from)),
            ('@', self.first.map(i128::from)),
            ('+', Some(i128::from(self.duration)).filter(|duration| *duration > 0)),
            ('*', Some(i128::from(self.undated)).filter(|undated| *undated > 0)),
            ('s', Some(i128::from(self.sample)).filter(|sample| *sample > 0)),
            ('e', Some(i128::from(self.edit)).filter(|edit| *edit != 0)),
        ];
        for (mark, number) in numbers {
            number.map_or(Ok(()), |number| write!(f, "{mark}{number}"))?;
        }
        f.write_str(match self.starts_with_keyframe {
            Some(true) => "k",
            Some(false) => "n",
            None => "",
        })
    }
}

impl SegmentFacts {
    /// Reads [what was kept](#impl-Display-for-SegmentFacts). What a later process wrote and this one does not know is left out; a word that is
    /// none of theirs gives `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let mut parts = word.split(',');
        let name = parts.next()?;
        let container = Container::ALL.into_iter().find(|container| container.as_str() == name)?;
        let mut facts = Self { container, ..Self::default() };
        for part in parts {
            if let Some(name) = part.strip_prefix('!') {
                facts.defects.extend(Defect::ALL.into_iter().find(|defect| defect.as_str() == name));
            } else if let Some(track) = Track::parse(part)
                && facts.tracks.len() < MOST_TRACKS
            {
                facts.tracks.push(track);
            }
        }
        Some(facts)
    }
}

impl Extend<Defect> for Defects {
    fn extend<T: IntoIterator<Item = Defect>>(&mut self, defects: T) {
        defects.into_iter().for_each(|defect| self.insert(defect));
    }
}

impl Track {
    fn parse(word: &str) -> Option<Self> {
        let medium = match word.chars().next()? {
            'v' => Some(Medium::Video),
            'a' => Some(Medium::Audio),
            't' => None,
            _ => return None,
        };
        let mut rest = &word[1..];
        let mut track = Self { medium, ..Self::default() };
        let number = |rest: &mut &str| {
            let end = rest.char_indices().skip(1).find(|(_, c)| !c.is_ascii_digit()).map_or(rest.len(), |(at, _)| at);
            let (number, behind) = rest.split_at(end);
            *rest = behind;
            number.parse::<i128>().ok()
        };
        track.id = u32::try_from(number(&mut rest)?).ok()?;
        while let Some(mark) = rest.chars().next() {
            rest = &rest[mark.len_utf8()..];
            match mark {
                '=' => {
                    let (name, behind) = rest.as_bytes().split_first_chunk()?;
                    track.codec = Some(Codec::new(*name)).filter(|codec| codec.as_str().as_bytes() == name);
                    rest = std::str::from_utf8(behind).ok()?;
                }
                '/' => track.scale = Some(u32::try_from(number(&mut rest)?).ok()?),
                '@' => track.first = Some(u64::try_from(number(&mut rest)?).ok()?),
                '+' => track.duration = u64::try_from(number(&mut rest)?).ok()?,
                '*' => track.undated = u32::try_from(number(&mut rest)?).ok()?,
                's' => track.sample = u32::try_from(number(&mut rest)?).ok()?,
                'e' => track.edit = i64::try_from(number(&mut rest)?).ok()?,
                'k' => track.starts_with_keyframe = Some(true),
                'n' => track.starts_with_keyframe = Some(false),
                _ => return None,
            }
        }
        Some(track)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn track() -> impl Strategy<Value = Track> {
        let medium = prop_oneof![Just(None), Just(Some(Medium::Video)), Just(Some(Medium::Audio))];
        (
            any::<(u32, Option<u32>, Option<u64>, u64, u32)>(),
            any::<(Option<bool>, u32, i64)>(),
            (medium, any::<Option<[u8; 4]>>()),
        )
            .prop_map(
                |((id, scale, first, duration, undated), (starts_with_keyframe, sample, edit), (medium, codec))| Track {
                    id,
                    medium,
                    codec: codec.map(Codec::new),
                    scale,
                    first,
                    duration,
                    undated,
                    starts_with_keyframe,
                    sample,
                    edit,
                },
            )
    }

    proptest! {
        #[test]
        fn what_is_kept_is_read_again(tracks in prop::collection::vec(track(), 0..MOST_TRACKS), defects in 0..1_u16 << 9, container in 0..3) {
            let container = Container::ALL[container as usize];
            let facts = SegmentFacts { container, tracks, defects: Defects(defects) };
            let word = facts.to_string();
            prop_assert!(word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'), "{}", word);
            prop_assert_eq!(SegmentFacts::parse(&word), Some(facts));
        }

        #[test]
        fn any_word_is_read_to_its_end(word: String, mixed in "[,!vat0-9/@+*sekn-]{0,40}") {
            let _ = SegmentFacts::parse(&word);
            let _ = SegmentFacts::parse(&format!("ts,{mixed}"));
        }
    }

    #[test]
    fn a_word_is_short_and_what_is_unknown_is_left_out() {
        let word = "ts,v256=avc1/90000@133500+180000k,a257/90000@133200+179200,!continuity";
        let facts = SegmentFacts::parse(word).unwrap();
        assert_eq!(facts.to_string(), word);
        assert_eq!(SegmentFacts::parse(&format!("{word},!of-tomorrow,x7")), Some(facts));
        assert_eq!(SegmentFacts::parse("webm"), None);
    }

    #[test]
    fn an_initialization_segment_says_what_fragments_leave_open() {
        let declared = SegmentFacts::parse("fmp4,v1=avc1/12800s512e-1024,a2=mp4a/48000").unwrap();
        let fragment = SegmentFacts::parse("fmp4,t1@25600*50k,t2@96000+96256").unwrap();
        let known = fragment.with(&declared);
        let lead = known.lead().unwrap();
        assert_eq!((lead.medium, lead.first_seconds(), lead.duration_seconds()), (Some(Medium::Video), Some(2.0), Some(2.0)));
        assert_eq!((lead.edit, lead.codec, known.tracks[1].first_seconds()), (-1024, Some(Codec::new(*b"avc1")), Some(2.0)));
        assert_eq!(SegmentFacts::parse("fmp4,t1@25600*50k").unwrap().lead().unwrap().duration_seconds(), None);
    }
}
