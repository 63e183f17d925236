//! All that fires, as Alertmanager is posted it: from the state, so that a restart goes on where it was.
//!
//! Alertmanager knows an alert by its labels and believes in it until `endsAt`, which each post moves ahead. What was
//! posted and fires no longer (it is over, its severity changed, a rule leaves it out) is posted as ended for a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attestd_core::event::{Change, Delivery, Labels, Route, Traits, alert_id};
use attestd_core::store::Store;
use attestd_core::text::plain;
use attestd_core::time::{Clock, Uptime, after};
use attestd_core::{Finding, Subject, Timestamp};
use serde_json::{Value, json};

use super::card::LINE_MAX;
use super::sentence::Render;

/// What fires, and what did a moment ago.
pub(super) struct FiringSet {
    /// Where what fires stands; none for what is told when there is no store (S1).
    pub store: Option<Arc<dyn Store>>,
    /// Which of it goes there.
    pub route: Route,
    pub render: Render,
    pub clock: Arc<dyn Clock>,
    /// How far ahead `endsAt` is.
    pub lasts: Duration,
    /// What `generatorURL` begins with.
    pub generator: Option<String>,
    posted: Mutex<BTreeMap<Labels, Posted>>,
    /// Test alerts, which stand in no state, and when they came.
    canaries: Mutex<BTreeMap<Labels, (Shown, Uptime)>>,
}

/// An alert that was posted.
#[derive(Debug, Clone)]
struct Posted {
    shown: Shown,
    /// When it ended, and when that was first posted.
    ended: Option<(Timestamp, Uptime)>,
}

/// What is said of an alert besides its labels.
#[derive(Debug, Clone)]
struct Shown {
    annotations: BTreeMap<&'static str, String>,
    since: Timestamp,
}

impl FiringSet {
    /// The set of one destination; nothing was posted yet.
    pub(super) fn new(
        store: Option<Arc<dyn Store>>,
        route: Route,
        render: Render,
        clock: Arc<dyn Clock>,
        (lasts, generator): (Duration, Option<String>),
    ) -> FiringSet {
        let (posted, canaries) = (Mutex::default(), Mutex::default());
        FiringSet { store, route, render, clock, lasts, generator, posted, canaries }
    }

    /// What is to be posted now. The effect of `deliveries` is in it: what opened or goes on is in the state that they
    /// were committed with, or is over by now; what they say is over ends when they say.
    pub(super) fn alerts(&self, deliveries: &[Delivery]) -> Vec<Value> {
        let (now, uptime) = (self.clock.now(), self.clock.uptime());
        let mut firing = self.firing();
        let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut canaries = self.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        for delivery in deliveries {
            let (labels, mut shown) = self.of_delivery(delivery);
            if delivery.event.change == Change::Canary {
                shown.annotations.insert("event_id", delivery.event_id.clone());
                canaries.insert(labels, (shown, uptime));
            } else if delivery.event.change.closes() && !firing.contains_key(&labels) {
                posted.insert(labels, Posted { shown, ended: Some((delivery.at, uptime)) });
            } else if delivery.is_volatile() {
                firing.insert(labels, shown);
            }
        }
        canaries.retain(|_, (_, came)| uptime.since(*came) < CANARY_FIRES);
        firing.extend(canaries.iter().map(|(labels, (shown, _))| (labels.clone(), shown.clone())));
        for (labels, one) in posted.iter_mut() {
            if one.ended.is_none() && !firing.contains_key(labels) {
                one.ended = Some((now, uptime));
            }
        }
        posted.extend(
            firing.into_iter().map(|(labels, shown)| (labels, Posted { shown, ended: None })),
        );
        posted.retain(|_, one| one.ended.is_none_or(|(_, at)| uptime.since(at) < ENDED_FOR));
        posted.iter().map(|(labels, one)| self.alert(labels, one, now)).collect()
    }

    fn firing(&self) -> BTreeMap<Labels, Shown> {
        let mut firing = BTreeMap::new();
        let Some(store) = &self.store else { return firing };
        let none = Labels::new();
        store.read(&mut |state| {
            for (subject, of) in &state.subjects {
                let own = state.labels.get(&subject.check).unwrap_or(&none);
                // As it was last told: what opened within a silence is not posted, and what was told before one is not
                // taken back, for Alertmanager would tell people that it is resolved.
                for alert in of.alerts.0.values() {
                    let Some(told) = &alert.told else { continue };
                    let finding = &Finding { severity: told.severity, ..alert.finding.clone() };
                    let worst = told.worst;
                    let (check, kind) = (&subject.check, of.kind.as_str());
                    if self.route.accepts(&Traits { check, kind, labels: own, finding, worst }) {
                        let id = alert_id(state.store(), subject, &finding.key, alert.since);
                        let labels = labels(subject, kind, own, finding, &id);
                        firing.insert(labels, self.shown(kind, finding, alert.since));
                    }
                }
            }
        });
        firing
    }

    fn of_delivery(&self, delivery: &Delivery) -> (Labels, Shown) {
        let Delivery { subject, kind, event, alert_id, .. } = delivery;
        let labels = labels(subject, kind, &event.labels, &event.finding, alert_id);
        (labels, self.shown(kind, &event.finding, event.since))
    }

    fn shown(&self, kind: &str, finding: &Finding, since: Timestamp) -> Shown {
        let said = (self.render)(kind, &finding.key, &finding.values);
        let all =
            [("summary", said.message), ("remedy", said.remedy), ("reference", said.reference)];
        let all = all.into_iter().filter(|(_, text)| !text.is_empty());
        let annotations = all.map(|(name, text)| (name, plain(&text, LINE_MAX))).collect();
        Shown { annotations, since }
    }

    fn alert(&self, labels: &Labels, one: &Posted, now: Timestamp) -> Value {
        let Shown { annotations, since } = &one.shown;
        // A clock that was set back may say that it ended before it began, which Alertmanager refuses.
        let ends = one.ended.map_or_else(|| after(now, self.lasts), |(at, _)| at).max(*since);
        let mut alert = json!({
            "labels": labels,
            "annotations": annotations,
            "startsAt": since,
            "endsAt": ends,
        });
        if let (Some(base), Some(id)) = (&self.generator, labels.get("alert_id")) {
            alert["generatorURL"] = json!(format!("{base}#{id}"));
        }
        alert
    }
}

/// What Alertmanager knows an alert by. The severity is among it, so that routes can be by severity; when it changes,
/// another alert begins there and this one ends, as with any rule of Prometheus that has two thresholds.
fn labels(subject: &Subject, kind: &str, own: &Labels, finding: &Finding, id: &str) -> Labels {
    let mut labels = own.clone();
    let mut add = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
    add("alertname", &finding.key.code.0);
    add("alert_id", id);
    add("check", subject.check.as_str());
    add("kind", kind);
    add("severity", finding.severity.as_str());
    if let Some(target) = &subject.target {
        add("target", target.as_str());
    }
    if let Some(component) = &finding.key.component {
        add("component", component.as_str());
    }
    labels
}

/// How long a test alert fires: it is asked for within minutes.
const CANARY_FIRES: Duration = Duration::from_secs(15 * 60);
/// How long what ended is posted as ended: as Prometheus does, so that one post that was lost does no harm.
const ENDED_FOR: Duration = Duration::from_secs(15 * 60);
