//! An alert event as an OTLP log record. Pure.
//!
//! It is an event as OpenTelemetry means it: a name, attributes, no body.

use attestd_core::event::{Change, Delivery};
use attestd_core::finding::{Means, Severity};
use attestd_core::{Finding, Timestamp};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as OtlpValue;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::Value;

use super::Beat;
use super::sentence::Sentence;

/// The request that tells one alert event.
pub fn request(
    resource: &[(String, String)],
    delivery: &Delivery,
    sentence: &Sentence,
    now: Timestamp,
) -> ExportLogsServiceRequest {
    export(resource, record(delivery, sentence, now))
}

/// The request that says that the daemon lives (D9).
pub fn heartbeat(resource: &[(String, String)], beat: &Beat) -> ExportLogsServiceRequest {
    let note = beat.checkpoint.iter().map(|note| text("attestd.checkpoint", &**note));
    let record = LogRecord {
        time_unix_nano: nanos(beat.at),
        observed_time_unix_nano: nanos(beat.at),
        attributes: note.collect(),
        severity_number: SeverityNumber::Info.into(),
        severity_text: "info".to_owned(),
        event_name: "attestd.heartbeat".to_owned(),
        ..LogRecord::default()
    };
    export(resource, record)
}

/// One alert event as a log record.
pub fn record(delivery: &Delivery, sentence: &Sentence, now: Timestamp) -> LogRecord {
    let event = &delivery.event;
    let (number, text) = severity(event.change, event.finding.severity);
    LogRecord {
        time_unix_nano: nanos(delivery.at),
        observed_time_unix_nano: nanos(now),
        severity_number: number.into(),
        severity_text: text.to_owned(),
        attributes: attributes(delivery, sentence),
        event_name: format!("attestd.alert.{}", event.change.as_str()),
        ..LogRecord::default()
    }
}

fn attributes(delivery: &Delivery, sentence: &Sentence) -> Vec<KeyValue> {
    let event = &delivery.event;
    let Finding { key, means, severity, tier, values } = &event.finding;
    let mut all = vec![
        text("attestd.alert.id", &delivery.alert_id),
        text("attestd.alert.since", event.since.to_string()),
        text("attestd.check.id", delivery.subject.check.as_str()),
        text("attestd.check.kind", &delivery.kind),
        // Said by the event's name too, which not every store keeps.
        text("attestd.event.change", event.change.as_str()),
        text("attestd.finding.code", &key.code.0),
        text("attestd.finding.means", means_word(*means)),
        text("attestd.message", &sentence.message),
        text("attestd.severity", severity.as_str()),
        text("attestd.severity.worst", event.worst.as_str()),
        text("attestd.status", delivery.status.as_str()),
        text("attestd.subject", delivery.subject.to_string()),
    ];
    if delivery.is_volatile() {
        all.push(pair("attestd.event.volatile", OtlpValue::BoolValue(true)));
    } else {
        all.push(text("attestd.event.id", &delivery.event_id));
        all.push(number("attestd.event.sequence", delivery.sequence));
    }
    for (name, label) in &event.labels {
        all.push(text(&format!("attestd.check.label.{name}"), label));
    }
    if let Some(target) = &delivery.subject.target {
        all.push(text("attestd.target", target.as_str()));
    }
    if let Some(component) = &key.component {
        all.push(text("attestd.finding.component", component.as_str()));
    }
    if let Some(tier) = tier {
        let days = OtlpValue::IntValue(tier.0.into());
        all.push(pair("attestd.finding.tier", days));
    }
    if let Some(repeat) = event.number {
        all.push(number("attestd.event.repeat", repeat.into()));
    }
    if let Some(person) = &event.with {
        all.push(text("attestd.alert.with", person.as_str()));
    }
    if let Some(until) = event.taken_until {
        all.push(text("attestd.alert.taken_until", until.to_string()));
    }
    for (name, said) in
        [("attestd.remedy", &sentence.remedy), ("attestd.reference", &sentence.reference)]
    {
        if !said.is_empty() {
            all.push(text(name, said));
        }
    }
    for (name, value) in values {
        if let Some(value) = otlp_value(value, 0) {
            all.push(pair(&format!("attestd.finding.value.{name}"), value));
        }
    }
    all
}

/// Over is over, however bad it was; else Notice is INFO, Warning WARN and Critical ERROR.
fn severity(change: Change, severity: Severity) -> (SeverityNumber, &'static str) {
    let number = match severity {
        _ if change.closes() => SeverityNumber::Info,
        Severity::Notice => SeverityNumber::Info,
        Severity::Warning => SeverityNumber::Warn,
        Severity::Critical => SeverityNumber::Error,
    };
    (number, severity.as_str())
}

fn means_word(means: Means) -> &'static str {
    match means {
        Means::Fail => "fail",
        Means::Warn => "warn",
        Means::Note => "note",
    }
}

