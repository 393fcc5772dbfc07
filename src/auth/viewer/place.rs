//! Where a viewer may be: addresses and countries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// These addresses; `None` for more bits than there are, or where one is set behind them.
    #[must_use]
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let network = Self { address, bits };
        let (all, width) = network.number();
        let behind = width.checked_sub(u32::from(bits))?;
        let is_clear = all == 0 || behind < 128 && all & ((1 << behind) - 1) == 0;
        is_clear.then_some(network)
    }

    /// Reads `192.0.2.0/24`, `2001:db8::/64`, or an address alone: of IPv6 that is its /64, for a device changes the rest of it all the time.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some((address, bits)) = text.split_once('/') else {
            return match text.parse().ok()? {
                IpAddr::V4(address) => Self::new(address.into(), 32),
                IpAddr::V6(address) => Self::new(Ipv6Addr::from(u128::from(address) >> 64 << 64).into(), 64),
            };
        };
        Self::new(address.parse().ok()?, bits.parse().ok()?)
    }

    /// The address as a number, and how many bits it has.
    fn number(&self) -> (u128, u32) {
        match self.address {
            IpAddr::V4(address) => (u32::from(address).into(), 32),
            IpAddr::V6(address) => (address.into(), 128),
        }
    }

    /// Whether an address is one of these.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        // IPv4 over IPv6 is IPv4.
        let address = address.to_canonical();
        let (own, width) = self.number();
        let (other, other_width) = Self { address, bits: 0 }.number();
        let shift = width - u32::from(self.bits);
        width == other_width && (shift >= 128 || own >> shift == other >> shift)
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) fn bits(&self) -> u8 {
        self.bits
    }

    /// From the bytes of an address, the last ones of which may be left out (RFC 9164).
    pub(super) fn from_bytes(is_v6: bool, bytes: &[u8], bits: u8) -> Option<Self> {
        if is_v6 {
            let mut whole = [0; 16];
            whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Self::new(Ipv6Addr::from(whole).into(), bits)
        } else {
            let mut whole = [0; 4];
            whole.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Self::new(Ipv4Addr::from(whole).into(), bits)
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Where a viewer is, by what stands in front of this server and is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewerPlace<'a> {
    /// Whether viewers' addresses are known at all, and this one, if it could be read.
    pub knows_address: bool,
    /// His address.
    pub address: Option<IpAddr>,
    /// Whether viewers' countries are known at all.
    pub knows_country: bool,
    /// His country, and subdivision where that is known (ISO 3166).
    pub country: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_by_their_first_bits() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.7", "::ffff:192.0.2.7", "::ffff:192.0.2.8"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("::/0", "2001:db8::1", "203.0.113.9"),
            ("2001:db8:1::/48", "2001:db8:1:ffff::1", "2001:db8:2::"),
            ("2001:db8::a:b:c:d", "2001:db8::1:2:3:4", "2001:db8:0:1::"),
        ] {
            let network = Network::parse(network).unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network} {outside}");
        }
        for text in ["192.0.2.1/24", "192.0.2.0/33", "a/24", "192.0.2.0/", "", "2001:db8::1/64", "::/129"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
