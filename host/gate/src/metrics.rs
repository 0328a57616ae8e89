//! The names of what is measured here; `http` describes them.

/// Gauge: what runs in the background on this host, by work: `rehearsal`, `shadow`, `verification`.
pub const UNDER_WAY: &str = "gavel_gate_under_way";

/// Counter: rehearsals that have ended on this host, by kind of the module, mode and status.
pub const REHEARSALS: &str = "gavel_gate_rehearsals_total";
