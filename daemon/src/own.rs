//! The built-in check `attestd`: the daemon's own conditions, judged and told like everything else (F7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use attestd_core::alert::Alerts;
use attestd_core::schedule::Schedule;
use attestd_core::store::Store;
use attestd_core::{
    BadEvidence, BoxFuture, Check, CheckKind, Component, Evidence, Finding, FindingSpec, Judgement,
    Look, Means, Nature, PersonId, ProbeError, Severity, Subject, Target, Timestamp, Trigger,
};
use serde::{Deserialize, Serialize};

use crate::canary;
use crate::config::ConfiguredCheck;
use crate::digest;
use crate::monitor::Checks;
use crate::monitor::run::Job;
use crate::reminders;

/// The kind of the check of the daemon itself.
pub const KIND: CheckKind = CheckKind {
    name: "attestd",
    summary: "attestd's own conditions: clock, network, delivery, disk, store.",
    docs: DOCS,
    example: "",
    findings: FINDINGS,
    endpoints: false,
    every: "1h",
    timeout: Duration::from_secs(10),
    build: |_, _| None,
};

const DOCS: &str = "\
## What it looks at
The daemon itself: whether the wall clock can be believed, whether any remote target is seen at all, whether each
destination accepts what it is sent, whether test alerts arrive there, how much room the disk has, whether the store had
to be mended, which key signs the evidence log, whether an authority that is to stamp it does, and whether the calendar
can be put where others read it.

## How it judges
Each condition is a finding while it lasts. It is always there, needs no configuration, and looks once an hour and
whenever a condition changes.

## What it cannot see
Its own absence: have the observability stack alert when `attestd.heartbeat.time` stops moving.

## Settings
None.

## What it sends
Nothing.
";

const SOURCE: &str = "attestd semantics F7: attestd's own conditions are findings like any other";

/// The wall clock cannot be believed.
pub const CLOCK_UNTRUSTED: &str = "clock_untrusted";
/// No remote target is seen.
pub const NETWORK_UNREACHABLE: &str = "network_unreachable";
/// A destination refuses what it is sent.
pub const DELIVERY_BLOCKED: &str = "delivery_blocked";
/// Events have waited for a destination for too long.
pub const DELIVERY_WAITING: &str = "delivery_waiting";
/// Events wait for a destination that the configuration does not name.
pub const DELIVERY_ABANDONED: &str = "delivery_abandoned";
/// The disk is nearly full.
pub const DISK_LOW: &str = "disk_space_low";
/// The store was mended at the last start.
pub const STORE_RECOVERED: &str = "store_recovered";

/// The log cannot be written.
pub const LOG_NOT_WRITTEN: &str = "log_not_written";
/// The log is damaged before its end.
pub const LOG_DAMAGED: &str = "log_damaged";
/// The log is not what its newest checkpoint says.
pub const LOG_ROLLED_BACK: &str = "log_rolled_back";
/// The newest checkpoint is not beside the key.
pub const CHECKPOINT_NOT_KEPT: &str = "checkpoint_not_kept";
/// The newest checkpoint beside the key could not be read when the log was to be held against it.
pub const CHECKPOINT_UNREADABLE: &str = "checkpoint_unreadable";
/// An authority is configured, and has not stamped the log for too long.
pub const TIMESTAMP_MISSING: &str = "timestamp_missing";
/// The key that signs checkpoints.
pub const SIGNING_KEY: &str = "signing_key_introduced";

/// The calendar is not where others read it.
pub const CALENDAR_NOT_PUBLISHED: &str = "calendar_not_published";

