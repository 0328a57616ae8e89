//! Deciders that are held while a candidate is shown the last of their events: whatever the
//! candidate does then, and whatever becomes of the host, the appends of others continue, and no
//! module becomes active that was not shown all events. Sessions of the database's own let the
//! cases begin at that moment.

use gavel_tests::postgres::Session;
use gavel_tests::{Answer, Backend, Host, LIMIT, Store, component, eventually, revision};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::gate::{
    DECIDER, activate, assert_counts, command, decider, finding, send, upload_bytes,
};

/// The key of the lock that appends share, and that a holder has alone.
const FENCE: &str = "gavel_fence_key('default', 'decider', 'candidate')";

/// A deposit that the candidates of these cases cannot fold, of no command and without the fence's
/// lock.
const IMPORT: &str = "SELECT append_event('Deposited', gen_random_uuid(), 'candidate', 'imported', '{\"amount\":13}', gen_random_uuid(), NULL)";

/// Two hosts of one database, of which one is about to hold the decider for the last look at a
/// candidate.
struct AboutToHold {
    store: Store,
    one: Host,
    two: Host,
    /// A session that has the fence's lock as an append has it.
    appending: Session,
    /// A session that has appended [`IMPORT`] and not committed it.
    importing: Session,
    activating: JoinHandle<Answer>,
}

/// Starts to activate a component, and waits until all looks at it are over but the one under the
/// hold.
async fn about_to_hold(candidate: Vec<u8>) -> AboutToHold {
    let store = Store::new(Backend::Postgres).await;
    let (one, two) = (Host::start(&store).await, Host::start(&store).await);
    let client = one.client();
    client.deploy_example(DECIDER).await;
    let open = command("c", "Open", &json!({ "owner": "ann" }));
    send(&client, vec![open]).await;
    let digest = upload_bytes(&client, candidate).await;
    let (mut appending, mut importing) = (store.session(), store.session());
    importing.rows("BEGIN");
    importing.rows(IMPORT);
    appending.rows(&format!("SELECT pg_advisory_lock_shared({FENCE})"));
    let activating = tokio::spawn(async move { activate(&client, &digest, &[]).await });
    appending.until_blocked(1);
    AboutToHold {
        store,
        one,
        two,
        appending,
        importing,
        activating,
    }
}

impl AboutToHold {
    /// Lets the activation hold the decider.
    fn let_hold(&mut self) {
        self.appending
            .rows(&format!("SELECT pg_advisory_unlock_shared({FENCE})"));
    }

    /// Lets the activation hold the decider, and waits until it does. On a machine so slow that the
    /// hold is not seen, the activation has released it already, and refused.
    async fn until_held(&mut self) {
        self.let_hold();
        let held = format!(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted \
             AND (classid::BIGINT << 32 | objid::BIGINT) = {FENCE}"
        );
        let (looking, activating) = (&mut self.importing, &self.activating);
        eventually("the decider is held", LIMIT, async || {
            (looking.row(&held) == "1" || activating.is_finished()).then_some(())
        })
        .await;
    }
}

/// Checks that a host carries out a command of the decider, and swaps its module for another one
/// that can fold everything.
async fn assert_goes_on(host: &Host) {
    let client = host.client();
    let deposit = json!({ "amount": 1 });
    let account = client.stream(DECIDER, "c");
    account.send("Deposit", deposit).await.accepted();
    let digest = upload_bytes(&client, revision(component(DECIDER), 2)).await;
    activate(&client, &digest, &[]).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_loops_while_the_decider_is_held_is_refused_and_keeps_nobody_waiting() {
    let mut case = about_to_hold(component("candidate-loops_on_event")).await;
    let before = decider(&case.two.client()).await;
    case.importing.rows("COMMIT");
    case.until_held().await;
    for host in [&case.one, &case.two] {
        let account = host.client().stream(DECIDER, "c");
        let deposit = json!({ "amount": 1 });
        account.send("Deposit", deposit).await.accepted();
    }

    let refused = case.activating.await.unwrap();
    let report = &refused.problem(422, "gate-refused")["report"];
    finding(report, "re-fold");
    assert_eq!(decider(&case.two.client()).await, before);
    assert_goes_on(&case.one).await;
    drop(case.store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_killed_while_it_holds_a_decider_keeps_no_other_from_it() {
    let mut case = about_to_hold(component("candidate-loops_on_event")).await;
    case.importing.rows("COMMIT");
    case.until_held().await;
    case.one.kill();
    assert_goes_on(&case.two).await;
    // Whoever has asked it has no answer, or was told before.
    if let Ok(refused) = case.activating.await {
        refused.problem(422, "gate-refused");
    }
    drop(case.store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_behind_the_back_of_a_holder_is_shown_to_the_candidate_before_the_swap() {
    let candidates = [
        (component("candidate-refuses_event"), true),
        (revision(component(DECIDER), 1), false),
    ];
    for (candidate, is_refused) in candidates {
        let mut case = about_to_hold(candidate).await;
        // Its last look is at a moment before the import, and ends after it.
        case.importing.rows("LOCK TABLE events");
        case.let_hold();
        case.appending.until_blocked(1);
        case.importing.rows("COMMIT");

        let answer = case.activating.await.unwrap();
        let answer = match is_refused {
            true => answer.problem(422, "gate-refused"),
            false => answer.json(201),
        };
        let report = &answer["report"];
        assert_counts(&report["caught_up"], &[("streams", 1)]);
        if is_refused {
            finding(report, "re-fold");
        }
        assert_goes_on(&case.one).await;
        drop((case.two, case.store));
    }
}
