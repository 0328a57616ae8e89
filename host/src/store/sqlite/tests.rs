//! What only a file can show. Everything else is in `conformance`.

use super::*;
use crate::store::conformance;

/// A store in a folder that is deleted with it.
async fn new_store(folder: &tempfile::TempDir) -> SqliteStore {
    let clock = Arc::new(conformance::UnsteadyClock::default());
    SqliteStore::open(folder.path().join("data").join("gavel.db"), true, clock)
        .await
        .unwrap()
}

macro_rules! sqlite_case {
    ($case:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let folder = tempfile::tempdir().unwrap();
            conformance::$case(Arc::new(new_store(&folder).await)).await;
        }
    };
}
conformance::for_each_store_case!(sqlite_case);
