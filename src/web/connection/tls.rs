//! TLS 1.2 and 1.3: the only module that knows rustls and reads certificates.
//!
//! Invariant: what is in force is always a certificate and a key that fit each other. A pair that does not is refused whole, and
//! the one before it stays; connections that are open keep what they began with.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Version;

use super::encoders::{Socket, Transport};
use super::late;
use super::unread::Unread;
use crate::model::clock::WallTime;

/// What a TLS listener is made of, in PEM.
#[derive(Clone)]
pub struct Pem {
    /// The server's certificate and the chain behind it, in that order.
    pub certificate: Vec<u8>,
    /// The certificate's private key.
    pub key: Vec<u8>,
    /// If set: clients have to present a certificate that one of these has signed.
    pub client_ca: Option<Vec<u8>>,
}

/// Why a certificate and key are of no use. Says nothing of the key.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The certificate file is no PEM, or has no certificate in it.
    #[error("the certificate file holds no certificate in PEM")]
    Certificate,
    /// The key file is no PEM, or has no private key in it.
    #[error("the key file holds no private key in PEM")]
    Key,
    /// The key is there, under a password.
    #[error(
        "the key file is protected by a password, which nobody is there to enter: 'openssl pkey -in KEY -out NEW_KEY' writes it without one"
    )]
    Password,
    /// A certificate from before 1996's version 3, which has no names that clients would compare.
    #[error(
        "the certificate is of X.509 version 1, which no client takes: have it issued again with a subjectAltName ('openssl req -x509 \
         -addext subjectAltName=DNS:HOST' makes one of version 3)"
    )]
    Version,
    /// Both are there and do not fit, or the key is of a kind that is not supported.
    #[error("the certificate and the key can't be used together: {0}")]
    Pair(String),
    /// The file of client CAs is of no use.
    #[error("the client CA file can't be used: {0}")]
    ClientCa(String),
}

/// The certificate in force, and the connections made with it.
pub struct Tls {
    config: ArcSwap<ServerConfig>,
    expires: ArcSwap<WallTime>,
}

impl Tls {
    /// Takes the first pair.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(pem: &Pem) -> Result<Self, TlsError> {
        let (config, expires) = build(pem)?;
        Ok(Self { config: ArcSwap::from_pointee(config), expires: ArcSwap::from_pointee(expires) })
    }

    /// Puts another pair in force for connections from now on.
    ///
    /// # Errors
    /// What is wrong with it; the one before stays in force.
    pub fn replace(&self, pem: &Pem) -> Result<(), TlsError> {
        let (config, expires) = build(pem)?;
        self.config.store(Arc::new(config));
        self.expires.store(Arc::new(expires));
        Ok(())
    }

    /// When the certificate in force ends.
    #[must_use]
    pub fn expires(&self) -> WallTime {
        **self.expires.load()
    }

    /// Shakes hands, until a deadline. Not cancel-safe: the connection is lost.
    ///
    /// # Errors
    /// What came instead, or what the handshake failed at.
    pub(super) async fn accept(&self, mut socket: Socket, deadline: Instant) -> Result<TlsStream<Socket>, NoHandshake> {
        let silent = NoHandshake { unread: None, detail: String::new(), in_clear: None };
        let Ok(Ok(first)) = late::until(deadline, socket.peek()).await else { return Err(silent) };
        match Unread::begun_by(&first) {
            None if first.is_empty() => return Err(silent),
            None if first[0].is_ascii_alphabetic() => return Err(NoHandshake::of(Unread::ClearInTls, Some(socket))),
            // Of its client, who is behind it, nothing can be read yet.
            Some(unread @ Unread::ProxyProtocol) => return Err(NoHandshake::of(unread, None)),
            _ => {}
        }
        match late::until(deadline, TlsAcceptor::from(self.config.load_full()).accept(socket)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                let why = error.get_ref().and_then(|error| error.downcast_ref()).map_or(Unread::Handshake, failure);
                Err(NoHandshake { detail: error.to_string(), ..NoHandshake::of(why, None) })
            }
            Err(_) => Err(NoHandshake::of(Unread::HandshakeTimeout, None)),
        }
    }
}

