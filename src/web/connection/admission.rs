//! Who may connect: a limit on open connections, in all and from one address, so that a flood of connections takes neither the
//! descriptors nor the memory of those who are served.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// The limits on open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all; and beside them [`ConnectionLimits::for_uploads`].
    pub total: usize,
    /// From one IPv4 address, or one IPv6 network of 64 bits.
    pub per_address: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        // A CDN comes from few addresses and with many connections.
        Self { total: 16_384, per_address: 4_096 }
    }
}

impl ConnectionLimits {
    /// How many connections are taken past this many in all, for those that begin with an upload: idle readers who hold every place shut
    /// out no encoder.
    #[must_use]
    pub fn for_uploads(total: u64) -> u64 {
        (total / 16).min(256)
    }
}

/// Counts open connections.
#[derive(Debug, Default)]
pub(in crate::web) struct Admission {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Refused {
    Total,
    Address,
}

/// A connection's permit, free again when it is dropped.
#[derive(Debug)]
pub(in crate::web) struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
    /// Whether it is one of the places that are there for uploads alone.
    pub(super) is_for_upload: bool,
}

impl Refused {
    pub(in crate::web) fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Address => "address",
        }
    }
}

impl Admission {
    /// A permit for a connection from this address.
    pub(in crate::web) fn admit(self: &Arc<Self>, address: IpAddr, limits: ConnectionLimits) -> Result<Permit, Refused> {
        let address = network(address);
        let mut open = self.open.lock();
        let is_for_upload = open.total >= limits.total;
        if open.total as u64 >= limits.total as u64 + ConnectionLimits::for_uploads(limits.total as u64) {
            return Err(Refused::Total);
        }
        let count = open.by_address.get(&address).copied().unwrap_or(0);
        if count >= limits.per_address {
            return Err(Refused::Address);
        }
        open.by_address.insert(address, count + 1);
        open.total += 1;
        Ok(Permit { admission: Arc::clone(self), address, is_for_upload })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        open.total -= 1;
        match open.by_address.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: whoever has an IPv6 address has 2^64 of them.
pub(in crate::web) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_limited_and_come_back() {
        let admission = Arc::new(Admission::default());
        let limits = ConnectionLimits { total: 3, per_address: 2 };
        let admit = |text: &str| admission.admit(text.parse().unwrap(), limits);
        let first = admit("10.0.0.1").unwrap();
        let _second = admit("::ffff:10.0.0.1").unwrap();
        assert_eq!(admit("10.0.0.1").unwrap_err(), Refused::Address);
        let _third = admit("2001:db8::1").unwrap();
        assert_eq!(admit("10.0.0.2").unwrap_err(), Refused::Total);
        drop(first);
        let _fourth = admit("2001:db8::2").unwrap();
        assert_eq!(admit("2001:db8::3").unwrap_err(), Refused::Total);
        drop((_second, _third, _fourth));
        assert!(admission.open.lock().by_address.is_empty());
    }

    #[test]
    fn places_past_the_limit_are_for_uploads() {
        let admission = Arc::new(Admission::default());
        let limits = ConnectionLimits { total: 32, per_address: 99 };
        let permits: Vec<_> = (0..34).map(|_| admission.admit("10.0.0.1".parse().unwrap(), limits).unwrap()).collect();
        assert_eq!(permits.iter().filter(|permit| permit.is_for_upload).count(), 2);
        assert_eq!(admission.admit("10.0.0.2".parse().unwrap(), limits).unwrap_err(), Refused::Total);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let admission = Arc::new(Admission::default());
        let limits = ConnectionLimits { total: 9, per_address: 1 };
        let _first = admission.admit("2001:db8::1".parse().unwrap(), limits).unwrap();
        assert_eq!(admission.admit("2001:db8::ffff:1".parse().unwrap(), limits).unwrap_err(), Refused::Address);
        assert!(admission.admit("2001:db8:0:1::1".parse().unwrap(), limits).is_ok());
    }
}
