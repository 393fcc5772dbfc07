//! Arguments read from the command line and the environment: what of clap is used. The only module that knows it.

pub(super) use clap::parser::ValueSource;
pub(super) use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
