//! One list of cases, run on each store.

/// Turns a list of cases, `async fn case(store: Store)`, into tests on SQLite and on PostgreSQL.
///
/// A case is named once and runs on both, so that none can be forgotten for one of them.
#[macro_export]
macro_rules! on_every_store {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case($crate::Store::new($crate::Backend::Sqlite).await).await;
                }
            )+
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case($crate::Store::new($crate::Backend::Postgres).await).await;
                }
            )+
        }
    };
}
