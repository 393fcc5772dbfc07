//! What doctor says: one step, one line; or all of it as JSON. The only module that knows anstream and anstyle.
//!
//! Invariant: whatever a server wrote, a key is never shown, nor anything that moves a terminal's cursor.

use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::app::client::{At, ProgressLine, Unanswered};
use crate::auth::secret::Secret;
use crate::web::admin::controls::{DoctorReport, DoctorStep};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Ok,
    Warning,
    Failure,
}

/// What a step found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) step: &'static str,
    pub(super) verdict: Severity,
    pub(super) text: String,
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(step: &'static str, text: impl Into<String>) -> Self {
        Self { step, verdict: Severity::Ok, text: text.into(), advice: None }
    }

    pub(super) fn warning(step: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { step, verdict: Severity::Warning, text: text.into(), advice: Some(advice.into()) }
    }

    pub(super) fn failure(step: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { step, verdict: Severity::Failure, text: text.into(), advice: Some(advice.into()) }
    }
}

/// That there was no answer, and what to do about it; or that nobody was asked, which is no fault of the stream's.
pub(super) fn unanswered(step: &'static str, error: &Unanswered, advice: &str) -> Finding {
    match error {
        Unanswered::Elsewhere => Finding::warning(
            step,
            error.to_string(),
            "a server that walks its own streams asks itself alone: from a machine of your own run 'springhead doctor' with the playlist's URL",
        ),
        _ => Finding::failure(step, error.to_string(), advice),
    }
}

/// A step as it is reported.
#[derive(Debug, Serialize)]
struct ReportedStep {
    step: &'static str,
    at: At,
    /// What it was about: the names of playlists or segments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    about: Vec<String>,
    verdict: Severity,
    finding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Serialize)]
struct Whole<'a> {
    healthy: bool,
    warnings: usize,
    failures: usize,
    steps: &'a [ReportedStep],
}

/// All steps up to now.
#[derive(Debug)]
pub(super) struct Report {
    steps: Vec<ReportedStep>,
    json: bool,
    secrets: Vec<String>,
    pub(super) progress: ProgressLine,
    /// Whether a line could not be written.
    is_cut: AtomicBool,
}

impl Report {
    pub(super) fn new(json: bool, key: Option<&Secret<'_>>) -> Self {
        let key = key.map(Secret::expose).unwrap_or_default();
        // The whole of it, and each part that is long enough to be one: claims may be told, but not in that form.
        let mut secrets = vec![key.to_owned()];
        secrets.extend(key.split('.').map(str::to_owned));
        secrets.retain(|secret| secret.len() >= 8);
        Self { steps: Vec::new(), json, secrets, progress: ProgressLine::new(json), is_cut: AtomicBool::new(false) }
    }

    /// A line above the steps that follow, with a blank one between it and others.
    pub(super) fn title(&self, text: &str) {
        if !self.json {
            let gap = if self.steps.is_empty() { "" } else { "\n" };
            self.write(&format!("{gap}{}", clean(text, &self.secrets)));
        }
    }

    pub(super) fn add(&mut self, at: At, finding: Finding) {
        self.add_about(at, &[] as &[&str], finding);
    }

    pub(super) fn add_about(&mut self, at: At, about: &[impl AsRef<str>], finding: Finding) {
        let step = ReportedStep {
            step: finding.step,
            at,
            about: about.iter().map(|name| clean(name.as_ref(), &self.secrets)).collect(),
            verdict: finding.verdict,
            finding: clean(&finding.text, &self.secrets),
            advice: finding.advice.map(|advice| clean(&advice, &self.secrets)),
        };
        if !self.json {
            self.write(&line(&step));
        }
        self.steps.push(step);
    }

    /// The same finding about several things is told once.
    pub(super) fn add_all(&mut self, at: At, findings: Vec<(String, Finding)>) {
        let mut groups: Vec<(Vec<String>, Finding)> = Vec::new();
        for (about, finding) in findings {
            match groups.iter_mut().find(|(_, same)| *same == finding) {
                Some((names, _)) => names.push(about),
                None => groups.push((vec![about], finding)),
            }
        }
        for (about, finding) in groups {
            self.add_about(at, &about, finding);
        }
    }

    pub(super) fn count(&self, verdict: Severity) -> usize {
        self.steps.iter().filter(|step| step.verdict == verdict).count()
    }

    pub(super) fn has_failed(&self, at: At, step: &str) -> bool {
        self.steps.iter().any(|made| made.at == at && made.step == step && made.verdict == Severity::Failure)
    }

