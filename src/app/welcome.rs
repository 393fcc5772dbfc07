//! The first start: keys are made, and what to paste where is printed; with the keys in it only where a person reads it.

use std::path::Path;
use std::time::Duration;

use super::data_dir::DataDir;
use super::keys::{self, NewKey};
use super::settings::Settings;
use super::shell::quote;
use crate::auth::grant::{Role, Scope};
use crate::auth::key::{KeyRing, KeySpec};
use crate::model::clock::{Clock, WallTime};
use crate::origin::policy::ViewerMode;

/// How long the first keys are good.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// Where the data listener is, for those who are to paste its address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener {
    /// Whether it speaks TLS.
    pub(super) secure: bool,
    pub(super) port: u16,
}

/// Makes the three keys of a first start and says how to use them; `None` when keys were made here before. `to_terminal`: the keys
/// themselves are shown. What is no terminal is kept as a log, by a service manager or a container's runtime: there the files are
/// named.
pub(super) fn first_start(
    settings: &Settings,
    data: &DataDir,
    ring: &KeyRing,
    listener: Listener,
    to_terminal: bool,
) -> anyhow::Result<Option<String>> {
    if !data.has_no_keys() {
        return Ok(None);
    }
    let names: Vec<&str> = settings.namespaces.keys().map(|name| name.as_str()).collect();
    let make = |role: Role, name: &str| -> anyhow::Result<NewKey> {
        // An administrator's key reaches no object, so it has no namespaces.
        let scope = Scope::parse(names.iter().copied().filter(|_| role != Role::Admin))?;
        let now = Clock::system().wall();
        let expires = Some(WallTime::from_seconds(now.seconds()) + LIFETIME);
        let spec = KeySpec { role, scope, prefix: None, is_edge: false, expires };
        let key = keys::issue(data, ring, spec, now, Some(name.to_owned()))?;
        keys::write(data, &format!("{name}.json"), &key)?;
        Ok(key)
    };
    let encoder = make(Role::Readwrite, "encoder_api_key")?;
    let player = make(Role::Readonly, "player_api_key")?;
    make(Role::Admin, "admin_api_key")?;
    let shown = if to_terminal { Shown::whole(&encoder, &player) } else { Shown::by_file(data.path()) };
    // The day alone: the minute helps nobody.
    let ends = encoder.record.expires_at.as_deref().and_then(|end| end.split('T').next()).unwrap_or_default().to_owned();
    // What the namespace gives where nothing is asked: within its limits in any case.
    let ttl = settings.namespaces.values().next().map_or(3600, |policy| policy.default_ttl.as_secs());
    let needs_token = settings.namespaces.values().next().is_some_and(|policy| policy.viewers.mode == ViewerMode::Required);
    Ok(Some(text(&names, ttl, needs_token, &ends, listener, &data.path().display().to_string(), &shown)))
}

/// How the keys appear.
struct Shown {
    /// Above the fields.
    remark: String,
    /// In a field of somebody's form.
    encoder: String,
    player: String,
    ingest: String,
    /// In a command of a shell, in double quotes.
    encoder_in_shell: String,
    player_in_shell: String,
    /// A command that the others need before them, with its line end.
    before: String,
}

impl Shown {
    fn whole(encoder: &NewKey, player: &NewKey) -> Self {
        let ingest = encoder
            .ingest
            .as_ref()
            .map_or_else(String::new, |ingest| format!("user name {}, password {}", ingest.user, ingest.password));
        let (encoder, player) = (encoder.api_key.clone(), player.api_key.clone());
        Self {
            remark: "This is not shown again.".to_owned(),
            encoder_in_shell: encoder.clone(),
            player_in_shell: player.clone(),
            before: String::new(),
            encoder,
            player,
            ingest,
        }
    }

    fn by_file(data_dir: &Path) -> Self {
        let file = |who: &str| data_dir.join(format!("{who}_api_key.json")).display().to_string();
        let (encoder, player) = (file("encoder"), file("player"));
        let read = |variable: &str, file: &str| {
            format!("  {variable}=$(sed -n 's/.*\"api_key\": \"\\(.*\\)\".*/\\1/p' {})\n", quote(file))
        };
        Self {
            remark: "The keys themselves are not shown, because standard output is no terminal and is kept as a log.".to_owned(),
            before: format!("In a shell, first\n{}{}\n", read("ENCODER_KEY", &encoder), read("PLAYER_KEY", &player)),
            ingest: format!("ingest_user and ingest_password in {encoder}"),
            encoder: format!("(api_key in {encoder})"),
            player: format!("(api_key in {player})"),
            encoder_in_shell: "$ENCODER_KEY".to_owned(),
            player_in_shell: "$PLAYER_KEY".to_owned(),
        }
    }
}

