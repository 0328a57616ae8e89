//! Heartbeats of hosts. Whether hosts see each other is up to a store.

use std::sync::Arc;

use gavel_model::HostId;
use uuid::Uuid;

use crate::Store;

async fn alive(store: &dyn Store, host: HostId, rows: &str) -> Vec<HostId> {
    store.beat(host, rows).await.unwrap()
}

pub(crate) async fn a_host_sees_itself_and_none_that_has_left_or_has_other_rows(
    store: Arc<dyn Store>,
) {
    let [one, two, elsewhere] = [(); 3].map(|()| Uuid::new_v4());
    assert_eq!(alive(&*store, one, "here").await, [one]);
    assert_eq!(alive(&*store, one, "here").await, [one]);
    assert_eq!(alive(&*store, elsewhere, "there").await, [elsewhere]);
    let seen = alive(&*store, two, "here").await;
    assert!(
        seen.contains(&two) && !seen.contains(&elsewhere),
        "{seen:?}"
    );
    store.leave(two).await.unwrap();
    store.leave(two).await.unwrap();
    assert_eq!(alive(&*store, one, "here").await, [one]);
}
