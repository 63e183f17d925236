//! The daemon's own dated reminders to come: that silences and accepted risks end, or are to be reviewed.

use std::sync::Arc;

use attestd_core::alert::{Alerts, People};
use attestd_core::state::State;
use attestd_core::{Evidence, Nature, Timestamp};

use super::Known;
use crate::config::ConfiguredCheck;
use crate::own::{self, Conditions};
use crate::reminders;

/// The check that reminds.
pub(super) fn check() -> Arc<ConfiguredCheck> {
    own::check(Arc::default(), Vec::new())
}

/// The daemon's own check as far as it reminds; none while there is nothing to be reminded of. Its other conditions have
/// no date, so that nothing of them can be foreseen.
pub(super) fn known(state: &State, people: People) -> Option<Known> {
    let subject = own::subject();
    let of = state.subjects.get(&subject);
    let mut alerts = of.map(|of| of.alerts.clone()).unwrap_or_default();
    alerts.0.retain(|key, _| reminders::is_one(&key.code.0));
    if alerts == Alerts::default() && state.silences.is_empty() {
        return None;
    }
    let next = of.and_then(|of| of.next);
    Some(Known { subject, nature: Nature::Local, alerts, people, next, unseen: None, seen: None })
}

/// What it will see then, of the silences and risks of today that last until then.
pub(super) fn evidence(state: &State, at: Timestamp) -> Evidence {
    let conditions = Conditions::default();
    reminders::follow(&conditions, state, at);
    conditions.evidence()
}