const FINDINGS: &[FindingSpec] = &[
    reminders::SILENCE,
    reminders::RISK,
    digest::DIGEST,
    canary::CANARY,
    canary::UNCONFIRMED_SPEC,
    FindingSpec {
        code: LOG_NOT_WRITTEN,
        means: Means::Fail,
        severity: Severity::Critical,
        message: "the evidence log cannot be written, so nothing is recorded: {why}",
        remedy: "see to the disk of the state directory; until then alert events are marked volatile, and are told again",
        reference: "attestd semantics S1",
    },
    FindingSpec {
        code: LOG_DAMAGED,
        means: Means::Fail,
        severity: Severity::Critical,
        message: "the evidence log is damaged before its end, and nothing is written to it: {why}",
        remedy: "keep a copy of the state directory for the audit, then move it and the checkpoint beside the key aside, and see what touched it",
        reference: "attestd semantics S2",
    },
    FindingSpec {
        code: LOG_ROLLED_BACK,
        means: Means::Fail,
        severity: Severity::Critical,
        message: "the evidence log was rolled back or rewritten, and nothing is written to it: {why}",
        remedy: "find out who changed the state directory; restore the whole log, or, to begin another, move it and the checkpoint beside the key aside",
        reference: "attestd semantics S3",
    },
    FindingSpec {
        code: CHECKPOINT_NOT_KEPT,
        means: Means::Warn,
        severity: Severity::Warning,
        message: "the newest checkpoint of the evidence log could not be kept beside the key: {error}",
        remedy: "see to the key directory: until then a log that is rolled back is only noticed by who has the heartbeats",
        reference: "attestd semantics S3",
    },
    FindingSpec {
        code: CHECKPOINT_UNREADABLE,
        means: Means::Warn,
        severity: Severity::Critical,
        message: "the newest checkpoint beside the key could not be read, so nothing here says whether the evidence log was rolled back; it is kept in {path}",
        remedy: "hold the log against the checkpoints that the heartbeats brought (evidence export, evidence verify --witness); then remove the file, and within five minutes this is over",
        reference: "attestd semantics S3",
    },
    FindingSpec {
        code: TIMESTAMP_MISSING,
        means: Means::Warn,
        severity: Severity::Notice,
        message: "no time stamp of the evidence log since {since}: {error}",
        remedy: "see whether the authority is reached, and [timestamps]; checkpoints are made and sent all the same",
        reference: "attestd semantics T3; RFC 3161",
    },
    FindingSpec {
        code: SIGNING_KEY,
        means: Means::Note,
        severity: Severity::Notice,
        message: "the evidence log is signed with the key {key}",
        remedy: "nothing is wrong: keep this key where this machine cannot change it, and hold every evidence pack against it",
        reference: "attestd semantics T3",
    },
    FindingSpec {
        code: CLOCK_UNTRUSTED,
        means: Means::Fail,
        severity: Severity::Critical,
        message: "the wall clock cannot be believed ({why}): everything that is judged by date is Unknown",
        remedy: "set the clock, and see why time synchronisation failed",
        reference: "attestd semantics C5",
    },
    FindingSpec {
        code: NETWORK_UNREACHABLE,
        means: Means::Warn,
        severity: Severity::Warning,
        message: "none of the remote targets is seen: this machine's own network or resolver is at fault",
        remedy: "look at this machine's network, resolver, proxy and firewall",
        reference: SOURCE,
    },
    FindingSpec {
        code: DELIVERY_BLOCKED,
        means: Means::Fail,
        severity: Severity::Critical,
        message: "{component} refuses alert events: {error}",
        remedy: "correct the destination's settings or credential; everything waits in the outbox and is sent then",
        reference: "attestd semantics D5",
    },
    FindingSpec {
        code: DELIVERY_WAITING,
        means: Means::Warn,
        severity: Severity::Warning,
        message: "{count} alert events wait for {component}, the oldest since {since}: {error}; the worst: {worst}",
        remedy: "see why the destination does not accept them; nothing is lost, everything waits in the outbox",
        reference: "attestd semantics D1, D8",
    },
    FindingSpec {
        code: DELIVERY_ABANDONED,
        means: Means::Warn,
        severity: Severity::Warning,
        message: "{count} alert events wait for {component}, which the configuration does not name: nobody will be told of them",
        remedy: "name it again, or discard them: attestd outbox discard {component} --reason TEXT",
        reference: "attestd semantics D1, D11",
    },
    FindingSpec {
        code: CALENDAR_NOT_PUBLISHED,
        means: Means::Warn,
        severity: Severity::Warning,
        message: "the calendar of what is due is not where others read it ({component}): {error}",
        remedy: "correct `[calendar]`, or see to what is there; until then what others read is as it was",
        reference: SOURCE,
    },
    FindingSpec {
        code: DISK_LOW,
        means: Means::Warn,
        severity: Severity::Critical,
        message: "the disk of the state directory is nearly full",
        remedy: "make room: when the evidence log cannot be written, the daemon ends",
        reference: "attestd semantics S1",
    },
    FindingSpec {
        code: STORE_RECOVERED,
        means: Means::Note,
        severity: Severity::Notice,
        message: "the store was mended at the last start: {what}",
        remedy: "see why the machine stopped, or what touched the state directory",
        reference: "attestd semantics S2",
    },
];

