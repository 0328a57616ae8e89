//! `gavel-bench`: runs one bench, prints its tables and writes them as JSON. `cargo xtask bench`
//! builds what it needs and calls it.

use anyhow::Result;
use clap::{Parser, ValueEnum};
use gavel_benches::{Lab, Options, benches};
use tokio::task::LocalSet;

/// Measures a `gavel` from outside.
#[derive(Debug, Parser)]
struct Arguments {
    /// The bench to run.
    #[arg(value_enum)]
    bench: Bench,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Bench {
    /// The cost of sending commands.
    Commands,
    /// The time until a host with many modules is ready.
    Startup,
    /// The speed of folding history.
    Replay,
    /// The cost and the speed of subscribers and consumers.
    Streaming,
    /// The speed of rehearsing modules, and the cost of that for commands.
    Gate,
    /// The speed of building and reading rows, and their cost for commands.
    Views,
    /// The same load on other event stores.
    Peers,
}

// One thread: the driver shares the machine with what it measures.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let out = arguments.options.out.clone();
    let lab = Lab::new(arguments.options)?;
    let bench = async {
        match arguments.bench {
            Bench::Commands => benches::commands(&lab).await,
            Bench::Startup => benches::startup(&lab).await,
            Bench::Replay => benches::replay(&lab).await,
            Bench::Streaming => benches::streaming(&lab).await,
            Bench::Gate => benches::gate(&lab).await,
            Bench::Views => benches::views(&lab).await,
            Bench::Peers => benches::peers(&lab).await,
        }
    };
    LocalSet::new().run_until(bench).await?.finish(&out)
}
