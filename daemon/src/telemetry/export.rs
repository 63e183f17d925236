//! Metrics over OTLP: the table, read from a fresh snapshot every minute, to every receiver.
//!
//! Built from the table without the SDK, so that they take the same way out as alert events (TLS, headers, proxy,
//! limits), a removed target is gone by construction, and no limit on the number of series merges targets.

use std::sync::Arc;
use std::time::Duration;

use attestd_core::Timestamp;
use attestd_core::time::Clock;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::metrics::{Kind, METRICS, Point, Snapshot, Spec};
use crate::delivery::otlp_record::SCOPE;
use crate::delivery::otlp_sender::{Sender, Signal};

/// Makes a snapshot, whenever one is wanted.
pub type Source = Arc<dyn Fn() -> Snapshot + Send + Sync>;

/// Exports to one receiver until told to stop; an export that fails is lost, as metrics may be. One task a receiver.
pub async fn run(
    sender: Arc<Sender>,
    source: Source,
    resource: Vec<(String, String)>,
    clock: Arc<dyn Clock>,
    every: Duration,
    stop: CancellationToken,
) {
    let began = clock.now();
    let mut failing = false;
    loop {
        let body = request(&source(), &resource, began).encode_to_vec();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            told = sender.send(Signal::Metrics, body) => {
                let failed = told.is_err();
                if let (Err(error), false) = (told, failing) {
                    tracing::info!(%error, "Metrics could not be exported; the next try is in a minute.");
                }
                failing = failed;
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = clock.sleep(every) => {}
        }
    }
}

/// One export: every metric of the table.
pub fn request(
    snapshot: &Snapshot,
    resource: &[(String, String)],
    began: Timestamp,
) -> ExportMetricsServiceRequest {
    let metric = |spec: &Spec| metric(spec, snapshot, began);
    let scope = InstrumentationScope {
        name: SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_metrics = ScopeMetrics {
        scope: Some(scope),
        metrics: METRICS.iter().filter_map(metric).collect(),
        schema_url: String::new(),
    };
    let resource = Resource {
        attributes: resource.iter().map(|(name, value)| pair(name, value)).collect(),
        ..Resource::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![scope_metrics],
            schema_url: String::new(),
        }],
    }
}