/// The conditions there are at the moment, as the daemon's parts report them.
#[derive(Debug, Default)]
pub struct Conditions(Mutex<BTreeMap<Which, Said>>);

/// A condition's code, and what it is about.
type Which = (String, Option<String>);

/// What is said of a condition: its severity, where that is not its finding's, and values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Said {
    /// The severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The values of the finding's sentence.
    pub values: BTreeMap<String, String>,
}

impl Conditions {
    /// The conditions as a daemon left them that stopped with these alerts: until the part that reports one has looked
    /// again, nobody has seen it to be over. That the store was mended is about one start only.
    pub fn left_by(alerts: &Alerts) -> Conditions {
        let left = Conditions::default();
        for alert in alerts.0.values().filter(|alert| alert.absent_since.is_none()) {
            let Finding { key, values, .. } = &alert.finding;
            let ours = FINDINGS.iter().any(|spec| spec.code == key.code.0);
            if !ours || key.code.0 == STORE_RECOVERED {
                continue;
            }
            let values = values
                .iter()
                .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?.to_owned())));
            let values: Vec<(&str, String)> = values.collect();
            let component = key.component.as_ref().map(Component::as_str);
            left.say(&key.code.0, component, Some(alert.finding.severity), Some(&values));
        }
        left
    }

    /// Whether there is a condition of this code now.
    pub fn has(&self, code: &str) -> bool {
        let all = self.0.lock().expect("nothing panics while it holds this lock");
        all.keys().any(|(known, _)| known == code)
    }

    /// Clears a code's conditions about what is not among `served`; says whether that changed anything.
    pub fn clear_others(&self, code: &str, served: &BTreeSet<String>) -> bool {
        let mut all = self.0.lock().expect("nothing panics while it holds this lock");
        let before = all.len();
        all.retain(|(known, component), _| {
            known != code || component.as_ref().is_none_or(|component| served.contains(component))
        });
        all.len() != before
    }

    /// Sets or clears one condition; says whether that changed anything.
    pub fn set(
        &self,
        code: &str,
        component: Option<&str>,
        values: Option<&[(&str, String)]>,
    ) -> bool {
        self.say(code, component, None, values)
    }

    /// The same, with a severity of its own.
    pub fn say(
        &self,
        code: &str,
        component: Option<&str>,
        severity: Option<Severity>,
        values: Option<&[(&str, String)]>,
    ) -> bool {
        let own = FINDINGS.iter().find(|spec| spec.code == code).map(|spec| spec.severity);
        let severity = severity.filter(|severity| Some(*severity) != own);
        let key = (code.to_owned(), component.map(str::to_owned));
        let mut all = self.0.lock().expect("nothing panics while it holds this lock");
        match values {
            Some(values) => {
                let values: BTreeMap<String, String> = values
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .collect();
                let said = Said { severity, values };
                all.insert(key, said.clone()) != Some(said)
            }
            None => all.remove(&key).is_some(),
        }
    }

    /// What the check sees of them.
    pub fn evidence(&self) -> Evidence {
        Evidence::of(&self.facts())
    }

    fn facts(&self) -> Facts {
        let all = self.0.lock().expect("nothing panics while it holds this lock");
        let one = |((code, component), said): (&Which, &Said)| Fact {
            code: code.clone(),
            component: component.clone(),
            said: said.clone(),
        };
        Facts { conditions: all.iter().map(one).collect() }
    }
}

