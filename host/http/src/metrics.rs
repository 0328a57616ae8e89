//! The metrics of the HTTP layer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use gavel_engine::command::metrics::{
    CONFLICTS, HOT_BYTES, HOT_EVICTIONS, HOT_HITS, HOT_LOADS, HOT_STREAMS,
};
use gavel_engine::command::{CommandAnswer, CommandOptions, Error};
use gavel_engine::streaming::metrics::{TAIL_LAG_SECONDS, WITHHELD_SECONDS};
use gavel_engine::views::metrics as views;
use gavel_gate::metrics::{REHEARSALS, UNDER_WAY};
use gavel_model::{DeciderName, ModuleKind};
use gavel_store::metrics::{BATCH_SIZE, LOG_BYTES, QUEUE};
use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, histogram,
};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::error::Code;
use crate::error::code_of;

const REQUESTS: &str = "gavel_http_requests_total";
const REQUEST_SECONDS: &str = "gavel_http_request_duration_seconds";
const COMMANDS: &str = "gavel_commands_total";
pub(super) const SUBSCRIPTIONS: &str = "gavel_subscriptions";
pub(super) const SUBSCRIPTION_EVENTS: &str = "gavel_subscription_events_total";
const GUEST_FAULTS: &str = "gavel_guest_faults_total";

/// The upper bounds of the histograms of durations, in seconds.
const SECONDS: [f64; 14] = [
    0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 5.0, 30.0,
];

/// The upper bounds of the histogram of how many appends share a transaction.
const BATCH_SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// A recorder for all metrics of the host. The process installs it once, at start.
///
/// # Errors
///
/// [`BuildError`] never, as long as there are buckets.
pub fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let buckets = Matcher::Suffix("_seconds".to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(buckets, &SECONDS)?
        .set_buckets_for_metric(Matcher::Full(BATCH_SIZE.to_owned()), &BATCH_SIZES)?
        .build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe_counter!(
            REQUESTS,
            "HTTP requests answered, by method, route and status."
        );
        describe_histogram!(
            REQUEST_SECONDS,
            "Time from a request's header to the head of its answer."
        );
        describe_counter!(COMMANDS, "Commands, by decider and outcome.");
        describe_histogram!(BATCH_SIZE, "Appends that shared a transaction.");
        describe_counter!(CONFLICTS, "Appends of commands that lost a race.");
        describe_counter!(
            HOT_HITS,
            "Commands that found their stream's state in memory."
        );
        describe_counter!(HOT_LOADS, "Streams that were loaded for a command.");
        describe_counter!(HOT_EVICTIONS, "States that were dropped to make room.");
        describe_gauge!(HOT_STREAMS, "Streams in memory.");
        describe_gauge!(
            HOT_BYTES,
            "Linear memory of the instances of hot streams, in bytes."
        );
        describe_gauge!(
            SUBSCRIPTIONS,
            "Subscriptions to the log, and verifications, by format."
        );
        describe_counter!(
            SUBSCRIPTION_EVENTS,
            "Events sent to subscriptions, by format."
        );
        describe_histogram!(
            TAIL_LAG_SECONDS,
            "Time from the creation of an event to when subscriptions can have it."
        );
        describe_gauge!(
            WITHHELD_SECONDS,
            "For how long a transaction that is left open has kept readers from what was committed since it began; 0 when nothing is withheld."
        );
        describe_gauge!(QUEUE, "Appends that are not answered yet.");
        describe_gauge!(
            LOG_BYTES,
            "Size of SQLite's write-ahead log, in bytes; it grows beyond 128 MiB while a reader keeps an old state of the database open."
        );
        describe_gauge!(
            UNDER_WAY,
            "Rehearsals, shadows and verifications that run on this host, by work."
        );
        describe_counter!(
            REHEARSALS,
            "Rehearsals and shadows that have ended on this host, by kind of the module, mode and status."
        );
        describe_gauge!(
            views::LAG_EVENTS,
            "Events that the rows of a view do not show yet, of at most 1,000 that are looked at, by namespace, view and role of the table (active, candidate), on the host that folds them."
        );
        describe_gauge!(
            views::LAG_SECONDS,
            "Age of the oldest event that the rows of a view do not show yet, by namespace, view and role of the table."
        );
        describe_gauge!(
            views::PARKED_ROWS,
            "Rows that wait at an event which they cannot fold, by namespace, view and role of the table."
        );
        describe_gauge!(
            views::PARKED_EVENTS,
            "Events whose rows cannot be told, by namespace, view and role of the table."
        );
        describe_gauge!(
            views::STALLED,
            "1 while the rows of a view have not moved for 10 seconds although there is work, by namespace, view, role of the table and reason; the view itself shows the reason in full."
        );
        describe_counter!(
            views::EVENTS,
            "Events that were folded into rows, or parked, by namespace, view and role of the table."
        );
        describe_counter!(
            views::ROWS,
            "Rows that were written, or have ended, by namespace, view and role of the table."
        );
        describe_gauge!(
            views::BUILD_SECONDS,
            "Time that the newest build of a view's rows took on this host, in seconds, by namespace and view."
        );
        describe_counter!(
            GUEST_FAULTS,
            "Guest calls that ended in a fault, by kind and name of the module, and code."
        );
    });
    Ok(recorder)
}

