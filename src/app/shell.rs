//! Words for a shell, where this program prints a command to be copied.

use std::borrow::Cow;

/// One word for sh, bash or zsh, whatever is in it: as it is where no shell makes anything of it, else between single quotes.
pub(super) fn quote(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:=,@%+".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_gives_back_what_was_put_into_a_command() {
        assert_eq!(quote("/var/lib/springhead"), "/var/lib/springhead");
        for text in [
            "",
            " ",
            "a b",
            "$(exit 9)",
            "`exit 9`",
            "'",
            "a'b\"c",
            "\\",
            "a\\'",
            "a\nb",
            "!!",
            "~",
            "*",
            "#",
            "&",
            "';exit 9;'",
            "\u{65e5}",
        ] {
            let printed =
                std::process::Command::new("sh").args(["-c", &format!("printf '%s.' {}", quote(text))]).output().unwrap();
            assert_eq!((printed.status.code(), printed.stdout), (Some(0), format!("{text}.").into_bytes()), "{text}");
        }
    }
}
