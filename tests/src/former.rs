//! A store as a host of a former schema has left it.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256, Sha384};

use crate::{Backend, Store};

/// The manifest that `counter` had when it was built for the former contract.
const MANIFEST: &str = r#"{
    "name": "counter", "kind": "decider", "sdk": "gavel-guest-sdk/0.1.0",
    "commands": [{ "name": "Increment", "schema": { "type": "object" } }],
    "events": [{ "name": "Incremented", "schema_version": 1, "schema": { "type": "object" } }]
}"#;

/// The id of the command that has incremented `c-1`.
const COMMAND_ID: &str = "11111111-2222-4333-8444-555555555555";

/// The table of applied migrations, which every store has had since the first release.
const HISTORY: &str = "CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BYTES NOT NULL,
    execution_time BIGINT NOT NULL
)";

/// Fills an empty store with the schema up to the migration `through` (inclusive), and with what a
/// host of that time has left there: `counter`, active with a module of `gavel:decider@0.1.0`, and
/// its stream `c-1` at version 1. Gives the digest of the module.
///
/// # Panics
///
/// When the store is not empty, or a statement fails.
pub async fn leave_counter_of_former_contract(store: &Store, through: u32) -> String {
    let (folder, bytes) = match store.backend() {
        Backend::Sqlite => ("sqlite", "BLOB"),
        Backend::Postgres => ("postgres", "BYTEA"),
    };
    store.execute(&HISTORY.replace("BYTES", bytes)).await;
    for file in migrations(folder) {
        let name = file.file_stem().and_then(|name| name.to_str());
        let (number, description) = name.and_then(|name| name.split_once('_')).expect("a name");
        let number: u32 = number.parse().expect("a number");
        if number > through {
            break;
        }
        let text = fs::read_to_string(&file).expect("the file can be read");
        store.execute(&text).await;
        let checksum = literal(store.backend(), &Sha384::digest(&text));
        let description = description.replace('_', " ");
        store
            .execute(&format!(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES ({number}, '{description}', TRUE, {checksum}, 1)"
            ))
            .await;
    }

    let module = b"built for gavel:decider@0.1.0, and never looked at again";
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(module)));
    let wasm = literal(store.backend(), module);
    let (imports, accepted, then) = match store.backend() {
        Backend::Sqlite => ("'[]'", "'[]'", "1767225600000"),
        Backend::Postgres => ("'{}'", "'{}'", "'2026-01-01T00:00:00Z'"),
    };
    store
        .execute(&format!(
            "INSERT INTO modules (digest, kind, name, size_bytes, manifest, imports, wasm, uploaded_at) \
             VALUES ('{digest}', 'decider', 'counter', {}, '{MANIFEST}', {imports}, {wasm}, {then}); \
             INSERT INTO deciders (decider, event) VALUES ('counter', 'Incremented'); \
             INSERT INTO activations (namespace, decider, number, digest, activated_at, accepted, report) \
             VALUES ('default', 'counter', 1, '{digest}', {then}, {accepted}, '{{}}')",
            module.len()
        ))
        .await;
    let (command_id, appended) = match store.backend() {
        Backend::Sqlite => (
            format!("x'{}'", COMMAND_ID.replace('-', "")),
            format!(
                "INSERT INTO events (event, event_id, decider, decider_id, command_id, created_at, version, data) \
                 VALUES ('Incremented', randomblob(16), 'counter', 'c-1', x'{}', {then}, 1, '{{}}')",
                COMMAND_ID.replace('-', "")
            ),
        ),
        Backend::Postgres => (
            format!("'{COMMAND_ID}'"),
            format!(
                "SELECT append_event('Incremented', gen_random_uuid(), 'counter', 'c-1', '{{}}', '{COMMAND_ID}', NULL)"
            ),
        ),
    };
    let fingerprint = literal(store.backend(), &[0; 32]);
    store
        .execute(&format!(
            "{appended}; \
             INSERT INTO commands (namespace, command_id, decider, decider_id, command, data, fingerprint, now, seed, metadata, \
                 version, module, outcome, events, fuel) \
             VALUES ('default', {command_id}, 'counter', 'c-1', 'Increment', '{{}}', {fingerprint}, {then}, 0, '{{}}', \
                 0, '{digest}', 'accepted', 1, 0)"
        ))
        .await;
    digest
}

fn literal(backend: Backend, bytes: &[u8]) -> String {
    match backend {
        Backend::Sqlite => format!("x'{}'", hex::encode(bytes)),
        Backend::Postgres => format!("'\\x{}'", hex::encode(bytes)),
    }
}

/// The files of a database, in order.
fn migrations(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../migrations")
        .join(folder);
    let files = fs::read_dir(folder).expect("the folder can be read");
    let mut files: Vec<PathBuf> = files
        .map(|file| file.expect("it can be read").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    files
}
