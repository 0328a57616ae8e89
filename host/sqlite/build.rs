//! Embeds the migrations, so that a file that is added to their folder is one that is run.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    for schema in ["sqlite", "sqlite_views"] {
        embed(schema)?;
    }
    Ok(())
}

/// Writes the list of the migrations in a folder.
fn embed(schema: &str) -> io::Result<()> {
    let folder = fs::canonicalize(format!("../../migrations/{schema}"))?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let files = fs::read_dir(folder)?.map(|file| Ok(file?.path()));
    let mut files = files.collect::<io::Result<Vec<PathBuf>>>()?;
    files.sort();
    let migrations = files.iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let (number, words) = name
            .split_once('_')
            .unwrap_or_else(|| panic!("{name} is not `NNNN_what_it_does`"));
        let number: i64 = number
            .parse()
            .unwrap_or_else(|error| panic!("{name} has no number: {error}"));
        let words = words.replace('_', " ");
        format!(
            "Migration {{ number: {number}, words: {words:?}, sql: include_str!({path:?}) }},\n"
        )
    });
    let list = format!("&[\n{}]", migrations.collect::<String>());
    let out = env::var_os("OUT_DIR").expect("cargo tells where the output belongs");
    fs::write(PathBuf::from(out).join(format!("{schema}.rs")), list)
}
