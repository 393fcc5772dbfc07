//! The live mix: a ladder of renditions is written at its pace, each segment and then its playlist, and the segment that has
//! left the window removed, while readers follow the live edge.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Failure;
use crate::args::Args;
use crate::client::{Client, Target};
use crate::histogram::Histogram;
use crate::load::{Pace, exchange};
use crate::request::{Request, mixed};
use crate::usage::{Processes, own_cpu};

/// Segments that a playlist names, as ffmpeg's default of the HLS muxer is 5.
const WINDOW: u64 = 6;

struct Ladder {
    base: String,
    write: String,
    read: String,
    segment: Request,
    playlist: usize,
    /// The newest segment of each rendition.
    newest: Vec<Cell<u64>>,
    pace: Option<Pace>,
    is_measuring: Cell<bool>,
    is_over: Cell<bool>,
    /// Readers that have not had their last answer.
    readers: Cell<usize>,
    reads: RefCell<Histogram>,
    /// From the moment at which a read was sent.
    answers: RefCell<Histogram>,
    /// By how much a timer fires late that has nothing to do with any server.
    timer: RefCell<Histogram>,
    writes: RefCell<Histogram>,
    read_count: Cell<u64>,
    write_count: Cell<u64>,
    failed: Cell<u64>,
    complaint: RefCell<String>,
    picks: Cell<u64>,
}

impl Ladder {
    fn fails(&self, what: &str) {
        self.failed.set(self.failed.get() + 1);
        *self.complaint.borrow_mut() = what.to_owned();
    }
}

pub async fn run(args: &Args) -> Result<Value, Failure> {
    let target = Target::of(args)?;
    let processes = Processes::of(args)?;
    let renditions: usize = args.get("renditions", 30)?;
    let every = Duration::from_secs_f64(args.get("every", 2.0)?);
    let time = Duration::from_secs_f64(args.get("seconds", 8.0)?);
    let rate: f64 = args.get("rate", 0.0)?;
    let base: String = args.need("base")?;
    let write = args.all("write_header").join("\r\n");
    let ladder = Rc::new(Ladder {
        segment: Request::http("PUT", "", "", args.get("segment", 850 << 10)?, true),
        base,
        write,
        read: args.all("read_header").join("\r\n"),
        playlist: args.get("playlist", 2048)?,
        newest: (0..renditions).map(|_| Cell::new(0)).collect(),
        pace: (rate > 0.0).then(|| Pace::new(rate)),
        is_measuring: Cell::new(false),
        is_over: Cell::new(false),
        readers: Cell::new(0),
        reads: RefCell::default(),
        answers: RefCell::default(),
        timer: RefCell::default(),
        writes: RefCell::default(),
        read_count: Cell::new(0),
        write_count: Cell::new(0),
        failed: Cell::new(0),
        complaint: RefCell::default(),
        picks: Cell::new(0),
    });
    let received = Rc::new(Cell::new(0));
    let mut writers = tokio::task::JoinSet::new();
    let begun = Instant::now() + Duration::from_millis(100);
    for rendition in 0..renditions {
        let client = target.connect(Rc::default()).await?;
        writers.spawn_local(write_one(client, rendition, begun, every, Rc::clone(&ladder)));
    }
    // Every rendition has its first segment before anyone reads.
    sleep_until(begun + every).await;
    sleep(Duration::from_millis(300)).await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..args.get("connections", 64)? {
        let client = target.connect(Rc::clone(&received)).await?;
        let ladder = Rc::clone(&ladder);
        ladder.readers.set(ladder.readers.get() + 1);
        readers.spawn_local(async move {
            read(client, &ladder).await;
            ladder.readers.set(ladder.readers.get() - 1);
        });
    }
    let watch = tokio::task::spawn_local(watch_timer(Rc::clone(&ladder)));
    sleep(Duration::from_secs_f64(args.get("warm", 0.5)?)).await;
    let (start, cpu, own) = (Instant::now(), processes.cpu(), own_cpu());
    ladder.is_measuring.set(true);
    sleep(time).await;
    ladder.is_measuring.set(false);
    let (took, cpu, own) = (start.elapsed(), processes.cpu() - cpu, own_cpu() - own);
    ladder.is_over.set(true);
    watch.abort();
    let end = async {
        while readers.join_next().await.is_some() {}
        while writers.join_next().await.is_some() {}
    };
    let _ = tokio::time::timeout(every + Duration::from_secs(5), end).await;
    let seconds = took.as_secs_f64();
    Ok(json!({
        "seconds": seconds,
        "reads": ladder.read_count.get(),
        "writes": ladder.write_count.get(),
        "failed": ladder.failed.get(),
        "complaint": *ladder.complaint.borrow(),
        "server_cpu": cpu.as_secs_f64(),
        "own_cpu": own.as_secs_f64(),
        "answer_latency": ladder.answers.borrow().to_json(),
        "timer_latency": ladder.timer.borrow().to_json(),
        "read_latency": ladder.reads.borrow().to_json(),
        "write_latency": ladder.writes.borrow().to_json(),
    }))
}