/// `needs_token`: the first namespace is read by viewers' tokens, which the player's key does not stand in for.
fn text(names: &[&str], ttl: u64, needs_token: bool, ends: &str, listener: Listener, data_dir: &str, shown: &Shown) -> String {
    let Shown { remark, encoder, player, ingest, encoder_in_shell, player_in_shell, before } = shown;
    let Listener { secure, port } = listener;
    let scheme = if secure { "https" } else { "http" };
    // A certificate names a host, not this machine's loopback address.
    let local = if secure { "HOST" } else { "127.0.0.1" };
    let protocol = if secure { "HTTPS only" } else { "HTTP only" };
    let in_shell = quote(data_dir);
    let namespace = names.first().copied().unwrap_or("live-origin");
    let (reads, of_viewers) = if needs_token {
        let more = "\nViewers need a token here (viewers.mode = \"required\"), and the readonly key does not stand in for one: who writes may read it back, as above.\n  \
                    'springhead token viewer' makes tokens; a CDN that checks them itself takes a key that was made with \
                    'springhead keys create --role readonly --edge'.\n";
        (encoder_in_shell, more)
    } else {
        (player_in_shell, "")
    };
    let opens = match names {
        [one] => format!("the namespace {one}"),
        all => format!("all {} namespaces ({})", all.len(), all.join(", ")),
    };
    format!(
        r#"First start: three API keys were made. Two are for {opens}.
They end on {ends}: then encoders and the CDN are refused. The log says so from two weeks before.
They are in {data_dir}/encoder_api_key.json (readwrite) and {data_dir}/player_api_key.json (readonly).
The third one, {data_dir}/admin_api_key.json, is for all that the admin listener has, metrics and the console among it; it ends then, too.
{remark}
A key for less, or for longer: springhead keys create --data-dir {in_shell} --namespace {namespace} --role readwrite --prefix show/ --expires 365d
HOST is this server's name, as the encoder and the CDN reach it, and as its certificate names it; with a TLS proxy in front, write
https://HOST instead of {scheme}://HOST:{port}.

AWS Elemental MediaLive, HLS output group
  Destination URL    {scheme}://HOST:{port}/cache/{namespace}/playlist.m3u8?ttl_seconds={ttl}&role=origin
  User name          momento
  Password           {encoder}
  CDN settings       HLS Akamai
  With HLS basic put or HLS webdav: {ingest}

Amazon CloudFront, origin
  Origin domain      HOST
  Protocol           {protocol}, port {port}
  Origin path        /cache/{namespace}
  Add custom header  Authorization: {player}

{before}Push a test picture with ffmpeg
  ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=30 -re -f lavfi -i sine=frequency=440 \
    -c:v libx264 -preset veryfast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac \
    -f hls -method PUT -http_persistent 1 -hls_time 2 -hls_list_size 10 -hls_flags delete_segments \
    -headers "Authorization: Bearer {encoder_in_shell}"$'\r\n' \
    {scheme}://{local}:{port}/cache/{namespace}/playlist.m3u8

See what arrived
  curl "{scheme}://{local}:{port}/cache/{namespace}/playlist.m3u8?token={reads}"
{of_viewers}"#
    )
}

/// A signing key has been made. Where there were keys before, it is not the first one, and they are of no use any more.
pub(super) fn tell_of_lost_key(data: &DataDir) {
    if !data.has_no_keys() {
        tracing::error!(
            data_dir = %data.path().display(),
            "signing.key was gone, and a new one has been made: all API keys that were made before are refused (401). Put the one from before back \
             (a backup has it) and start again; or make new keys with 'springhead keys create'"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_keys_open_and_until_when() {
        let shown = Shown::by_file(Path::new("/data"));
        let listener = Listener { secure: false, port: 8080 };
        let one = text(&["a"], 600, false, "2026-12-28", listener, "/data", &shown);
        assert!(
            one.starts_with("First start: three API keys")
                && one.contains("for the namespace a.\n")
                && one.contains("end on 2026-12-28"),
            "{one}"
        );
        let many = text(&["a", "b", "c"], 600, false, "2026-12-28", listener, "/data", &shown);
        assert!(one.contains("playlist.m3u8?ttl_seconds=600&role=origin"), "{one}");
        let required = text(&["a"], 600, true, "2026-12-28", listener, "/data", &shown);
        assert!(one.contains("?token=$PLAYER_KEY\"") && !one.contains("Viewers need"), "{one}");
        assert!(required.contains("?token=$ENCODER_KEY\"") && required.contains("springhead token viewer"), "{required}");
        assert!(many.contains("for all 3 namespaces (a, b, c).\n") && many.contains("--namespace a --role readwrite"), "{many}");
    }
}
