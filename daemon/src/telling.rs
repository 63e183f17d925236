//! Where and how things are told, as configured.

use std::collections::BTreeMap;

use attestd_core::event::Route;
use attestd_core::{Context, PersonId, Settings};

use crate::config::Person;

/// Where and how things are told.
#[derive(Default)]
pub struct Telling {
    /// Who is told what.
    pub routes: Vec<Route>,
}

impl Telling {
    /// Reads the destinations.
    pub fn read(_: &Settings<'_>, _: &Context, _: &BTreeMap<PersonId, Person>) -> Option<Telling> {
        Some(Telling::default())
    }
}
