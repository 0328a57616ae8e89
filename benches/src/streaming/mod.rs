//! `streaming`: the cost and the speed of following the log and of consuming it.

mod catch_up;
mod consume;
mod consumers;
mod delivery;
mod followers;
mod idle;
mod push;
mod subscribers;

use anyhow::Result;

use crate::lab::{self, Lab};
use crate::parts::run_parts;
use crate::report::{Figures, Report};

/// Runs the parts that were asked for.
///
/// # Errors
///
/// When a host cannot be started or prepared, or an event does not come.
pub async fn run(lab: &Lab) -> Result<Report> {
    let mut report = Report::new("streaming");
    lab::describe(lab, &mut report).await?;
    run_parts! { lab, report;
        "idle-consumers": idle::idle_consumers,
        "subscribers": subscribers::memory_and_commands,
        "catch-up": catch_up::one_reader,
        "delivery": delivery::one_by_one,
        "consume": consume::leases_and_acks,
        "push": push::to_one_receiver,
    }
    Ok(report)
}

/// The costs among the figures of a load, per event.
fn costs(figures: Figures) -> impl Iterator<Item = (&'static str, f64)> {
    const COSTS: [&str; 6] = [
        "app_cpu_us",
        "store_cpu_us",
        "driver_cpu_us",
        "app_rss_mb",
        "wal_bytes",
        "written_bytes",
    ];
    figures.into_iter().filter(|(name, _)| COSTS.contains(name))
}
