//! Where each setting was said, so that what is only seen to be wrong beside others is still told with its line.

use std::collections::BTreeMap;
use std::fmt;

use super::SettingFault;

/// The lines of a text: offsets -> numbers, each in a few steps however long the text is.
#[derive(Debug)]
pub(super) struct LineStarts {
    name: String,
    starts: Vec<usize>,
}

impl LineStarts {
    pub(super) fn of(text: &str, name: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect();
        Self { name: name.to_owned(), starts }
    }

    /// `file:line` of an offset in the text.
    pub(super) fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.name, 1 + self.starts.partition_point(|start| *start <= offset))
    }
}

/// The place of each setting that was said: a line of the file, a flag, or a variable.
#[derive(Debug, Default)]
pub(in crate::app) struct SettingPlaces(BTreeMap<String, String>);

impl SettingPlaces {
    /// Takes note of where a setting was said last: a flag lies over the file.
    pub(super) fn note(&mut self, key: impl Into<String>, place: impl Into<String>) {
        self.0.insert(key.into(), place.into());
    }

    /// Whether nothing was said.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a setting was said, if it was.
    pub(in crate::app) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A fault of a setting, at its place. Where it was not said itself, at that of the first of the others that was: they are what
    /// makes it wrong. With no place, where all of them are defaults.
    pub(super) fn fault(&self, key: &str, others: &[&str], message: impl fmt::Display) -> SettingFault {
        let said = [key].iter().chain(others).find_map(|key| self.0.get(*key));
        SettingFault::new(said.map_or_else(|| key.to_owned(), |place| format!("{place}: {key}")), message)
    }
}
