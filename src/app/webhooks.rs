//! Tells others what happens to streams: each event goes as JSON, by POST, to the addresses in the settings.
//!
//! Each address has a queue of its own, so that a receiver that hangs holds up neither requests nor other receivers; and in it each namespace
//! has a task, so that what a receiver does not take of one holds up no other's, and comes in the order in which it happened.
//! A delivery is signed, so that the receiver knows who speaks: `Springhead-Signature: t=SECONDS,v1=HEX`, where HEX is the
//! HMAC-SHA256 of `SECONDS.BODY` under the text in `webhook.secret`, its line end apart. The time is in it so that a delivery
//! that somebody has listened to can't be used again later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Call, HttpClient, TlsRules, Url};
use super::data_dir::DataDir;
use super::fair_queue::FairQueue;
use crate::auth::signing::{hmac_hex, random_id};
use crate::metrics::{Delivery, Metrics};
use crate::model::clock::Clock;
use crate::origin::Event;

/// Deliveries that wait for one receiver; of what comes beyond, the newest of the namespace that has most is lost, and counted.
const QUEUE: usize = 1024;
/// Requests to one receiver at a time.
const AT_ONCE: usize = 4;
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// This many attempts in all: the last one comes about two minutes after the first.
const ATTEMPTS: u32 = 9;

const SIGNATURE: HeaderName = HeaderName::from_static("springhead-signature");
const DELIVERY: HeaderName = HeaderName::from_static("springhead-delivery");

/// Where events go. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Webhooks {
    receivers: Vec<Arc<Receiver>>,
    metrics: Arc<Metrics>,
    /// Who hands on.
    tasks: TaskTracker,
    all: AllReceivers,
}

/// What all receivers have in common.
#[derive(Clone, Debug, Default)]
struct AllReceivers {
    /// The server ends: an attempt that is begun now is the last one.
    ends: CancellationToken,
    /// Deliveries of which it is open what becomes of them.
    open: Arc<AtomicUsize>,
}

/// One event on its way to a receiver.
#[derive(Clone, Debug)]
struct Message {
    id: HeaderValue,
    body: Bytes,
}

struct Receiver {
    url: Url,
    secret: Arc<[u8]>,
    client: HttpClient,
    clock: Clock,
    metrics: Arc<Metrics>,
    all: AllReceivers,
    waiting: Mutex<FairQueue<Message>>,
    /// Held for one request.
    turns: Semaphore,
    /// Whether the last delivery was in vain: only the first of several is told.
    in_vain: AtomicBool,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its address may have a secret in it, and signs with one.
        f.write_str("Receiver")
    }
}

impl Webhooks {
    /// Takes up these addresses. The secret is made at the first start that has any.
    ///
    /// # Errors
    /// When the secret can be neither read nor made, or there is no way to speak TLS.
    pub(super) fn start(urls: &[Url], data: &DataDir, clock: &Clock, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let (mut receivers, all) = (Vec::new(), AllReceivers::default());
        if !urls.is_empty() {
            let secret: Arc<[u8]> = data.webhook_secret()?.into_bytes().into();
            let client = HttpClient::new(TlsRules::default(), clock.clone()).context("webhooks can't be sent")?;
            for url in urls {
                receivers.push(Arc::new(Receiver {
                    url: url.clone(),
                    secret: Arc::clone(&secret),
                    client: client.clone(),
                    clock: clock.clone(),
                    metrics: Arc::clone(metrics),
                    all: all.clone(),
                    waiting: Mutex::new(FairQueue::new(QUEUE)),
                    turns: Semaphore::new(AT_ONCE),
                    in_vain: AtomicBool::new(false),
                }));
            }
        }
        Ok(Self { receivers, metrics: Arc::clone(metrics), tasks: TaskTracker::new(), all })
    }

