//! What a person says of a row of a register: found, recorded, and judged at once.

use attestd_core::check::Blob;
use attestd_core::record::{Attested, Record};
use attestd_core::settings::did_you_mean;
use attestd_core::statement::Said;
use attestd_core::store::{Draft, StoreError};
use attestd_core::{Subject, TargetName};
use tokio::sync::oneshot;

use super::Monitor;

/// What is said, of whatever it is said of.
pub(super) struct Saying {
    pub said: Said,
    pub note: Option<String>,
    pub document: Option<Blob>,
    pub user: u32,
}

impl Monitor {
    /// Records it, and looks at all of its check anew: the duties of a service hang on what is said of the service.
    pub(super) async fn say(
        &mut self,
        of: &str,
        saying: Saying,
        reply: oneshot::Sender<Result<(u64, Subject), String>>,
    ) -> Result<(), StoreError> {
        let subject = match self.hears(of, &saying.said) {
            Ok(subject) => subject,
            Err(why) => {
                let _ = reply.send(Err(why)); // who said it may be gone
                return Ok(());
            }
        };
        let Saying { said, note, document, user } = saying;
        let at = self.shared.clock.now();
        let (of, user) = (subject.clone(), Some(user));
        let attested = Attested { at, subject: of, said, note, user, rows: None };
        let record = Record::Attested(Box::new(attested));
        let blobs = document.into_iter().collect();
        let index = match self.shared.commit(Draft { record, blobs }).await {
            Ok(committed) => committed.index,
            Err(StoreError::TooLarge(size)) => {
                let _ = reply.send(Err(format!("{size} bytes are more than a record may have")));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let (ran, all) = oneshot::channel();
        self.ask(Subject::new(subject.check.clone(), None), ran);
        tokio::spawn(async move {
            let _ = all.await; // it stands in the record, whatever became of the runs
            let _ = reply.send(Ok((index, subject)));
        });
        Ok(())
    }

    /// The subject that this may be said of; else why not, with the name that may have been meant.
    fn hears(&self, of: &str, said: &Said) -> Result<Subject, String> {
        let hear = |subject: &Subject| {
            let check = self.checks.get(&subject.check)?;
            let target = self.live.get(subject)?.target.as_ref();
            Some(match target {
                Ok(target) => check.check.hears(target, said),
                Err(error) => Err(error.to_string()),
            })
        };
        let named = |subject: &&Subject| {
            let target = subject.target.as_ref().map(TargetName::as_str);
            target == Some(of) || subject.to_string() == of
        };
        let mut refused = None;
        for subject in self.live.keys().filter(named) {
            match hear(subject) {
                Some(Ok(())) => return Ok(subject.clone()),
                Some(Err(why)) => refused = refused.or(Some(format!("{subject}: {why}"))),
                None => {}
            }
        }
        let heard = self.live.keys().filter(|subject| hear(subject).is_some_and(|h| h.is_ok()));
        let names = heard.filter_map(|subject| Some(subject.target.as_ref()?.as_str()));
        Err(refused.unwrap_or_else(|| {
            let hint = did_you_mean(of, names);
            format!("no row of a register is called {of:?}{hint}")
        }))
    }
}
