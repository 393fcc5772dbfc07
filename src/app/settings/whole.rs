//! What can only be judged of settings when all of them are known.

use std::time::Duration;

use super::places::SettingPlaces;
use super::{AdminTlsSettings, SettingFault, Settings};
use crate::model::id::Namespace;
use crate::model::units::{Size, Span};
use crate::origin::policy::{Hold, NamespacePolicy, PairPolicy};
use crate::store::{Ack, Durable, Location};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// What a client waits for without an answer, at most: CDNs give up after 30 s.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Settings {
    /// Adds what can only be judged when everything is known, each at the place where it was said.
    pub(super) fn check_whole(&self, places: &SettingPlaces, faults: &mut Vec<SettingFault>) {
        let mut fault = |key: &str, others: &[&str], message: String| faults.push(places.fault(key, others, message));
        if self.listen.is_empty() && self.tls.listen.is_empty() {
            fault("listen", &["tls.listen"], "names no address to serve on, and neither does tls.listen".to_owned());
        }
        if !self.tls.listen.is_empty() {
            for (key, file) in [("tls.certificate", &self.tls.certificate), ("tls.key", &self.tls.key)] {
                if file.is_none() {
                    fault(key, &["tls.listen"], "names no file, and tls.listen needs one".to_owned());
                }
            }
        }
        let AdminTlsSettings { certificate, key } = &self.admin_tls;
        for (name, lacks, other) in [
            ("admin_tls.certificate", certificate.is_none() && key.is_some(), "admin_tls.key"),
            ("admin_tls.key", key.is_none() && certificate.is_some(), "admin_tls.certificate"),
        ] {
            if lacks {
                fault(name, &[other], format!("names no file, and {other} does: both are needed, or neither"));
            }
        }
        // Where none is declared, all that were made may have been removed again.
        if self.namespaces.is_empty() && places.get("namespaces").is_some() {
            fault("namespaces", &[], "there is none, so nothing could be stored".to_owned());
        }
        for (key, limit) in
            [("connections.total", self.connections.total), ("connections.per_address", self.connections.per_address)]
        {
            if limit == 0 {
                fault(key, &[], "is 0: nobody could connect".to_owned());
            }
        }
        if self.access_log.rotate_size < 1 << 10 {
            fault("access_log.rotate_size", &[], "is smaller than 1KiB: a few lines would fill a file".to_owned());
        }
        if self.access_log.keep > 1000 {
            fault("access_log.keep", &[], "is more than 1000".to_owned());
        }
        if self.harvest.folder.as_ref().is_some_and(|folder| self.data_dir.starts_with(folder)) {
            let message = "holds the data directory: recordings take a folder of their own".to_owned();
            fault("harvest.folder", &["data_dir"], message);
        }
        for (key, limit) in [
            ("timeouts.request_head", self.timeouts.request_head),
            ("timeouts.keep_alive", self.timeouts.keep_alive),
            ("timeouts.upload_idle", self.timeouts.upload_idle),
            ("timeouts.upload_total", self.timeouts.upload_total),
            ("timeouts.download_idle", self.timeouts.download_idle),
        ] {
            if limit < Duration::from_millis(100) || limit > DAY {
                fault(key, &[], format!("is {}; it has to be between 100ms and 1d", Span(limit)));
            }
        }
        if self.cluster.ca.is_some() && self.cluster.engine.as_ref().is_none_or(|engine| !engine.is_tls) {
            let message = "is for an engine that is spoken to over TLS: valkeys:// or valkeys+cluster://".to_owned();
            fault("cluster.ca", &["cluster.engine"], message);
        }
        if !(1..=9).contains(&self.cluster.copies) {
            fault("cluster.copies", &[], format!("is {}; it has to be between 1 and 9", self.cluster.copies));
        }
        for (name, policy) in &self.namespaces {
            check_namespace(name, policy, self.max_in_flight, places, faults);
            if self.cluster.engine.is_some() {
                check_shared(name, policy, places, faults);
            }
        }
        self.check_buckets(places, faults);
    }

    /// Of two places in buckets none may lie within the other: a key there would be an object of both.
    fn check_buckets(&self, places: &SettingPlaces, faults: &mut Vec<SettingFault>) {
        let place = |(name, policy): (&Namespace, &NamespacePolicy)| match &policy.durable {
            Durable::Bucket(url) => Some((name.clone(), Location::parse(url).ok()?.of_namespace(name))),
            Durable::Off | Durable::Disk => None,
        };
        let mut known: Vec<_> = self.namespaces.iter().filter_map(place).collect();
        // What lies within a place comes right behind it.
        known.sort_by_cached_key(|(_, place)| format!("{place}/"));
        let mut outer: Option<&(Namespace, Location)> = None;
        for at in &known {
            match outer {
                Some((other, whose)) if whose.contains(&at.1) => {
                    let message = format!(
                        "has {} for this namespace, which lies within {whose}, where {other} has its objects: a key of one would be \
                         an object of the other; give it a path of its own",
                        at.1
                    );
                    faults.push(places.fault(&format!("namespaces.{}.durable", at.0), &[], message));
                }
                _ => outer = Some(at),
            }
        }
        for allowed in self.harvest.buckets.iter().filter_map(|url| Location::parse(url).ok()) {
            if let Some((name, place)) = known.iter().find(|(_, place)| place.overlaps(&allowed)) {
                let message = format!(
                    "has {allowed}, and namespace {name} keeps its objects in {place}: a recording could be written over them; name a \
                     path beside it"
                );
                faults.push(places.fault("harvest.buckets", &[], message));
            }
        }
    }
}