fn metric(spec: &Spec, snapshot: &Snapshot, began: Timestamp) -> Option<Metric> {
    let point = |point: Point| data_point(spec, &point, snapshot.at, began);
    let data_points: Vec<NumberDataPoint> =
        (spec.observe)(snapshot).into_iter().map(point).collect();
    if data_points.is_empty() {
        return None;
    }
    let data = match spec.kind {
        Kind::Gauge => Data::Gauge(Gauge { data_points }),
        Kind::Counter => Data::Sum(Sum {
            data_points,
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
    };
    Some(Metric {
        name: spec.name.to_owned(),
        description: spec.description.to_owned(),
        unit: spec.unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn data_point(spec: &Spec, point: &Point, at: Timestamp, began: Timestamp) -> NumberDataPoint {
    #[allow(clippy::cast_possible_truncation, reason = "counters are whole and below 2^53")]
    let (value, start) = match spec.kind {
        Kind::Gauge => (Number::AsDouble(point.value), 0),
        Kind::Counter => (Number::AsInt(point.value as i64), nanos(began)),
    };
    NumberDataPoint {
        attributes: point.attributes.iter().map(|(name, value)| pair(name, value)).collect(),
        start_time_unix_nano: start,
        time_unix_nano: nanos(at),
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn pair(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or_default()
}

/// How often metrics are exported (D9); `OTEL_METRIC_EXPORT_INTERVAL`, in milliseconds, overrides it.
pub const EXPORT_EVERY: Duration = Duration::from_secs(60);

/// How often metrics are exported, as the environment says; a second at least.
pub fn interval(variables: &dyn Fn(&str) -> Option<String>) -> Duration {
    let millis = variables("OTEL_METRIC_EXPORT_INTERVAL").and_then(|text| text.trim().parse().ok());
    millis.map_or(EXPORT_EVERY, |millis| Duration::from_millis(millis).max(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::super::metrics::tests::snapshot;
    use super::*;

    fn exported(targets: &[&str]) -> Vec<Metric> {
        let began = "2026-11-22T11:00:00Z".parse().expect("a timestamp");
        let request =
            request(&snapshot(targets), &[("service.name".into(), "attestd".into())], began);
        let bytes = request.encode_to_vec();
        let mut request = ExportMetricsServiceRequest::decode(bytes.as_slice()).expect("readable");
        request.resource_metrics.remove(0).scope_metrics.remove(0).metrics
    }

    fn targets(metrics: &[Metric]) -> std::collections::BTreeSet<String> {
        let points = metrics.iter().flat_map(|metric| match &metric.data {
            Some(Data::Gauge(gauge)) => gauge.data_points.clone(),
            Some(Data::Sum(sum)) => sum.data_points.clone(),
            other => panic!("{other:?}"),
        });
        let pairs = points.flat_map(|point| point.attributes);
        let targets = pairs.filter(|pair| pair.key == "attestd.target");
        targets.map(|pair| format!("{:?}", pair.value)).collect()
    }

    #[test]
    fn a_removed_target_disappears() {
        assert_eq!(targets(&exported(&["a:443", "b:443"])).len(), 2);
        let left = targets(&exported(&["b:443"]));
        assert_eq!(left.len(), 1);
        assert!(left.iter().all(|target| target.contains("b:443")), "{left:?}");
    }

    #[test]
    fn thousands_of_targets_are_all_there() {
        let names: Vec<String> = (0..3000).map(|n| format!("t{n}:443")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(targets(&exported(&names)).len(), 3000);
    }

    #[test]
    fn counters_are_cumulative_whole_and_say_since_when() {
        let metrics = exported(&["a:443"]);
        let counter = metrics.iter().find(|metric| metric.name == "attestd.slot.missed");
        let Some(Data::Sum(sum)) = counter.and_then(|counter| counter.data.clone()) else {
            panic!("a sum")
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.data_points[0].value, Some(Number::AsInt(3)));
        assert_eq!(sum.data_points[0].start_time_unix_nano, 1_795_345_200_000_000_000);
        assert!(
            !metrics.iter().any(|m| m.name == "attestd.subject.last_observed.time"),
            "nothing to say"
        );
    }

    #[tokio::test]
    async fn an_export_arrives_at_once_and_ends_when_told() {
        use crate::delivery::otlp::Protocol;
        use crate::delivery::trials::TrialClock;
        use crate::delivery::trials::http::{answer, receiver, settings};
        let (base, mut requests) = receiver(answer("200 OK", "", b"")).await;
        let clock = TrialClock::start();
        let settings = settings(Protocol::Http, &base);
        let sender = Arc::new(Sender::new(settings, Arc::<TrialClock>::clone(&clock)));
        let source: Source = Arc::new(|| snapshot(&["a:443"]));
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(sender, source, vec![], clock, EXPORT_EVERY, stop.clone()));
        let (_, body) = requests.recv().await.expect("a request");
        let request = ExportMetricsServiceRequest::decode(body.as_slice()).expect("OTLP");
        assert!(!request.resource_metrics[0].scope_metrics[0].metrics.is_empty());
        stop.cancel();
        task.await.expect("ended");
    }

    #[test]
    fn the_interval_of_the_environment_is_a_second_at_least() {
        assert_eq!(interval(&|_| None), EXPORT_EVERY);
        for (text, expected) in [("5000", 5), ("10", 1), ("often", 60)] {
            assert_eq!(interval(&|_| Some(text.to_owned())).as_secs(), expected, "{text}");
        }
    }
}
