//! Runs the selected parts of a bench.

/// Runs each part whose name is wanted, in this order, and names the one that fails.
macro_rules! run_parts {
    ($lab:ident, $report:ident; $($name:literal: $part:path,)+) => {$(
        if $lab.wants($name) {
            eprintln!("{}", $name);
            anyhow::Context::context($part($lab, &mut $report).await, $name)?;
        }
    )+};
}

pub(crate) use run_parts;
