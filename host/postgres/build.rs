//! Tells cargo to embed migrations that were added since the last build; the compiler itself
//! notices changed ones.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations/postgres");
    println!("cargo::rerun-if-changed=../../migrations/postgres_views");
}
