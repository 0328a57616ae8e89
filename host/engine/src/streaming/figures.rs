//! Metrics of consumers. They go with their consumers; those of a recorder stay for as long as the
//! process.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gavel_model::{Consumer, ConsumerId};

/// Names of the gauges, and what they are.
const GAUGES: [(&str, &str); 5] = [
    (
        "gavel_consumer_lag_events",
        "Events that a consumer wants and that are not done, among those handed out and the next 1,000 of the log.",
    ),
    (
        "gavel_consumer_lag_seconds",
        "Age of the oldest event that a consumer wants and that is not done.",
    ),
    (
        "gavel_consumer_in_flight",
        "Streams of a consumer that are leased.",
    ),
    (
        "gavel_consumer_parked",
        "Streams of a consumer that are parked.",
    ),
    (
        "gavel_consumer_paused",
        "Whether a consumer is paused: 1 or 0.",
    ),
];

const PUSHES: &str = "gavel_push_deliveries_total";

/// The metrics of all consumers there are.
#[derive(Debug, Default)]
pub(super) struct Figures(Mutex<BTreeMap<ConsumerId, OfConsumer>>);

#[derive(Debug, Default)]
struct OfConsumer {
    gauges: [f64; GAUGES.len()],
    pushes: PushCounts,
}

/// Deliveries of this host.
#[derive(Debug, Default, Clone, Copy)]
struct PushCounts {
    delivered: u64,
    failed: u64,
}

impl Figures {
    fn known(&self) -> MutexGuard<'_, BTreeMap<ConsumerId, OfConsumer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes these consumers for all there are.
    pub(super) fn set(&self, consumers: &[Consumer]) {
        let mut known = self.known();
        let figures = consumers.iter().map(|consumer| {
            let former = known.get(&consumer.id);
            let figures = OfConsumer {
                gauges: gauges(consumer),
                pushes: former.map(|former| former.pushes).unwrap_or_default(),
            };
            (consumer.id.clone(), figures)
        });
        *known = figures.collect();
    }

    /// Counts a delivery, unless the consumer is gone.
    pub(super) fn count_push(&self, id: &ConsumerId, is_delivered: bool) {
        if let Some(OfConsumer { pushes, .. }) = self.known().get_mut(id) {
            let count = if is_delivered {
                &mut pushes.delivered
            } else {
                &mut pushes.failed
            };
            *count += 1;
        }
    }

    /// Writes them in the text format of Prometheus, which none of these names has to be escaped
    /// for.
    pub(super) fn render(&self) -> String {
        let known = self.known();
        let mut text = String::new();
        if known.is_empty() {
            return text;
        }
        for (index, (name, about)) in GAUGES.into_iter().enumerate() {
            head(&mut text, name, "gauge", about);
            for (id, figures) in &*known {
                line(&mut text, name, id, "", figures.gauges[index]);
            }
        }
        let about = "Deliveries by push, by consumer and outcome.";
        head(&mut text, PUSHES, "counter", about);
        for (id, OfConsumer { pushes, .. }) in &*known {
            for (outcome, count) in [("delivered", pushes.delivered), ("failed", pushes.failed)] {
                if count > 0 {
                    line(
                        &mut text,
                        PUSHES,
                        id,
                        &format!(",outcome=\"{outcome}\""),
                        count,
                    );
                }
            }
        }
        text
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is as exact as it can be"
)]
fn gauges(consumer: &Consumer) -> [f64; GAUGES.len()] {
    [
        consumer.lag_events as f64,
        consumer.lag.as_secs_f64(),
        consumer.in_flight as f64,
        consumer.parked as f64,
        f64::from(u8::from(consumer.is_paused)),
    ]
}

fn head(text: &mut String, name: &str, kind: &str, about: &str) {
    write(
        text,
        format_args!("# HELP {name} {about}\n# TYPE {name} {kind}\n"),
    );
}

fn line(
    text: &mut String,
    name: &str,
    id: &ConsumerId,
    labels: &str,
    value: impl std::fmt::Display,
) {
    let (namespace, consumer) = (id.namespace(), id.name());
    write(
        text,
        format_args!(
            "{name}{{namespace=\"{namespace}\",consumer=\"{consumer}\"{labels}}} {value}\n"
        ),
    );
}

fn write(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("memory takes what is written to it");
}