    /// Hands an event over; never waits.
    pub(super) fn send(&self, event: &Event) {
        if self.receivers.is_empty() {
            return;
        }
        let id = random_id();
        let mut document = json!(event);
        document["id"] = json!(id);
        let Ok(id) = HeaderValue::try_from(id) else { return };
        let message = Message { id, body: document.to_string().into() };
        for receiver in &self.receivers {
            self.all.open.fetch_add(1, Ordering::Relaxed);
            let queued = receiver.waiting.lock().push(&event.namespace, message.clone());
            if queued.is_one_lost {
                self.all.open.fetch_sub(1, Ordering::Relaxed);
                self.metrics.count_delivery(Delivery::Dropped);
            }
            if queued.is_first {
                self.tasks.spawn(Arc::clone(receiver).serve(event.namespace.clone()));
            }
        }
    }

    /// The server is about to end: tries each that waits once more, and returns when that is done, or then. Cancel-safe.
    pub(super) async fn end(&self, until: Instant) {
        self.all.ends.cancel();
        self.tasks.close();
        // Of what is not done by then [`Webhooks::count_lost`] tells.
        let _ = tokio::time::timeout_at(until, self.tasks.wait()).await;
    }

    /// Counts and tells what nobody has taken: to be called when it is too late.
    pub(super) fn count_lost(&self) {
        let webhooks = self.all.open.swap(0, Ordering::Relaxed);
        if webhooks > 0 {
            (0..webhooks).for_each(|_| self.metrics.count_delivery(Delivery::Dropped));
            tracing::warn!(
                webhooks,
                "the server ends before these were delivered, and they are lost: ask /v1/events for what has happened, it outlives \
                 a restart"
            );
        }
    }
}

impl Receiver {
    /// Hands on what waits of a namespace, one after the other, until nothing does.
    async fn serve(self: Arc<Self>, namespace: String) {
        loop {
            let next = self.waiting.lock().next(&namespace);
            let Some(message) = next else { return };
            match self.deliver(&message).await {
                Ok(()) => {
                    self.all.open.fetch_sub(1, Ordering::Relaxed);
                    self.metrics.count_delivery(Delivery::Delivered);
                    self.in_vain.store(false, Ordering::Relaxed);
                }
                // It may have been tried once: it is told with all that are lost.
                Err(_) if self.all.ends.is_cancelled() => {}
                Err(error) => {
                    self.all.open.fetch_sub(1, Ordering::Relaxed);
                    self.metrics.count_delivery(Delivery::Failed);
                    if !self.in_vain.swap(true, Ordering::Relaxed) {
                        // The host alone: what stands behind it may be a secret.
                        let host = self.url.host_str().unwrap_or_default();
                        tracing::warn!(host, error, "a webhook was not delivered; the next failures in a row are counted only");
                    }
                }
            }
        }
    }

    /// Tries until it is taken, or until there is no point in trying; when the server ends, once more.
    async fn deliver(&self, message: &Message) -> Result<(), String> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let is_last = attempt == ATTEMPTS || self.all.ends.is_cancelled();
            let error = match self.post(message).await {
                Ok(200..=299) => return Ok(()),
                // It was understood and is not wanted: the same again will not be either.
                Ok(status @ (400..=407 | 409..=424 | 426..=428 | 430..=499)) => return Err(format!("answered {status}")),
                Ok(status) => format!("answered {status}"),
                Err(error) => error,
            };
            if is_last {
                return Err(format!("{error}, {attempt} times"));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.all.ends.cancelled() => {}
            }
            (attempt, pause) = (attempt + 1, pause * 2);
        }
    }

    async fn post(&self, message: &Message) -> Result<u16, String> {
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        let seconds = self.clock.wall().seconds();
        let signed = [format!("{seconds}.").as_bytes(), &message.body].concat();
        let signature = format!("t={seconds},v1={}", hmac_hex(&self.secret, &signed));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(DELIVERY, message.id.clone());
        headers.insert(SIGNATURE, HeaderValue::try_from(signature).map_err(|error| error.to_string())?);
        let body = message.body.clone();
        let call = Call { method: Method::POST, url: &self.url, headers, body, timeout: TIMEOUT, max_body: 64 << 10 };
        self.client.ask(call).await.map(|answer| answer.status).map_err(|error| error.to_string())
    }
}
