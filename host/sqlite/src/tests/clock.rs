//! A clock that is set back, under the rules that SQLite and memory share.

use std::sync::Mutex;

use gavel_model::Clock;
use gavel_store::{MemoryStore, Nacked, Store};
use time::OffsetDateTime;
use time::macros::datetime;

use super::*;

const NOON: OffsetDateTime = datetime!(2026-02-03 12:00 UTC);

/// A clock that tells the time to which it was set.
#[derive(Debug)]
struct SetClock(Mutex<OffsetDateTime>);

impl SetClock {
    fn set(&self, seconds_after_noon: i64) {
        *self.0.lock().unwrap() = NOON + time::Duration::seconds(seconds_after_noon);
    }
}

impl Clock for SetClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_prolongs_neither_a_lease_nor_a_rest() {
    let (file, clock) = (File::new(), Arc::new(SetClock(Mutex::new(NOON))));
    let sqlite = SqliteStore::open(file.path(), true, clock.clone()).await;
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
    for store in [memory, Arc::new(sqlite.unwrap())] {
        clock.set(0);
        activate_counter(&*store).await;
        grow(&*store, &stream("a"), 1).await;
        let id = ConsumerId::new(Namespace::default(), "all").unwrap();
        let settings = ConsumerSettings {
            filter: EventFilter::default(),
            lock_timeout: Duration::from_secs(60),
            max_attempts: 9,
            backoff: Duration::from_secs(30),
            push: None,
        };
        store
            .put_consumer(&id, &settings, Start::Beginning)
            .await
            .unwrap();
        let lease = async || store.lease(&id, 1, 1).await.unwrap().leases.pop();

        clock.set(7_200);
        lease().await.expect("it is free");
        // By less than it lasts: it ends when it was to.
        clock.set(7_150);
        assert_eq!(lease().await, None);
        clock.set(0);
        let held = lease().await.expect("it is over");

        clock.set(7_200);
        let held = lease().await.filter(|_| held.attempt == 2).unwrap();
        let rest = store.nack(&id, held.id, None, "").await.unwrap();
        assert!(matches!(rest, Nacked::Delayed(rest) if rest > Duration::from_secs(60)));
        clock.set(7_180);
        assert_eq!(lease().await, None);
        clock.set(0);
        lease().await.expect("the rest is over");
    }
}
