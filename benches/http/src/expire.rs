//! Many objects that expire within the same second, while reads of another one go on.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::Failure;
use crate::args::Args;
use crate::client::Target;
use crate::histogram::Histogram;
use crate::load::{Pace, exchange};
use crate::request::Request;

struct Reads {
    quiet: (Instant, Instant),
    during: (Instant, Instant),
    end: Instant,
    pace: Pace,
    before: RefCell<Histogram>,
    meanwhile: RefCell<Histogram>,
    failed: Cell<u64>,
}

pub async fn run(args: &Args) -> Result<Value, Failure> {
    let target = Target::of(args)?;
    let count: u64 = args.get("count", 500_000)?;
    let base: String = args.need("base")?;
    let write = args.all("write_header").join("\r\n");
    let read = args.all("read_header").join("\r\n");
    let begun = Instant::now();
    // The second in which all of them end.
    let at = begun + Duration::from_secs_f64(args.get("after", 30.0)?);
    // Until the last have been swept, too: their memory is given back by and by.
    let swept = Duration::from_secs_f64(args.get("swept", 14.0)?);
    let (next, refused) = (Rc::new(Cell::new(0u64)), Rc::new(Cell::new(0u64)));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let mut client = target.connect(Rc::default()).await?;
        let (base, write, next, refused) = (base.clone(), write.clone(), Rc::clone(&next), Rc::clone(&refused));
        writers.spawn_local(async move {
            let mut head = Vec::new();
            while next.get() < count {
                let number = next.get();
                next.set(number + 1);
                // Rounded up: from the second's begin to its end.
                let ttl = at.saturating_duration_since(Instant::now()).as_secs() + 1;
                let request = Request::http("PUT", &format!("{base}e{number}.ts?ttl_seconds={ttl}"), &write, 64, false);
                let body = request.write(0, &mut head);
                if !exchange(&mut client, &head, body).await.is_ok_and(|answer| (200..300).contains(&answer.status)) {
                    refused.set(refused.get() + 1);
                }
            }
        });
    }
    while writers.join_next().await.is_some() {}
    let filled = begun.elapsed();
    let quiet = (
        at.checked_sub(Duration::from_millis(3500)).ok_or("no time")?,
        at.checked_sub(Duration::from_millis(300)).ok_or("no time")?,
    );
    if Instant::now() > quiet.0 {
        return Err(format!("writing took {:.1} s: ask for a later time with after=", filled.as_secs_f64()).into());
    }
    sleep_until(quiet.0 - Duration::from_millis(300)).await;
    let reads = Rc::new(Reads {
        quiet,
        during: (at, at + swept),
        end: at + swept + Duration::from_millis(200),
        pace: Pace::new(args.get("rate", 10_000.0)?),
        before: RefCell::default(),
        meanwhile: RefCell::default(),
        failed: Cell::new(0),
    });
    let path: String = args.need("path")?;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let mut client = target.connect(Rc::default()).await?;
        let reads = Rc::clone(&reads);
        let request = Request::http("GET", &path, &read, 0, false);
        readers.spawn_local(async move {
            let mut head = Vec::new();
            request.write(0, &mut head);
            loop {
                let due = reads.pace.due().await;
                if due > reads.end {
                    return;
                }
                match exchange(&mut client, &head, &[]).await {
                    Ok(answer) if answer.status == 200 => {
                        let within = |(from, to): (Instant, Instant)| from <= due && due < to;
                        if within(reads.quiet) {
                            reads.before.borrow_mut().add(due.elapsed());
                        } else if within(reads.during) {
                            reads.meanwhile.borrow_mut().add(due.elapsed());
                        }
                    }
                    _ => reads.failed.set(reads.failed.get() + 1),
                }
            }
        });
    }
    while readers.join_next().await.is_some() {}
    let quiet = reads.before.borrow().to_json();
    let during = reads.meanwhile.borrow().to_json();
    let failed = reads.failed.get() + refused.get();
    Ok(json!({ "objects": count, "fill_seconds": filled.as_secs_f64(), "quiet": quiet, "during": during, "failed": failed }))
}
