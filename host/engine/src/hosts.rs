//! The hosts that are alive, and the one of them that does a piece of work.
//!
//! Each piece of work belongs to one host, on which all agree that see the same hosts. A wrong
//! answer does no harm where several may do the work: then it is done twice, or a little later.

use std::sync::Arc;
use std::time::Duration;

use gavel_model::{HostId, new_id};
use gavel_store::HeartbeatStore;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The time between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);

/// The hosts that are alive, as this one has heard last.
#[derive(Debug)]
pub(crate) struct LiveHosts {
    store: Arc<dyn HeartbeatStore>,
    /// The place of the rows, which all of them share.
    rows: String,
    own: HostId,
    /// The hosts, sorted; none until something was heard.
    alive: watch::Sender<Vec<HostId>>,
}

impl LiveHosts {
    /// Makes the view of a host that has its rows of views at a place.
    pub(crate) fn new(store: Arc<dyn HeartbeatStore>, rows: &str) -> Self {
        Self {
            store,
            rows: rows.to_owned(),
            own: new_id(),
            alive: watch::Sender::default(),
        }
    }

    /// Says that this host is alive, until `stop` is cancelled, and then that it leaves.
    pub(crate) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut is_heard = true;
        loop {
            let beat = tokio::select! {
                beat = self.store.beat(self.own, &self.rows) => beat,
                () = stop.cancelled() => break,
            };
            match beat {
                Ok(alive) => {
                    is_heard = true;
                    self.hear(alive);
                }
                // Who cannot be heard of may be alive: all stay as they were.
                Err(error) => {
                    if is_heard {
                        is_heard = false;
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "this host cannot say that it is alive, another one may do its work as well"
                        );
                    }
                    if !error.is_retryable() {
                        // As where the host's role may not: nobody shares the work then.
                        self.hear(vec![self.own]);
                    }
                }
            }
            tokio::select! {
                () = sleep(BEAT) => {}
                () = stop.cancelled() => break,
            }
        }
        // Others find out by its silence as well.
        let left = timeout(BEAT, self.store.leave(self.own)).await;
        if !matches!(left, Ok(Ok(()))) {
            tracing::debug!("the other hosts do not know yet that this one has ended");
        }
    }

    fn hear(&self, mut alive: Vec<HostId>) {
        alive.sort_unstable();
        self.alive.send_if_modified(|known| {
            let is_news = *known != alive;
            if is_news {
                if known.len().max(alive.len()) > 1 {
                    tracing::info!(
                        hosts = alive.len(),
                        "the hosts that share the work have changed"
                    );
                }
                *known = alive;
            }
            is_news
        });
    }

    /// Changes when other hosts are alive than before.
    pub(crate) fn changes(&self) -> watch::Receiver<Vec<HostId>> {
        self.alive.subscribe()
    }

    /// Tells whether other hosts share the work.
    pub(crate) fn has_others(&self) -> bool {
        self.alive.borrow().len() > 1
    }

    /// Tells whether a piece of work belongs to this host. None does before it has heard of itself.
    pub(crate) fn owns(&self, work: &str) -> bool {
        owner(&self.alive.borrow(), work) == Some(self.own)
    }
}

/// The host to which a piece of work belongs. When one comes or goes, only its own work moves.
fn owner(alive: &[HostId], work: &str) -> Option<HostId> {
    let weight = |host: &&HostId| -> [u8; 32] {
        // The same in each version of this program: two that disagree leave work undone.
        let hash = Sha256::new().chain_update(host.as_bytes());
        hash.chain_update(work).finalize().into()
    };
    alive.iter().max_by_key(weight).copied()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use gavel_store::Error;

    use super::*;

    /// Answers of a store, last one first.
    #[derive(Debug)]
    struct Answers(Mutex<Vec<Result<Vec<HostId>, Error>>>);

    #[async_trait]
    impl HeartbeatStore for Answers {
        async fn beat(&self, host: HostId, _: &str) -> Result<Vec<HostId>, Error> {
            let answer = self.0.lock().unwrap().pop();
            match answer {
                Some(Ok(mut others)) => {
                    others.push(host);
                    Ok(others)
                }
                Some(Err(error)) => Err(error),
                None => std::future::pending().await,
            }
        }
    }

    fn works(count: u32) -> impl Iterator<Item = String> {
        (0..count).map(|number| format!("work {number}"))
    }

    /// Beats with one answer after the other, and gives how much of 100 pieces of work this host
    /// owned after each.
    async fn owned(answers: Vec<Result<Vec<HostId>, Error>>) -> Vec<usize> {
        let mut owned = Vec::new();
        for count in 1..=answers.len() {
            let of_store = answers[..count].iter().rev().map(|answer| match answer {
                Ok(hosts) => Ok(hosts.clone()),
                Err(error) => Err(error.clone_for_waiter()),
            });
            let store = Arc::new(Answers(Mutex::new(of_store.collect())));
            let hosts = Arc::new(LiveHosts::new(store.clone(), ""));
            let keeping = tokio::spawn(hosts.clone().keep(CancellationToken::new()));
            while !store.0.lock().unwrap().is_empty() {
                sleep(BEAT).await;
            }
            owned.push(works(100).filter(|work| hosts.owns(work)).count());
            keeping.abort();
        }
        owned
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_cannot_hear_declares_nobody_dead() {
        let away = || Err(Error::Unavailable("away".into()));
        let owned = owned(vec![away(), Ok(vec![new_id()]), away(), Ok(vec![])]).await;
        assert_eq!((owned[0], owned[3]), (0, 100));
        for shared in &owned[1..3] {
            assert!((20..80).contains(shared), "{owned:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_may_not_say_that_it_is_alive_does_all_the_work() {
        let refused = Err(Error::Refused("permission denied".to_owned()));
        assert_eq!(owned(vec![refused]).await, [100]);
    }

    #[test]
    fn work_moves_only_from_those_that_go() {
        let hosts: Vec<HostId> = (1..=5).map(HostId::from_u128).collect();
        let (gone, left) = hosts.split_last().unwrap();
        let mut moved = 0;
        for work in works(1_000) {
            let (before, after) = (owner(&hosts, &work), owner(left, &work));
            assert!(before == after || before == Some(*gone), "{work}");
            moved += usize::from(before != after);
        }
        assert!((100..300).contains(&moved), "{moved}");
        assert_eq!(owner(&[], "work 1"), None);
        // In each version of this program.
        assert_eq!(owner(&hosts, "work 7"), Some(HostId::from_u128(3)));
    }
}
