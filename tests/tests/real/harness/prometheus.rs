//! Debian's Prometheus, which scrapes one daemon every second.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::program::Program;
use super::{http, ports};

/// A sample of an instant query: its labels and its value.
pub type Series = (BTreeMap<String, String>, f64);

/// Starts it, with a file of rules where there is one, and says where it answers.
pub async fn start(directory: &Path, scrapes: u16, rules: Option<&Path>) -> (Program, u16) {
    let port = ports::free();
    let config = directory.join("prometheus.yml");
    let rules = rules.map(|rules| format!("rule_files: [ \"{}\" ]\n", rules.display()));
    let text = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n{}\
         scrape_configs:\n\
         - job_name: attestd\n  static_configs: [ {{ targets: [ \"127.0.0.1:{scrapes}\" ] }} ]\n",
        rules.unwrap_or_default()
    );
    std::fs::write(&config, text).expect("written");
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    (Program::start("prometheus", &mut command, directory).listening(port).await, port)
}

/// An instant query.
pub fn query(port: u16, what: &str) -> Result<Vec<Series>, String> {
    let data = data(port, &format!("/api/v1/query?query={}", http::encoded(what)))?;
    let result = data["result"].as_array().ok_or_else(|| data.to_string())?;
    let series = |one: &Value| {
        let labels = one["metric"].as_object()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = labels.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        Some((labels, one["value"][1].as_str()?.parse().ok()?))
    };
    result.iter().map(|one| series(one).ok_or_else(|| one.to_string())).collect()
}

/// How many series a query over the last half minute has, looking each second as a graph does.
pub fn series_over_time(port: u16, what: &str) -> Result<usize, String> {
    let now = query(port, "vector(time())")?[0].1;
    let (what, from) = (http::encoded(what), now - 30.0);
    let path = format!("/api/v1/query_range?query={what}&start={from}&end={now}&step=1");
    data(port, &path)?["result"].as_array().map(Vec::len).ok_or(path)
}

/// What the API answers.
pub fn data(port: u16, path: &str) -> Result<Value, String> {
    let body = http::get(port, path)?;
    let answer: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
    if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(body) }
}
