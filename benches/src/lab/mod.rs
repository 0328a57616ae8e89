//! The place where things are measured: what to start, how long to run, and where results go.

mod account;
mod database;
mod host;
mod installation;
mod machine;
mod meter;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

pub(crate) use account::{CommandKind, batch_of_deposits, command, deposits, id, keyed_deposits};
pub(crate) use database::Database;
pub(crate) use host::{Server, free_address};
pub use installation::Backend;
pub(crate) use installation::{Installation, meters, variant};
pub(crate) use machine::describe;
pub(crate) use meter::Meter;

/// The command line of `gavel-bench`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The `gavel` to measure, built for release.
    #[arg(long, value_name = "FILE")]
    pub gavel: PathBuf,
    /// The folder of the compiled modules.
    #[arg(long, value_name = "DIR")]
    pub modules: PathBuf,
    /// The folder of results, and of scratch files during a run.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// A PostgreSQL server on this machine, as a superuser.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// Short runs, one of each, on less data: shows that everything works, and little more.
    #[arg(long)]
    pub quick: bool,
    /// Only the parts whose name contains this; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Only this store; by default both.
    #[arg(long, value_enum)]
    pub store: Option<Backend>,
    /// Runs of each case; their median is shown [default: 3, quick: 1].
    #[arg(long, value_name = "NUMBER")]
    pub runs: Option<usize>,
    /// The length of a run, in seconds [default: 8, quick: 2].
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<f64>,
    /// Stored events of the growth part [default: 1000000, quick: 20000]. The goal is written for
    /// 10000000.
    #[arg(long, value_name = "NUMBER")]
    pub growth_events: Option<u64>,
    /// Stored events of the parts of `gate` and of `build` and `twins` of `views`, about [default:
    /// 200000, quick: 10000; of `long-history` five times as many]. Goals are written for 10000000.
    #[arg(long, value_name = "NUMBER")]
    pub gate_events: Option<u64>,
    /// A variable of the host, as in `GAVEL_STORE_POOL_SIZE=4`; may be repeated. All others have
    /// their defaults.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub host_setting: Vec<(String, String)>,
    /// Another `gavel`, of another commit for example: part `against` of `commands` compares with
    /// it, and runs only with it.
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// The modules of `against`, where it runs those of another contract [default: those of
    /// `modules`].
    #[arg(long, value_name = "DIR", requires = "against")]
    pub against_modules: Option<PathBuf>,
    /// A `gavel` with the account compiled in: part `sandbox` of `commands` compares with it, and
    /// runs only with it.
    #[arg(long, value_name = "FILE")]
    pub native: Option<PathBuf>,
    /// A program that answers like the host does, as in `plain=path/to/program`; may be repeated.
    #[arg(long, value_name = "NAME=FILE", value_parser = name_and_value)]
    pub peer: Vec<(String, String)>,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("there is no `=`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The options, and a scratch folder that goes with this.
#[derive(Debug)]
pub struct Lab {
    pub(crate) options: Options,
    scratch: TempDir,
}

impl Lab {
    /// A lab whose scratch folder is within the folder of the results, and so on the same disk.
    ///
    /// # Errors
    ///
    /// When that cannot be made.
    pub fn new(options: Options) -> Result<Self> {
        std::fs::create_dir_all(&options.out)?;
        let scratch = tempfile::Builder::new()
            .prefix("scratch-")
            .tempdir_in(&options.out)
            .context("cannot make a scratch folder")?;
        Ok(Self { options, scratch })
    }

    /// Tells whether a part is selected.
    pub(crate) fn wants(&self, part: &str) -> bool {
        let only = &self.options.only;
        only.is_empty() || only.iter().any(|name| part.contains(name.as_str()))
    }

    pub(crate) fn backends(&self) -> Vec<Backend> {
        match self.options.store {
            Some(store) => vec![store],
            None => vec![Backend::Postgres, Backend::Sqlite],
        }
    }

    /// The number of runs of each case.
    pub(crate) fn runs(&self) -> usize {
        self.options.runs.unwrap_or(self.pick(3, 1)).max(1)
    }

    /// The duration of a run.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds.unwrap_or(self.pick(8.0, 2.0)))
    }

    /// The duration of the load before a run is measured.
    pub(crate) fn warm_up(&self) -> Duration {
        self.length() / 4
    }

    /// The first in a full run, the second in a quick one.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.options.quick { quick } else { full }
    }

    /// A new folder that goes with the lab.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        Ok(tempfile::Builder::new().tempdir_in(&self.scratch)?.keep())
    }

    /// An empty database, named after a folder of ours.
    ///
    /// # Errors
    ///
    /// When PostgreSQL cannot be reached or refuses.
    pub(crate) async fn database(&self, folder: &Path) -> Result<Database> {
        let name = folder.file_name().context("a folder has a name")?;
        let name = name.to_string_lossy().to_lowercase().replace('.', "");
        let name = format!("gavel_bench_{}_{name}", std::process::id());
        Database::create(&self.options.database_url, name).await
    }

    /// The bytes of a module by its name.
    ///
    /// # Errors
    ///
    /// When it was not built.
    pub(crate) fn module(&self, name: &str) -> Result<Vec<u8>> {
        module(&self.options.modules, name)
    }

    /// The `gavel` that is measured.
    pub(crate) fn build(&self) -> Build<'_> {
        Build {
            gavel: &self.options.gavel,
            modules: &self.options.modules,
        }
    }

    /// The `gavel` with the account compiled in; none if there is none.
    pub(crate) fn native(&self) -> Option<Build<'_>> {
        let gavel = self.options.native.as_deref()?;
        Some(Build {
            gavel,
            ..self.build()
        })
    }

    /// The `gavel` that it is compared with; none if it is not.
    pub(crate) fn against(&self) -> Option<Build<'_>> {
        let modules = self.options.against_modules.as_deref();
        Some(Build {
            gavel: self.options.against.as_deref()?,
            modules: modules.unwrap_or(&self.options.modules),
        })
    }
}

/// A `gavel`, and modules that it runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Build<'l> {
    pub(crate) gavel: &'l Path,
    modules: &'l Path,
}

impl Build<'_> {
    /// The component of a module, as [`Lab::module`] gives it.
    pub(crate) fn module(&self, name: &str) -> Result<Vec<u8>> {
        module(self.modules, name)
    }
}

fn module(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let file = folder.join(format!("{name}.wasm"));
    std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
}
