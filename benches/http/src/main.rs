//! The load for `benches/compare`: `springhead-load COMMAND name=value …`, one JSON line on stdout.
//!
//! | command | what it does |
//! | --- | --- |
//! | `load` | GET, PUT or revalidate over many connections, closed loop or at a rate |
//! | `mix` | a paced ladder of renditions being written while readers follow the live edge |
//! | `expire` | many objects that expire in one second while reads go on |
//! | `grow` | one growing object and its readers |
//! | `herd` | one GET on every connection at the same moment |
//! | `idle` | connections that have asked once and stay open until stdin ends |
//! | `writer` | no client: a server that reads a request's head and writes a fixed answer, the physical limit |
//!
//! All run on one thread, so that the other core is the server's. The server's CPU time is taken from the kernel's clock of the
//! processes named by `pids`, at the two ends of the measured time.

mod args;
mod client;
mod expire;
mod grow;
mod herd;
mod histogram;
mod load;
mod mix;
mod request;
mod tls;
mod usage;
mod writer;

use std::process::ExitCode;

use args::Args;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let done = Args::parse(words).and_then(|args| run(&command, &args));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("springhead-load {command}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, args: &Args) -> Result<(), Failure> {
    if command == "writer" {
        return writer::serve(args);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let found = local.block_on(&runtime, async {
        match command {
            "load" => load::run(args).await,
            "mix" => mix::run(args).await,
            "expire" => expire::run(args).await,
            "grow" => grow::run(args).await,
            "herd" => herd::run(args).await,
            "idle" => herd::idle(args).await,
            _ => Err("no such command: load, mix, expire, grow, herd, idle, writer".into()),
        }
    })?;
    println!("{found}");
    Ok(())
}
