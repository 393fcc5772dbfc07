//! What a client says that is no request: it never gets as far as a URL, so nobody above would hear of it.
//!
//! Encoders fail in silence, and a wrong port or a balancer's extra line looks from their side like a network that is down. So
//! each kind has a name for logs and figures, words that say what to do, and an answer where the client may understand one.
//! Who says nothing at all (a balancer that only looks whether the port is open) is no case of it.

use axum::body::Bytes;
use axum::http::HeaderValue;

use crate::web::problem::Problem;
use crate::web::problem::code::Code;

/// A kind of what is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::web) enum Unread {
    /// A TLS handshake on a listener without TLS.
    TlsInClear,
    /// The header of the PROXY protocol that `HAProxy` and others speak, of either version.
    ProxyProtocol,
    /// HTTP, by its first bytes, that HTTP's grammar does not allow (RFC 9112 3, 5).
    Malformed,
    /// More header fields than are taken, or longer ones.
    HeadTooLarge,
    /// HTTP in clear on a listener of TLS.
    ClearInTls,
    /// A TLS handshake without a version or a cipher that both sides know.
    NoCommonTls,
    /// The client does not trust our certificate.
    CertificateDistrusted,
    /// The client has no certificate, or none that is good, where one is asked for.
    ClientCertificate,
    /// A TLS handshake that failed for another reason, or broke off.
    Handshake,
    /// A TLS handshake that did not end in time.
    HandshakeTimeout,
}

impl Unread {
    /// All of them.
    #[cfg(test)]
    pub(in crate::web) const ALL: [Self; 10] = [
        Self::TlsInClear,
        Self::ProxyProtocol,
        Self::Malformed,
        Self::HeadTooLarge,
        Self::ClearInTls,
        Self::NoCommonTls,
        Self::CertificateDistrusted,
        Self::ClientCertificate,
        Self::Handshake,
        Self::HandshakeTimeout,
    ];

