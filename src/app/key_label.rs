//! What a key may be called and be for: labels stand in tables, logs and metrics, which they must not break, and a prefix has to be one of objects.

use crate::model::id::Key;

/// The longest label, in characters.
const LONGEST: usize = 200;

/// What is wrong with a label, if something is.
pub(super) fn fault(label: &str) -> Option<&'static str> {
    if label.chars().any(char::is_control) {
        return Some("has no control characters, as line breaks and escape sequences are");
    }
    (label.chars().count() > LONGEST).then_some("has 200 characters at most")
}

/// A label as it is shown in a terminal. Older ones were taken as they came.
pub(super) fn shown(label: &str) -> String {
    let one = |sign: char| if sign.is_control() { sign.escape_default().to_string() } else { sign.to_string() };
    label.chars().map(one).collect()
}

/// Whether no object's key can begin so: a key for this prefix would open nothing.
pub(super) fn begins_no_key(prefix: &str) -> bool {
    Key::parse(&format!("{prefix}x")).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_breaks_no_table() {
        for (label, is_good) in [
            ("encoder 2 (Zürich)", true),
            ("", true),
            (&*"ü".repeat(200), true),
            (&*"ü".repeat(201), false),
            ("a\nb", false),
            ("\u{1b}[31m", false),
            ("\u{7f}", false),
        ] {
            assert_eq!(fault(label).is_none(), is_good, "{label:?}");
        }
        for (prefix, is_none) in [("show/", false), ("show", false), ("/show/", true), ("../", true), ("a/../b", true)] {
            assert_eq!(begins_no_key(prefix), is_none, "{prefix}");
        }
        assert_eq!(shown("a\n\u{1b}[31mü\\"), "a\\n\\u{1b}[31mü\\");
    }
}
