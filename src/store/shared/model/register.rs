//! What an object is to those who ask for it: a register; and whether what they were told is what one register could have said.

use std::collections::{BTreeMap, BTreeSet};

use stateright::semantics::SequentialSpec;

/// One object. Each value is written once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Register {
    /// The value, and whether it expires when the clock strikes.
    value: Option<(u8, bool)>,
    has_struck: bool,
}

/// What is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    Put {
        value: u8,
        is_short: bool,
    },
    PutIfAbsent {
        value: u8,
    },
    PutIf {
        there: u8,
        value: u8,
    },
    Delete,
    Get,
    /// What was to expire has expired. Nobody asks for that.
    Strike,
}

/// What is told to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Saying {
    Done,
    Unexpected,
    Absent,
    Value(Option<u8>),
}

impl SequentialSpec for Register {
    type Op = Question;
    type Ret = Saying;

    fn invoke(&mut self, ask: &Question) -> Saying {
        let there = self.value.filter(|(_, is_short)| !(*is_short && self.has_struck)).map(|(value, _)| value);
        match *ask {
            Question::PutIfAbsent { .. } if there.is_some() => return Saying::Unexpected,
            Question::PutIf { there: wanted, .. } if there != Some(wanted) => return Saying::Unexpected,
            Question::Put { value, is_short } => self.value = Some((value, is_short)),
            Question::PutIfAbsent { value } | Question::PutIf { value, .. } => self.value = Some((value, false)),
            Question::Delete if there.is_none() => return Saying::Absent,
            Question::Delete => self.value = None,
            Question::Get => return Saying::Value(there),
            Question::Strike => self.has_struck = true,
        }
        Saying::Done
    }
}

/// All that a register may have gone through, by what was asked and told so far: linearizable is what leaves any.
///
/// Says the same as stateright's tester, and is the same after histories that come to the same, which its is not: the number of states to
/// be looked at is smaller by far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Possible {
    /// What has been asked and not told, by who asked.
    open: BTreeMap<u8, Question>,
    /// What the register may be, each with what it has already said to whom of these.
    worlds: BTreeSet<(Register, BTreeMap<u8, Saying>)>,
}

impl Default for Possible {
    fn default() -> Self {
        Self { open: BTreeMap::new(), worlds: [(Register::default(), BTreeMap::new())].into() }
    }
}

impl Possible {
    pub(super) fn asked(&mut self, who: u8, ask: Question) {
        self.open.insert(who, ask);
    }

    pub(super) fn told(&mut self, who: u8, told: Saying) {
        let mut reached = self.worlds.clone();
        let mut next: Vec<_> = self.worlds.iter().cloned().collect();
        while let Some((register, said)) = next.pop() {
            for (other, ask) in self.open.iter().filter(|(other, _)| !said.contains_key(*other)) {
                let (mut register, mut said) = (register.clone(), said.clone());
                said.insert(*other, register.invoke(ask));
                if reached.insert((register.clone(), said.clone())) {
                    next.push((register, said));
                }
            }
        }
        self.open.remove(&who);
        let fits = reached.into_iter().filter(|(_, said)| said.get(&who) == Some(&told));
        self.worlds = fits
            .map(|(register, mut said)| {
                said.remove(&who);
                (register, said)
            })
            .collect();
    }

    /// Who asked has gone; what he asked may yet be done, at any time.
    pub(super) fn never_told(&mut self, who: u8, nobody: u8) {
        let Some(ask) = self.open.remove(&who) else { return };
        self.open.insert(nobody, ask);
        let rename = |(register, mut said): (Register, BTreeMap<u8, Saying>)| {
            if let Some(told) = said.remove(&who) {
                said.insert(nobody, told);
            }
            (register, said)
        };
        self.worlds = std::mem::take(&mut self.worlds).into_iter().map(rename).collect();
    }

    pub(super) fn is_any(&self) -> bool {
        !self.worlds.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use stateright::semantics::{ConsistencyTester, LinearizabilityTester};

    use super::*;

    /// Who asks or is told something; a value is one of few, so that some histories are good ones.
    fn turn() -> impl Strategy<Value = (u8, Question, Saying)> {
        let ask = prop_oneof![
            3 => (1_u8..4).prop_map(|value| Question::Put { value, is_short: false }),
            1 => (1_u8..4).prop_map(|value| Question::PutIfAbsent { value }),
            1 => Just(Question::Delete),
            4 => Just(Question::Get),
        ];
        let value = (0_u8..4).prop_map(|value| Saying::Value((value > 0).then_some(value)));
        (0_u8..3, ask, prop_oneof![4 => Just(Saying::Done), 1 => Just(Saying::Unexpected), 1 => Just(Saying::Absent), 5 => value])
    }

    proptest! {
        #[test]
        fn it_says_the_same_as_the_tester_of_whole_histories(turns in vec((turn(), any::<bool>()), 0..12)) {
            let (mut possible, mut tester) = (Possible::default(), LinearizabilityTester::new(Register::default()));
            let mut open = BTreeMap::new();
            for ((who, ask, told), fits) in turns {
                let Some(asked) = open.remove(&who) else {
                    open.insert(who, ask.clone());
                    possible.asked(who, ask.clone());
                    tester.on_invoke(who, ask).unwrap();
                    continue;
                };
                // Half of them are told what fits the question.
                let told = match (fits, asked) {
                    (true, Question::Put { .. }) => Saying::Done,
                    (true, Question::Get) if !matches!(told, Saying::Value(_)) => Saying::Value(None),
                    _ => told,
                };
                possible.told(who, told);
                tester.on_return(who, told).unwrap();
                assert_eq!(possible.is_any(), tester.serialized_history().is_some());
            }
        }
    }
}
