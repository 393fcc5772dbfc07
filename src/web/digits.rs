//! A number's decimal digits, for lines and headers that are written per request: the standard library's formatting takes several
//! times as long.

/// The digits of a number, on the stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digits {
    text: [u8; 20],
    begin: usize,
}

impl Digits {
    pub(super) fn of(mut number: u64) -> Self {
        let mut text = [0; 20];
        let mut begin = text.len();
        loop {
            begin -= 1;
            text[begin] = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
            if number == 0 {
                return Self { text, begin };
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[self.begin..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn the_ends_of_the_range_are_written() {
        assert_eq!(Digits::of(0).as_bytes(), b"0");
        assert_eq!(Digits::of(u64::MAX).as_bytes(), b"18446744073709551615");
    }

    proptest! {
        #[test]
        fn it_is_what_formatting_writes(number in any::<u64>(), shift in 0..64) {
            let number = number >> shift;
            assert_eq!(Digits::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