/// Counts the samples that histograms hold. Each sample takes up memory until the metrics are
/// rendered, or until this counter has them sorted into buckets.
#[derive(Debug, Default)]
pub(super) struct Samples(AtomicU64);

impl Samples {
    /// The number of answered requests after which the samples are sorted into buckets.
    const LIMIT: u64 = 10_000;

    pub(super) fn count(&self, metrics: &PrometheusHandle) {
        if self.0.fetch_add(1, Ordering::Relaxed) % Self::LIMIT == Self::LIMIT - 1 {
            metrics.run_upkeep();
        }
    }
}

/// Metrics by their labels, of which one is a text that is not known beforehand. A recorder looks
/// them up among all others, and needs the labels as texts of their own: once for each is enough.
#[derive(Debug)]
struct Labelled<L, M>(RwLock<HashMap<String, Vec<(L, M)>>>);

impl<L: PartialEq, M: Clone> Labelled<L, M> {
    fn get(&self, text: &str, label: L, find: impl FnOnce() -> M) -> M {
        {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let mut of_text = known.get(text).into_iter().flatten();
            if let Some((_, metrics)) = of_text.find(|(known, _)| *known == label) {
                return metrics.clone();
            }
        }
        let metrics = find();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let of_text = known.entry(text.to_owned()).or_default();
        of_text.push((label, metrics.clone()));
        metrics
    }
}

impl<L, M> Default for Labelled<L, M> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

/// Counts requests.
#[derive(Debug, Default)]
pub(super) struct RequestMetrics(Labelled<(&'static str, StatusCode), (Histogram, Counter)>);

impl RequestMetrics {
    pub(super) fn count(
        &self,
        method: &Method,
        route: &str,
        status: StatusCode,
        duration: Duration,
    ) {
        // What matches no route is counted under one name: a client must not be able to make up
        // label values. So with methods.
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            Method::HEAD => "HEAD",
            _ => "other",
        };
        let route = if route.is_empty() { "none" } else { route };
        let (seconds, requests) = self.0.get(route, (method, status), || {
            let (route, status) = (route.to_owned(), status.as_str().to_owned());
            let seconds = histogram!(REQUEST_SECONDS, "method" => method, "route" => route.clone());
            let requests =
                counter!(REQUESTS, "method" => method, "route" => route, "status" => status);
            (seconds, requests)
        });
        seconds.record(duration);
        requests.increment(1);
    }
}

/// Counts commands.
#[derive(Debug, Default)]
pub(super) struct CommandMetrics(Labelled<&'static str, Counter>);

impl CommandMetrics {
    pub(super) fn count(
        &self,
        decider: &DeciderName,
        options: CommandOptions,
        outcome: Result<&CommandAnswer, &Error>,
    ) {
        let code = outcome.err().map(code_of);
        let name = match (outcome, code) {
            (_, Some(code)) => code.as_str(),
            (Ok(answer), _) if answer.replayed => "replayed",
            _ if options.dry_run => "dry-run",
            _ => "accepted",
        };
        // A decider that may not exist is not named: a client must not be able to make up label
        // values.
        let decider = match code {
            Some(
                Code::DeciderNotFound
                | Code::StoreUnavailable
                | Code::OutcomeUnknown
                | Code::Overloaded
                | Code::Internal,
            ) => "",
            _ => decider.as_str(),
        };
        if let Err(Error::Fault { .. }) = outcome {
            let kind = ModuleKind::Decider.as_str();
            counter!(GUEST_FAULTS, "kind" => kind, "name" => decider.to_owned(), "code" => name)
                .increment(1);
        }
        let find = || counter!(COMMANDS, "decider" => decider.to_owned(), "outcome" => name);
        self.0.get(decider, name, find).increment(1);
    }
}
