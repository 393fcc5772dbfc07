//! `name=value` words.

use std::collections::HashMap;
use std::str::FromStr;

use crate::Failure;

/// The words after the command. A name may come several times (`header=`).
pub struct Args(HashMap<String, Vec<String>>);

impl Args {
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut all: HashMap<String, Vec<String>> = HashMap::new();
        for word in words {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("{word}: expected name=value"))?;
            all.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        Ok(Self(all))
    }

    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    /// The value of `name`, or `default` when it is not there.
    pub fn get<T: FromStr>(&self, name: &str, default: T) -> Result<T, Failure> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("{name}={text}: not a value of its kind").into()),
        }
    }

    /// The value of `name`, which has to be there.
    pub fn need<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        let text = self.text(name).ok_or_else(|| format!("{name}= is missing"))?;
        text.parse().map_err(|_| format!("{name}={text}: not a value of its kind").into())
    }
}
