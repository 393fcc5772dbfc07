//! Manual pages and shell completions, made from the command line's own grammar and from the settings file as shipped, so that a
//! package can carry them and none of them is written twice.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap_complete::aot::{Shell, generate_to};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::args::{Args, CommandFactory, ValueEnum};
use super::settings::SHIPPED;

#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// What to write.
    #[arg(value_enum)]
    what: What,
    /// The folder for it; it is made.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The day that manual pages bear.
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "")]
    date: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Manual pages.
    Man,
    /// Completions for bash, fish and zsh.
    Completions,
}

/// `C` is the whole command line.
pub(super) fn run<C: CommandFactory>(args: &GenerateArgs) -> anyhow::Result<()> {
    let folder = &args.folder;
    let written = fs::create_dir_all(folder).and_then(|()| match args.what {
        What::Man => manual::<C>(folder, &args.date),
        What::Completions => {
            let mut grammar = C::command();
            let name = grammar.get_name().to_owned();
            [Shell::Bash, Shell::Fish, Shell::Zsh]
                .into_iter()
                .try_for_each(|shell| generate_to(shell, &mut grammar, name.as_str(), folder).map(drop))
        }
    });
    written.with_context(|| format!("can't write into {}", folder.display()))
}

/// A page for the program and one for each command that is not hidden, and the settings file's.
fn manual<C: CommandFactory>(folder: &Path, date: &str) -> std::io::Result<()> {
    let mut grammar = C::command();
    grammar.build();
    let version = format!("{} {}", grammar.get_name(), grammar.get_version().unwrap_or_default());
    let mut left = vec![grammar];
    while let Some(command) = left.pop() {
        left.extend(command.get_subcommands().filter(|inner| !inner.is_hide_set()).cloned());
        let page = Man::new(command).date(date).source(&version).manual("Springhead");
        let mut text = Vec::new();
        page.render(&mut text)?;
        fs::write(folder.join(page.get_filename()), without_idle_breaks(&String::from_utf8_lossy(&text)))?;
    }
    settings_page(SHIPPED, date, &version).to_writer(&mut File::create(folder.join("springhead.toml.5"))?)
}

/// Leaves out line breaks beside an empty line, which mandoc complains about: they are written around an option's values.
fn without_idle_breaks(page: &str) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let is_idle = |at: usize| {
        let beside = [at.checked_sub(1), at.checked_add(1)].into_iter().flatten().filter_map(|at| lines.get(at));
        lines[at] == ".br" && beside.copied().any(str::is_empty)
    };
    (0..lines.len()).filter(|&at| !is_idle(at)).map(|at| format!("{}\n", lines[at])).collect()
}

/// The settings file as a page. Each paragraph of comments explains the keys that stand right below it.
fn settings_page(text: &str, date: &str, version: &str) -> Roff {
    let mut page = Roff::new();
    page.control("TH", ["springhead.toml", "5", date, version, "Springhead"]);
    page.control("SH", ["NAME"]).text([roman("springhead.toml - settings of springhead(1)")]);
    page.control("SH", ["DESCRIPTION"]);
    let mut prose: Vec<&str> = Vec::new();
    let mut lines = text.lines().peekable();
    let mut has_begun = false;
    while let Some(line) = lines.next() {
        if let Some(comment) = line.strip_prefix('#') {
            prose.push(comment.trim_start());
        } else if line.starts_with('[') {
            has_begun = true;
            page.control("SH", [line]).text([roman(prose.join("\n"))]);
            prose.clear();
        } else if line.contains('=') {
            if !has_begun {
                page.control("SH", ["AT THE TOP"]);
                has_begun = true;
            }
            page.control("TP", []).text([bold(line)]);
            while let Some(beside) = lines.next_if(|next| next.contains('=') && !next.starts_with('#')) {
                page.control("TQ", []).text([bold(beside)]);
            }
            let meaning = if prose.is_empty() { "As above.".to_owned() } else { prose.join("\n") };
            page.text([roman(meaning)]);
            prose.clear();
        } else if !prose.is_empty() && !has_begun {
            // The file's own first words.
            page.text([roman(prose.join("\n"))]);
            prose.clear();
        }
    }
    page.control("SH", ["SEE ALSO"]).text([roman("springhead(1), springhead-config-check(1), springhead-config-default(1)")]);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_beside_an_empty_line_is_left_out() {
        assert_eq!(without_idle_breaks("a\n.br\n\n.br\nb\n.br\nc\n"), "a\n\nb\n.br\nc\n");
    }

    #[test]
    fn each_setting_stands_on_the_page_with_what_is_said_of_it() {
        let page =
            settings_page("# All of it.\n\n# Where.\nlisten = 1\n\n[a]\n# One.\nb = 2\nc = 3\nd.e = 4\n", "2026-01-02", "x 1")
                .to_roff();
        for part in
            [".SH DESCRIPTION\nAll of it.", ".TP\n\\fBlisten = 1\\fR\nWhere.", ".SH [a]", ".TQ\n\\fBc = 3\\fR\n.TQ", "\nOne."]
        {
            assert!(page.contains(part), "{part:?} is not in {page}");
        }
        let page = settings_page(SHIPPED, "", "").to_roff().replace("\\-", "-");
        let keys = SHIPPED.lines().filter(|line| !line.starts_with('#') && line.contains('='));
        for key in keys {
            assert!(page.contains(&format!("\\fB{key}\\fR")), "{key} is not on the page");
        }
    }
}
