//! Spans, one a run, over OTLP; off by default (`[telemetry] spans = true`).
//!
//! tracing makes them, the SDK gathers them, and they take the same way out as alert events.

use std::sync::{Arc, OnceLock};

use attestd_core::{Settings, Subject, Trigger};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use prost::Message;
use tokio::runtime::Handle;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;

use super::log::Beside;
use crate::delivery::otlp_record::SCOPE;
use crate::delivery::otlp_sender::{Sender, Signal};

/// Reads `[telemetry]`, and ends the reading: whether there are spans.
pub fn read(table: &Settings<'_>) -> bool {
    let spans = table.flag("spans").unwrap_or(false);
    table.finish();
    spans
}

/// The span of a run, the one kind of span that there is; it costs nothing where there are none.
pub fn run(subject: &Subject, kind: &str, trigger: Trigger) -> tracing::Span {
    let target = subject.target.as_ref().map_or("", |target| target.as_str());
    tracing::info_span!(
        target: "attestd::spans",
        "attestd.run",
        attestd.check.id = subject.check.as_str(),
        attestd.check.kind = kind,
        attestd.target = target,
        attestd.trigger = format!("{trigger:?}").to_lowercase(),
    )
}

/// What is known of this daemon once its store is open; spans that end before wait for nothing and go without.
pub type LateResource = Arc<OnceLock<Vec<(String, String)>>>;

/// The spans of this process.
pub struct Spans {
    provider: SdkTracerProvider,
}

impl Spans {
    /// Spans to these receivers, sent on `runtime`.
    pub fn new(senders: Vec<Arc<Sender>>, resource: LateResource, runtime: Handle) -> Spans {
        let exporter = Exporter { senders, resource, runtime };
        Spans { provider: SdkTracerProvider::builder().with_batch_exporter(exporter).build() }
    }

    /// The layer that turns our own spans into those of OpenTelemetry, for `log::start`.
    pub fn layer(&self) -> Beside {
        let ours = filter_fn(|meta| meta.is_span() && meta.target().starts_with(SCOPE));
        let tracer = self.provider.tracer(SCOPE);
        tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours).boxed()
    }

    /// Sends what is gathered, five seconds at most. Blocks: call it through `spawn_blocking`.
    pub fn stop(self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "Spans were lost at the end.");
        }
    }
}

/// Runs on the SDK's own thread, which has no reactor: what it sends, the runtime sends.
struct Exporter {
    senders: Vec<Arc<Sender>>,
    resource: LateResource,
    runtime: Handle,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let known = self.resource.get().cloned().unwrap_or_default();
        let pairs = known.into_iter().map(|(name, value)| KeyValue::new(name, value));
        let resource = Resource::builder_empty().with_attributes(pairs).build();
        let spans = group_spans_by_resource_and_scope(batch, &(&resource).into());
        let body = ExportTraceServiceRequest { resource_spans: spans }.encode_to_vec();
        for sender in &self.senders {
            let (sender, body) = (Arc::clone(sender), body.clone());
            let sent = self.runtime.spawn(async move { sender.send(Signal::Traces, body).await });
            let failed = |reason: String| OTelSdkError::InternalFailure(reason);
            sent.await
                .map_err(|error| failed(error.to_string()))?
                .map_err(|error| failed(error.to_string()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::otlp::Protocol;
    use crate::delivery::trials::TrialClock;
    use crate::delivery::trials::http::{answer, receiver, settings};
    use tracing_subscriber::layer::SubscriberExt;

    #[tokio::test]
    async fn a_run_is_a_span_at_the_receiver_and_foreign_spans_are_not() {
        let (base, mut requests) = receiver(answer("200 OK", "", b"")).await;
        let sender = Arc::new(Sender::new(settings(Protocol::Http, &base), TrialClock::start()));
        let resource = LateResource::default();
        resource.set(vec![("service.name".into(), "attestd".into())]).expect("set once");
        let spans = Spans::new(vec![sender], resource, Handle::current());
        let subscriber = tracing_subscriber::registry().with(spans.layer());
        tracing::subscriber::with_default(subscriber, || {
            let subject = "portal/a:443".parse().expect("a subject");
            let _run = run(&subject, "certificate", Trigger::Slot).entered();
            let _foreign = tracing::info_span!(target: "hyper", "poll").entered();
        });
        tokio::task::spawn_blocking(move || spans.stop()).await.expect("no panic");
        let (_, body) = requests.recv().await.expect("a request");
        let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("OTLP");
        let whole = &request.resource_spans[0];
        let spans: Vec<&str> =
            whole.scope_spans.iter().flat_map(|s| &s.spans).map(|s| s.name.as_str()).collect();
        assert_eq!(spans, ["attestd.run"]);
        let run = &whole.scope_spans[0].spans[0];
        let said: Vec<&str> = run.attributes.iter().map(|pair| pair.key.as_str()).collect();
        for name in ["attestd.check.id", "attestd.check.kind", "attestd.target", "attestd.trigger"]
        {
            assert!(said.contains(&name), "{said:?}");
        }
        let resource = whole.resource.as_ref().expect("a resource");
        assert_eq!(resource.attributes[0].key, "service.name");
    }
}
