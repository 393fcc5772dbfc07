//! One kind of request over many connections: as fast as they are answered, or at a rate.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Failure;
use crate::args::Args;
use crate::client::{Answer, Client, Target};
use crate::histogram::Histogram;
use crate::request::Request;
use crate::tls;
use crate::usage::{Processes, own_cpu};

/// What the connections share.
pub struct Shared {
    pub request: Request,
    /// The statuses that are right.
    pub expected: Vec<u16>,
    pub pace: Option<Pace>,
    pub next: Cell<u64>,
    /// Requests after which it ends; none: at the end of the time.
    pub limit: u64,
    pub is_measuring: Cell<bool>,
    pub is_over: Cell<bool>,
    pub answered: Cell<u64>,
    pub failed: Cell<u64>,
    pub complaint: RefCell<String>,
    pub latency: RefCell<Histogram>,
    pub received: Rc<Cell<u64>>,
    /// How a body is sent that comes slower than it could be taken.
    pub drip: Option<Drip>,
}

/// A body as an encoder sends it, which makes it while it sends it: so many bytes at a time, each so long after the one before.
#[derive(Clone, Copy)]
pub struct Drip {
    slice: usize,
    every: Duration,
}

impl Drip {
    /// `slice=BYTES every_ms=N`; without a slice a body is sent as fast as it is taken.
    fn of(args: &Args) -> Result<Option<Self>, Failure> {
        let slice = args.get("slice", 0)?;
        let every = Duration::from_millis(args.get("every_ms", 1)?);
        Ok((slice > 0).then_some(Self { slice, every }))
    }

    async fn exchange(self, client: &mut Client, head: &[u8], body: &[u8]) -> io::Result<Answer> {
        let begun = Instant::now();
        client.send(head, &[]).await?;
        for (number, slice) in (0..).zip(body.chunks(self.slice)) {
            sleep_until(begun + self.every * number).await;
            client.send(slice, &[]).await?;
        }
        let answer = client.head().await?;
        client.body(&answer).await?;
        Ok(answer)
    }
}

/// An open loop: request n is due at a time of its own, however late the answers before it are.
pub struct Pace {
    // Set by the first who waits: what came before it is no delay.
    begun: Cell<Option<Instant>>,
    every: Duration,
    next: Cell<u32>,
}

impl Pace {
    pub fn new(per_second: f64) -> Self {
        Self { begun: Cell::new(None), every: Duration::from_secs_f64(1.0 / per_second), next: Cell::new(0) }
    }

    /// Waits for the next request's time. What comes back is when it was due, if that is past already: a late start counts into
    /// its latency. A timer that fires late is the load's own fault and does not.
    pub async fn due(&self) -> Instant {
        let begun = self.begun.get().unwrap_or_else(Instant::now);
        self.begun.set(Some(begun));
        let due = begun + self.every * self.next.get();
        self.next.set(self.next.get() + 1);
        if due < Instant::now() {
            return due;
        }
        sleep_until(due).await;
        Instant::now()
    }
}

/// One request and its answer.
pub async fn exchange(client: &mut Client, head: &[u8], body: &[u8]) -> io::Result<Answer> {
    client.send(head, body).await?;
    let answer = client.head().await?;
    client.body(&answer).await?;
    Ok(answer)
}

pub async fn run(args: &Args) -> Result<Value, Failure> {
    let target = Target::of(args)?;
    let processes = Processes::of(args)?;
    let connections: usize = args.get("connections", 64)?;
    let warm = Duration::from_secs_f64(args.get("warm", 0.3)?);
    let time = Duration::from_secs_f64(args.get("seconds", 3.0)?);
    let expected: Result<Vec<u16>, _> = args.text("expect").unwrap_or("200").split(',').map(str::parse).collect();
    let rate: f64 = args.get("rate", 0.0)?;
    let shared = Rc::new(Shared {
        request: Request::of(args)?,
        expected: expected?,
        pace: (rate > 0.0).then(|| Pace::new(rate)),
        next: Cell::new(args.get("first", 0)?),
        limit: args.get("count", u64::MAX)?,
        is_measuring: Cell::new(false),
        is_over: Cell::new(false),
        answered: Cell::new(0),
        failed: Cell::new(0),
        complaint: RefCell::default(),
        latency: RefCell::default(),
        received: Rc::default(),
        drip: Drip::of(args)?,
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let client = target.connect(Rc::clone(&shared.received)).await?;
        tasks.spawn_local(work(client, Rc::clone(&shared)));
    }
    let is_counted = shared.limit < u64::MAX;
    if !is_counted {
        sleep(warm).await;
    }
    let (begun, cpu, own, received) = (Instant::now(), processes.cpu(), own_cpu(), shared.received.get());
    shared.is_measuring.set(true);
    if is_counted {
        while tasks.join_next().await.is_some() {}
    } else {
        sleep(time).await;
    }
    shared.is_measuring.set(false);
    let (took, cpu, own) = (begun.elapsed(), processes.cpu() - cpu, own_cpu() - own);
    let received = shared.received.get() - received;
    shared.is_over.set(true);
    let _ = tokio::time::timeout(Duration::from_secs(5), async { while tasks.join_next().await.is_some() {} }).await;
    Ok(json!({
        "requests": shared.answered.get(),
        "failed": shared.failed.get(),
        "complaint": *shared.complaint.borrow(),
        "seconds": took.as_secs_f64(),
        "received": received,
        "server_cpu": cpu.as_secs_f64(),
        "own_cpu": own.as_secs_f64(),
        "latency": shared.latency.borrow().to_json(),
        "tls": target.tls.is_some().then_some(tls::SUITE),
    }))
}

async fn work(mut client: Client, shared: Rc<Shared>) {
    let mut head = Vec::with_capacity(2048);
    while !shared.is_over.get() {
        let number = shared.next.get();
        if number >= shared.limit {
            return;
        }
        shared.next.set(number + 1);
        let begun = match &shared.pace {
            Some(pace) => pace.due().await,
            None => Instant::now(),
        };
        let body = shared.request.write(number, &mut head);
        let done = match shared.drip {
            Some(drip) => drip.exchange(&mut client, &head, body).await,
            None => exchange(&mut client, &head, body).await,
        };
        match done {
            Ok(answer) if shared.expected.contains(&answer.status) => {
                if shared.is_measuring.get() {
                    shared.answered.set(shared.answered.get() + 1);
                    shared.latency.borrow_mut().add(begun.elapsed());
                }
            }
            Ok(answer) => {
                shared.failed.set(shared.failed.get() + 1);
                *shared.complaint.borrow_mut() = format!("status {}", answer.status);
            }
            Err(error) => {
                shared.failed.set(shared.failed.get() + 1);
                *shared.complaint.borrow_mut() = error.to_string();
                return;
            }
        }
    }
}
