//! What is told when the evidence log can no longer be written: once, to every destination, marked volatile, for it
//! stands nowhere (S1, S2).

use std::sync::Arc;
use std::time::Duration;

use attestd_core::event::{AlertEvent, Change, Delivery, event_id};
use attestd_core::time::Clock;
use attestd_core::{Status, Subject};
use tokio::task::JoinSet;

use crate::catalogue;
use crate::own;
use crate::telling::Telling;

/// How long the destinations have to take it: the daemon is about to end.
const SAY_MAX: Duration = Duration::from_secs(10);

/// Says that the log is lost to us, and why.
pub async fn say(telling: &Telling, origin: &str, clock: &Arc<dyn Clock>, code: &str, why: &str) {
    let kind = own::KIND.name;
    let Some(spec) = catalogue::spec(kind, code) else { return };
    let now = clock.now();
    let finding = spec.finding().with("why", why);
    let severity = finding.severity;
    let event = AlertEvent::new(Change::Opened, finding, severity, now);
    let own = kind.parse().expect("a plain id");
    let routes = telling.routes.iter().filter(|route| route.accepts(&event.traits(&own, kind)));
    let told: Vec<_> = routes.map(|route| route.destination.clone()).collect();
    let mut saying = JoinSet::new();
    let senders = telling.senders(clock);
    for destination in telling.destinations(&senders, origin, None, clock) {
        if !told.contains(&destination.name) {
            continue;
        }
        let delivery = Delivery {
            destination: destination.name.clone(),
            sequence: 0,
            event_id: event_id(&format!("{origin} {now}"), 0, 0),
            alert_id: event_id(&format!("{origin} {code}"), 0, 0),
            at: now,
            subject: Subject::new(own.clone(), "daemon".parse().ok()),
            kind: kind.to_owned(),
            status: Status::Fail,
            event: event.clone(),
        };
        saying.spawn(async move {
            if let Err(error) = destination.emitter.emit(&[delivery]).await {
                tracing::error!(destination = %destination.name, %error, "It could not be told.");
            }
        });
    }
    tokio::select! {
        () = async { while saying.join_next().await.is_some() {} } => {}
        () = clock.sleep(SAY_MAX) => {}
    }
}