/// What nodes that share an engine can't do in a namespace.
pub(super) fn check_shared(name: &Namespace, policy: &NamespacePolicy, places: &SettingPlaces, faults: &mut Vec<SettingFault>) {
    if policy.durable == Durable::Disk {
        let message =
            "has to be off or a bucket where nodes share ([cluster] engine): what is on one node's disk no other one has"
                .to_owned();
        faults.push(places.fault(&format!("namespaces.{name}.durable"), &["cluster.engine"], message));
    }
}

pub(super) fn check_namespace(
    name: &Namespace,
    policy: &NamespacePolicy,
    max_in_flight: u64,
    places: &SettingPlaces,
    faults: &mut Vec<SettingFault>,
) {
    let own = |key: &str| format!("namespaces.{name}.{key}");
    let mut fault = |key: &str, others: &[&str], message: String| {
        let others: Vec<_> =
            others.iter().map(|other| if *other == "max_in_flight" { (*other).to_owned() } else { own(other) }).collect();
        let others: Vec<_> = others.iter().map(String::as_str).collect();
        faults.push(places.fault(&own(key), &others, message));
    };
    let largest = Size(policy.max_object_size);
    if policy.max_object_size == 0 {
        fault("max_object_size", &[], "is 0: no object would fit".to_owned());
    }
    if policy.hot_capacity < policy.max_object_size {
        let message = format!("is smaller than max_object_size, {largest}: one object would push out everything else");
        fault("hot_capacity", &["max_object_size"], message);
    }
    if policy.shared_capacity.is_some_and(|capacity| capacity < policy.max_object_size.saturating_mul(2)) {
        let message = format!("is smaller than twice max_object_size, {largest}: one object would push out everything else");
        fault("shared_capacity", &["max_object_size"], message);
    }
    if policy.max_object_size > max_in_flight {
        let message = format!("is larger than max_in_flight, {}: such an object could never be uploaded", Size(max_in_flight));
        fault("max_object_size", &["max_in_flight"], message);
    }
    if policy.durable == Durable::Off && policy.ack == Ack::Durable {
        fault("ack", &["durable"], "is durable, but durable is off: there is nothing to wait for".to_owned());
    }
    if policy.durable != Durable::Off && policy.durable_capacity < policy.max_object_size {
        let message = format!("is smaller than max_object_size, {largest}: nothing would be kept");
        fault("durable_capacity", &["max_object_size", "durable"], message);
    }
    if policy.default_ttl < SECOND || policy.default_ttl > policy.max_ttl {
        let (is, most) = (Span(policy.default_ttl), Span(policy.max_ttl));
        fault("default_ttl", &["max_ttl"], format!("is {is}; it has to be between 1s and max_ttl, {most}"));
    }
    if policy.max_ttl > 3650 * DAY {
        fault("max_ttl", &[], "is longer than 3650d".to_owned());
    }
    if matches!(policy.hold, Hold::For(span) if span.is_zero() || span > LONGEST_WAIT) {
        fault("hold", &[], "has to be between 1ms and 30s, auto or off: CDNs give up after 30 s".to_owned());
    }
    if policy.gate.is_some_and(|gate| gate.is_zero() || gate > LONGEST_WAIT) {
        fault("gate", &[], "has to be between 1ms and 30s, or off: the encoder waits as long for its answer".to_owned());
    }
    if !(60 * SECOND..=30 * DAY).contains(&policy.limits.gone_after) {
        fault("gone_after", &[], "has to be between 1m and 30d".to_owned());
    }
    for (at, message) in pair_faults(policy) {
        fault(&at, &["pairs"], message);
    }
    let viewers = &policy.viewers;
    if !(60 * SECOND..=365 * DAY).contains(&viewers.max_ttl) {
        fault("viewers.max_ttl", &[], "has to be between 1m and 365d".to_owned());
    }
    if viewers.clock_skew > 600 * SECOND {
        fault("viewers.clock_skew", &[], "has to be 10m at most: what is further off is no clock".to_owned());
    }
    let names_place = viewers.client_address_header.is_some() || viewers.country_header.is_some();
    if names_place && viewers.trusted_proxies.is_empty() {
        let message =
            "names nobody, but client_address_header or country_header is set: from anybody they are not believed".to_owned();
        fault("viewers.trusted_proxies", &["viewers.client_address_header", "viewers.country_header"], message);
    }
    if viewers.limits.sessions.is_some_and(|sessions| sessions > 100) {
        fault(
            "viewers.sessions",
            &[],
            "has to be 100 at most, or unlimited: more are no brake on a token that is handed on".to_owned(),
        );
    }
    if viewers.grace > 3600 * SECOND {
        fault("viewers.grace", &[], "has to be 1h at most: a token that has ended opens segments for so long".to_owned());
    }
    if !(2..=10_000).contains(&policy.limits.stale_after) {
        fault("stale_after", &[], "has to be between 2 and 10000 target durations".to_owned());
    }
}

