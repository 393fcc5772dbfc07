//! HTTP as a client: one request, and all there is to know about its answer. The only module that knows reqwest.
//!
//! Invariants: no redirect is followed here, and no proxy is taken from the environment, so that a credential goes to the host it
//! was meant for. An error says nothing of the URL: there may be a key in it.

use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use thiserror::Error;

use crate::model::clock::{Clock, WallTime};

/// An absolute URL. It also resolves relative references as RFC 3986 5 has it: [`Url::join`].
pub(in crate::app) use reqwest::Url;

/// What is asked.
#[derive(Debug)]
pub(in crate::app) struct Call<'a> {
    pub(in crate::app) method: Method,
    pub(in crate::app) url: &'a Url,
    pub(in crate::app) headers: HeaderMap,
    pub(in crate::app) body: Bytes,
    /// For all of it, from the connection to the last byte.
    pub(in crate::app) timeout: Duration,
    /// More of a body than this is not read; the answer is then [`Response::cut`].
    pub(in crate::app) max_body: usize,
}

/// What came back.
#[derive(Clone, Debug)]
pub(in crate::app) struct Response {
    pub(in crate::app) status: u16,
    pub(in crate::app) headers: HeaderMap,
    /// The body, or as much of it as came.
    pub(in crate::app) body: Bytes,
    /// Why the body ended before its end, if it did.
    pub(in crate::app) cut: Option<String>,
    /// Who answered.
    pub(in crate::app) from: Option<SocketAddr>,
    /// The server's own certificate, over TLS, in DER.
    pub(in crate::app) certificate: Option<Vec<u8>>,
    /// When the request went out and when the head of the answer was there, on this machine's wall clock.
    pub(in crate::app) asked: WallTime,
    pub(in crate::app) answered: WallTime,
    /// From the request to the head of the answer.
    pub(in crate::app) first_byte: Duration,
    /// From the request to the last byte.
    pub(in crate::app) took: Duration,
}

/// An answer whose body is read as it comes.
#[derive(Debug)]
pub(in crate::app) struct OpenedResponse {
    pub(in crate::app) status: u16,
    pub(in crate::app) headers: HeaderMap,
    rest: reqwest::Response,
}

impl OpenedResponse {
    /// The next bytes of the body; `None` at its end. Cancel-safe.
    ///
    /// # Errors
    /// When it broke off before its end.
    pub(in crate::app) async fn piece(&mut self) -> Result<Option<Bytes>, Unanswered> {
        self.rest.chunk().await.map_err(|error| unanswered(&error))
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, Error)]
pub(in crate::app) enum Unanswered {
    /// Not within the call's time.
    #[error("no answer in time")]
    Timeout,
    /// No connection; the text has the system's reason.
    #[error("no connection: {0}")]
    Connect(String),
    /// A connection, but no TLS on it; the text has the reason.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// What came was not HTTP, or the connection broke.
    #[error("no proper answer: {0}")]
    Broken(String),
    /// It was not asked: it is not the server that may be ([`RequestOptions::stays`](super::RequestOptions)).
    #[error("not looked at: another host")]
    Elsewhere,
}

/// How TLS is to be done.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::app) struct TlsRules<'a> {
    /// Authorities to be trusted beside the system's, in PEM.
    pub(in crate::app) extra_roots: Option<&'a [u8]>,
    /// Believe any certificate: only to look at it. Never send a credential with such a client.
    pub(in crate::app) believe_anyone: bool,
    /// No newer version than TLS 1.2.
    pub(in crate::app) at_most_1_2: bool,
}

/// A client with connections of its own. Cloning is cheap and shares them.
#[derive(Clone, Debug)]
pub(in crate::app) struct HttpClient {
    http: reqwest::Client,
    clock: Clock,
}