/// What the load's own core, and what runs it, are late by.
async fn watch_timer(ladder: Rc<Ladder>) {
    loop {
        let due = Instant::now() + Duration::from_millis(1);
        sleep_until(due).await;
        if ladder.is_measuring.get() {
            ladder.timer.borrow_mut().add(due.elapsed());
        }
    }
}

async fn write_one(mut client: Client, rendition: usize, begun: Instant, every: Duration, ladder: Rc<Ladder>) {
    // Each at its own moment, as encoders that were not started together.
    let share = u32::try_from(rendition).unwrap_or(0);
    let mut due = begun + every * share / u32::try_from(ladder.newest.len()).unwrap_or(1);
    let mut head = Vec::new();
    let playlist = Request::http("PUT", &format!("{}live{rendition}.m3u8", ladder.base), &ladder.write, ladder.playlist, true);
    let mut number = 1u64;
    while !ladder.is_over.get() {
        sleep_until(due).await;
        due += every;
        let path = format!("{}live{rendition}_{number}.ts", ladder.base);
        let segment = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\n{}\r\nTransfer-Encoding: chunked\r\n\r\n", ladder.write);
        // Written where there is no header line: an empty one would end the head.
        let segment = segment.replace("\r\n\r\nTransfer-Encoding", "\r\nTransfer-Encoding");
        let mut unused = Vec::new();
        let body = ladder.segment.write(0, &mut unused);
        let told = timed_write(&mut client, segment.as_bytes(), body, &ladder).await;
        ladder.newest[rendition].set(number);
        let body = playlist.write(0, &mut head);
        let done = told.and(timed_write(&mut client, &head, body, &ladder).await);
        let done = if number > WINDOW {
            let path = format!("{}live{rendition}_{}.ts", ladder.base, number - WINDOW);
            Request::http("DELETE", &path, &ladder.write, 0, false).write(0, &mut head);
            done.and(exchange(&mut client, &head, &[]).await.map(drop))
        } else {
            done
        };
        if let Err(error) = done {
            ladder.fails(&format!("a writer: {error}"));
            return;
        }
        number += 1;
    }
    // What is left is removed: the next round begins as this one did. Not before the last reader has what it asked for.
    while ladder.readers.get() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
    for old in number.saturating_sub(WINDOW + 1)..number {
        let path = format!("{}live{rendition}_{old}.ts", ladder.base);
        Request::http("DELETE", &path, &ladder.write, 0, false).write(0, &mut head);
        let _ = exchange(&mut client, &head, &[]).await;
    }
}

async fn timed_write(client: &mut Client, head: &[u8], body: &[u8], ladder: &Ladder) -> io::Result<()> {
    let begun = Instant::now();
    let answer = exchange(client, head, body).await?;
    if !(200..300).contains(&answer.status) {
        ladder.fails(&format!("a write was answered {}", answer.status));
    } else if ladder.is_measuring.get() {
        ladder.writes.borrow_mut().add(begun.elapsed());
        ladder.write_count.set(ladder.write_count.get() + 1);
    }
    Ok(())
}

/// A rendition's playlist, then its newest segment, then another rendition.
async fn read(mut client: Client, ladder: &Ladder) {
    let mut head = Vec::new();
    while !ladder.is_over.get() {
        let pick = ladder.picks.get();
        ladder.picks.set(pick + 1);
        let rendition = (mixed(pick) % ladder.newest.len() as u64) as usize;
        for is_segment in [false, true] {
            let begun = match &ladder.pace {
                Some(pace) => pace.due().await,
                None => Instant::now(),
            };
            let path = if is_segment {
                format!("{}live{rendition}_{}.ts", ladder.base, ladder.newest[rendition].get())
            } else {
                format!("{}live{rendition}.m3u8", ladder.base)
            };
            Request::http("GET", &path, &ladder.read, 0, false).write(0, &mut head);
            let sent = Instant::now();
            match exchange(&mut client, &head, &[]).await {
                Ok(answer) if answer.status == 200 => {
                    if ladder.is_measuring.get() {
                        ladder.reads.borrow_mut().add(begun.elapsed());
                        ladder.answers.borrow_mut().add(sent.elapsed());
                        ladder.read_count.set(ladder.read_count.get() + 1);
                    }
                }
                Ok(answer) => ladder.fails(&format!("a read was answered {}", answer.status)),
                Err(error) => return ladder.fails(&format!("a reader: {error}")),
            }
        }
    }
}
