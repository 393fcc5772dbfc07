//! The TLS certificate's files: read at start, and again when they change, without a restart.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::sync::Notify;

use super::keys::rfc3339;
use super::settings::TlsSettings;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::web::connection::tls::{Pem, Tls};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long before its end a certificate is warned of, and how often.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 86_400);
const WARN_EVERY: Duration = Duration::from_secs(86_400);

/// The certificate in force and the files it came from.
#[derive(Debug)]
pub(super) struct Certificates {
    settings: TlsSettings,
    tls: Arc<Tls>,
    seen: Vec<FileState>,
}

/// What tells one state of a file from another: its time of change and its length. Follows links, so that a mounted secret whose
/// link is turned over is seen too.
type FileState = Option<(SystemTime, u64)>;

impl Certificates {
    /// Reads the files, if there is a TLS listener.
    pub(super) fn load(settings: &TlsSettings) -> anyhow::Result<Option<Self>> {
        if settings.listen.is_empty() {
            return Ok(None);
        }
        let seen = stamps(settings);
        let tls = Arc::new(Tls::new(&read(settings)?).context("TLS can't be offered")?);
        Ok(Some(Self { settings: settings.clone(), tls, seen }))
    }

    pub(super) fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// Keeps the certificate fresh, and warns before it ends. A change is taken up when the files have stood still for one look,
    /// because certificate and key are written one after the other; who rings `look_now` has written both.
    pub(super) async fn watch(mut self, metrics: Arc<Metrics>, look_now: Arc<Notify>) {
        let clock = Clock::system();
        let mut warned = None;
        let mut changing = None;
        metrics.tls_expiry_seconds.set(self.tls.expires().seconds());
        loop {
            let left = Duration::from_secs(self.tls.expires().seconds().saturating_sub(clock.wall().seconds()));
            if left < WARN_BEFORE && warned.is_none_or(|warned| clock.now().since(warned) >= WARN_EVERY) {
                let ends = rfc3339(self.tls.expires());
                if left.is_zero() {
                    tracing::error!(ends, "the TLS certificate has ended: clients refuse it; replace its files");
                } else {
                    tracing::warn!(ends, days_left = left.as_secs() / 86_400, "the TLS certificate ends soon: replace its files");
                }
                warned = Some(clock.now());
            }
            let told = tokio::time::timeout(EVERY, look_now.notified()).await.is_ok();
            let settings = self.settings.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || stamps(&settings)).await else { return };
            if now == self.seen && !told {
                changing = None;
            } else if changing.as_ref() != Some(&now) && !told {
                changing = Some(now);
            } else {
                self.seen = now;
                changing = None;
                match read(&self.settings).and_then(|pem| Ok(self.tls.replace(&pem)?)) {
                    Ok(()) => {
                        let expires = self.tls.expires().seconds();
                        metrics.tls_expiry_seconds.set(expires);
                        warned = None;
                        let expires = rfc3339(self.tls.expires());
                        tracing::info!(%expires, "a new TLS certificate is in force");
                    }
                    Err(error) => {
                        tracing::error!(
                            error = format!("{error:#}"),
                            "the new TLS certificate is refused; the old one stays in force"
                        );
                    }
                }
            }
        }
    }
}

fn stamps(settings: &TlsSettings) -> Vec<FileState> {
    let stamp = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    [&settings.certificate, &settings.key, &settings.client_ca].into_iter().flatten().map(|path| stamp(path)).collect()
}

fn read(settings: &TlsSettings) -> anyhow::Result<Pem> {
    let file = |name: &str, path: Option<&Path>| {
        let path = path.with_context(|| format!("{name} names no file"))?;
        std::fs::read(path).with_context(|| format!("can't read {name}, {}", path.display()))
    };
    Ok(Pem {
        certificate: file("tls.certificate", settings.certificate.as_deref())?,
        key: file("tls.key", settings.key.as_deref())?,
        client_ca: settings.client_ca.as_deref().map(|path| file("tls.client_ca", Some(path))).transpose()?,
    })
}