/// Why there is no TLS on a connection.
#[derive(Debug)]
pub(super) struct NoHandshake {
    /// What came instead; `None` when nothing did.
    pub(super) unread: Option<Unread>,
    /// What the TLS library says of it, if anything.
    pub(super) detail: String,
    /// The connection, when its client may be answered in clear.
    pub(super) in_clear: Option<Socket>,
}

impl NoHandshake {
    fn of(unread: Unread, in_clear: Option<Socket>) -> Self {
        Self { unread: Some(unread), detail: String::new(), in_clear }
    }
}

/// What a handshake failed at.
fn failure(error: &rustls::Error) -> Unread {
    use rustls::AlertDescription as Alert;
    match error {
        rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_) => Unread::ClientCertificate,
        rustls::Error::PeerIncompatible(_) => Unread::NoCommonTls,
        rustls::Error::AlertReceived(alert) => match alert {
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::UnsupportedCertificate => Unread::CertificateDistrusted,
            Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity => Unread::NoCommonTls,
            _ => Unread::Handshake,
        },
        _ => Unread::Handshake,
    }
}

impl Transport for TlsStream<Socket> {
    fn acknowledge_at_once(&mut self) {
        self.get_mut().0.acknowledge_at_once();
    }

    fn settle(&mut self) -> io::Result<()> {
        self.get_mut().0.settle()
    }

    fn agreed_on_http2(&self) -> bool {
        self.get_ref().1.alpn_protocol() == Some(b"h2")
    }

    fn sent(&self) -> u64 {
        self.get_ref().0.sent()
    }

    fn abandon(&mut self) {
        self.get_mut().0.abandon();
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("expires", &self.expires()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem(hidden)")
    }
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The DNS names and IP addresses it is for.
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// From when it is good.
    pub begins: WallTime,
    /// When it ends.
    pub ends: WallTime,
}

impl Certificate {
    /// Reads a certificate in DER without trusting it. `None` when it is none.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let seconds = |time: i64| WallTime::from_millis(u64::try_from(time).unwrap_or(0).saturating_mul(1000));
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let names = alternatives.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(address) => match address {
                [a, b, c, d] => Some(IpAddr::from([*a, *b, *c, *d]).to_string()),
                _ => Some(IpAddr::from(<[u8; 16]>::try_from(*address).ok()?).to_string()),
            },
            _ => None,
        });
        Some(Self {
            names: names.collect(),
            issuer: certificate.issuer().to_string(),
            begins: seconds(certificate.validity().not_before.timestamp()),
            ends: seconds(certificate.validity().not_after.timestamp()),
        })
    }
}

fn build(pem: &Pem) -> Result<(ServerConfig, WallTime), TlsError> {
    let chain = certificates(&pem.certificate).filter(|chain| !chain.is_empty()).ok_or(TlsError::Certificate)?;
    // PKCS#8 says it in the block's name, OpenSSL's older form in a header.
    let is_locked = [&b"ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"].iter().any(|mark| contains(&pem.key, mark));
    if is_locked {
        return Err(TlsError::Password);
    }
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| TlsError::Key)?;
    let (_, first) = x509_parser::parse_x509_certificate(&chain[0]).map_err(|_| TlsError::Certificate)?;
    if first.version() == X509Version::V1 {
        return Err(TlsError::Version);
    }
    let end = u64::try_from(first.validity().not_after.timestamp()).unwrap_or(0);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Pair(error.to_string()))?;
    let builder = match &pem.client_ca {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let refused = |error: &dyn fmt::Display| TlsError::ClientCa(error.to_string());
            let mut roots = RootCertStore::empty();
            for authority in certificates(authorities).ok_or_else(|| refused(&"it is not PEM"))? {
                roots.add(authority).map_err(|error| refused(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| refused(&error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| TlsError::Pair(error.to_string()))?;
    // Our order of ciphers, strongest first, and not the client's.
    config.ignore_client_order = true;
    // A ticket that a client never reads turns its close into a reset (RFC 9293 3.10.7.4, RFC 1122 4.2.2.13), and the reset may overtake
    // the last bytes of its upload: ffmpeg and many others hang up without reading. A resumed session would save a round trip to
    // clients that keep their connections anyway.
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, WallTime::from_millis(end.saturating_mul(1000))))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}