#[derive(Serialize, Deserialize)]
struct Facts {
    conditions: Vec<Fact>,
}

#[derive(Serialize, Deserialize)]
struct Fact {
    code: String,
    component: Option<String>,
    #[serde(flatten)]
    said: Said,
}

/// The check itself, over the conditions that the daemon's parts report.
pub fn check(conditions: Arc<Conditions>, hand_on: Vec<PersonId>) -> Arc<ConfiguredCheck> {
    built_in(&KIND, Arc::new(Own { conditions }), hand_on)
}

/// A check that is always there, called as its kind.
pub fn built_in(
    kind: &'static CheckKind,
    check: Arc<dyn Check>,
    hand_on: Vec<PersonId>,
) -> Arc<ConfiguredCheck> {
    Arc::new(ConfiguredCheck {
        id: kind.name.parse().expect("a plain id"),
        kind,
        check,
        schedule: Schedule::parse(kind.every, "UTC").expect("a plain period"),
        timeout: kind.timeout,
        hold: Duration::ZERO,
        keep: Duration::ZERO,
        labels: BTreeMap::new(),
        hand_on,
    })
}

/// The first look of a new log, before any other check's: the key is the first that anybody is told.
pub fn job(checks: &Checks) -> Job {
    let subject = subject();
    let check = checks.get(&subject.check).cloned();
    Job {
        check: check.expect("the daemon's own check is always there"),
        subject,
        target: Ok(Arc::new(target())),
        trigger: Trigger::First,
        slot: OnceLock::new(),
        delay: Duration::ZERO,
        asker: None,
    }
}

/// The daemon itself, in whose history stands what people did about many subjects.
pub fn subject() -> Subject {
    Subject::new(KIND.name.parse().expect("a plain id"), Some(target().name))
}

/// The alerts of the daemon's own check.
pub fn alerts(store: &dyn Store) -> Alerts {
    let mut alerts = Alerts::default();
    store.read(&mut |state| {
        let own = state.subjects.iter().filter(|(s, _)| s.check.as_str() == KIND.name);
        alerts.0.extend(own.flat_map(|(_, state)| state.alerts.0.clone()));
    });
    alerts
}

fn target() -> Target {
    Target {
        name: "daemon".parse().expect("a plain name"),
        nature: Nature::Local,
        files: Vec::new(),
        spec: serde_json::Value::Null,
    }
}

struct Own {
    conditions: Arc<Conditions>,
}

impl Check for Own {
    fn targets(&self) -> BoxFuture<'_, Result<Vec<Target>, ProbeError>> {
        Box::pin(std::future::ready(Ok(vec![target()])))
    }

    fn probe<'a>(&'a self, _: Look<'a>) -> BoxFuture<'a, Result<Evidence, ProbeError>> {
        Box::pin(std::future::ready(Ok(self.conditions.evidence())))
    }

    fn judge(&self, evidence: &Evidence, now: Timestamp) -> Result<Judgement, BadEvidence> {
        let facts: Facts = evidence.read()?;
        let findings: Result<Vec<Option<Finding>>, BadEvidence> =
            facts.conditions.into_iter().map(|fact| finding(fact, now)).collect();
        Ok(Judgement::new(findings?.into_iter().flatten().collect(), Vec::new()))
    }
}

