//! Where and how things are told, as configured.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestd_core::event::{Only, Route, Takes};
use attestd_core::store::Store;
use attestd_core::time::Clock;
use attestd_core::{Context, DestinationName, PersonId, Settings};

use crate::canary::asking::{GetAsker, Query};
use crate::canary::{Way, Ways};
use crate::catalogue;
use crate::config::Person;
use crate::delivery::alertmanager::{AlertmanagerEmitter, AlertmanagerSettings};
use crate::delivery::journald::{JournaldEmitter, JournaldSettings};
use crate::delivery::mail::{MailEmitter, MailSettings};
use crate::delivery::otlp::OtlpSettings;
use crate::delivery::otlp_emitter::OtlpEmitter;
use crate::delivery::otlp_environment;
use crate::delivery::otlp_sender::Sender;
use crate::delivery::routing::{self, Watched};
use crate::delivery::sentence::Render;
use crate::delivery::surroundings::Surroundings;
use crate::delivery::webhook::{WebhookEmitter, WebhookSettings};
use crate::delivery::{Destination, Emitter, Pace};
use crate::telemetry::prometheus::PrometheusSettings;
use crate::telemetry::spans;

/// Where and how things are told.
#[derive(Default)]
pub struct Telling {
    /// Who is told what.
    pub routes: Vec<Route>,
    /// The OTLP receivers.
    pub otlp: Vec<OtlpSettings>,
    /// Webhooks.
    pub webhooks: Vec<WebhookSettings>,
    /// Alertmanagers.
    pub alertmanagers: Vec<AlertmanagerSettings>,
    /// Journals.
    pub journals: Vec<JournaldSettings>,
    /// The relays, each with the people that get mail through it.
    pub mail: Vec<Arc<MailSettings>>,
    /// Where Prometheus scrapes.
    pub metrics: Option<PrometheusSettings>,
    /// Whether each run is a span.
    pub spans: bool,
}

impl Telling {
    /// Reads `[[otlp]]`, `[[webhook]]`, `[[alertmanager]]`, `[[journald]]`, `[mail]`, `[telling]`, `[metrics]` and `[telemetry]`.
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
        let tables = |key| settings.tables(key);
        let webhooks: Vec<WebhookSettings> = tables("webhook")
            .iter()
            .filter_map(|table| WebhookSettings::read(table, &around))
            .collect();
        let alertmanagers: Vec<AlertmanagerSettings> = tables("alertmanager")
            .iter()
            .filter_map(|table| AlertmanagerSettings::read(table, &around))
            .collect();
        let journals: Vec<JournaldSettings> = tables("journald")
            .iter()
            .filter_map(|table| JournaldSettings::read(table, &around))
            .collect();
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
        let machine = |name: &DestinationName, only: &Only| {
            let only = only.clone();
            Route { only, ..Route::new(name.clone(), Takes::Everything) }
        };
        // The one is posted all that fires each minute, the other is a record of what happened.
        let stateless = |name, only| Route { stateless: true, ..machine(name, only) };
        let mut routes: Vec<Route> =
            otlp.iter().map(|otlp| machine(&otlp.name, &otlp.only)).collect();
        routes.extend(webhooks.iter().map(|hook| machine(&hook.name, &hook.only)));
        routes.extend(alertmanagers.iter().map(|one| stateless(&one.name, &one.only)));
        let machines =
            ["otlp", "webhook", "alertmanager"].into_iter().find(|key| settings.has(key));
        if routes.is_empty() && machines.is_none() {
            settings.warn("otlp", NO_MACHINE);
        }
        for mail in &mail {
            routes.extend(mail.destinations().map(|(destination, _)| Route {
                only: mail.only.clone(),
                ..Route::new(destination, Takes::ForPeople)
            }));
        }
        // Who is told by the journal alone is told nothing: it does not leave this machine by itself.
        if let Some(key) = machines
            && let Some(problem) = routing::untold(&routes, watched)
        {
            settings.warn(key, problem);
        }
        routes.extend(journals.iter().map(|journal| stateless(&journal.name, &journal.only)));
        routing::second(settings, &mut routes, &journals);
        Telling { routes, otlp, webhooks, alertmanagers, journals, mail, metrics, spans }
    }

    /// How it is found out whether test alerts arrive, for each destination but the journal, which is on this machine.
    pub fn ways(&self) -> Ways {
        let way = |query: &Option<Query>| match query {
            Some(query) => Way::Asked(Arc::new(GetAsker::new(vec![query.clone()]))),
            None => Way::Person,
        };
        let otlp = self.otlp.iter().map(|otlp| (otlp.name.clone(), way(&otlp.canary)));
        let hooks = self.webhooks.iter().map(|hook| (hook.name.clone(), way(&hook.canary)));
        let alertmanagers = self
            .alertmanagers
            .iter()
            .map(|one| (one.name.clone(), Way::Asked(Arc::new(GetAsker::new(one.queries())) as _)));
        let mail = self.mail.iter().flat_map(|mail| mail.destinations());
        let mail = mail.map(|(name, _)| (name, Way::Person));
        otlp.chain(hooks).chain(alertmanagers).chain(mail).collect()
    }

    /// A sender for each OTLP receiver.
    pub fn senders(&self, clock: &Arc<dyn Clock>) -> Vec<Arc<Sender>> {
        let sender = |otlp: &OtlpSettings| Arc::new(Sender::new(otlp.clone(), clock.clone()));
        self.otlp.iter().map(sender).collect()
    }

    /// The destinations: each with what tells it, and how fast. What fires stands in `store`; there is none for what is
    /// told when the log cannot be written.
    pub fn destinations(
        &self,
        senders: &[Arc<Sender>],
        origin: &str,
        store: Option<&Arc<dyn Store>>,
        clock: &Arc<dyn Clock>,
    ) -> Vec<Destination> {
        let resource = resource(origin);
        let render: Render = Arc::new(catalogue::sentence);
        let mut all = Vec::new();
        let mut add = |name: &DestinationName, emitter: Arc<dyn Emitter>, pace| {
            all.push(Destination { name: name.clone(), emitter, pace });
        };
        for sender in senders {
            let (resource, render, clock) = (resource.clone(), render.clone(), clock.clone());
            let emitter = OtlpEmitter::new(sender.clone(), resource, render, clock);
            add(&sender.settings().name, Arc::new(emitter), Pace::machine());
        }
        for hook in &self.webhooks {
            let (resource, render, clock) = (resource.clone(), render.clone(), clock.clone());
            let emitter = WebhookEmitter::new(hook.clone(), resource, render, clock);
            add(&hook.name, Arc::new(emitter), Pace { beats: None, ..Pace::machine() });
        }
        for one in &self.alertmanagers {
            let (render, clock) = (render.clone(), clock.clone());
            let emitter = AlertmanagerEmitter::new(one.clone(), store.cloned(), render, clock);
            add(&one.name, Arc::new(emitter), Pace::alertmanager(one.every));
        }
        for journal in &self.journals {
            let emitter = JournaldEmitter::new(journal.clone(), render.clone());
            add(&journal.name, Arc::new(emitter), Pace { beats: None, ..Pace::machine() });
        }
        let working = attestd_checks::data::working_days();
        for (name, emitter) in
            self.mail.iter().flat_map(|mail| MailEmitter::each(mail, &render, clock))
        {
            add(&name, Arc::new(emitter), Pace::person(working.clone()));
        }
        all
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
const NO_MACHINE: &str = "there is no [[otlp]], [[webhook]] or [[alertmanager]]: the observability stack will be told nothing of alerts";