fn otlp_value(value: &Value, depth: usize) -> Option<OtlpValue> {
    let within = |value: &Value| AnyValue { value: otlp_value(value, depth + 1) };
    match value {
        Value::Null => None,
        _ if depth > DEPTH_MAX => None,
        Value::Bool(value) => Some(OtlpValue::BoolValue(*value)),
        Value::Number(number) => Some(match number.as_i64() {
            Some(whole) => OtlpValue::IntValue(whole),
            None => OtlpValue::DoubleValue(number.as_f64()?),
        }),
        Value::String(text) => Some(OtlpValue::StringValue(text.clone())),
        Value::Array(values) => {
            Some(OtlpValue::ArrayValue(ArrayValue { values: values.iter().map(within).collect() }))
        }
        Value::Object(fields) => Some(OtlpValue::KvlistValue(KeyValueList {
            values: fields
                .iter()
                .map(|(name, value)| KeyValue {
                    key: name.clone(),
                    value: Some(within(value)),
                    ..KeyValue::default()
                })
                .collect(),
        })),
    }
}

fn export(resource: &[(String, String)], record: LogRecord) -> ExportLogsServiceRequest {
    let scope = InstrumentationScope {
        name: SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_logs =
        ScopeLogs { scope: Some(scope), log_records: vec![record], schema_url: String::new() };
    let resource = Resource {
        attributes: resource.iter().map(|(name, value)| text(name, value)).collect(),
        ..Resource::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![scope_logs],
            schema_url: String::new(),
        }],
    }
}

fn text(name: &str, value: impl Into<String>) -> KeyValue {
    pair(name, OtlpValue::StringValue(value.into()))
}

fn number(name: &str, value: u64) -> KeyValue {
    pair(name, OtlpValue::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn pair(name: &str, value: OtlpValue) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: name.to_owned(), value, ..KeyValue::default() }
}

/// Nanoseconds since 1970; 0 before it, as OTLP says for "unknown".
fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or_default()
}

/// The instrumentation scope of everything that attestd tells.
pub const SCOPE: &str = "attestd";
/// How deep a finding's values may nest: checks make plain ones.
const DEPTH_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::trials::delivery;
    use attestd_core::Tier;

    fn attribute<'r>(record: &'r LogRecord, name: &str) -> Option<&'r OtlpValue> {
        let pair = record.attributes.iter().find(|pair| pair.key == name)?;
        pair.value.as_ref()?.value.as_ref()
    }

    fn said(record: &LogRecord, name: &str) -> String {
        match attribute(record, name) {
            Some(OtlpValue::StringValue(text)) => text.clone(),
            Some(OtlpValue::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn an_event_carries_its_name_ids_and_values_and_no_body() {
        let mut delivery = delivery(3, "a1");
        delivery.event.finding.tier = Some(Tier(30));
        delivery.event.number = Some(2);
        delivery.event.with = Some("sam".parse().expect("an id"));
        delivery.event.taken_until = Some(delivery.at);
        delivery.event.labels.insert("team".into(), "web".into());
        delivery.event.finding.values.insert("days".into(), 12.into());
        delivery.event.finding.values.insert("names".into(), serde_json::json!(["a", {"b": 1.5}]));
        delivery.event.finding.values.insert("none".into(), Value::Null);
        let sentence = Sentence {
            message: "leaf expires".into(),
            remedy: "renew it".into(),
            reference: "RFC 5280".into(),
        };
        let now = "2026-11-22T13:00:00Z".parse().expect("a timestamp");
        let record = record(&delivery, &sentence, now);
        assert_eq!(record.event_name, "attestd.alert.opened");
        assert_eq!(record.body, None);
        assert_eq!(record.time_unix_nano, 1_795_348_800_000_000_000, "when it happened");
        assert_eq!(record.observed_time_unix_nano, 1_795_352_400_000_000_000, "when it was told");
        for (name, expected) in [
            ("attestd.alert.id", "a1"),
            ("attestd.event.id", "e3"),
            ("attestd.event.change", "opened"),
            ("attestd.event.sequence", "3"),
            ("attestd.event.repeat", "2"),
            ("attestd.alert.with", "sam"),
            ("attestd.alert.taken_until", "2026-11-22T12:00:00Z"),
            ("attestd.check.id", "portal"),
            ("attestd.check.kind", "certificate"),
            ("attestd.check.label.team", "web"),
            ("attestd.target", "portal.example.org:443"),
            ("attestd.subject", "portal/portal.example.org:443"),
            ("attestd.finding.code", "certificate_expiring"),
            ("attestd.finding.component", "leaf"),
            ("attestd.finding.means", "warn"),
            ("attestd.finding.tier", "30"),
            ("attestd.finding.value.days", "12"),
            ("attestd.severity", "critical"),
            ("attestd.status", "warn"),
            ("attestd.alert.since", "2026-11-22T12:00:00Z"),
            ("attestd.message", "leaf expires"),
            ("attestd.remedy", "renew it"),
            ("attestd.reference", "RFC 5280"),
        ] {
            assert_eq!(said(&record, name), expected, "{name}");
        }
        assert!(matches!(
            attribute(&record, "attestd.finding.value.names"),
            Some(OtlpValue::ArrayValue(array)) if array.values.len() == 2
        ));
        assert_eq!(attribute(&record, "attestd.finding.value.none"), None);
    }

    #[test]
    fn what_is_over_is_information() {
        for (change, worst, expected) in [
            (Change::Opened, Severity::Critical, SeverityNumber::Error),
            (Change::Repeated, Severity::Warning, SeverityNumber::Warn),
            (Change::Eased, Severity::Notice, SeverityNumber::Info),
            (Change::Resolved, Severity::Critical, SeverityNumber::Info),
            (Change::Retired, Severity::Warning, SeverityNumber::Info),
        ] {
            assert_eq!(severity(change, worst).0, expected, "{change:?}");
        }
    }
}