    /// What a connection's first bytes are, when no HTTP begins so.
    pub(super) fn begun_by(bytes: &[u8]) -> Option<Self> {
        // A handshake record of TLS (RFC 8446 5.1); the two signatures of the PROXY protocol (its sections 2.1 and 2.2).
        if bytes.starts_with(&[22, 3]) {
            Some(Self::TlsInClear)
        } else if bytes.starts_with(b"PROXY ") || bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
            Some(Self::ProxyProtocol)
        } else {
            None
        }
    }

    /// What the HTTP library answers in its own words, by that answer's first bytes. An answer of ours has a request id.
    pub(super) fn answered_by(answer: &[u8]) -> Option<Self> {
        let status = answer.strip_prefix(b"HTTP/1.1 4")?;
        if answer.windows(12).any(|name| name.eq_ignore_ascii_case(b"x-request-id")) {
            return None;
        }
        Some(if status.starts_with(b"31") || status.starts_with(b"14") { Self::HeadTooLarge } else { Self::Malformed })
    }

    /// Its name in logs, figures and the black box.
    pub(in crate::web) fn name(self) -> &'static str {
        match self {
            Self::TlsInClear => "tls-in-clear",
            Self::ProxyProtocol => "proxy-protocol",
            Self::Malformed => "malformed",
            Self::HeadTooLarge => "head-too-large",
            Self::ClearInTls => "clear-in-tls",
            Self::NoCommonTls => "no-common-tls",
            Self::CertificateDistrusted => "certificate-distrusted",
            Self::ClientCertificate => "client-certificate",
            Self::Handshake => "handshake",
            Self::HandshakeTimeout => "handshake-timeout",
        }
    }

    /// What it means, and what to do.
    pub(in crate::web) fn advice(self) -> &'static str {
        match self {
            Self::TlsInClear => {
                "the client speaks TLS on a port that does not: give it an http:// address, or the port of tls_listen"
            }
            Self::ProxyProtocol => {
                "a balancer in front sends the PROXY protocol, which is not spoken here: turn it off there (HAProxy: no send-proxy; AWS \
                 NLB: proxy_protocol_v2 disabled)"
            }
            Self::Malformed => {
                "the request line or a header is none that HTTP allows: in the URL write a space as %20 and other than ASCII \
                 letters percent-encoded; a header's name has no spaces; a Content-Length is one whole number, and no longer than a length can be"
            }
            Self::HeadTooLarge => {
                "the request has more than 100 headers, or its request line and headers are larger than 32 KiB: a proxy in between may \
                 add too many or too long ones; or its Content-Length is a number that no length is"
            }
            Self::ClearInTls => {
                "the client speaks HTTP in clear on a port of TLS: give it an https:// address, or the port of listen"
            }
            Self::NoCommonTls => {
                "the client offers no TLS version or cipher that is taken here (TLS 1.2 with ECDHE and AES-GCM or ChaCha20, TLS 1.3): \
                 update it, or put a proxy in front that knows older ones"
            }
            Self::CertificateDistrusted => {
                "the client does not trust the certificate: is the chain complete in tls.certificate, is the name the client uses in \
                 it, has it ended? 'springhead doctor' tells"
            }
            Self::ClientCertificate => {
                "the client has to show a certificate that one of tls.client_ca has signed, and has shown none or another"
            }
            Self::Handshake => "the TLS handshake failed: 'detail' says at what",
            Self::HandshakeTimeout => {
                "the TLS handshake did not end within timeouts.request_head: is something in between that holds packets back?"
            }
        }
    }

    /// What the client is told, if it may understand HTTP in clear. The connection ends with it.
    pub(super) fn answer(self, request_id: &HeaderValue) -> Option<Bytes> {
        let code = match self {
            Self::TlsInClear | Self::ProxyProtocol | Self::Malformed | Self::ClearInTls => Code::BadRequest,
            Self::HeadTooLarge => Code::HeadTooLarge,
            Self::NoCommonTls
            | Self::CertificateDistrusted
            | Self::ClientCertificate
            | Self::Handshake
            | Self::HandshakeTimeout => return None,
        };
        let id = request_id.to_str().unwrap_or_default();
        let body = Problem::new(code, self.advice()).document(id);
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             Access-Control-Allow-Origin: *\r\nX-Request-Id: {id}\r\nConnection: close\r\n\r\n",
            code.status(),
            body.len(),
        );
        Some([head.into_bytes(), body].concat().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_and_words_of_its_own() {
        for (n, one) in Unread::ALL.iter().enumerate() {
            for other in &Unread::ALL[n + 1..] {
                assert!(one.name() != other.name() && one.advice() != other.advice(), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn first_bytes_that_are_no_http_are_known() {
        assert_eq!(Unread::begun_by(&[22, 3, 1, 0, 200, 1]), Some(Unread::TlsInClear));
        assert_eq!(Unread::begun_by(b"PROXY TCP4 10.0.0.1 10.0"), Some(Unread::ProxyProtocol));
        assert_eq!(Unread::begun_by(b"\r\n\r\n\0\r\nQUIT\n\x21\x11"), Some(Unread::ProxyProtocol));
        for http in [&b"PUT /cache/a/b HTTP/1.1"[..], b"PROPFIND / HTTP/1.1", b"\r\nGET / HTTP/1.1", b""] {
            assert_eq!(Unread::begun_by(http), None, "{http:?}");
        }
    }

    #[test]
    fn the_librarys_own_answers_are_told_from_ours() {
        let bare = |status: &str| format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(Unread::answered_by(bare("400 Bad Request").as_bytes()), Some(Unread::Malformed));
        assert_eq!(Unread::answered_by(bare("414 URI Too Long").as_bytes()), Some(Unread::HeadTooLarge));
        assert_eq!(Unread::answered_by(bare("431 Request Header Fields Too Large").as_bytes()), Some(Unread::HeadTooLarge));
        assert_eq!(Unread::answered_by(bare("200 OK").as_bytes()), None);
        assert_eq!(Unread::answered_by(b"HTTP/1.1 404 Not Found\r\nX-Request-Id: a\r\n\r\n"), None);
        for unread in Unread::ALL {
            if let Some(answer) = unread.answer(&HeaderValue::from_static("an-id-of-its-own")) {
                assert_eq!(Unread::answered_by(&answer), None, "{unread:?}");
            }
        }
    }
}
