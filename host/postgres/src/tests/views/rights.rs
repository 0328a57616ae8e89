//! Hosts whose roles may not do everything.

use super::*;

/// A role without rights, for the time of a test.
struct WeakRole(String);

impl WeakRole {
    async fn create(session: &mut PgConnection) -> Self {
        let role = format!("gavel_weak_{}", Uuid::new_v4().simple());
        execute(
            session,
            &format!("CREATE ROLE {role} LOGIN PASSWORD 'weak'"),
        )
        .await;
        Self(role)
    }

    fn options(&self, database: &PostgresDatabase) -> PostgresOptions {
        let server = database.server.clone().username(&self.0).password("weak");
        let mut url = server.to_url_lossy();
        url.set_path(&database.name);
        PostgresOptions {
            url: url.into(),
            ..database.options()
        }
    }

    async fn drop(self, session: &mut PgConnection) {
        execute(
            session,
            &format!("DROP OWNED BY {0}; DROP ROLE {0}", self.0),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_make_no_schema_is_told_so_with_each_call_and_runs() {
    on_new_database(async |database: PostgresDatabase| {
        let mut session = database.connect().await;
        let role = WeakRole::create(&mut session).await;
        let views = PostgresViews::open(role.options(&database)).await.unwrap();
        let refused = views.tables().await.unwrap_err();
        assert!(
            refused.to_string().contains("CREATE on the database"),
            "{refused}"
        );
        for refused in [
            views.read(&orders(), &key("o-1")).await.map(drop),
            views.query(&orders(), &RowQuery::default()).await.map(drop),
            views
                .point(&orders(), None, ActivationNumber::new(1))
                .await
                .map(drop),
            views.hold_tables(&[]).await.map(drop),
            views.drop_table(TableId::new(1)).await,
            views.finish_table(TableId::new(1)).await,
            views
                .sql_name(&orders(), &TableShape::default())
                .await
                .map(drop),
        ] {
            assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
        }
        views.close().await;
        role.drop(&mut session).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_make_no_tables_has_rows_in_one_without_columns() {
    on_new_database(async |database: PostgresDatabase| {
        database.open_views().await;
        let mut session = database.connect().await;
        let role = WeakRole::create(&mut session).await;
        let grants = format!(
            "GRANT USAGE ON SCHEMA gavel_rows TO {0}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA gavel_rows TO {0}",
            role.0
        );
        execute(&mut session, &grants).await;
        let views = PostgresViews::open(role.options(&database)).await.unwrap();
        let name = views
            .sql_name(&orders(), &TableShape::default())
            .await
            .unwrap();
        assert_eq!(name.name, None);
        assert!(
            name.lacks
                .unwrap()
                .contains("CREATE on the schema `gavel_rows`")
        );

        let values = [("status", text("open")), ("amount", Cell::Integer(7))];
        let table = finished_with(&views, &orders(), "v1", &values).await;
        let other = finished_with(&views, &orders(), "v2", &values).await;
        let json = r#"{"status": "open", "amount": 7}"#;
        let put = KeyedRow {
            key: key("o-2"),
            value: Json::parse(json).unwrap(),
            cells: values.iter().map(|(_, cell)| Some(cell.clone())).collect(),
            position: at(2),
        };
        let change = RowsChange {
            put: vec![put],
            ended: vec![key("o-1")],
            ..RowsChange::moving(table, at(1), at(2))
        };
        views.commit(change).await.unwrap();
        point(&views, &orders(), Some(table), 1).await;
        let read = views.read(&orders(), &key("o-2")).await.unwrap().unwrap();
        assert!(read.value.is_some());
        let query = RowQuery {
            equal: vec![("status".to_owned(), text("open"))],
            range: Some(RowRange {
                column: "amount".to_owned(),
                lower: std::ops::Bound::Included(Cell::Integer(7)),
                upper: std::ops::Bound::Unbounded,
            }),
            limit: 10,
            ..RowQuery::default()
        };
        let page = views.query(&orders(), &query).await.unwrap().unwrap();
        assert_eq!(page.rows.len(), 1);
        assert_eq!(
            views.sums(table, &["amount".to_owned()]).await.unwrap(),
            [7.0]
        );
        assert_eq!(views.scan(table, None, 10).await.unwrap().0.items.len(), 1);
        views.drop_table(other).await.unwrap();
        views.restart_table(table).await.unwrap();
        let left = rows(&mut session, "SELECT * FROM gavel_rows.generic").await;
        assert!(left.is_empty(), "{left:?}");
        views.close().await;
        role.drop(&mut session).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_make_no_sql_views_has_tables_without_names() {
    on_new_database(async |database: PostgresDatabase| {
        let mut session = database.connect().await;
        let role = WeakRole::create(&mut session).await;
        let grants = format!(
            "GRANT CREATE ON DATABASE {1} TO {0}; CREATE SCHEMA gavel_views; GRANT USAGE ON SCHEMA gavel_views TO {0}",
            role.0, database.name
        );
        execute(&mut session, &grants).await;
        let views = PostgresViews::open(role.options(&database)).await.unwrap();
        let name = views
            .sql_name(&orders(), &TableShape::default())
            .await
            .unwrap();
        assert!(name.lacks.unwrap().contains("CREATE on the schema `gavel_views`"));
        let table = finished_with(&views, &orders(), "v1", &[("a", text("x"))]).await;
        point(&views, &orders(), Some(table), 1).await;
        let read = views.read(&orders(), &key("o-1")).await.unwrap().unwrap();
        assert!(read.value.is_some());
        let shown = rows(&mut session, "SELECT a FROM gavel_rows.v_1").await;
        assert_eq!(shown, [r#"{"a":"x"}"#]);
        views.close().await;
        role.drop(&mut session).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn installations_in_two_schemas_of_a_database_share_no_rows() {
    on_new_database(async |database: PostgresDatabase| {
        let mut session = database.connect().await;
        execute(&mut session, "CREATE SCHEMA \"My App\"").await;
        let mut options = database.options();
        let separator = if options.url.contains('?') { '&' } else { '?' };
        options.url.push(separator);
        options
            .url
            .push_str("options=-c%20search_path%3D%22My%5C%20App%22");
        let here = PostgresViews::open(options).await.unwrap();
        let there = database.open_views().await;
        let table = finished_with(&here, &orders(), "v1", &[("a", text("here"))]).await;
        point(&here, &orders(), Some(table), 1).await;
        assert!(there.tables().await.unwrap().is_empty());
        assert!(there.read(&orders(), &key("o-1")).await.unwrap().is_none());
        let other = finished_with(&there, &orders(), "v1", &[("a", text("there"))]).await;
        point(&there, &orders(), Some(other), 1).await;
        // Their locks are of two kinds.
        let hold = here.hold_tables(&[table]).await.unwrap();
        there
            .commit(RowsChange::moving(other, at(1), at(2)))
            .await
            .unwrap();
        drop(hold);
        let shown = rows(&mut session, "SELECT a FROM \"My App_gavel_views\".orders").await;
        assert_eq!(shown, [r#"{"a":"here"}"#]);
        let shown = rows(&mut session, "SELECT a FROM gavel_views.orders").await;
        assert_eq!(shown, [r#"{"a":"there"}"#]);
    })
    .await;
}
