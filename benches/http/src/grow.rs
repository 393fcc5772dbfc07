//! One object that grows at its pace, and many readers who have asked for it: how long a piece takes from its writer to each.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

use crate::Failure;
use crate::args::Args;
use crate::client::{Length, Target};
use crate::herd::source;
use crate::histogram::Histogram;
use crate::request::{Request, noise};
use crate::usage::{Processes, own_cpu};

struct Growth {
    piece: u64,
    /// When each piece was given to the socket.
    sent: RefCell<Vec<Instant>>,
    delays: RefCell<Histogram>,
    whole: Cell<u64>,
    failed: Cell<u64>,
    complaint: RefCell<String>,
}

impl Growth {
    /// A reader had `before` bytes and has `now`.
    fn arrived(&self, before: u64, now: u64) {
        let sent = self.sent.borrow();
        let at = Instant::now();
        for number in (before / self.piece)..(now / self.piece) {
            if let Some(then) = sent.get(number as usize) {
                self.delays.borrow_mut().add(at.saturating_duration_since(*then));
            }
        }
    }
}

pub async fn run(args: &Args) -> Result<Value, Failure> {
    let target = Target::of(args)?;
    let processes = Processes::of(args)?;
    let (size, pieces): (u64, u64) = (args.get("body", 850 << 10)?, args.get("pieces", 60)?);
    let (readers, time): (usize, f64) = (args.get("connections", 1000)?, args.get("seconds", 2.0)?);
    let path: String = args.need("path")?;
    let write = args.all("write_header").join("\r\n");
    let read = args.all("read_header").join("\r\n");
    let piece = size / pieces;
    let growth = Rc::new(Growth {
        piece,
        sent: RefCell::default(),
        delays: RefCell::default(),
        whole: Cell::new(0),
        failed: Cell::new(0),
        complaint: RefCell::default(),
    });
    let received = Rc::new(Cell::new(0));
    let mut clients = Vec::new();
    for number in 0..readers {
        clients.push(target.connect_from(source(number), Rc::clone(&received)).await?);
    }
    let mut writer = target.connect(Rc::default()).await?;
    let mut head = Vec::new();
    Request::http("PUT", &path, &write, 0, true).write(0, &mut head);
    let head = head;
    let mut chunk = format!("{piece:x}\r\n").into_bytes();
    chunk.extend_from_slice(&noise(usize::try_from(piece)?));
    chunk.extend_from_slice(b"\r\n");
    let (cpu, own) = (processes.cpu(), own_cpu());
    let begun = Instant::now();
    writer.send(&head, &chunk).await?;
    growth.sent.borrow_mut().push(begun);
    sleep_until(begun + Duration::from_millis(20)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for mut client in clients {
        let growth = Rc::clone(&growth);
        let (path, read) = (path.clone(), read.clone());
        tasks.spawn_local(async move {
            let mut head = Vec::new();
            Request::http("GET", &path, &read, 0, false).write(0, &mut head);
            let asked = async {
                client.send(&head, &[]).await?;
                let answer = client.head().await?;
                if answer.status != 200 {
                    client.body(&answer).await?;
                    return Ok(Some(answer.status));
                }
                let mut before = 0;
                let each = |now| {
                    // What was there when it asked is no measure of the way.
                    if before >= growth.piece {
                        growth.arrived(before, now);
                    }
                    before = now;
                };
                match answer.body {
                    Length::Known(length) => client.known(length, each).await?,
                    Length::Chunked => client.chunks(each).await?,
                }
                if before == growth.piece * pieces { Ok(None) } else { Err(std::io::Error::other("cut short")) }
            };
            match asked.await {
                Ok(None) => growth.whole.set(growth.whole.get() + 1),
                Ok(Some(status)) => {
                    growth.failed.set(growth.failed.get() + 1);
                    *growth.complaint.borrow_mut() = format!("status {status}");
                }
                Err(error) => {
                    growth.failed.set(growth.failed.get() + 1);
                    *growth.complaint.borrow_mut() = error.to_string();
                }
            }
        });
    }
    let every = Duration::from_secs_f64(time / pieces as f64);
    for number in 1..pieces {
        sleep_until(begun + every * u32::try_from(number)?).await;
        growth.sent.borrow_mut().push(Instant::now());
        writer.send(&chunk, &[]).await?;
    }
    writer.send(b"0\r\n\r\n", &[]).await?;
    let ended = Instant::now();
    let answer = writer.head().await?;
    let _ = timeout(Duration::from_secs(20), async { while tasks.join_next().await.is_some() {} }).await;
    let cpu = processes.cpu() - cpu;
    Ok(json!({
        "readers": readers,
        "status": answer.status,
        "whole": growth.whole.get(),
        "failed": growth.failed.get(),
        "complaint": *growth.complaint.borrow(),
        "last_reader_seconds": ended.elapsed().as_secs_f64(),
        "seconds": begun.elapsed().as_secs_f64(),
        "received": received.get(),
        "server_cpu": cpu.as_secs_f64(),
        "own_cpu": (own_cpu() - own).as_secs_f64(),
        "delay": growth.delays.borrow().to_json(),
    }))
}