    /// All of it, for who asked a running server.
    pub(super) fn into_answer(self) -> DoctorReport {
        let count = |verdict| self.count(verdict) as u64;
        let (warnings, failures) = (count(Severity::Warning), count(Severity::Failure));
        let step = |step: ReportedStep| DoctorStep {
            step: step.step.to_owned(),
            about: step.about,
            verdict: match step.verdict {
                Severity::Ok => "ok",
                Severity::Warning => "warning",
                Severity::Failure => "failure",
            }
            .to_owned(),
            finding: step.finding,
            advice: step.advice,
        };
        let steps = self.steps.into_iter().map(step).collect();
        DoctorReport { healthy: failures == 0, warnings, failures, steps }
    }

    /// The last word.
    pub(super) fn end(&self) -> anyhow::Result<()> {
        let (warnings, failures) = (self.count(Severity::Warning), self.count(Severity::Failure));
        if self.json {
            let whole = Whole { healthy: failures == 0, warnings, failures, steps: &self.steps };
            super::super::print(&serde_json::to_string_pretty(&whole)?)?;
        } else {
            let count = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
            let steps = count(self.steps.len(), "step");
            self.write(&format!("\n{steps}, {}, {}", count(warnings, "warning"), count(failures, "failure")));
        }
        anyhow::ensure!(!self.is_cut.load(Ordering::Relaxed), "can't write the result to standard output");
        Ok(())
    }

    fn write(&self, text: &str) {
        use std::io::Write as _;
        self.progress.aside(|| {
            if writeln!(anstream::stdout().lock(), "{text}").is_err() {
                self.is_cut.store(true, Ordering::Relaxed);
            }
        });
    }
}

/// Colours are taken out again where stdout is no terminal.
fn line(step: &ReportedStep) -> String {
    let (word, colour) = match step.verdict {
        Severity::Ok => ("ok", AnsiColor::Green),
        Severity::Warning => ("warning", AnsiColor::Yellow),
        Severity::Failure => ("failure", AnsiColor::Red),
    };
    let style = Style::new().fg_color(Some(colour.into()));
    let style = if step.verdict == Severity::Ok { style } else { style.bold() };
    let place = match step.at {
        At::Origin => "",
        At::Cdn => "cdn ",
    };
    let about = match &step.about[..] {
        [] => String::new(),
        [first, .., last] if step.about.len() > 4 => format!("{first} … {last} ({} of them): ", step.about.len()),
        all => format!("{}: ", all.join(", ")),
    };
    let name = format!("{place}{}", step.step);
    let mut line = format!("{style}{word:<8}{style:#} {name:<18} {about}{}", step.finding);
    if let Some(advice) = &step.advice {
        line += &format!("\n{:28}-> {advice}", "");
    }
    line
}

/// What may be shown of a text that others have a hand in.
fn clean(text: &str, secrets: &[String]) -> String {
    const LONGEST: usize = 1000;
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    for secret in secrets {
        if text.contains(secret.as_str()) {
            text = text.replace(secret.as_str(), "(hidden)");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_a_terminals_commands_are_taken_out_of_what_servers_say() {
        let key = Secret::new("eyJhbGciOi.eyJqdGkiOi.c2lnbmF0dXJl");
        let mut report = Report::new(true, Some(&key));
        report.add_about(
            At::Origin,
            &["a.m3u8?token=eyJhbGciOi.eyJqdGkiOi.c2lnbmF0dXJl".to_owned()],
            Finding::failure("playlist", "it says \u{1b}[2J c2lnbmF0dXJl", "do so"),
        );
        let step = &report.steps[0];
        assert_eq!(step.about, ["a.m3u8?token=(hidden)"]);
        assert_eq!(step.finding, "it says  [2J (hidden)");
        assert!(report.has_failed(At::Origin, "playlist") && !report.has_failed(At::Cdn, "playlist"));
    }

    #[test]
    fn the_same_about_several_is_said_once() {
        let mut report = Report::new(true, None);
        let finding = || Finding::warning("cache-control", "missing", "set it");
        let other = Finding::ok("headers", "fit");
        report.add_all(At::Cdn, vec![("a".to_owned(), finding()), ("b".to_owned(), other), ("c".to_owned(), finding())]);
        let told: Vec<_> = report.steps.iter().map(|step| (step.about.join(" "), step.step)).collect();
        assert_eq!(told, [("a c".to_owned(), "cache-control"), ("b".to_owned(), "headers")]);
        assert_eq!((report.count(Severity::Warning), report.count(Severity::Failure)), (1, 0));
        assert!(line(&report.steps[0]).contains("a, c: missing\n"), "{}", line(&report.steps[0]));
    }
}
