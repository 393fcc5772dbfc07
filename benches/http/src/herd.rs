//! Many connections: all ask the same at once, or have asked and are idle.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout};

use crate::Failure;
use crate::args::Args;
use crate::client::Target;
use crate::histogram::Histogram;
use crate::load::exchange;
use crate::request::Request;
use crate::usage::Processes;

/// The address that connection number n comes from: 2,000 from each, as a CDN has few addresses and many connections.
pub fn source(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(number / 2000).unwrap_or(0))
}

pub async fn run(args: &Args) -> Result<Value, Failure> {
    let target = Target::of(args)?;
    let processes = Processes::of(args)?;
    let request = Request::of(args)?;
    let count: usize = args.get("connections", 1000)?;
    let mut clients = Vec::new();
    for number in 0..count {
        clients.push(target.connect_from(source(number), Rc::default()).await?);
    }
    let mut head = Vec::new();
    request.write(0, &mut head);
    let (begun, cpu) = (Instant::now(), processes.cpu());
    let mut tasks = tokio::task::JoinSet::new();
    for mut client in clients {
        let head = head.clone();
        tasks.spawn_local(async move {
            let answer = exchange(&mut client, &head, &[]).await;
            let first = answer.as_ref().map_or(begun, |answer| Instant::from_std(answer.first));
            (answer.map_or(0, |answer| answer.status), first.saturating_duration_since(begun), begun.elapsed())
        });
    }
    let (mut whole, mut failed, mut complaint) = (0, 0, String::new());
    let (mut first, mut latency) = (Histogram::default(), Histogram::default());
    let all = async {
        while let Some(Ok((status, first_byte, took))) = tasks.join_next().await {
            if status == 200 {
                whole += 1;
                first.add(first_byte);
                latency.add(took);
            } else {
                failed += 1;
                complaint = format!("status {status}");
            }
        }
    };
    let _ = timeout(Duration::from_secs(30), all).await;
    Ok(json!({
        "connections": count,
        "whole": whole,
        "failed": failed,
        "complaint": complaint,
        "seconds": begun.elapsed().as_secs_f64(),
        "server_cpu": (processes.cpu() - cpu).as_secs_f64(),
        "first_byte": first.to_json(),
        "latency": latency.to_json(),
    }))
}

pub async fn idle(args: &Args) -> Result<Value, Failure> {
    let target = Target::of(args)?;
    let request = Request::of(args)?;
    let count: usize = args.get("connections", 10_000)?;
    let received = Rc::new(Cell::new(0));
    let mut head = Vec::new();
    let mut clients = Vec::new();
    let mut refused = 0;
    for number in 0..count {
        let mut client = target.connect_from(source(number), Rc::clone(&received)).await?;
        let body = request.write(number as u64, &mut head);
        match exchange(&mut client, &head, body).await {
            Ok(answer) if answer.status == 200 => clients.push(client),
            _ => refused += 1,
        }
    }
    println!("{}", json!({ "open": clients.len(), "refused": refused }));
    // They stay until whoever measures has done so.
    let _ = tokio::io::stdin().read(&mut [0]).await;
    Ok(json!({ "closed": clients.len() }))
}
