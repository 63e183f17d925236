//! Tells alert events and heartbeats to an OTLP receiver, over HTTP or gRPC alike.

use std::sync::Arc;

use attestd_core::BoxFuture;
use attestd_core::event::Delivery;
use attestd_core::time::Clock;
use prost::Message;

use super::otlp_sender::{Sender, Signal};
use super::sentence::Render;
use super::{Beat, EmitError, Emitter, otlp_record};

/// Tells alert events to an OTLP receiver.
pub struct OtlpEmitter {
    sender: Arc<Sender>,
    resource: Vec<(String, String)>,
    render: Render,
    clock: Arc<dyn Clock>,
}

impl OtlpEmitter {
    /// An emitter through `sender`, with the resource that `otlp_environment::resource` makes.
    pub fn new(
        sender: Arc<Sender>,
        resource: Vec<(String, String)>,
        render: Render,
        clock: Arc<dyn Clock>,
    ) -> OtlpEmitter {
        OtlpEmitter { sender, resource, render, clock }
    }
}

impl Emitter for OtlpEmitter {
    fn emit<'a>(&'a self, deliveries: &'a [Delivery]) -> BoxFuture<'a, Result<(), EmitError>> {
        Box::pin(async move {
            for delivery in deliveries {
                let finding = &delivery.event.finding;
                let sentence = (self.render)(&delivery.kind, &finding.key, &finding.values);
                let now = self.clock.now();
                let request = otlp_record::request(&self.resource, delivery, &sentence, now);
                self.sender.send(Signal::Logs, request.encode_to_vec()).await?;
            }
            Ok(())
        })
    }

    fn beat<'a>(&'a self, beat: &'a Beat) -> BoxFuture<'a, Result<(), EmitError>> {
        let request = otlp_record::heartbeat(&self.resource, beat);
        Box::pin(async move { self.sender.send(Signal::Logs, request.encode_to_vec()).await })
    }
}
