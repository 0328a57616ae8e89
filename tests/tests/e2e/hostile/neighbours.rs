//! A module that takes what its neighbours need, without breaking any limit of a single call.

use futures::future::join_all;
use gavel_tests::{Host, Store, on_every_store};
use serde_json::json;

on_every_store! {
    streams_that_break_their_instances_do_not_use_up_the_address_space,
}

/// Each of them gets an instance of its own once it has broken one, and each instance reserves gigabytes of address space.
async fn streams_that_break_their_instances_do_not_use_up_the_address_space(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("hostile").await;
    let break_and_go_on = async |numbers: std::ops::Range<u32>| {
        let streams = numbers.map(|number| {
            let stream = client.stream("hostile", &format!("suspect-{number}"));
            async move {
                stream
                    .send("Trap", json!({}))
                    .await
                    .problem(500, "module-trapped");
                stream.increment().await.accepted();
            }
        });
        join_all(streams).await;
    };

    break_and_go_on(0..40).await;
    let after_40 = host.address_space_bytes();
    break_and_go_on(40..120).await;
    let after_120 = host.address_space_bytes();
    assert!(
        after_120 < after_40 * 3 / 2,
        "{after_40} bytes after 40 streams, {after_120} after 120"
    );

    // Whose instance has been thrown away goes on from where it was.
    let first = client.stream("hostile", "suspect-0");
    assert_eq!(first.increment().await.accepted().version, 2);
}
