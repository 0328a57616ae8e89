//! Has cargo embed migrations that were added since the last build; of those that were changed the
//! compiler knows itself.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations/postgres");
}
