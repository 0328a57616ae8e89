//! The look-ups that share a statement, and the results of each.

use std::task::Poll;

use futures::future::BoxFuture;
use gavel_model::CommandOutcome;
use uuid::Uuid;

use super::*;
use crate::conformance::support::{command, stream};

/// A statement that a look-up has led to, and how to answer it. Unanswered, it panics.
struct Statement {
    wanted: Vec<Key>,
    answer: oneshot::Sender<Result<Vec<Found>, Error>>,
}

impl Statement {
    fn ids(&self) -> Vec<CommandId> {
        self.wanted.iter().map(|(_, id)| *id).collect()
    }

    /// Finds every command that was asked for.
    fn find_all(self) {
        let found = self.wanted.iter().map(|(_, id)| Ok(Some(record(*id))));
        let found = found.collect();
        self.answer.send(Ok(found)).unwrap();
    }
}

/// Passes each statement on to the test.
struct Scripted(mpsc::UnboundedSender<Statement>);

#[async_trait]
impl Ledger for Scripted {
    async fn find(&self, wanted: Vec<Key>) -> Result<Vec<Found>, Error> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Statement { wanted, answer }).ok().unwrap();
        answered
            .await
            .expect("the test has let the statement panic")
    }
}

fn scripted() -> (Lookups, mpsc::UnboundedReceiver<Statement>) {
    let (sender, statements) = mpsc::unbounded_channel();
    (Lookups::start(Scripted(sender)), statements)
}

fn record(command_id: CommandId) -> CommandRecord {
    CommandRecord {
        command_id,
        ..command(&stream("c"), 0, CommandOutcome::Accepted { events: 0 })
    }
}

/// A look-up that has come, and waits for its answer.
async fn look_up(lookups: &Lookups, id: CommandId) -> BoxFuture<'static, Found> {
    let lookups = lookups.clone();
    let mut asking = async move { lookups.find(&Namespace::default(), id).await }.boxed();
    assert!(matches!(futures::poll!(&mut asking), Poll::Pending));
    asking
}

/// The ids of `N` commands.
fn ids<const N: usize>() -> [CommandId; N] {
    [(); N].map(|()| Uuid::now_v7())
}

fn id_of(found: Found) -> CommandId {
    found.unwrap().unwrap().command_id
}

fn is_unavailable(found: &Found) -> bool {
    matches!(found, Err(Error::Unavailable(_)))
}

#[tokio::test]
async fn a_lone_look_up_waits_for_nobody() {
    let (lookups, mut statements) = scripted();
    for id in ids::<3>() {
        let asking = look_up(&lookups, id).await;
        let statement = statements.recv().await.unwrap();
        assert_eq!(statement.ids(), [id]);
        statement.find_all();
        assert_eq!(id_of(asking.await), id);
    }
}

#[tokio::test]
async fn what_comes_while_a_statement_is_under_way_shares_the_next_one() {
    let (lookups, mut statements) = scripted();
    let [first, second, third] = ids();
    let asking = look_up(&lookups, first).await;
    let statement = statements.recv().await.unwrap();
    let mut gathered = Vec::new();
    // The same command once more is not answered by a statement that began before.
    for id in [second, first, third, second] {
        gathered.push(look_up(&lookups, id).await);
    }
    assert_eq!(statement.ids(), [first]);
    statement.find_all();
    assert_eq!(id_of(asking.await), first);

    let statement = statements.recv().await.unwrap();
    assert_eq!(statement.ids(), [second, first, third, second]);
    statement.find_all();
    let found = futures::future::join_all(gathered).await;
    let found: Vec<_> = found.into_iter().map(id_of).collect();
    assert_eq!(found, [second, first, third, second]);
}

#[tokio::test]
async fn more_than_a_statement_takes_is_spread_over_several() {
    let (lookups, mut statements) = scripted();
    let all: Vec<_> = (0..=MAX_TOGETHER).map(|_| Uuid::now_v7()).collect();
    let asking = tokio::spawn({
        let (lookups, all) = (lookups.clone(), all.clone());
        async move {
            let here = Namespace::default();
            let asking = all.iter().map(|id| lookups.find(&here, *id));
            futures::future::join_all(asking).await
        }
    });
    let mut asked = Vec::new();
    while asked.len() < all.len() {
        let statement = statements.recv().await.unwrap();
        assert!(statement.wanted.len() <= MAX_TOGETHER);
        asked.extend(statement.ids());
        statement.find_all();
    }
    let found: Vec<_> = asking.await.unwrap().into_iter().map(id_of).collect();
    assert_eq!(found, all);
}

#[tokio::test]
async fn a_statement_that_fails_harms_its_own_look_ups_alone() {
    let (lookups, mut statements) = scripted();
    let [first, second, third, fourth] = ids();
    let fails = [
        look_up(&lookups, first).await,
        look_up(&lookups, second).await,
    ];
    let failing = statements.recv().await.unwrap();
    let later = look_up(&lookups, third).await;
    let lost = Error::Unavailable("connection reset".into());
    failing.answer.send(Err(lost)).unwrap();
    for found in futures::future::join_all(fails).await {
        assert!(is_unavailable(&found), "{found:?}");
    }

    // Nor does one that panics.
    drop(statements.recv().await.unwrap());
    assert!(is_unavailable(&later.await));
    let asking = look_up(&lookups, fourth).await;
    statements.recv().await.unwrap().find_all();
    assert_eq!(id_of(asking.await), fourth);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_harms_the_look_up_that_found_it_alone() {
    let (lookups, mut statements) = scripted();
    let [damaged, whole, unknown] = ids();
    let mut asking = Vec::new();
    for id in [damaged, whole, unknown] {
        asking.push(look_up(&lookups, id).await);
    }
    let statement = statements.recv().await.unwrap();
    let unreadable = Error::Corrupt {
        what: "command",
        reason: "it is damaged".to_owned(),
    };
    let found = vec![Err(unreadable), Ok(Some(record(whole))), Ok(None)];
    statement.answer.send(Ok(found)).unwrap();
    let [first, second, third] = asking.try_into().ok().unwrap();
    assert!(matches!(first.await, Err(Error::Corrupt { .. })));
    assert_eq!(id_of(second.await), whole);
    assert_eq!(third.await.unwrap(), None);
}

#[tokio::test]
async fn a_look_up_that_is_dropped_is_not_made_and_harms_nobody() {
    let (lookups, mut statements) = scripted();
    let [under_way, beside, waiting, behind] = ids();
    let dropped = look_up(&lookups, under_way).await;
    let kept = look_up(&lookups, beside).await;
    let statement = statements.recv().await.unwrap();
    assert_eq!(statement.ids(), [under_way, beside]);
    drop(dropped);
    drop(look_up(&lookups, waiting).await);
    let last = look_up(&lookups, behind).await;
    statement.find_all();
    assert_eq!(id_of(kept.await), beside);

    let statement = statements.recv().await.unwrap();
    assert_eq!(statement.ids(), [behind]);
    statement.find_all();
    assert_eq!(id_of(last.await), behind);

    // With nobody left there is no statement at all.
    drop(look_up(&lookups, waiting).await);
    drop(lookups);
    assert!(statements.recv().await.is_none());
}
