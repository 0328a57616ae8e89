//! Cases about views that do not move although there is work: what stops each is named, nothing is
//! lost, and it goes on.

use std::thread;

use gavel_tests::postgres::Session;
use gavel_tests::{Backend, COUNTER, Host, LIMIT, Store, component, eventually, revision};
use rusqlite::Connection;
use tokio::runtime::Runtime;

const TALLY: &str = "tally";

/// The thing that is in the way of a view.
#[derive(Debug)]
enum Obstacle {
    /// A lock that somebody keeps.
    Session(Session),
    /// The file of the rows, which somebody keeps.
    File(Connection),
    /// A rule that the rows are not to meet; the statement takes it away.
    Rule(&'static str),
}

/// A way to stop a view, and a part of what is said of it then.
struct Way {
    backend: Backend,
    stop: &'static str,
    reason: &'static str,
    /// Ends what a session does not end by itself.
    end: &'static str,
}

const COMMITS: &str = "it waits for its changes to be committed";

const WAYS: [Way; 6] = [
    // The locks take no transaction id, which would withhold the events themselves.
    Way {
        backend: Backend::Postgres,
        stop: "BEGIN; LOCK TABLE gavel_rows.v_1 IN SHARE MODE",
        reason: COMMITS,
        end: "",
    },
    Way {
        backend: Backend::Postgres,
        stop: "BEGIN; LOCK TABLE gavel_rows.tables IN SHARE MODE",
        reason: COMMITS,
        end: "",
    },
    Way {
        backend: Backend::Postgres,
        stop: "ALTER TABLE gavel_rows.v_1 ADD CONSTRAINT no_more CHECK (key <> 'c-1')",
        reason: "no_more",
        end: "ALTER TABLE gavel_rows.v_1 DROP CONSTRAINT no_more",
    },
    Way {
        backend: Backend::Postgres,
        stop: "ALTER TABLE gavel_rows.tables ADD CONSTRAINT no_more CHECK (row_count < 1)",
        reason: "no_more",
        end: "ALTER TABLE gavel_rows.tables DROP CONSTRAINT no_more",
    },
    Way {
        backend: Backend::Sqlite,
        stop: "BEGIN IMMEDIATE",
        reason: COMMITS,
        end: "",
    },
    Way {
        backend: Backend::Sqlite,
        stop: "CREATE TRIGGER no_more BEFORE UPDATE ON \"gavel_rows.tables\" BEGIN SELECT RAISE(ABORT, 'not today'); END",
        reason: "not today",
        end: "DROP TRIGGER no_more",
    },
];

impl Way {
    async fn obstruct(&self, store: &Store) -> Obstacle {
        let keeps = self.end.is_empty();
        match self.backend {
            Backend::Postgres if keeps => {
                let mut session = store.session();
                session.run(self.stop).unwrap();
                Obstacle::Session(session)
            }
            Backend::Postgres => {
                store.execute(self.stop).await;
                Obstacle::Rule(self.end)
            }
            Backend::Sqlite => {
                let file = Connection::open(store.rows_path()).unwrap();
                file.execute_batch(self.stop).unwrap();
                match keeps {
                    true => Obstacle::File(file),
                    false => Obstacle::Rule(self.end),
                }
            }
        }
    }

    async fn is_named_and_left_behind(&self) {
        let store = Store::new(self.backend).await;
        let host = Host::start(&store).await;
        let client = host.client();
        client.deploy_example(COUNTER).await;
        let tally = client.view(TALLY);
        tally.deploy(component(TALLY)).await;
        let obstacle = self.obstruct(&store).await;
        client.stream(COUNTER, "c-1").increment().await.accepted();

        let Self { stop, reason, .. } = self;
        let what = format!("`{stop}` is named as what keeps a view from moving: {reason}");
        eventually(&what, LIMIT, async || {
            let shown = tally.shown().await;
            let said = shown["rows"]["stalled"].as_str();
            said.is_some_and(|said| said.contains(reason)).then_some(())
        })
        .await;

        match obstacle {
            Obstacle::Session(session) => drop(session),
            Obstacle::File(file) => drop(file),
            Obstacle::Rule(end) => match self.backend {
                Backend::Postgres => store.execute(end).await,
                Backend::Sqlite => {
                    let file = Connection::open(store.rows_path()).unwrap();
                    file.execute_batch(end).unwrap();
                }
            },
        }
        assert_eq!(tally.row_now("c-1").await.json(200)["total"], 1, "{stop}");
    }
}

/// Each way has a thread of its own, since a session that waits blocks it.
#[test]
fn whatever_stops_a_view_is_named_and_nothing_is_lost() {
    thread::scope(|scope| {
        for way in &WAYS {
            scope.spawn(|| {
                let runtime = Runtime::new().unwrap();
                runtime.block_on(way.is_named_and_left_behind());
            });
        }
    });
}

/// An old snapshot keeps indexes from being made, and so a candidate from being activated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_waits_for_its_indexes_says_so() {
    let store = Store::new(Backend::Postgres).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("order").await;
    let orders = client.view("orders");
    orders.deploy(component("orders_view")).await;
    let mut session = store.session();
    session
        .run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .unwrap();
    session.row("SELECT count(*)::TEXT FROM events");
    let digest = orders.upload(revision(component("orders_view"), 2)).await;
    let deploying = orders.activate(&digest, &[]);
    let watching = async {
        eventually("the table says what it waits for", LIMIT, async || {
            let shown = orders.shown().await;
            let said = shown["candidate"]["stalled"].as_str();
            let reason = "the indexes of the table are being made";
            said.is_some_and(|said| said.contains(reason)).then_some(())
        })
        .await;
        drop(session);
    };
    let (activated, ()) = futures::join!(deploying, watching);
    assert!(activated["activation"].is_number(), "{activated}");
}
