//! `commands`: what it costs to send commands, one by one and in every other way.

mod bystander;
mod latency;
mod memory;
mod pressure;
mod streams;
mod throughput;

use anyhow::Result;

use crate::lab::{self, Installation, Lab};
use crate::parts::run_parts;
use crate::report::Report;

pub(crate) use latency::{half_of, maximum};

/// Runs the parts that were asked for.
///
/// # Errors
///
/// When a host cannot be started or prepared. What it answers under load is a result, not an error.
pub async fn run(lab: &Lab) -> Result<Report> {
    let mut report = Report::new("commands");
    lab::describe(lab, &mut report).await?;
    run_parts! { lab, report;
        "throughput": throughput::by_connections,
        "against": throughput::against_another,
        "two-hosts": throughput::two_hosts,
        "sandbox": throughput::sandbox_tax,
        "batch": throughput::in_batches,
        "hot": throughput::on_one_stream,
        "variants": throughput::variants,
        "latency": latency::at_half_of_the_maximum,
        "swap": latency::around_a_swap,
        "long-stream": streams::long_against_short,
        "growth": streams::growth,
        "memory": memory::memory,
        "overload": pressure::overload,
        "bystander-spins": bystander::beside_one_that_spins,
        "bystander-writes": bystander::beside_large_writes,
        "bystander-reads": bystander::beside_large_reads,
        "bystander-trickles": bystander::beside_trickled_bodies,
        "bystander-uploads": bystander::beside_uploads,
        "bystander-breaks": bystander::beside_broken_instances,
    }
    Ok(report)
}

/// Accounts that are opened before a load.
fn accounts(lab: &Lab) -> u64 {
    lab.pick(10_000, 1_000)
}

/// A host for each store, with open accounts.
async fn hosts(lab: &Lab) -> Result<Vec<Installation>> {
    let mut hosts = Vec::new();
    for backend in lab.backends() {
        hosts.push(Installation::with_accounts(lab, backend, accounts(lab)).await?);
    }
    Ok(hosts)
}
