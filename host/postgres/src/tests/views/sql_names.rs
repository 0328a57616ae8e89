//! What people read in SQL.

use super::*;

const SELECT: &str = "SELECT key, position, \"row\" FROM gavel_views.orders";

#[tokio::test(flavor = "multi_thread")]
async fn the_name_in_sql_gives_what_a_read_gives() {
    on_new_database(async |database: PostgresDatabase| {
        let views = database.open_views().await;
        let mut session = database.connect().await;
        let first = finished_with(
            &views,
            &orders(),
            "v1",
            &[("status", text("open")), ("amount", Cell::Integer(7))],
        )
        .await;
        let second = finished_with(
            &views,
            &orders(),
            "v2",
            &[("amount", Cell::Integer(8)), ("ratio", Cell::Number(0.5))],
        )
        .await;
        table_with(&views, &orders(), "v3", &[("never", text("x"))]).await;
        assert!(rows(&mut session, SELECT).await.is_empty());
        let position = at(1);
        for (number, table, module, columns) in [
            (
                1,
                first,
                "v1",
                r#"{"status":"open","amount":7,"ratio":null}"#,
            ),
            (2, second, "v2", r#"{"status":null,"amount":8,"ratio":0.5}"#),
        ] {
            point(&views, &orders(), Some(table), number).await;
            let read = views.read(&orders(), &key("o-1")).await.unwrap().unwrap();
            let value = read.value.unwrap();
            assert_eq!(value.as_str(), format!(r#"{{"module": "{module}"}}"#));
            let shown = rows(&mut session, SELECT).await;
            let row = format!(
                r#"{{"key":"o-1","position":"{position}","row":{}}}"#,
                value.as_str()
            );
            assert_eq!(shown, [row]);
            let select = "SELECT status, amount, ratio FROM gavel_views.orders";
            assert_eq!(rows(&mut session, select).await, [columns]);
        }
        views.drop_table(first).await.unwrap();
        let select = "SELECT * FROM gavel_views.orders";
        let shown = rows(&mut session, select).await;
        assert!(
            shown[0].ends_with(r#""status":null,"amount":8,"ratio":0.5}"#),
            "{shown:?}"
        );

        let shop = view("shop", "orders");
        let table = finished_with(&views, &shop, "v1", &[("status", text("shop"))]).await;
        point(&views, &shop, Some(table), 1).await;
        let select = "SELECT status FROM gavel_views.\"orders@shop\"";
        assert_eq!(rows(&mut session, select).await, [r#"{"status":"shop"}"#]);
        let name = views.sql_name(&shop, &TableShape::default()).await.unwrap();
        assert_eq!(name.name.unwrap(), "\"gavel_views\".\"orders@shop\"");
        views.restart_table(table).await.unwrap();
        assert!(
            rows(&mut session, select).await.is_empty(),
            "not before it is finished again"
        );
        let long = views
            .sql_name(&view("shop", &"x".repeat(60)), &TableShape::default())
            .await;
        assert!(long.unwrap().lacks.unwrap().contains("63 bytes"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_the_pointer_is_not_at_is_never_looked_at() {
    on_new_database(async |database: PostgresDatabase| {
        let views = database.open_views().await;
        let first = finished_with(&views, &orders(), "v1", &[("a", text("x"))]).await;
        let second = finished_with(&views, &orders(), "v2", &[("a", text("x"))]).await;
        let mut session = database.connect().await;
        for (number, active, other) in [(1, first, second), (2, second, first)] {
            point(&views, &orders(), Some(active), number).await;
            let explain = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT * FROM gavel_views.orders WHERE key = 'o-1'";
            let lines = plan(&mut session, explain).await;
            let of = |table: TableId| {
                let scan = lines.iter().find(|line| line.contains(&format!(" on v_{table} ")));
                scan.unwrap_or_else(|| panic!("{lines:?}"))
            };
            assert!(of(other).contains("never executed"), "{lines:?}");
            assert!(!of(active).contains("never executed"), "{lines:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reader_waits_for_a_swap_behind_one_that_does_not_end() {
    on_new_database(async |database: PostgresDatabase| {
        let views = database.open_views().await;
        let first = finished_with(&views, &orders(), "v1", &[("a", text("one"))]).await;
        let second = finished_with(&views, &orders(), "v2", &[("a", text("two"))]).await;
        point(&views, &orders(), Some(first), 1).await;
        let select = "SELECT a FROM gavel_views.orders";
        let (mut slow, mut quick) = (database.connect().await, database.connect().await);
        execute(&mut slow, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
        assert_eq!(rows(&mut slow, select).await, [r#"{"a":"one"}"#]);
        point(&views, &orders(), Some(second), 2).await;
        assert_eq!(rows(&mut quick, select).await, [r#"{"a":"two"}"#]);
        assert_eq!(rows(&mut slow, select).await, [r#"{"a":"one"}"#]);
        // A new table has to wait for the slow reader, and lets the others pass.
        let third = table_with(&views, &orders(), "v3", &[("a", text("three"))]).await;
        let finishing = tokio::spawn({
            let views = views.clone();
            async move { views.finish_table(third).await }
        });
        for _ in 0..20 {
            assert_eq!(rows(&mut quick, select).await, [r#"{"a":"two"}"#]);
        }
        assert!(!finishing.is_finished());
        execute(&mut slow, "COMMIT").await;
        finishing.await.unwrap().unwrap();
        point(&views, &orders(), Some(third), 3).await;
        assert_eq!(rows(&mut quick, select).await, [r#"{"a":"three"}"#]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_end_makes_a_table_unavailable_at_last() {
    on_new_database(async |database: PostgresDatabase| {
        let views = database.open_views().await;
        let first = finished_with(&views, &orders(), "v1", &[("a", text("one"))]).await;
        let mut slow = database.connect().await;
        execute(&mut slow, "BEGIN; SELECT a FROM gavel_views.orders").await;
        let late = views.drop_table(first).await.unwrap_err();
        assert!(late.is_retryable(), "{late:?}");
        execute(&mut slow, "COMMIT").await;
        views.drop_table(first).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_another_type_makes_the_name_anew_with_its_grants() {
    on_new_database(async |database: PostgresDatabase| {
        let views = database.open_views().await;
        let mut session = database.connect().await;
        let role = format!("gavel_bi_{}", Uuid::new_v4().simple());
        execute(&mut session, &format!("CREATE ROLE {role}")).await;
        let values = [("amount", Cell::Integer(7)), ("note", Cell::Number(1.5))];
        let first = finished_with(&views, &orders(), "v1", &values).await;
        point(&views, &orders(), Some(first), 1).await;
        let grants = format!(
            "GRANT SELECT ON gavel_views.orders TO PUBLIC; GRANT SELECT, DELETE ON gavel_views.orders TO {role} WITH GRANT OPTION; \
             GRANT UPDATE (amount) ON gavel_views.orders TO {role}"
        );
        execute(&mut session, &grants).await;
        let granted = "SELECT c.relacl::TEXT AS acl, a.attacl::TEXT AS column_acl FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid \
                       WHERE c.oid = 'gavel_views.orders'::REGCLASS AND a.attname = 'amount'";
        let before = rows(&mut session, granted).await;

        let same = views.sql_name(&orders(), &shape(&[("amount", ColumnType::Integer)])).await;
        assert!(same.unwrap().columns.is_empty());
        let values = [("note", Cell::Integer(1)), ("amount", text("seven"))];
        let kinds = [("note", ColumnType::Integer), ("amount", ColumnType::Text)];
        let name = views.sql_name(&orders(), &shape(&kinds)).await.unwrap();
        assert_eq!(name.columns, ["amount", "note"]);
        assert!(name.dependents.is_empty());
        let second = table_with(&views, &orders(), "v2", &values).await;

        execute(&mut session, "CREATE SCHEMA bi; CREATE VIEW bi.\"Totals\" AS SELECT amount FROM gavel_views.orders").await;
        let name = views.sql_name(&orders(), &shape(&kinds)).await.unwrap();
        assert_eq!(name.dependents, ["bi.\"Totals\""]);
        let refused = views.finish_table(second).await.unwrap_err();
        assert!(!refused.is_retryable());
        assert!(refused.to_string().contains("bi.\"Totals\""), "{refused}");
        assert_eq!(rows(&mut session, "SELECT * FROM bi.\"Totals\"").await, [r#"{"amount":7}"#]);

        execute(&mut session, "DROP VIEW bi.\"Totals\"").await;
        views.finish_table(second).await.unwrap();
        assert_eq!(rows(&mut session, granted).await, before);
        let select = "SELECT amount, note FROM gavel_views.orders";
        assert_eq!(rows(&mut session, select).await, [r#"{"amount":"7","note":null}"#]);
        point(&views, &orders(), Some(second), 2).await;
        assert_eq!(rows(&mut session, select).await, [r#"{"amount":"seven","note":1}"#]);
        // The other table goes, whatever its columns were.
        views.drop_table(first).await.unwrap();
        assert_eq!(rows(&mut session, select).await, [r#"{"amount":"seven","note":1}"#]);
        execute(&mut session, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    })
    .await;
}
