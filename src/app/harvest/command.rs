//! `springhead harvest`: from a server, over HTTP, to a folder or a bucket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::room::ListRoom;
use super::sink::{LocalFolder, Sink};
use super::source::Source;
use super::window::HarvestWindow;
use super::{CopyCounts, Harvest, HarvestRecord, bucket, resume};
use crate::app::args::Args;
use crate::app::client::{
    Address, At, HttpClient, ProgressLine, RequestOptions, Server, TlsRules, USUAL_NAMESPACE, authorities, redacted, usage,
};
use crate::app::keys::read_key;
use crate::app::{Failure, buckets, print};
use crate::model::clock::Clock;
use crate::model::id::Namespace;
use crate::model::units::{Size, parse_duration};
use crate::origin::WindowWord;
use crate::store::Location;

/// How often the progress is drawn.
const DRAWN: Duration = Duration::from_millis(100);

/// What harvest is asked for, as it was written.
#[derive(Debug, Args)]
pub(in crate::app) struct HarvestRequest {
    /// The origin, as `https://HOST[:PORT]`; or the URL of a playlist.
    #[arg(value_name = "BASE_URL")]
    base: String,
    /// The namespace the stream is in [default: the one in `BASE_URL`, else live-origin].
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// An API key, a JSON file with it in `api_key`, or - to read either from stdin. Sent to the host of `BASE_URL` only.
    #[arg(long, env = "SPRINGHEAD_KEY", hide_env_values = true, value_name = "KEY_OR_FILE")]
    key: Option<String>,
    /// The playlist, multivariant or media.
    #[arg(long, value_name = "NAME")]
    playlist: Option<String>,
    /// From when on [default: the oldest that is there].
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until when [default: now].
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Instead: this much of it, up to now.
    #[arg(long, value_name = "DURATION")]
    last: Option<String>,
    /// The folder, a new or empty one; or `s3://BUCKET/PREFIX`, `gs://` or `az://`, with credentials from the environment.
    #[arg(long, value_name = "DIR|URL")]
    out: PathBuf,
    /// Copy content keys too. Without it the recording names them where they are.
    #[arg(long)]
    keys: bool,
    /// Begin anew where an earlier harvest went, and delete what that has copied there.
    #[arg(long)]
    replace: bool,
    /// Certificates of authorities to be trusted beside the system's, a PEM file.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// For each request.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: String,
}

/// Copies the window. Exit status 1 when anything of it is missing.
pub(in crate::app) fn run(request: &HarvestRequest) -> Result<(), Failure> {
    let namespace = request.namespace.as_deref().unwrap_or(USUAL_NAMESPACE);
    if Namespace::parse(namespace).is_err() {
        return Err(usage("--namespace", "is no name of a namespace"));
    }
    let address = Address::parse(&request.base).and_then(|address| address.within(namespace));
    let address = address.map_err(|error| usage("BASE_URL", error))?;
    let timeout = parse_duration(&request.timeout).map_err(|error| usage("--timeout", error))?;
    let clock = Clock::system();
    let asked = HarvestWindow { start: request.from.clone(), end: request.to.clone(), last: request.last.clone() };
    let window = asked.window(clock.wall()).map_err(|error| {
        let flag = match error.word {
            WindowWord::Start => "--from",
            WindowWord::End => "--to",
            WindowWord::Last => "--last",
        };
        usage(flag, error.why)
    })?;
    let sink = sink(&request.out)?;
    let key = request.key.as_deref().filter(|text| !text.is_empty()).map(read_key).transpose()?.or_else(|| address.key.clone());
    let roots = authorities(request.ca.as_deref())?;
    let client = HttpClient::new(TlsRules { extra_roots: roots.as_deref(), ..TlsRules::default() }, clock)?;
    let options = RequestOptions { client, web_origin: String::new(), timeout, stays: false };
    let mut server = Server::new(At::Origin, address, true, key, options);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start")?;
    runtime.block_on(server.settle());
    let entry = match (&request.playlist, server.playlist.clone()) {
        (Some(name), _) => server.url(name).ok_or_else(|| usage("--playlist", "is no name"))?,
        (None, Some(url)) => url,
        (None, None) => return Err(usage("--playlist", "is needed, or the playlist's URL in BASE_URL")),
    };
    let counts = Arc::new(CopyCounts::default());
    let harvest = Harvest { source: Source::Server(server), sink, keys: request.keys, counts: Arc::clone(&counts) };
    let name = runtime.block_on(async {
        let (record, mut room) = (HarvestRecord::new(redacted(&entry), &asked, window), ListRoom::boundless());
        let resumed = resume(&harvest.sink, record, request.replace, |_| true, &mut room).await?;
        let work = async { harvest.copy(harvest.prepare(&entry, resumed, &mut room).await?).await };
        tokio::select! {
            name = work => name,
            never = draw(&counts) => match never {},
        }
    })?;
    let (copied, kept, bytes) =
        (CopyCounts::read(&counts.copied), CopyCounts::read(&counts.kept), CopyCounts::read(&counts.bytes));
    let gaps = CopyCounts::read(&counts.gaps);
    print(&format!(
        "{}: {} files, {} copied{}{}",
        harvest.sink.name(&name),
        copied + kept,
        Size(bytes),
        if kept > 0 { format!(", {kept} were here already") } else { String::new() },
        match gaps {
            0 => String::new(),
            1 => "; 1 segment is a gap in it".to_owned(),
            _ => format!("; {gaps} segments are gaps in it"),
        }
    ))?;
    for gap in counts.gap_times.lock().iter() {
        print(&format!("  gap: {gap}"))?;
    }
    for left_out in counts.left_out.lock().iter() {
        print(&format!("  left out: {left_out}"))?;
    }
    Ok(())
}

/// Shows how far it has come, until it is dropped.
async fn draw(counts: &CopyCounts) -> std::convert::Infallible {
    let (progress, mut shown) = (Drawn(ProgressLine::new(false)), None);
    loop {
        tokio::time::sleep(DRAWN).await;
        let (total, done) = (CopyCounts::read(&counts.total), counts.done());
        if total > 0 && shown.is_none() {
            progress.0.begin_count("copying", total);
            shown = Some(0);
        }
        if let Some(shown) = &mut shown {
            (*shown..done).for_each(|_| progress.0.step());
            *shown = done;
        }
    }
}

/// Ends with what it shows.
struct Drawn(ProgressLine);

impl Drop for Drawn {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn sink(out: &Path) -> Result<Sink, Failure> {
    match out.to_str() {
        Some("") => Err(usage("--out", "is empty")),
        Some(url) if url.contains("://") => {
            let location = Location::parse(url).map_err(|error| usage("--out", format!("a bucket's URL {error}")))?;
            Ok(bucket(&location, &buckets::access())?)
        }
        _ => Ok(Sink::Folder(LocalFolder::new(out, ""))),
    }
}
