//! The TLS certificate's files: read at start, and again when they change, without a restart.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::keys::rfc3339;
use super::settings::{AdminTlsSettings, TlsSettings};
use crate::metrics::Metrics;
use crate::model::clock::{Clock, WallTime};
use crate::web::connection::tls::{Pem, Tls};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long before its end a certificate is warned of, and how often.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 86_400);
const WARN_EVERY: Duration = Duration::from_secs(86_400);

/// The certificate in force and the files it came from.
#[derive(Debug)]
pub(super) struct Certificates {
    files: CertificateFiles,
    tls: Arc<Tls>,
    /// The files as they were when what is in force was read from them.
    seen: Vec<FileState>,
}

/// When the certificates in force end, by the section of the settings that names them.
#[derive(Clone, Debug, Default)]
pub(super) struct CertificateEnds(Arc<Mutex<BTreeMap<&'static str, WallTime>>>);

impl CertificateEnds {
    /// Shows the earliest of them.
    fn show(&self, section: &'static str, end: WallTime, metrics: &Metrics) {
        let mut ends = self.0.lock();
        ends.insert(section, end);
        if let Some(first) = ends.values().min() {
            metrics.tls_expiry_seconds.set(first.seconds());
        }
    }
}

/// Where a certificate is, and in which section of the settings that is said.
#[derive(Clone, Debug)]
struct CertificateFiles {
    section: &'static str,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
}

/// What tells one state of a file from another: which it is, its length, and when its content, owner or mode was changed last. Follows links, so
/// that a mounted secret whose link is turned over is seen too.
type FileState = Option<(u64, u64, (i64, i64))>;

impl Certificates {
    /// Reads the files, if there is a TLS listener.
    pub(super) fn load(settings: &TlsSettings) -> anyhow::Result<Option<Self>> {
        if settings.listen.is_empty() {
            return Ok(None);
        }
        let TlsSettings { certificate, key, client_ca, .. } = settings.clone();
        Self::open(CertificateFiles { section: "tls", certificate, key, client_ca }).map(Some)
    }

    /// Reads the files of the admin listener, if it has some.
    pub(super) fn of_admin(settings: &AdminTlsSettings) -> anyhow::Result<Option<Self>> {
        let AdminTlsSettings { certificate, key } = settings.clone();
        if certificate.is_none() {
            return Ok(None);
        }
        Self::open(CertificateFiles { section: "admin_tls", certificate, key, client_ca: None }).map(Some)
    }

    fn open(files: CertificateFiles) -> anyhow::Result<Self> {
        let seen = stamps(&files);
        let tls = Arc::new(Tls::new(&read(&files)?).with_context(|| offered(&files))?);
        Ok(Self { files, tls, seen })
    }

    pub(super) fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// Keeps the certificate fresh, and warns before it ends. A change is taken up when the files have stood still for one look,
    /// because certificate and key are written one after the other; who rings `look_now` has written both. What can't be taken up is tried at each
    /// look, and told once: what is in the way may pass without a trace.
    pub(super) async fn watch(mut self, metrics: Arc<Metrics>, ends: CertificateEnds, look_now: Arc<Notify>) {
        let clock = Clock::system();
        let section = self.files.section;
        let mut warned = None;
        let (mut changing, mut failed) = (None, None);
        let show = |expires: WallTime| ends.show(section, expires, &metrics);
        show(self.tls.expires());
        loop {
            let left = Duration::from_secs(self.tls.expires().seconds().saturating_sub(clock.wall().seconds()));
            if left < WARN_BEFORE && warned.is_none_or(|warned| clock.now().since(warned) >= WARN_EVERY) {
                let ends = rfc3339(self.tls.expires());
                if left.is_zero() {
                    tracing::error!(section, ends, "the TLS certificate has ended: clients refuse it; replace its files");
                } else {
                    tracing::warn!(
                        section,
                        ends,
                        days_left = left.as_secs() / 86_400,
                        "the TLS certificate ends soon: replace its files"
                    );
                }
                warned = Some(clock.now());
            }
            let told = tokio::time::timeout(EVERY, look_now.notified()).await.is_ok();
            let files = self.files.clone();
            let Ok(now) = tokio::task::spawn_blocking(move || stamps(&files)).await else { return };
            if now == self.seen && !told {
                (changing, failed) = (None, None);
            } else if changing.as_ref() != Some(&now) && !told {
                changing = Some(now);
            } else {
                // Who has the settings read again need not have touched these.
                let is_new = now != self.seen;
                match read(&self.files).and_then(|pem| Ok(self.tls.replace(&pem)?)) {
                    Ok(()) => {
                        (self.seen, changing, failed) = (now, None, None);
                        if is_new {
                            show(self.tls.expires());
                            warned = None;
                            let expires = rfc3339(self.tls.expires());
                            tracing::info!(section, %expires, "a new TLS certificate is in force");
                        }
                    }
                    Err(error) => {
                        changing = Some(now);
                        let error = format!("{error:#}");
                        if told || failed.as_ref() != Some(&error) {
                            tracing::error!(section, error, "the new TLS certificate is refused; the old one stays in force");
                        }
                        failed = Some(error);
                    }
                }
            }
        }
    }
}

/// What fails with these files.
fn offered(files: &CertificateFiles) -> String {
    let shown = |path: &Option<PathBuf>| path.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
    format!("{}: TLS can't be offered with {} and {}", files.section, shown(&files.certificate), shown(&files.key))
}

fn stamps(files: &CertificateFiles) -> Vec<FileState> {
    let stamp = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.ino(), meta.len(), (meta.ctime(), meta.ctime_nsec())))
    };
    [&files.certificate, &files.key, &files.client_ca].into_iter().flatten().map(|path| stamp(path)).collect()
}

fn read(files: &CertificateFiles) -> anyhow::Result<Pem> {
    let file = |name: &str, path: Option<&Path>| {
        let section = files.section;
        let path = path.with_context(|| format!("{section}.{name} names no file"))?;
        std::fs::read(path).with_context(|| format!("can't read {section}.{name}, {}", path.display()))
    };
    Ok(Pem {
        certificate: file("certificate", files.certificate.as_deref())?,
        key: file("key", files.key.as_deref())?,
        client_ca: files.client_ca.as_deref().map(|path| file("client_ca", Some(path))).transpose()?,
    })
}
