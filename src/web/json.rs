//! A JSON object (RFC 8259), written field by field: a line of the access log, or what a client is told of a problem. Nothing here goes
//! through the formatting machinery but what is rare: that would cost more than everything else about a line.

use std::cell::RefCell;
use std::net::SocketAddr;

use super::Digits;
use crate::model::clock::WallTime;

thread_local! {
    /// The second that was written last, and how.
    static SECOND: RefCell<(Option<u64>, String)> = const { RefCell::new((None, String::new())) };
}

/// A field's name as it stands in the text: put together by the compiler, because a line is made for each request.
macro_rules! field {
    ($name:literal) => {
        concat!("\"", $name, "\":").as_bytes()
    };
}
pub(super) use field;

/// Writes one JSON object. Names come from [`field!`].
pub(super) struct Object<'a> {
    text: &'a mut Vec<u8>,
}

impl<'a> Object<'a> {
    pub(super) fn begin(text: &'a mut Vec<u8>) -> Self {
        text.reserve(1024);
        text.push(b'{');
        Self { text }
    }

    fn name(&mut self, name: &[u8]) {
        if self.text.last() != Some(&b'{') {
            self.text.push(b',');
        }
        self.text.extend_from_slice(name);
    }

    pub(super) fn text(&mut self, name: &[u8], value: &str) {
        self.joined(name, [value]);
    }

    /// A text in parts.
    pub(super) fn joined<const N: usize>(&mut self, name: &[u8], parts: [&str; N]) {
        self.name(name);
        self.text.push(b'"');
        for part in parts {
            escape(self.text, part);
        }
        self.text.push(b'"');
    }

    pub(super) fn time(&mut self, name: &[u8], at: WallTime) {
        self.name(name);
        self.text.push(b'"');
        let (second, millis) = (at.seconds(), at.since(WallTime::from_millis(at.seconds() * 1000)).as_millis());
        SECOND.with_borrow_mut(|(known, shown)| {
            if *known != Some(second) {
                // Its milliseconds and its Z are left off.
                *shown = WallTime::from_millis(second * 1000).to_string();
                shown.truncate(shown.len() - 4);
                *known = Some(second);
            }
            self.text.extend_from_slice(shown.as_bytes());
        });
        let digit = |place: u128| b'0' + u8::try_from(millis / place % 10).unwrap_or(0);
        self.text.extend_from_slice(&[digit(100), digit(10), digit(1), b'Z', b'"']);
    }

    pub(super) fn address(&mut self, name: &[u8], address: SocketAddr) {
        self.name(name);
        self.text.push(b'"');
        match address {
            SocketAddr::V4(address) => {
                for (index, part) in address.ip().octets().into_iter().enumerate() {
                    if index > 0 {
                        self.text.push(b'.');
                    }
                    self.text.extend_from_slice(Digits::new().format(part).as_bytes());
                }
                self.text.push(b':');
                self.text.extend_from_slice(Digits::new().format(address.port()).as_bytes());
            }
            SocketAddr::V6(_) => self.text.extend_from_slice(address.to_string().as_bytes()),
        }
        self.text.push(b'"');
    }

    pub(super) fn number(&mut self, name: &[u8], value: impl Into<Option<u64>>) {
        self.name(name);
        match value.into() {
            Some(value) => self.text.extend_from_slice(Digits::new().format(value).as_bytes()),
            None => self.text.extend_from_slice(b"null"),
        }
    }

    pub(super) fn truth(&mut self, name: &[u8], value: bool) {
        self.name(name);
        self.text.extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(super) fn end(self) {
        self.text.push(b'}');
    }
}

/// What stands in a JSON string for this (RFC 8259 7).
fn escape(out: &mut Vec<u8>, text: &str) {
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7f);
    let mut rest = text.as_bytes();
    // Nearly all text has nothing special in it. That is seen many bytes at a time, where no byte ends the search.
    if rest.iter().fold(false, |found, byte| found | is_special(byte)) {
        while let Some(at) = rest.iter().position(is_special) {
            out.extend_from_slice(&rest[..at]);
            match rest[at] {
                special @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', special]),
                control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
            }
            rest = &rest[at + 1..];
        }
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    proptest! {
        #[test]
        fn every_object_reads_back(value in any::<String>(), number in any::<u64>(), millis in 0..1u64 << 42, port: u16) {
            let mut text = Vec::new();
            let at = WallTime::from_millis(millis);
            let address = SocketAddr::from(([192, 0, 2, 7], port));
            let mut object = Object::begin(&mut text);
            object.joined(field!("a"), [&value, "", &value]);
            object.number(field!("b"), None);
            object.number(field!("c"), number);
            object.time(field!("d"), at);
            object.truth(field!("e"), true);
            object.address(field!("f"), address);
            object.address(field!("g"), SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 443)));
            object.end();
            let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let expected = serde_json::json!({
                "a": value.repeat(2), "b": null, "c": number, "d": at.to_string(), "e": true,
                "f": address.to_string(), "g": "[2001:db8::1]:443",
            });
            assert_eq!(read, expected);
        }
    }
}
