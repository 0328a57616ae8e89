//! Twin: disintegrate with disintegrate-postgres. The best variant keeps a snapshot after every ten
//! events.

use std::fmt;

use disintegrate::serde::json::Json;
use disintegrate::{Decision, DecisionError, NoSnapshot, StateMutate, StateQuery, WithSnapshot};
use disintegrate_postgres::{PgDecisionMaker, PgEventStore, PgSnapshotter, WithPgSnapshot};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use twin::{Accounts, Arguments, Command, Error, Refusal, Stored};

/// The package's own migration stops half-way on PostgreSQL 15, which knows no hexadecimal numbers.
/// This is what it lacks: the function that announces a writer, with a decimal mask, and what the
/// migration does for an identifier.
const FOR_POSTGRES_15: &str = "
CREATE FUNCTION event_store_begin_epoch() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    newest   BIGINT := (SELECT last_value FROM seq_event_event_id);
    database INT    := (SELECT oid FROM pg_database WHERE datname = current_database());
BEGIN
    PERFORM pg_try_advisory_xact_lock_shared(database, 0);
    PERFORM pg_try_advisory_xact_lock_shared(1, (newest & 4294967295)::bit(32)::integer);
    PERFORM pg_try_advisory_xact_lock_shared(2, (newest >> 32)::bit(32)::integer);
END $$;
ALTER TABLE event ADD COLUMN account TEXT;
CREATE INDEX ON event (account) WHERE account IS NOT NULL;
";

#[derive(Debug, Clone, PartialEq, Eq, disintegrate::Event, Serialize, Deserialize)]
#[stream(AccountEvent, [Opened, Deposited])]
enum DomainEvent {
    Opened {
        #[id]
        account: String,
        owner: String,
    },
    Deposited {
        #[id]
        account: String,
        amount: u64,
    },
}

#[derive(Debug, Default, Clone, StateQuery, Serialize, Deserialize)]
#[state_query(AccountEvent)]
struct Account {
    #[id]
    account: String,
    state: twin::Account,
}

impl StateMutate for Account {
    fn mutate(&mut self, event: AccountEvent) {
        self.state.evolve(&match event {
            AccountEvent::Opened { owner, .. } => twin::Event::Opened { owner },
            AccountEvent::Deposited { amount, .. } => twin::Event::Deposited { amount },
        });
    }
}

#[derive(Debug)]
struct Rejection(&'static str);

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Rejection {}

struct Order {
    account: String,
    command: Command,
}

impl Decision for Order {
    type Event = DomainEvent;
    type StateQuery = Account;
    type Error = Rejection;

    fn state_query(&self) -> Account {
        Account {
            account: self.account.clone(),
            ..Account::default()
        }
    }

    fn process(&self, account: &Account) -> Result<Vec<DomainEvent>, Rejection> {
        let id = self.account.clone();
        let event = account.state.decide(&self.command).map_err(Rejection)?;
        Ok(vec![match event {
            twin::Event::Opened { owner } => DomainEvent::Opened { account: id, owner },
            twin::Event::Deposited { amount } => DomainEvent::Deposited {
                account: id,
                amount,
            },
        }])
    }
}

type Maker<S> = PgDecisionMaker<DomainEvent, Json<DomainEvent>, S>;

enum Disintegrate {
    Default(Maker<NoSnapshot>),
    Best(Maker<WithPgSnapshot>),
}

impl Accounts for Disintegrate {
    async fn attempt(&self, id: &str, command: &Command) -> Result<Stored, Refusal> {
        let order = Order {
            account: id.to_owned(),
            command: command.clone(),
        };
        let made = match self {
            Self::Default(maker) => maker.make(order).await,
            Self::Best(maker) => maker.make(order).await,
        };
        match made {
            Ok(_) => Ok(Stored {
                version: None,
                event: None,
            }),
            Err(DecisionError::Domain(Rejection(code))) => Err(Refusal::Rejected(code.to_owned())),
            Err(DecisionError::EventStore(error) | DecisionError::StateStore(error))
                if is_conflict(&*error) =>
            {
                Err(Refusal::Conflict)
            }
            Err(error) => Err(Refusal::Failed(error.to_string().into())),
        }
    }
}

/// Tells whether an error is a conflict. Appends are serializable transactions, any statement of
/// which may fail because of others.
fn is_conflict(error: &(dyn std::error::Error + 'static)) -> bool {
    match error.downcast_ref() {
        Some(disintegrate_postgres::Error::Concurrency) => true,
        Some(disintegrate_postgres::Error::Database(sqlx::Error::Database(error))) => {
            error.code().as_deref() == Some("40001")
        }
        _ => false,
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments = Arguments::parse()?;
    let pool = PgPoolOptions::new()
        .max_connections(arguments.pick(10, 32))
        .connect(&arguments.database_url)
        .await?;
    let store = match PgEventStore::try_new(pool.clone(), Json::<DomainEvent>::default()).await {
        Ok(store) => store,
        Err(_) => {
            sqlx::raw_sql(FOR_POSTGRES_15).execute(&pool).await?;
            PgEventStore::new_uninitialized(pool.clone(), Json::<DomainEvent>::default())
        }
    };
    let disintegrate = if arguments.is_best {
        let snapshots = WithSnapshot::new(PgSnapshotter::try_new(pool, 10).await?);
        Disintegrate::Best(disintegrate_postgres::decision_maker(store, snapshots))
    } else {
        Disintegrate::Default(disintegrate_postgres::decision_maker(store, NoSnapshot))
    };
    twin::serve(arguments.address, disintegrate).await
}
