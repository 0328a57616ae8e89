//! `startup`: how long a host with many modules takes to be ready.

use anyhow::Result;

use crate::lab::{self, Installation, Lab, variant};
use crate::report::{Report, Row, median};

/// Starts a host on data with many active modules, again and again.
///
/// # Errors
///
/// When a host cannot be started or refuses a module.
pub async fn run(lab: &Lab) -> Result<Report> {
    let mut report = Report::new("startup");
    lab::describe(lab, &mut report).await?;
    let modules: u32 = lab.pick(50, 10);
    let starts = lab.pick(7, 3);
    let mut rows = Vec::new();
    for backend in lab.backends() {
        let mut host = Installation::empty(lab, backend).await?;
        let mut runs = [Vec::new(), Vec::new()];
        for (active, runs) in [0, modules].into_iter().zip(&mut runs) {
            for number in 0..active {
                let component = variant(&lab.module("account")?, number);
                let digest = host.upload(component).await?;
                let namespace = format!("bench-{number}");
                host.activate(&namespace, "account", &digest).await?;
            }
            for _ in 0..starts {
                host.restart().await?;
                let (now, _) = host.resident_mb()?;
                let took = host.server().took.as_secs_f64() * 1000.0;
                runs.push(vec![("ready_ms", took), ("app_rss_mb", now)]);
            }
        }
        for (active, runs) in [0, modules].into_iter().zip(runs) {
            rows.push(Row {
                labels: vec![
                    ("store", backend.name().to_owned()),
                    ("active modules", active.to_string()),
                ],
                figures: median(&runs),
                note: String::new(),
            });
        }
    }
    let about = format!(
        "From the start of the process until `/readyz` answers 200, asked for every millisecond; {starts} starts after a stop by SIGTERM. The modules are the account with a number in a custom section, each active in a namespace of its own, all in the compiled cache."
    );
    report.section("startup", about, rows);
    Ok(report)
}
