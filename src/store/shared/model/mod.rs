//! The protocol of two nodes over the [engine in memory](super::memory), one thing at a time and in any order, and whether what they tell is
//! linearizable.
//!
//! Of time it knows one thing: what can happen by itself does within the time that the gate waits, on the nodes that are alive and
//! not cut off. So a node that is missing at the gate for longer is dead, cut off, or does not notice that it should come.

mod exhaustive;
mod lasting;
mod random;
mod register;
mod world;
