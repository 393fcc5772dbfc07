//! The command lines of the documents: found in blocks and code spans, and judged by the program's own parser.

use clap::{Command, CommandFactory as _};
use springhead::app::Cli;

/// Splits a shell's text into commands, and these into words. Knows quotes, comments, continued lines, `$(…)`, pipes and redirections:
/// enough to find our own commands, not to run anything.
pub(super) fn commands(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut chars = text.chars().peekable();
    let end_word = |word: &mut Option<String>, words: &mut Vec<String>| words.extend(word.take());
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                while let Some(inner) = chars.next().filter(|&inner| inner != c) {
                    if inner == '\\' && c == '"' {
                        word.extend(chars.next());
                    } else {
                        word.push(inner);
                    }
                }
            }
            '$' if chars.peek() == Some(&'(') => {
                let mut depth = 0;
                let word = word.get_or_insert_default();
                for inner in chars.by_ref() {
                    word.push(inner);
                    match inner {
                        '(' => depth += 1,
                        ')' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            '#' if word.is_none() => {
                while chars.peek().is_some_and(|&c| c != '\n') {
                    chars.next();
                }
            }
            '\n' | ';' | '|' | '&' => {
                end_word(&mut word, &mut words);
                commands.push(std::mem::take(&mut words));
            }
            // What is redirected where is no argument.
            '>' | '<' => {
                end_word(&mut word, &mut words);
                while chars.peek().is_some_and(|c| matches!(c, '>' | ' ')) {
                    chars.next();
                }
                while chars.peek().is_some_and(|c| !c.is_whitespace()) {
                    chars.next();
                }
            }
            c if c.is_whitespace() => end_word(&mut word, &mut words),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    end_word(&mut word, &mut words);
    commands.push(words);
    commands.retain(|words| !words.is_empty());
    // What is run for the sake of its output.
    for (at, _) in text.match_indices("$(") {
        let inner = &text[at + 2..];
        commands.extend(self::commands(&inner[..inner.find(')').unwrap_or(inner.len())]));
    }
    commands
}

/// What a command gives to the program, if it is one of ours: by its name, by cargo, or inside a container.
pub(super) fn ours(words: &[String]) -> Option<&[String]> {
    let is_assignment =
        |word: &String| word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
    let start = words.iter().position(|word| !is_assignment(word) && word != "sudo")?;
    let words = &words[start..];
    let name = |word: &String| word == "springhead" || word.ends_with("/springhead");
    match words[0].as_str() {
        _ if name(&words[0]) => Some(&words[1..]),
        "cargo" if words.get(1)? == "run" => Some(&words[words.iter().position(|word| word == "--")? + 1..]),
        "docker" | "kubectl" if words.iter().any(|word| word == "exec") => Some(&words[words.iter().rposition(name)? + 1..]),
        _ => None,
    }
}

/// What is wrong with a whole command line.
pub(super) fn fault(arguments: &[String]) -> Option<String> {
    if arguments.iter().any(|word| word.contains('…') || word.contains("...")) {
        return unknown_words(arguments);
    }
    let parsed = Cli::command().try_get_matches_from(std::iter::once("springhead").chain(arguments.iter().map(String::as_str)));
    match parsed {
        Err(error) if error.use_stderr() => Some(error.to_string()),
        _ => None,
    }
}

/// What the program does not know in a command line that may be a part of one.
pub(super) fn unknown_words(arguments: &[String]) -> Option<String> {
    let mut command = Cli::command();
    let mut is_value = false;
    for word in arguments {
        if is_value {
            is_value = false;
        } else if let Some(flag) = word.strip_prefix("--") {
            let (flag, value) = flag.split_once('=').map_or((flag, None), |(flag, value)| (flag, Some(value)));
            let Some(takes_value) = takes_value(&command, flag) else {
                return Some(format!("{} has no --{flag}", command.get_name()));
            };
            is_value = takes_value && value.is_none();
        } else if let Some(inner) = command.find_subcommand(word) {
            command = inner.clone();
        } else if command.get_positionals().next().is_none() && !word.starts_with(['…', '.']) {
            return Some(format!("{} has no '{word}'", command.get_name()));
        }
    }
    None
}

/// Whether a command knows a flag, and whether a value follows it.
fn takes_value(command: &Command, flag: &str) -> Option<bool> {
    if matches!(flag, "help" | "version") {
        return Some(false);
    }
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some(flag))?;
    Some(argument.get_action().takes_values() && argument.get_num_args().is_none_or(|number| number.min_values() > 0))
}

fn every_command(visit: &mut dyn FnMut(&Command)) {
    fn walk(command: &Command, visit: &mut dyn FnMut(&Command)) {
        visit(command);
        command.get_subcommands().for_each(|inner| walk(inner, visit));
    }
    walk(&Cli::command(), visit);
}

/// Whether any command has a flag.
pub(super) fn is_flag(flag: &str) -> bool {
    let mut found = false;
    every_command(&mut |command| found |= takes_value(command, flag).is_some());
    found
}

#[cfg(test)]
fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn commands_are_found_in_a_shells_text() {
    let text = "A=1 springhead keys create --label \"a b\" \\\n  --out x # springhead nonsense\n\
                curl \"$(springhead config print)\" | jq; sudo springhead config default | sudo tee /etc/x >/dev/null\n\
                cargo run --release -- serve\ndocker exec springhead springhead keys list > list.txt\n";
    let found = commands(text);
    let ours: Vec<Vec<String>> = found.iter().filter_map(|words| ours(words)).map(<[String]>::to_vec).collect();
    let create = ["keys", "create", "--label", "a b", "--out", "x"].map(str::to_owned).to_vec();
    assert_eq!(ours, [create, words("config default"), words("serve"), words("keys list"), words("config print")]);
    assert_eq!(found[1], ["curl", "$(springhead config print)"]);
}

#[test]
fn what_the_program_does_not_know_is_found() {
    for good in ["serve --listen 127.0.0.1:8080", "keys revoke KEY_ID", "serve --reuse-port", "keys create …", "--version"] {
        assert_eq!(fault(&words(good)), None, "{good}");
    }
    for bad in ["server", "serve --listn 1", "keys revoke", "keys create --role writer", "keys make …", "serve … --frobnicate"]
    {
        assert!(fault(&words(bad)).is_some(), "{bad}");
    }
    for good in ["keys", "keys create --role", "doctor BASE_URL --cdn https://x --json", "config check FILE", "config …"] {
        assert_eq!(unknown_words(&words(good)), None, "{good}");
    }
    for bad in ["keyes", "keys create --rule x", "size --bitrate 1", "config chek FILE"] {
        assert!(unknown_words(&words(bad)).is_some(), "{bad}");
    }
    assert!(is_flag("cdn") && !is_flag("cdm"));
}
