//! `views`: the speed of building rows from stored events, of keeping them and of reading them, and
//! their cost for commands.

mod build;
mod commands;
mod reads;
mod twins;
mod visible;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::lab::{self, Installation, Lab, variant};
use crate::parts::run_parts;
use crate::rehearsals::Rehearsal;
use crate::report::Report;

/// The view of accounts, as the paths of rehearsals name it.
const VIEW: &str = "views/balance";

/// Runs the parts that were asked for.
///
/// # Errors
///
/// When a host cannot be started or prepared, or a view cannot be built.
pub async fn run(lab: &Lab) -> Result<Report> {
    let mut report = Report::new("views");
    lab::describe(lab, &mut report).await?;
    run_parts! { lab, report;
        "build": build::of_both_shapes,
        "visible": visible::idle_and_under_load,
        "commands": commands::without_and_with_views,
        "reads": reads::one_and_many,
        "twins": twins::rebuilds_and_reads,
    }
    Ok(report)
}

/// Uploads a module of the view that does what the others do, and is another one nevertheless.
/// Returns its digest.
async fn candidate(lab: &Lab, host: &Installation, number: u32) -> Result<String> {
    host.upload(variant(&lab.module("balance")?, number)).await
}

/// Activates a view of this name, and waits until its rows are built.
async fn deploy(lab: &Lab, host: &Installation, name: &str) -> Result<()> {
    let digest = host.upload(lab.module(name)?).await?;
    let path = format!("/v1/views/{name}/activations");
    let body = json!({ "digest": digest }).to_string();
    let answer = host.call(host.requests().post(&path, body)).await?;
    let Some(id) = answer["rehearsal"].as_str().map(str::to_owned) else {
        return Ok(());
    };
    let ended = Rehearsal::of(host, &id).end().await;
    ended.context("a view was not activated").map(drop)
}