impl HttpClient {
    /// # Errors
    /// When the extra authorities are no PEM, or the system has none and none are given.
    pub(in crate::app) fn new(rules: TlsRules<'_>, clock: Clock) -> anyhow::Result<Self> {
        let builder = || {
            let agent = concat!("springhead/", env!("CARGO_PKG_VERSION"));
            let builder = reqwest::Client::builder().user_agent(agent).no_proxy().redirect(reqwest::redirect::Policy::none());
            let builder = builder.tls_info(true).tls_danger_accept_invalid_certs(rules.believe_anyone);
            if rules.at_most_1_2 { builder.tls_version_max(reqwest::tls::Version::TLS_1_2) } else { builder }
        };
        let roots = match rules.extra_roots {
            None => Vec::new(),
            Some(pem) => reqwest::Certificate::from_pem_bundle(pem).context("the authorities' file is no PEM")?,
        };
        let built = builder().tls_certs_merge(roots.iter().cloned()).build();
        // A machine without authorities of its own (a bare container) can still speak to those that are given.
        let http = built.or_else(|_| builder().tls_certs_only(roots).build()).map_err(|error| anyhow::anyhow!(reason(&error)))?;
        Ok(Self { http, clock })
    }

    /// Asks for what is read as it comes, for as long as that takes. Cancel-safe: dropped, it ends its connection, and so does what it hands over.
    ///
    /// # Errors
    /// When there is no answer.
    pub(in crate::app) async fn open(&self, url: Url, headers: HeaderMap) -> Result<OpenedResponse, Unanswered> {
        let mut rest = self.http.get(url).headers(headers).send().await.map_err(|error| unanswered(&error))?;
        let (status, headers) = (rest.status().as_u16(), std::mem::take(rest.headers_mut()));
        Ok(OpenedResponse { status, headers, rest })
    }

    /// Asks once. Cancel-safe: a dropped call ends its connection.
    pub(in crate::app) async fn ask(&self, call: Call<'_>) -> Result<Response, Unanswered> {
        let (begun, asked) = (self.clock.now(), self.clock.wall());
        let request = self.http.request(call.method, call.url.clone()).headers(call.headers).timeout(call.timeout);
        let request = if call.body.is_empty() { request } else { request.body(call.body) };
        let mut response = request.send().await.map_err(|error| unanswered(&error))?;
        let (answered, first_byte) = (self.clock.wall(), self.clock.now().since(begun));
        let (mut body, mut cut) = (BytesMut::new(), None);
        loop {
            match response.chunk().await {
                Ok(None) => break,
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Err(error) => {
                    cut = Some(if error.is_timeout() { "no more came in time".to_owned() } else { reason(&error) });
                    break;
                }
            }
            if body.len() > call.max_body {
                body.truncate(call.max_body);
                cut = Some(format!("it is longer than the {} bytes that are read", call.max_body));
                break;
            }
        }
        let certificate = response.extensions().get::<reqwest::tls::TlsInfo>().and_then(|tls| tls.peer_certificate());
        Ok(Response {
            status: response.status().as_u16(),
            certificate: certificate.map(<[u8]>::to_vec),
            from: response.remote_addr(),
            headers: std::mem::take(response.headers_mut()),
            body: body.freeze(),
            cut,
            asked,
            answered,
            first_byte,
            took: self.clock.now().since(begun),
        })
    }
}

impl Response {
    /// A header's first value; empty when it is not there or no text.
    pub(in crate::app) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

fn unanswered(error: &reqwest::Error) -> Unanswered {
    let text = reason(error);
    let about_tls =
        ["certificate", "tls", "TLS", "handshake", "InvalidContentType", "ssl"].iter().any(|word| text.contains(word));
    match () {
        () if error.is_timeout() => Unanswered::Timeout,
        () if error.is_connect() && about_tls => Unanswered::Tls(text),
        () if error.is_connect() => Unanswered::Connect(text),
        () => Unanswered::Broken(text),
    }
}

/// The innermost reason, which is the one that says something.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost = None;
    let mut next = error.source();
    while let Some(error) = next {
        innermost = Some(error.to_string());
        next = error.source();
    }
    // What the outermost says of itself would name the URL.
    innermost.unwrap_or_else(|| if error.is_builder() { "it can't be asked".to_owned() } else { "it broke off".to_owned() })
}
