//! What `springhead doctor` takes on its command line.

use std::path::PathBuf;

use super::nodes::{self, ClusterWalk};
use super::{DoctorRequest, run};
use crate::app::Failure;
use crate::app::args::{ArgMatches, Args};
use crate::app::place::PlaceArgs;

/// What doctor is told on the command line.
#[derive(Debug, Args)]
pub(in crate::app) struct DoctorArgs {
    /// The origin, as `https://HOST[:PORT]`; or the URL of a playlist, this server's or any other's.
    #[arg(value_name = "BASE_URL", required_unless_present = "cluster")]
    base: Option<String>,
    /// In place of a stream: all nodes that share an engine, and that, by the settings and the signing key of one of them. With --write an object is stored
    /// through each.
    #[arg(long, conflicts_with_all = ["base", "cdn", "playlist", "twin", "watch", "web_origin"])]
    cluster: bool,
    #[command(flatten)]
    place: PlaceArgs,
    /// The namespace the stream is in [default: the one in `BASE_URL`, else live-origin].
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// An API key, a JSON file with it in `api_key`, or - to read either from stdin. Sent to the host of `BASE_URL` only.
    #[arg(long, env = "SPRINGHEAD_KEY", hide_env_values = true, value_name = "KEY_OR_FILE")]
    key: Option<String>,
    /// A viewer's token, where viewers need one: it is put into the path, here and at the CDN, as viewers have it.
    #[arg(long, env = "SPRINGHEAD_VIEWER_TOKEN", hide_env_values = true, value_name = "TOKEN", conflicts_with = "write")]
    viewer_token: Option<String>,
    /// The CDN in front, as `https://HOST`, or the URL of the playlist there. It is asked without a key, as viewers ask.
    #[arg(long, value_name = "URL")]
    cdn: Option<String>,
    /// The playlist that players are given [default: playlist.m3u8, index.m3u8, master.m3u8 or live.m3u8].
    #[arg(long, value_name = "NAME")]
    playlist: Option<String>,
    /// Another encoder's playlist of the same stream, in the same namespace: are they aligned, as a pair wants them, and if not, why?
    #[arg(long, value_name = "NAME")]
    twin: Option<String>,
    /// Also store a small object that ends after 5 s, read it back and delete it: may the key be used for ingest?
    #[arg(long)]
    write: bool,
    /// How long to watch the playlists advance; 0s does not watch [default: three target durations].
    #[arg(long, value_name = "DURATION")]
    watch: Option<String>,
    /// How many of the last segments of each rendition have to be there.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    segments: usize,
    /// The web site that players run on, where only some may read.
    #[arg(long, value_name = "URL")]
    web_origin: Option<String>,
    /// Certificates of authorities to be trusted beside the system's, a PEM file.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// For each request.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    timeout: String,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Walks what is asked for: a stream, or all nodes.
pub(in crate::app) fn begin(args: DoctorArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let DoctorArgs { write, ca, timeout, json, .. } = args;
    if args.cluster {
        return nodes::run(&args.place.load(matches)?, &ClusterWalk { write, ca, timeout, json });
    }
    run(DoctorRequest {
        base: args.base.unwrap_or_default(),
        namespace: args.namespace,
        key: args.key,
        viewer_token: args.viewer_token,
        cdn: args.cdn,
        playlist: args.playlist,
        twin: args.twin,
        write,
        watch: args.watch,
        segments: args.segments,
        web_origin: args.web_origin,
        ca,
        timeout,
        json,
        stays: false,
    })
}
