//! Where a viewer is: his own address, or what a proxy that is believed says of him.

use std::net::IpAddr;

use axum::http::HeaderName;
use axum::http::request::Parts;

use crate::auth::viewer::ViewerPlace;
use crate::origin::policy::ViewerPolicy;

/// Where the viewer is, as far as who asks for him is believed. Who asks for himself is where he is.
pub(super) fn place<'a>(parts: &'a Parts, peer: IpAddr, policy: &ViewerPolicy) -> ViewerPlace<'a> {
    let is_trusted = |address: IpAddr| policy.trusted_proxies.iter().any(|network| network.contains(address));
    let text = |name: &HeaderName| parts.headers.get_all(name).iter().next_back().and_then(|value| value.to_str().ok());
    let (knows_address, knows_country) = (policy.client_address_header.is_some(), policy.country_header.is_some());
    if !is_trusted(peer) {
        return ViewerPlace { knows_address, address: Some(peer), knows_country, country: None };
    }
    let said = policy.client_address_header.as_ref().and_then(text).unwrap_or_default();
    let address =
        said.rsplit(',').map(|address| without_port(address.trim_ascii())).find(|address| !address.is_some_and(is_trusted));
    let country = policy.country_header.as_ref().and_then(text).map(str::trim_ascii);
    ViewerPlace { knows_address, address: address.flatten(), knows_country, country }
}

/// An address, which may have a port behind it: CloudFront writes that of IPv6 without brackets. What is an address as it stands is one,
/// for a port behind a shortened address can't be told from its last group.
fn without_port(text: &str) -> Option<IpAddr> {
    if let Some((address, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse().ok();
    }
    text.parse().ok().or_else(|| text.rsplit_once(':').and_then(|(address, _)| address.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_a_port_and_without() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:46532", "192.0.2.1"),
            ("2001:db8:0:1:2:3:4:5:46532", "2001:db8:0:1:2:3:4:5"),
            ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1:2:3:4:5"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(without_port(text), address.parse().ok(), "{text}");
        }
        assert_eq!(without_port("unknown"), None);
    }
}
