//! Where and how things are told, as configured.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestd_core::event::{Only, Route, Takes};
use attestd_core::time::Clock;
use attestd_core::{Context, DestinationName, PersonId, Settings};

use crate::catalogue;
use crate::config::Person;
use crate::delivery::mail::{MailEmitter, MailSettings};
use crate::delivery::otlp::OtlpSettings;
use crate::delivery::otlp_emitter::OtlpEmitter;
use crate::delivery::otlp_environment;
use crate::delivery::otlp_sender::Sender;
use crate::delivery::routing::{self, Watched};
use crate::delivery::sentence::Render;
use crate::delivery::surroundings::Surroundings;
use crate::delivery::{Destination, Pace};
use crate::telemetry::prometheus::PrometheusSettings;
use crate::telemetry::spans;

/// Where and how things are told.
#[derive(Default)]
pub struct Telling {
    /// Who is told what.
    pub routes: Vec<Route>,
    /// The OTLP receivers.
    pub otlp: Vec<OtlpSettings>,
    /// The relays, each with the people that get mail through it.
    pub mail: Vec<Arc<MailSettings>>,
    /// Where Prometheus scrapes.
    pub metrics: Option<PrometheusSettings>,
    /// Whether each run is a span.
    pub spans: bool,
}

impl Telling {
    /// Reads `[[otlp]]`, `[mail]`, `[metrics]` and `[telemetry]`.
    pub fn read(
        settings: &Settings<'_>,
        context: &Context,
        people: &BTreeMap<PersonId, Person>,
        watched: &Watched,
    ) -> Telling {
        let around = Surroundings {
            directory: &context.directory,
            ca_bundle: context.ca_bundle.as_deref(),
            variables: &variable,
            watched,
            named: Default::default(),
        };
        let otlp = OtlpSettings::read_all(settings, &around);
        let addresses =
            people.iter().map(|(id, person)| (id.clone(), person.email.clone())).collect();
        let mail: Vec<Arc<MailSettings>> = settings
            .table_or_tables("mail")
            .iter()
            .filter_map(|table| MailSettings::read(table, &around, &addresses))
            .map(Arc::new)
            .collect();
        if !settings.has("mail") {
            settings.warn("mail", NO_MAIL);
        }
        let metrics = settings.table("metrics").and_then(|t| PrometheusSettings::read(&t));
        let spans = settings.table("telemetry").is_some_and(|table| spans::read(&table));
        let machine = |name: &DestinationName, only: &Only| Route {
            destination: name.clone(),
            takes: Takes::Everything,
            only: only.clone(),
        };
        let mut routes: Vec<Route> =
            otlp.iter().map(|otlp| machine(&otlp.name, &otlp.only)).collect();
        if routes.is_empty() && !settings.has("otlp") {
            settings.warn("otlp", NO_MACHINE);
        }
        let machines = routes.len();
        for mail in &mail {
            routes.extend(mail.destinations().map(|(destination, _)| Route {
                destination,
                takes: Takes::ForPeople,
                only: mail.only.clone(),
            }));
        }
        if machines > 0
            && let Some(problem) = routing::untold(&routes, watched)
        {
            settings.warn("otlp", problem);
        }
        Telling { routes, otlp, mail, metrics, spans }
    }

    /// A sender for each OTLP receiver.
    pub fn senders(&self, clock: &Arc<dyn Clock>) -> Vec<Arc<Sender>> {
        let sender = |otlp: &OtlpSettings| Arc::new(Sender::new(otlp.clone(), clock.clone()));
        self.otlp.iter().map(sender).collect()
    }

    /// The destinations: each OTLP receiver through its sender, each person by mail.
    pub fn destinations(
        &self,
        senders: &[Arc<Sender>],
        origin: &str,
        clock: &Arc<dyn Clock>,
    ) -> Vec<Destination> {
        let resource = resource(origin);
        let render: Render = Arc::new(catalogue::sentence);
        let machine = |sender: &Arc<Sender>| Destination {
            name: sender.settings().name.clone(),
            emitter: Arc::new(OtlpEmitter::new(
                sender.clone(),
                resource.clone(),
                render.clone(),
                clock.clone(),
            )),
            pace: Pace::machine(),
        };
        let working = attestd_checks::data::working_days();
        let person = |(name, emitter)| Destination {
            name,
            emitter: Arc::new(emitter),
            pace: Pace::person(working.clone()),
        };
        let people = self.mail.iter().flat_map(|mail| MailEmitter::each(mail, &render, clock));
        senders.iter().map(machine).chain(people.map(person)).collect()
    }
}

/// What tells this daemon from others in the observability stack.
pub fn resource(origin: &str) -> Vec<(String, String)> {
    otlp_environment::resource(&variable, origin, otlp_environment::host_name().as_deref())
}

/// A variable of this process's environment.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

const NO_MAIL: &str = "there is no [mail]: no person will be told of a lapse or a Critical alert";
const NO_MACHINE: &str =
    "there is no [[otlp]]: the observability stack will be told nothing of alerts";
