//! The cost of a load: processor time, memory and bytes written, from before it to after it.

use std::time::Duration;

use anyhow::Result;

use super::Database;
use crate::load::Tally;
use crate::processes;
use crate::report::Figures;

/// Reads the figures of the program under load and of what it stores in.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    app: u32,
    store: Option<u32>,
    database: Option<&'a Database>,
}

#[derive(Debug)]
struct Reading {
    app: Duration,
    store: Option<Duration>,
    driver: Duration,
    wal_bytes: Option<i64>,
    written_bytes: u64,
}

impl<'a> Meter<'a> {
    /// A meter of a program that stores in a database.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub(crate) async fn with_database(app: u32, database: &'a Database) -> Result<Self> {
        Ok(Self {
            app,
            store: database.process().await?,
            database: Some(database),
        })
    }

    /// A meter of a program that stores in files, itself or through a child.
    pub(crate) fn with_files(app: u32) -> Self {
        let (store, database) = (None, None);
        Self {
            app,
            store,
            database,
        }
    }

    /// Writes out what is due, so that a measurement does not pay for the one before it.
    ///
    /// # Errors
    ///
    /// When the database refuses.
    pub(crate) async fn settle(&self) -> Result<()> {
        match self.database {
            Some(database) => database.settle().await,
            None => Ok(()),
        }
    }

    /// Runs a load and returns its tally and figures; the first is the throughput.
    ///
    /// # Errors
    ///
    /// An error when the load cannot be run or a process has ended.
    pub(crate) async fn measure(
        &self,
        load: impl AsyncFnOnce() -> Result<Tally>,
    ) -> Result<(Tally, Figures)> {
        let before = self.read().await?;
        let tally = load().await?;
        let after = self.read().await?;
        let figures = self.figures(&tally, &before, &after)?;
        Ok((tally, figures))
    }

    async fn read(&self) -> Result<Reading> {
        let wal_bytes = match self.database {
            Some(database) => Some(database.wal_bytes().await?),
            None => None,
        };
        Ok(Reading {
            app: processes::cpu_time(self.app)?,
            store: self.store.map(processes::cpu_time).transpose()?,
            driver: processes::own_cpu_time(std::process::id())?,
            wal_bytes,
            written_bytes: processes::written_bytes(self.app)?,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 bytes")]
    fn figures(&self, tally: &Tally, before: &Reading, after: &Reading) -> Result<Figures> {
        let commands = tally.commands.max(1) as f64;
        let per_command = |before: Duration, after: Duration| {
            after.saturating_sub(before).as_secs_f64() * 1e6 / commands
        };
        let mut figures = vec![
            ("commands_per_s", tally.per_second()),
            ("p50_ms", tally.percentile_ms(50.0)),
            ("p99_ms", tally.percentile_ms(99.0)),
            ("max_ms", tally.max_ms()),
            ("app_cpu_us", per_command(before.app, after.app)),
        ];
        if let (Some(before), Some(after)) = (before.store, after.store) {
            figures.push(("store_cpu_us", per_command(before, after)));
        }
        figures.push(("driver_cpu_us", per_command(before.driver, after.driver)));
        let (resident, _) = processes::resident_bytes(self.app)?;
        figures.push(("app_rss_mb", resident as f64 / 1e6));
        if let (Some(before), Some(after)) = (before.wal_bytes, after.wal_bytes) {
            figures.push(("wal_bytes", (after - before) as f64 / commands));
        } else {
            let written = after.written_bytes.saturating_sub(before.written_bytes);
            figures.push(("written_bytes", written as f64 / commands));
        }
        Ok(figures)
    }
}
