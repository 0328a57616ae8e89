//! Tables that nothing changes for a moment.

use super::*;
use gavel_store::views::{CommitError, RowPointer};

/// The pointer of a view at a table, as its first activation has it.
fn pointer(table: TableId) -> RowPointer {
    RowPointer {
        view: orders(),
        table: Some(table),
        activation: ActivationNumber::new(1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_has_no_transaction_id_that_readers_of_the_log_would_wait_for() {
    on_new_database(async |database: PostgresDatabase| {
        let views = database.open_views().await;
        let table = finished_with(&views, &orders(), "v1", &[("a", text("x"))]).await;
        let hold = views.hold_tables(&[table]).await.unwrap();
        let mut session = database.connect().await;
        let open = "SELECT backend_xid, backend_xmin FROM pg_stat_activity \
                    WHERE datname = current_database() AND state = 'idle in transaction'";
        let open = rows(&mut session, open).await;
        assert_eq!(open, [r#"{"backend_xid":null,"backend_xmin":null}"#]);
        let moved = hold.point(vec![pointer(table)]).await;
        assert!(moved.unwrap());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_nobody_lets_go_of_ends_by_itself() {
    on_new_database(async |database: PostgresDatabase| {
        let views = database.open_views().await;
        let table = finished_with(&views, &orders(), "v1", &[("a", text("x"))]).await;
        let hold = views.hold_tables(&[table]).await.unwrap();
        let other = database.open_views().await;
        while let Err(refused) = other.commit(RowsChange::moving(table, at(1), at(2))).await {
            assert!(matches!(refused, CommitError::Held), "{refused:?}");
        }
        let late = hold.point(vec![pointer(table)]).await;
        assert!(late.unwrap_err().is_retryable());
        assert_eq!(views.tables().await.unwrap()[0].active, None);
        let again = views.hold_tables(&[table]).await.unwrap();
        assert_eq!(again.positions().await.unwrap(), [Some(at(2))]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_waits_for_a_change_under_way_and_later_ones_are_refused() {
    on_new_database(async |database: PostgresDatabase| {
        let views = database.open_views().await;
        let table = finished_with(&views, &orders(), "v1", &[("a", text("x"))]).await;
        let other = finished_with(&views, &view("default", "other"), "v1", &[]).await;
        // A change that stays open.
        let mut session = database.connect().await;
        let class = views.lock_class;
        execute(
            &mut session,
            &format!("BEGIN; SELECT pg_advisory_xact_lock_shared({class}, {table})"),
        )
        .await;
        let holding = tokio::spawn({
            let views = views.clone();
            async move { views.hold_tables(&[table]).await.map(drop) }
        });
        let mut observer = database.connect().await;
        blocked_backend(&mut observer).await;
        let refused = views.commit(RowsChange::moving(table, at(1), at(2))).await;
        assert!(matches!(refused, Err(CommitError::Held)), "{refused:?}");
        views
            .commit(RowsChange::moving(other, at(1), at(2)))
            .await
            .unwrap();
        execute(&mut session, "COMMIT").await;
        holding.await.unwrap().unwrap();
    })
    .await;
}
