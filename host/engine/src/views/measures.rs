//! The measures of the tables whose runners are on this host: what metrics show, and a line in the
//! log when one does not move although it has work.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Position, ViewId};
use gavel_store::views::{TableId, ViewTable};
use metrics::{Label, counter, gauge};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::metrics::{EVENTS, LAG_EVENTS, LAG_SECONDS, PARKED_EVENTS, PARKED_ROWS, ROWS, STALLED};
use super::progress::{Activity, TableProgress};
use super::status::{Lag, Stall, statuses};
use super::{Inner, Views};

/// The time between two measures.
const INTERVAL: Duration = Duration::from_secs(2);
/// The shortest time between two lines about a table that does not move.
const PAUSE: Duration = Duration::from_secs(60);

/// The role of a table for its view. Former tables are not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Role {
    Active,
    Candidate,
}

/// The task that measures tables.
#[derive(Debug)]
pub(super) struct Measures {
    views: Views,
    measured: HashMap<(ViewId, Role), Measured>,
    /// The number of events and rows of each table's runner that are counted already.
    counted: HashMap<TableId, (u64, u64)>,
}

/// The last measures of a table.
#[derive(Debug)]
struct Measured {
    labels: Vec<Label>,
    table: TableId,
    /// The place where the table had no work.
    idle_at: Option<Position>,
    /// The kind of the reason for which the table does not move.
    cause: Option<&'static str>,
    told_at: Option<Instant>,
}

impl Measures {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self {
            views: Views(inner),
            measured: HashMap::new(),
            counted: HashMap::new(),
        }
    }

    /// Measures now and then, until `stop` is cancelled.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let measuring = async {
                sleep(INTERVAL).await;
                self.measure_all().await;
            };
            tokio::select! {
                () = measuring => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn measure_all(&mut self) {
        let inner = Arc::clone(&self.views.0);
        let tables = inner.seen.borrow().clone();
        let is_there = |id| tables.iter().any(|table| table.id == id);
        inner.progresses.keep_places(is_there);
        let (owned, others): (Vec<_>, Vec<_>) = tables
            .iter()
            .cloned()
            .partition(|table| inner.owns(&table.view));
        let owned = statuses(owned);
        let of_role = owned.iter().flat_map(|status| {
            let active = status.active.iter().map(|table| (Role::Active, table));
            let candidate = status.candidate();
            active.chain(candidate.map(|table| (Role::Candidate, table)))
        });
        let of_role: Vec<_> = of_role.collect();
        self.measured.retain(|(view, role), measured| {
            let mut others = of_role.iter();
            let stays = others.any(|(other, table)| other == role && table.view == *view);
            if !stays {
                measured.end();
            }
            stays
        });
        self.counted
            .retain(|id, _| of_role.iter().any(|(_, table)| table.id == *id));
        if tables.is_empty() {
            return;
        }
        let is_withheld = matches!(inner.log_store.withholding().await, Ok(Some(_)));
        for (role, table) in of_role {
            self.measure(role, table, is_withheld).await;
        }
        // Whoever asks this host about the others is to know since when they stand still.
        for table in others.iter().filter(|_| is_withheld) {
            let _ = self.views.lag(table).await;
        }
    }

    async fn measure(&mut self, role: Role, table: &ViewTable, is_withheld: bool) {
        let progress = self.views.0.progresses.of(table.id);
        let progress = progress.map(|progress| progress.borrow().clone());
        let measured = self
            .measured
            .entry((table.view.clone(), role))
            .or_insert_with(|| Measured::new(role, table));
        measured.turn_to(table);
        if let Some(progress) = &progress {
            measured.count(progress, self.counted.entry(table.id).or_default());
        }
        let idle_at = progress
            .filter(|progress| progress.activity == Activity::Waiting)
            .map(|progress| progress.position);
        // Nothing has come since: nobody is asked.
        if !is_withheld && idle_at.is_some() && idle_at == measured.idle_at {
            return;
        }
        let Ok(lag) = self.views.lag(table).await else {
            return;
        };
        measured.idle_at = idle_at.filter(|at| *at == lag.position && lag.events == 0);
        measured.show(table, &lag);
    }
}

impl Measured {
    fn new(role: Role, table: &ViewTable) -> Self {
        let role = match role {
            Role::Active => "active",
            Role::Candidate => "candidate",
        };
        Self {
            labels: vec![
                Label::new("namespace", table.view.namespace().as_str().to_owned()),
                Label::new("view", table.view.name().as_str().to_owned()),
                Label::from_static_parts("role", role),
            ],
            table: table.id,
            idle_at: None,
            cause: None,
            told_at: None,
        }
    }

    /// Takes up the table that has the role now, and shows what is parked there.
    fn turn_to(&mut self, table: &ViewTable) {
        if self.table != table.id {
            self.table = table.id;
            self.idle_at = None;
        }
        let parked = [
            (PARKED_ROWS, table.parked_rows),
            (PARKED_EVENTS, table.parked_events),
        ];
        for (name, parked) in parked {
            gauge!(name, self.labels.clone()).set(parked as f64);
        }
    }

    /// Counts what a runner has done since it was asked last.
    fn count(&self, progress: &TableProgress, counted: &mut (u64, u64)) {
        let (events, rows) = (progress.events, progress.rows);
        if events < counted.0 {
            // Another runner counts from zero.
            *counted = (0, 0);
        }
        counter!(EVENTS, self.labels.clone()).increment(events - counted.0);
        counter!(ROWS, self.labels.clone()).increment(rows.saturating_sub(counted.1));
        *counted = (events, rows);
    }

    fn show(&mut self, table: &ViewTable, lag: &Lag) {
        gauge!(LAG_EVENTS, self.labels.clone()).set(lag.events as f64);
        gauge!(LAG_SECONDS, self.labels.clone()).set(lag.age.as_secs_f64());
        let stall = lag.stalled.as_ref();
        self.show_cause(stall.map(|stall| stall.cause));
        let Some(Stall { reason, .. }) = stall else {
            self.told_at = None;
            return;
        };
        let is_told = self.told_at.is_some_and(|told| told.elapsed() < PAUSE);
        if !is_told {
            self.told_at = Some(Instant::now());
            tracing::warn!(
                view = %table.view.name(),
                namespace = %table.view.namespace(),
                module.digest = %table.digest,
                reason,
                "the rows of a view do not move although there is work"
            );
        }
    }

    fn show_cause(&mut self, cause: Option<&'static str>) {
        let of_cause = |cause| {
            let mut labels = self.labels.clone();
            labels.push(Label::from_static_parts("reason", cause));
            gauge!(STALLED, labels)
        };
        if let Some(former) = self.cause.filter(|former| Some(*former) != cause) {
            of_cause(former).set(0.0);
        }
        if let Some(cause) = cause {
            of_cause(cause).set(1.0);
        }
        self.cause = cause;
    }

    /// Shows nothing of a table any more that is gone, or has its runner elsewhere.
    fn end(&mut self) {
        self.show_cause(None);
        for name in [LAG_EVENTS, LAG_SECONDS, PARKED_ROWS, PARKED_EVENTS] {
            gauge!(name, self.labels.clone()).set(0.0);
        }
    }
}
