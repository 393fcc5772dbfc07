//! The first start: keys are made, and what to paste where is printed.

use super::data_dir::DataDir;
use super::keys::{self, NewKey};
use super::settings::Settings;
use crate::auth::grant::{Role, Scope};
use crate::auth::key::KeyRing;

/// How long the first keys are good.
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// Makes the three keys of a first start and says how to use them; `None` when keys were made here before.
pub(super) fn first_start(
    settings: &Settings,
    data: &DataDir,
    ring: &KeyRing,
    secure: bool,
    port: u16,
) -> anyhow::Result<Option<String>> {
    if !data.has_no_keys() {
        return Ok(None);
    }
    let names: Vec<&str> = settings.namespaces.keys().map(|name| name.as_str()).collect();
    let make = |role: Role, name: &str| -> anyhow::Result<NewKey> {
        // An administrator's key reaches no object, so it has no namespaces.
        let scope = Scope::parse(names.iter().copied().filter(|_| role != Role::Admin))?;
        let key = keys::issue(data, ring, role, scope, None, Some(LIFETIME), Some(name.to_owned()))?;
        keys::write(data, &format!("{name}.json"), &key)?;
        Ok(key)
    };
    let encoder = make(Role::Readwrite, "encoder_api_key")?;
    let player = make(Role::Readonly, "player_api_key")?;
    make(Role::Admin, "admin_api_key")?;
    let namespace = names.first().copied().unwrap_or("live-origin");
    let scheme = if secure { "https" } else { "http" };
    Ok(Some(text(namespace, scheme, port, &data.path().display().to_string(), &encoder, &player.api_key)))
}

fn text(namespace: &str, scheme: &str, port: u16, data_dir: &str, encoder: &NewKey, player: &str) -> String {
    let ingest = encoder.ingest.as_ref().map_or_else(String::new, |ingest| {
        let (user, password) = (&ingest.user, &ingest.password);
        format!("  With HLS basic put or HLS webdav: user name {user}, password {password}\n")
    });
    let encoder = &encoder.api_key;
    // A certificate names a host, not this machine's loopback address.
    let local = if scheme == "https" { "HOST" } else { "127.0.0.1" };
    let protocol = if scheme == "https" { "HTTPS only" } else { "HTTP only" };
    format!(
        r#"First start: two API keys were made, good for 30 days, for namespace {namespace}.
They are in {data_dir}/encoder_api_key.json (readwrite) and {data_dir}/player_api_key.json (readonly).
A third one, {data_dir}/admin_api_key.json, is for metrics and the encoders' black box on the admin listener.
This is not shown again. HOST is this server's name, as the encoder and the CDN reach it, and as its certificate names it; with
a TLS proxy in front, write https://HOST instead of {scheme}://HOST:{port}.

AWS Elemental MediaLive, HLS output group
  Destination URL    {scheme}://HOST:{port}/cache/{namespace}/playlist.m3u8?ttl_seconds=3600&role=origin
  User name          momento
  Password           {encoder}
  CDN settings       HLS Akamai
{ingest}
Amazon CloudFront, origin
  Origin domain      HOST
  Protocol           {protocol}, port {port}
  Origin path        /cache/{namespace}
  Add custom header  Authorization: {player}

Push a test picture with ffmpeg
  ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=30 -re -f lavfi -i sine=frequency=440 \
    -c:v libx264 -preset veryfast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac \
    -f hls -method PUT -http_persistent 1 -hls_time 2 -hls_list_size 10 -hls_flags delete_segments \
    -headers $'Authorization: Bearer {encoder}\r\n' \
    {scheme}://{local}:{port}/cache/{namespace}/playlist.m3u8

See what arrived
  curl "{scheme}://{local}:{port}/cache/{namespace}/playlist.m3u8?token={player}"
"#
    )
}