/// What is wrong with the pairs of a namespace, and where. Of two prefixes none may begin with the other, or one name would be two things.
fn pair_faults(policy: &NamespacePolicy) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut known: Vec<(String, &str)> = policy.normalise.iter().map(|prefix| ("normalise".to_owned(), &**prefix)).collect();
    for (index, pair) in policy.pairs.iter().enumerate() {
        let key = |name: &str| format!("pairs.{}.{name}", index + 1);
        let most = PairPolicy::MOST_SOURCES;
        if !(1..=most).contains(&pair.sources.len()) {
            faults.push((key("sources"), format!("names {} sources; a public stream has 1 to {most}", pair.sources.len())));
        }
        if pair.public.is_empty() {
            faults.push((key("public"), "is not said: what do the names that viewers ask for begin with?".to_owned()));
            continue;
        }
        if pair.grace.is_some_and(|grace| grace > 30 * SECOND) {
            faults.push((key("grace"), "has to be 30s at most".to_owned()));
        }
        if pair.end_hold.is_some_and(|hold| hold > 3600 * SECOND) {
            faults.push((key("end_hold"), "has to be 1h at most".to_owned()));
        }
        if pair.return_after > 24 * 3600 * SECOND {
            faults.push((key("return_after"), "has to be 24h at most".to_owned()));
        }
        if pair.prefers_first && pair.sources.len() < 2 {
            faults.push((key("prefer"), "is \"first\", and there is one source alone".to_owned()));
        }
        let prefixes = pair.sources.iter().map(|source| ("sources", &**source)).chain([("public", &*pair.public)]);
        for (name, prefix) in prefixes {
            let other = known.iter().find(|(_, other)| other.starts_with(prefix) || prefix.starts_with(other));
            if let Some((at, other)) = other {
                let message = format!(
                    "has {prefix:?}, and {at} has {other:?}: one begins with the other, so that a name would be two things"
                );
                faults.push((key(name), message));
            }
            known.push((key(name), prefix));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_buckets_lie_beside_each_other() {
        let live = "[namespaces.live]\ndurable = \"s3://media\"\n";
        let other = |url: &str| format!("{live}[namespaces.other]\ndurable = \"{url}\"\n");
        let beside = ["s3://media", "s3://media/other", "s3://media/live2", "gs://media/live"].map(other);
        let harvest = |url: &str| format!("{live}[harvest]\nbuckets = [\"s3://vod\", \"{url}\"]\n");
        for text in beside.iter().chain([&harvest("s3://media/vod")]) {
            assert_eq!(Settings::faults_of(text), [""; 0], "{text}");
        }
        for (text, place) in [
            (other("s3://media/live"), "settings:4: namespaces.other.durable: has s3://media/live/other for this namespace"),
            (other("s3://media/live/a/b"), "settings:4: namespaces.other.durable: has s3://media/live/a/b/other"),
            (harvest("s3://media"), "settings:4: harvest.buckets: has s3://media, and namespace live keeps"),
            (harvest("s3://media/live/vod"), "settings:4: harvest.buckets: has s3://media/live/vod, and"),
        ] {
            let told = Settings::faults_of(&text);
            assert!(matches!(&told[..], [fault] if fault.starts_with(place)), "{told:?} of {text}");
        }
    }

    #[test]
    fn of_a_list_each_word_that_is_wrong_is_told() {
        let text = "listen = [\"zz\", \"127.0.0.1:1\",\n\"yy\"]\n[namespaces.a]\ncors_origins = [\"x/\", \"https://a.example\", \"y/\"]\n\
                    [namespaces.b]\ncors_origins = [\"x/\", \"*\"]\n[namespaces.c]\ncors_origins = []\nnormalise = \"a\"\n";
        let told = Settings::faults_of(text);
        let places = ["settings:1: listen: ", "settings:2: listen: ", "settings:4: namespaces.a.cors_origins: "];
        let places = [&places[..], &["settings:4: namespaces.a.cors_origins: ", "settings:9: namespaces.c.normalise: "]].concat();
        assert_eq!(told.len(), places.len(), "{told:?}");
        assert!(told.iter().zip(places).all(|(told, place)| told.starts_with(place)), "{told:?}");
    }

    #[test]
    fn pairs_are_told_where_they_would_make_one_name_two_things() {
        let faults = |text: &str| Settings::faults_of(&format!("[namespaces.live]\n{text}"));
        let pair =
            |public: &str, sources: &str| format!("[[namespaces.live.pairs]]\npublic = \"{public}\"\nsources = [{sources}]\n");
        assert_eq!(faults(&(pair("live/", "\"live-a/\"") + &pair("b", "\"a/b\""))), [""; 0]);
        for (text, place, why) in [
            (pair("live/", "\"live/a/\""), "settings:3: namespaces.live.pairs.1.public", "one begins with the other"),
            (pair("a", "\"b\"") + &pair("c", "\"bc\""), "settings:7: namespaces.live.pairs.2.sources", "pairs.1.sources"),
            (
                format!("normalise = [\"li\"]\n{}", pair("live/", "\"a/\"")),
                "settings:4: namespaces.live.pairs.1.public",
                "normalise",
            ),
            (pair("live/", ""), "settings:4: namespaces.live.pairs.1.sources", "names 0 sources"),
            (pair("", "\"a/\""), "settings:3: namespaces.live.pairs.1.public", "is not said"),
            (pair("live//", "\"a/\""), "settings:3: namespaces.live.pairs.1.public", "is no beginning"),
            (pair("a/", "\"b/\"") + "prefer = \"first\"\n", "settings:5: namespaces.live.pairs.1.prefer", "one source alone"),
            (
                pair("a/", "\"b/\", \"c/\"") + "prefer = \"b\"\n",
                "settings:5: namespaces.live.pairs.1.prefer",
                "neither none nor first",
            ),
            (
                pair("a/", "\"b/\"") + "return_after = \"25h\"\n",
                "settings:5: namespaces.live.pairs.1.return_after",
                "24h at most",
            ),
            (pair("a/", "\"b/\"") + "hold = 1\n", "settings:5: namespaces.live.pairs.1.hold", "is not a setting"),
        ] {
            let told = faults(&text);
            assert!(told.iter().any(|fault| fault.starts_with(place) && fault.contains(why)), "{told:?} of {text}");
        }
    }
}