/// The finding of a condition; none of a silence or an accepted risk while nobody is to be reminded of it.
fn finding(fact: Fact, now: Timestamp) -> Result<Option<Finding>, BadEvidence> {
    let spec = FINDINGS.iter().find(|spec| spec.code == fact.code);
    let spec =
        spec.ok_or_else(|| BadEvidence(format!("no condition is called {:?}", fact.code)))?;
    let mut finding = match reminders::is_one(spec.code) {
        false => spec.finding(),
        true => match reminders::finding(spec, &fact.said.values, now) {
            Some(finding) => finding,
            None => return Ok(None),
        },
    };
    if let Some(component) = fact.component {
        let component: Result<Component, _> = component.parse();
        finding = finding.on(component.map_err(|error| BadEvidence(error.to_string()))?);
    }
    if let Some(severity) = fact.said.severity {
        finding = finding.severity(severity);
    }
    let values = fact.said.values.into_iter();
    Ok(Some(values.fold(finding, |finding, (name, value)| finding.with(&name, value))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use attestd_core::alert::{Alert, Phase};

    #[test]
    fn a_condition_is_a_finding_while_it_lasts() {
        let conditions = Arc::new(Conditions::default());
        let own = Own { conditions: conditions.clone() };
        let findings = || {
            own.judge(&Evidence::of(&conditions.facts()), Timestamp::UNIX_EPOCH).expect("readable")
        };
        assert_eq!(findings(), Judgement::default());
        let error = [("error", "401".to_owned())];
        assert!(conditions.set(DELIVERY_BLOCKED, Some("collector"), Some(&error)));
        assert!(
            !conditions.set(DELIVERY_BLOCKED, Some("collector"), Some(&error)),
            "the same again changes nothing"
        );
        assert_eq!(
            findings().findings[0].key.component.as_ref().map(|c| c.as_str()),
            Some("collector")
        );
        assert!(conditions.set(DELIVERY_BLOCKED, Some("collector"), None));
        assert_eq!(findings(), Judgement::default());
    }

    #[test]
    fn a_condition_lasts_over_a_restart_until_someone_has_looked() {
        let before = Arc::new(Conditions::default());
        let error = [("error", "401".to_owned())];
        before.set(DELIVERY_BLOCKED, Some("collector"), Some(&error));
        before.set(NETWORK_UNREACHABLE, None, Some(&[]));
        before.set(STORE_RECOVERED, None, Some(&[("what", "a torn tail".to_owned())]));
        let own = Own { conditions: before.clone() };
        let now = Timestamp::UNIX_EPOCH;
        let judged = own.judge(&Evidence::of(&before.facts()), now).expect("readable");
        let alert = |finding: Finding| Alert {
            worst: finding.severity,
            finding,
            phase: Phase::Firing,
            since: now,
            absent_since: None,
            told: None,
            repeats: 0,
            waits_since: None,
            handed_on: 0,
        };
        let mut alerts: Vec<Alert> = judged.findings.into_iter().map(alert).collect();
        let left = Conditions::left_by(&alerts.clone().into());
        assert!(left.has(DELIVERY_BLOCKED) && left.has(NETWORK_UNREACHABLE));
        assert!(!left.has(STORE_RECOVERED), "that was another start");
        assert!(
            !left.set(DELIVERY_BLOCKED, Some("collector"), Some(&error)),
            "the same again is no change"
        );
        assert!(left.clear_others(DELIVERY_BLOCKED, &BTreeSet::new()), "it is served no more");
        assert!(!left.has(DELIVERY_BLOCKED) && left.has(NETWORK_UNREACHABLE));
        alerts.iter_mut().for_each(|alert| alert.absent_since = Some(now));
        assert!(!Conditions::left_by(&alerts.into()).has(NETWORK_UNREACHABLE), "seen to be over");
    }
}
