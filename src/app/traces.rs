//! Traces: one span for each request, sent by OTLP over HTTP, from a thread of their own. The only module that knows OpenTelemetry.
//!
//! A span is handed over when its request is over, in one piece: nothing is kept open on a request's way, and without traces all
//! of this costs one comparison. Spans wait in a bounded queue, and are lost when the collector is slower than the requests: those
//! that were made and those that were sent are counted. What is sampled and how spans are gathered follows OpenTelemetry's own environment variables (`OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`);
//! so does the collector itself, where the settings name none (`OTEL_EXPORTER_OTLP_ENDPOINT`);
//! so do headers for the collector (`OTEL_EXPORTER_OTLP_HEADERS`), which may be secret and so are no setting of ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanData};

use crate::metrics::Metrics;
use crate::web::record::spans::{Ended, Spans};

/// How long the collector may take for one parcel of spans.
const SEND: Duration = Duration::from_secs(5);
/// How long the last ones are waited for when the server ends.
const FLUSH: Duration = Duration::from_secs(3);

/// Traces on their way. To be ended outside the runtime: the sender waits for the network as threads do.
#[derive(Debug)]
pub(super) struct Traces {
    provider: SdkTracerProvider,
    sender: Arc<Sender>,
}

#[derive(Debug)]
struct Sender {
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
    metrics: Arc<Metrics>,
}

impl Traces {
    /// Starts the sender, unless there is nowhere to send to.
    pub(super) fn start(endpoint: Option<&str>, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Self>> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(url) = endpoint.map(traces_url).or_else(|| from_environment(variable)) else { return Ok(None) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url.clone())
            .with_timeout(SEND)
            .build()
            .with_context(|| {
                format!("can't send traces to {url}: are the system's CA certificates there (package ca-certificates)?")
            })?;
        let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("springhead");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(WatchedExporter { exporter, trouble: AtomicBool::new(false), metrics: Arc::clone(metrics) })
            .with_resource(resource.build())
            .build();
        let (tracer, metrics) = (provider.tracer("springhead"), Arc::clone(metrics));
        let sender = Sender { tracer, propagator: TraceContextPropagator::new(), metrics };
        Ok(Some(Self { provider, sender: Arc::new(sender) }))
    }

    /// Where requests put their spans.
    pub(super) fn spans(&self) -> Arc<dyn Spans> {
        Arc::<Sender>::clone(&self.sender)
    }

    /// Sends what is left. Not to be called within the runtime.
    pub(super) fn end(&self) {
        // What went wrong has been logged where spans are sent; and not to have sent the last ones is no failure of a server.
        let _ = self.provider.shutdown_with_timeout(FLUSH);
    }
}

/// Where OpenTelemetry's own variables have traces sent to: what is for traces alone is the whole address, what is for all signals has
/// that of the traces below it. Somebody who set them for another protocol would get nothing by HTTP.
fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    if is_off {
        return None;
    }
    let of_all = || variable("OTEL_EXPORTER_OTLP_ENDPOINT").map(|endpoint| traces_url(&endpoint));
    let url = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(of_all)?;
    let protocol = variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    if protocol.as_deref() == Some("grpc") {
        tracing::warn!(
            "the environment has traces sent by gRPC (OTEL_EXPORTER_OTLP_PROTOCOL), and this server speaks OTLP over HTTP: that is what \
             is sent, usually to port 4318"
        );
    }
    Some(url)
}

/// The address of the collector's traces: below the one that is given, as OpenTelemetry has it.
fn traces_url(endpoint: &str) -> String {
    let base = endpoint.trim_end_matches('/');
    if base.ends_with("/v1/traces") { base.to_owned() } else { format!("{base}/v1/traces") }
}

impl Spans for Sender {
    fn ended(&self, request: &Ended<'_>) {
        let mut attributes = vec![
            KeyValue::new("http.request.method", request.method.to_owned()),
            KeyValue::new("springhead.request_id", request.request_id.to_owned()),
            KeyValue::new("springhead.outcome", request.outcome),
            KeyValue::new("http.response.body.size", i64::try_from(request.sent).unwrap_or(i64::MAX)),
        ];
        // Few names, whatever clients ask for: the object stands in the attributes.
        let name = match request.object {
            Some((namespace, key)) => {
                attributes.extend([
                    KeyValue::new("http.route", ROUTE),
                    KeyValue::new("springhead.namespace", namespace.to_owned()),
                    KeyValue::new("springhead.key", key.to_owned()),
                ]);
                format!("{} {ROUTE}", request.method)
            }
            None => request.method.to_owned(),
        };
        if let Some(status) = request.status {
            attributes.push(KeyValue::new("http.response.status_code", i64::from(status)));
        }
        if let Some(received) = request.received {
            attributes.push(KeyValue::new("http.request.body.size", i64::try_from(received).unwrap_or(i64::MAX)));
        }
        let begun = request.at.checked_sub(request.took).unwrap_or(request.at);
        let builder =
            self.tracer.span_builder(name).with_kind(SpanKind::Server).with_start_time(begun).with_attributes(attributes);
        let context = match request.parent {
            Some(parent) => self.propagator.extract_with_context(&Context::new(), &Parent(parent)),
            None => Context::new(),
        };
        let mut span = self.tracer.build_with_context(builder, &context);
        if request.status.is_none_or(|status| status >= 500) {
            span.set_status(Status::error(request.outcome));
        }
        // What is left out by the sampler is none.
        if span.is_recording() {
            self.metrics.housekeeping.spans.inc();
        }
        span.end_with_timestamp(request.at);
    }
}

const ROUTE: &str = "/cache/{namespace}/{key}";

/// The one header that a trace's context is read from. `tracestate` is for those who ask others in turn.
struct Parent<'a>(&'a str);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

/// Says when spans do not arrive, once each time.
#[derive(Debug)]
struct WatchedExporter {
    exporter: SpanExporter,
    trouble: AtomicBool,
    metrics: Arc<Metrics>,
}

impl opentelemetry_sdk::trace::SpanExporter for WatchedExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let sent = self.exporter.export(batch).await;
        match &sent {
            Ok(()) => {
                self.trouble.store(false, Ordering::Relaxed);
                self.metrics.housekeeping.spans_sent.inc_by(count);
            }
            Err(error) => {
                if !self.trouble.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "traces can't be sent and are lost: is the collector at otlp_endpoint running?");
                }
            }
        }
        sent
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_opentelemetry_name_a_collector() {
        let read = |set: &[(&str, &str)]| {
            from_environment(|name| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(read(&[]), None);
        let of_all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        assert_eq!(read(&[of_all]).as_deref(), Some("http://c:4318/v1/traces"));
        let of_traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:1/x");
        assert_eq!(read(&[of_all, of_traces]).as_deref(), Some("http://t:1/x"));
        assert_eq!(read(&[of_all, ("OTEL_SDK_DISABLED", "true")]), None);
        assert_eq!(read(&[of_all, ("OTEL_TRACES_EXPORTER", "none")]), None);
    }

    #[test]
    fn the_address_of_traces_is_below_the_collectors() {
        for endpoint in ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"] {
            assert_eq!(traces_url(endpoint), "http://c:4318/v1/traces");
        }
        assert_eq!(traces_url("https://c/otlp"), "https://c/otlp/v1/traces");
    }
}
