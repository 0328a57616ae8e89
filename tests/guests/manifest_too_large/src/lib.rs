//! A module that describes itself in two million characters.

base::module!(format!("\"{}\"", "x".repeat(2_000_000)));
