//! What fails again and again is told once for each reason, until it goes well: where one reason is gone and another one has come, the last word
//! in the log is not of the first.

use std::collections::BTreeSet;

/// So many reasons are told: some have something in them that is another each time.
const MOST: usize = 16;

/// Why something fails, as far as that was told.
#[derive(Debug, Default)]
pub(super) struct ToldReasons(BTreeSet<String>);

impl ToldReasons {
    /// It has failed: whether that is to be told.
    pub(super) fn is_new(&mut self, why: &str) -> bool {
        self.0.len() < MOST && self.0.insert(why.to_owned())
    }

    /// It has gone well: whether it was told that it fails.
    pub(super) fn are_over(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_until_it_goes_well() {
        let mut reasons = ToldReasons::default();
        let told: Vec<bool> = ["engine", "engine", "disk", "engine", "disk"].map(|why| reasons.is_new(why)).into();
        assert_eq!(told, [true, false, true, false, false]);
        assert!(reasons.are_over() && !reasons.are_over() && reasons.is_new("engine"));
        let told = (0..100).filter(|number| reasons.is_new(&format!("{number}"))).count();
        assert_eq!(told, MOST - 1);
    }
}
