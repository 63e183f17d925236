//! The `OTEL_*` environment: defaults for what the configuration does not say (OTel specification 1.4x, "OTLP
//! exporter" and "Resource").

use std::time::Duration;

use super::otlp_headers::percent_decoded;

/// Reads variables; the process's in the daemon, made up in tests.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variable of the logs, else the one of all signals; empty is as good as unset.
pub(crate) fn of_logs(variables: Variables<'_>, what: &str) -> Option<String> {
    of_signal(variables, "LOGS", what).or_else(|| of_all(variables, what))
}

/// The variable of one signal.
pub(crate) fn of_signal(variables: Variables<'_>, signal: &str, what: &str) -> Option<String> {
    variables(&format!("OTEL_EXPORTER_OTLP_{signal}_{what}")).filter(|text| !text.is_empty())
}

/// The variable of all signals.
pub(crate) fn of_all(variables: Variables<'_>, what: &str) -> Option<String> {
    variables(&format!("OTEL_EXPORTER_OTLP_{what}")).filter(|text| !text.is_empty())
}

/// `OTEL_EXPORTER_OTLP_TIMEOUT`, in milliseconds.
pub(crate) fn timeout(variables: Variables<'_>) -> Option<Duration> {
    let millis: u64 = of_logs(variables, "TIMEOUT")?.trim().parse().ok()?;
    (millis > 0).then(|| Duration::from_millis(millis))
}

/// What tells this daemon from others in the observability stack: names and values of the OTel resource.
/// `OTEL_RESOURCE_ATTRIBUTES` overrides ours, `OTEL_SERVICE_NAME` overrides both.
pub fn resource(
    variables: Variables<'_>,
    origin: &str,
    host: Option<&str>,
) -> Vec<(String, String)> {
    let mut attributes = std::collections::BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        attributes.insert(name.trim().to_owned(), value.to_owned());
    };
    set("service.name", "attestd");
    set("service.version", env!("CARGO_PKG_VERSION"));
    set("service.instance.id", origin);
    if let Some(host) = host {
        set("host.name", host);
    }
    let own = variables("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    for (name, value) in own.split(',').filter_map(|pair| pair.split_once('=')) {
        set(name, &percent_decoded(value.trim()));
    }
    if let Some(name) = variables("OTEL_SERVICE_NAME").filter(|name| !name.is_empty()) {
        set("service.name", &name);
    }
    attributes.into_iter().filter(|(name, _)| !name.is_empty()).collect()
}

/// This machine's name, as its kernel has it.
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_overrides_what_we_call_ourselves() {
        let none = |_: &str| None;
        let plain = resource(&none, "o1", Some("web1"));
        assert!(plain.contains(&("service.instance.id".into(), "o1".into())));
        assert!(plain.contains(&("host.name".into(), "web1".into())));
        let some = |name: &str| match name {
            "OTEL_RESOURCE_ATTRIBUTES" => {
                Some("deployment.environment.name=live%20one,service.name=x,,bad".to_owned())
            }
            "OTEL_SERVICE_NAME" => Some("proof".to_owned()),
            _ => None,
        };
        let named = resource(&some, "o1", None);
        assert!(named.contains(&("deployment.environment.name".into(), "live one".into())));
        assert!(named.contains(&("service.name".into(), "proof".into())));
        assert_eq!(named.iter().filter(|(name, _)| name == "service.name").count(), 1);
    }

    #[test]
    fn the_logs_variable_goes_before_the_one_of_all() {
        let some = |name: &str| match name {
            "OTEL_EXPORTER_OTLP_TIMEOUT" => Some("5000".to_owned()),
            "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT" => Some("2000".to_owned()),
            "OTEL_EXPORTER_OTLP_PROTOCOL" => Some("grpc".to_owned()),
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL" => Some(String::new()),
            _ => None,
        };
        assert_eq!(timeout(&some), Some(Duration::from_secs(2)));
        assert_eq!(of_logs(&some, "PROTOCOL").as_deref(), Some("grpc"), "empty is unset");
    }
}
