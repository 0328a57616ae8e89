//! Subscriptions and tails. Time is paused: it passes when everybody waits.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use gavel_model::Namespace;
use gavel_store::{LogFilter, PAGE_BYTES};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{sleep, timeout};

use super::testing::{TestStore, at, from, next};
use super::{Delivery, Subscription};

/// Long enough for everything that is not for ever.
const LONG: Duration = Duration::from_secs(60);

fn store_with(ids: &[&str]) -> Arc<TestStore> {
    let store = Arc::new(TestStore::default());
    ids.iter().for_each(|id| store.append(id));
    store
}

fn is_waiting(subscription: &mut Subscription) -> bool {
    subscription.next().now_or_never().is_none()
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_comes_first_then_what_is_appended() {
    let store = store_with(&["a", "b", "c"]);
    let mut subscription = from(&store.log(), 1);
    assert_eq!(next(&mut subscription).await, "2 3");
    assert_eq!(next(&mut subscription).await, "caught up");
    for number in 4..20_u64 {
        store.append("a");
        assert_eq!(next(&mut subscription).await, number.to_string());
        assert_eq!(subscription.position(), at(number));
    }
    assert!(is_waiting(&mut subscription));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_empty_log_is_told_once() {
    let store = store_with(&[]);
    let mut subscription = from(&store.log(), 0);
    assert_eq!(next(&mut subscription).await, "caught up");
    sleep(LONG).await;
    assert!(is_waiting(&mut subscription));
    store.append("a");
    assert_eq!(next(&mut subscription).await, "1");
}

#[tokio::test(start_paused = true)]
async fn what_a_filter_leaves_out_is_passed_over() {
    let store = store_with(&["a", "b", "a"]);
    let filter = LogFilter {
        id_pattern: Some("b".to_owned()),
        ..LogFilter::default()
    };
    let mut subscription = store.log().subscribe(Namespace::default(), filter, at(0));
    assert_eq!(next(&mut subscription).await, "2");
    assert_eq!(next(&mut subscription).await, "caught up");
    assert_eq!(subscription.position(), at(3));
    for id in ["a", "b", "a"] {
        store.append(id);
    }
    assert_eq!(next(&mut subscription).await, "5");
    assert!(
        tokio::time::timeout(LONG, subscription.next())
            .await
            .is_err()
    );
    assert_eq!(subscription.position(), at(6), "it moves on while it waits");
}

#[tokio::test(start_paused = true)]
async fn namespaces_never_mix() {
    let store = store_with(&[]);
    let log = store.log();
    let other = Namespace::new("other").unwrap();
    let mut others = log.subscribe(other, LogFilter::default(), at(0));
    let mut ours = from(&log, 0);
    assert_eq!(next(&mut ours).await, "caught up");
    assert_eq!(next(&mut others).await, "caught up");
    for _ in 0..3 {
        store.append_to("other", "a", "{}");
        store.append("a");
    }
    assert_eq!(next(&mut others).await, "1 3 5");
    assert_eq!(next(&mut ours).await, "2 4 6");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_for_a_reader_that_does_not_ask() {
    let store = store_with(&[]);
    for _ in 0..5_000 {
        store.append("a");
    }
    let mut subscription = from(&store.log(), 0);
    sleep(LONG).await;
    assert_eq!(store.reads(), 0);
    subscription.next().await;
    sleep(LONG).await;
    assert_eq!(store.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_page_is_bounded_by_what_its_events_take_up() {
    const COUNT: usize = 120;
    let store = store_with(&[]);
    let data = format!("\"{}\"", "x".repeat(PAGE_BYTES / 5));
    for number in 0..COUNT {
        store.append_to("default", "a", if number % 3 == 0 { &data } else { "{}" });
    }
    let mut subscription = from(&store.log(), 0);
    let mut seen = 0;
    while seen < COUNT {
        let Delivery::Events(events) = subscription.next().await else {
            panic!("events");
        };
        let bytes: usize = events.iter().map(|e| e.event.data.as_str().len()).sum();
        assert!(bytes <= PAGE_BYTES, "{bytes}");
        seen += events.iter().count();
    }
    assert_eq!(seen, COUNT);
    assert!(store.reads() < COUNT / 4, "{} reads", store.reads());
}

#[tokio::test(start_paused = true)]
async fn many_followers_cost_one_reading() {
    let store = store_with(&[]);
    let log = store.log();
    let mut followers: Vec<_> = (0..100).map(|_| from(&log, 0)).collect();
    for follower in &mut followers {
        assert_eq!(next(follower).await, "caught up");
    }
    sleep(LONG).await;
    let before = store.reads();
    store.append("a");
    for follower in &mut followers {
        assert_eq!(next(follower).await, "1");
    }
    assert!(store.reads() - before <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_far_behind_misses_nothing_and_is_told_when_it_is_back() {
    let store = store_with(&[]);
    let log = store.log();
    let mut slow = from(&log, 0);
    let mut quick = from(&log, 0);
    assert_eq!(next(&mut slow).await, "caught up");
    assert_eq!(next(&mut quick).await, "caught up");
    let data = format!("\"{}\"", "x".repeat(100_000));
    for number in 1..=100_u64 {
        store.append_to("default", "a", &data);
        store.wake();
        assert_eq!(next(&mut quick).await, number.to_string());
    }
    let mut seen = Vec::new();
    loop {
        match next(&mut slow).await.as_str() {
            "caught up" => break,
            offsets => seen.extend(offsets.split(' ').map(|o| o.parse::<u64>().unwrap())),
        }
    }
    assert_eq!(seen, (1..=100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn pages_that_nobody_fetches_are_let_go() {
    let store = store_with(&[]);
    let log = store.log();
    let mut slow = from(&log, 0);
    assert_eq!(next(&mut slow).await, "caught up");
    store.append("a");
    sleep(LONG).await;
    let before = store.reads();
    assert_eq!(next(&mut slow).await, "1");
    assert_eq!(store.reads(), before + 1, "it was read again");
    assert_eq!(next(&mut slow).await, "caught up");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_is_told_in_its_place_to_everybody() {
    let store = store_with(&["a", "b", "c"]);
    store.spoil(2);
    store.spoil(5);
    let log = store.log();
    let mut followers = [from(&log, 0), from(&log, 1)];
    assert_eq!(next(&mut followers[0]).await, "1");
    for follower in &mut followers {
        assert_eq!(next(follower).await, "malformed 2");
        assert_eq!(follower.position(), at(2));
        assert_eq!(next(follower).await, "3");
        assert_eq!(next(follower).await, "caught up");
    }
    for _ in 0..3 {
        store.append("a");
    }
    for follower in &mut followers {
        assert_eq!(next(follower).await, "4");
        assert_eq!(next(follower).await, "malformed 5");
        assert_eq!(next(follower).await, "6");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_or_comes_without_a_word_is_found_by_polling() {
    let store = store_with(&[]);
    let mut subscription = from(&store.log(), 0);
    assert_eq!(next(&mut subscription).await, "caught up");
    store.hold_from(Some(1));
    store.append("a");
    store.append("a");
    assert!(
        tokio::time::timeout(LONG, subscription.next())
            .await
            .is_err()
    );
    store.hold_from(Some(2));
    assert_eq!(next(&mut subscription).await, "1");
    store.hold_from(None);
    assert_eq!(next(&mut subscription).await, "2");
    store.append_to("default", "a", "{}");
    assert_eq!(next(&mut subscription).await, "3");
}

#[tokio::test(start_paused = true)]
async fn the_end_is_told_once_nothing_is_withheld_behind_it() {
    let store = store_with(&["a", "a"]);
    let log = store.log();
    store.hold_from(Some(2));
    let mut all = from(&log, 0);
    assert_eq!(next(&mut all).await, "1");
    let mut at_end = from(&log, 1);
    for subscription in [&mut all, &mut at_end] {
        assert!(timeout(LONG, subscription.next()).await.is_err());
    }
    store.hold_from(None);
    for mut subscription in [all, at_end] {
        assert_eq!(next(&mut subscription).await, "2");
        assert_eq!(next(&mut subscription).await, "caught up");
        assert!(timeout(LONG, subscription.next()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_is_waited_out() {
    let store = store_with(&["a"]);
    let log = store.log();
    let mut following = from(&log, 1);
    assert_eq!(next(&mut following).await, "caught up");
    store.set_away(true);
    let mut behind = from(&log, 0);
    store.append("a");
    for subscription in [&mut following, &mut behind] {
        let waited = tokio::time::timeout(LONG, subscription.next()).await;
        assert!(waited.is_err());
    }
    store.set_away(false);
    assert_eq!(next(&mut following).await, "2");
    assert_eq!(next(&mut behind).await, "1 2");
}

#[tokio::test(start_paused = true)]
async fn a_reading_outlives_a_caller_that_stops_waiting_for_it() {
    let store = store_with(&["a"]);
    let mut subscription = from(&store.log(), 0);
    assert!(is_waiting(&mut subscription));
    // The store gives way once in the middle of a reading.
    tokio::task::yield_now().await;
    assert_eq!(next(&mut subscription).await, "1");
    assert_eq!(store.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn readings_that_nobody_waits_for_hold_up_no_others() {
    let log = store_with(&["a"]).log();
    let mut left = [from(&log, 0), from(&log, 0)];
    assert!(left.iter_mut().all(is_waiting));

    let mut other = from(&log, 0);
    let delivered = timeout(LONG, next(&mut other)).await;
    assert_eq!(delivered.as_deref(), Ok("1"));
}

#[tokio::test(start_paused = true)]
async fn tails_of_very_many_namespaces_share_their_looks() {
    let store = store_with(&[]);
    let log = store.log();
    let mut followers = Vec::new();
    for number in 0..2_000 {
        let namespace = Namespace::new(format!("n-{number}")).unwrap();
        let mut follower = log.subscribe(namespace, LogFilter::default(), at(0));
        assert_eq!(next(&mut follower).await, "caught up");
        assert!(is_waiting(&mut follower));
        followers.push(follower);
    }
    // Nobody is idle at once.
    sleep(Duration::from_secs(60)).await;
    let looks = async |seconds: u32| {
        let before = store.reads();
        sleep(Duration::from_secs(seconds.into())).await;
        store.reads() - before
    };
    let idle = looks(20).await;
    assert!((10_000..=22_000).contains(&idle), "{idle}");
    // Each commit wakes all of them.
    let busy = async {
        loop {
            store.wake();
            sleep(Duration::from_millis(1)).await;
        }
    };
    let woken = tokio::select! {
        woken = looks(20) => woken,
        () = busy => 0,
    };
    assert!((50_000..=130_000).contains(&woken), "{woken}");
}

#[tokio::test(start_paused = true)]
async fn a_tail_ends_with_its_last_follower_and_another_can_begin() {
    let store = store_with(&[]);
    let log = store.log();
    let mut first = from(&log, 0);
    assert_eq!(next(&mut first).await, "caught up");
    drop(first);
    sleep(LONG).await;
    let before = store.reads();
    store.append("a");
    sleep(LONG).await;
    assert_eq!(store.reads(), before);
    let mut second = from(&log, 0);
    assert_eq!(next(&mut second).await, "1");
    assert_eq!(next(&mut second).await, "caught up");
    store.append("a");
    assert_eq!(next(&mut second).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_position_that_nobody_was_given_spoils_nothing_for_others() {
    let store = store_with(&["a", "a"]);
    let log = store.log();
    let mut beyond = from(&log, 5);
    assert_eq!(next(&mut beyond).await, "caught up");
    let mut within = from(&log, 1);
    assert_eq!(next(&mut within).await, "2");
    assert_eq!(next(&mut within).await, "caught up");
    assert_eq!(
        next(&mut within).await,
        "caught up",
        "once more, to be sure"
    );
    for offset in 3..8_u64 {
        store.append("a");
        assert_eq!(next(&mut within).await, offset.to_string());
    }
    assert_eq!(next(&mut beyond).await, "6");
    assert_eq!(next(&mut beyond).await, "7");
}

#[tokio::test(start_paused = true)]
async fn readers_that_come_and_go_see_everything_once() {
    const EVENTS: u64 = 3_000;
    let store = store_with(&[]);
    let log = store.log();
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let mut random = StdRng::seed_from_u64(1);
            for offset in 0..EVENTS {
                store.append_to("default", "a", "{}");
                // Many are told of late, or not at all, and some are held back for a while.
                match random.random_range(0..10) {
                    0 => sleep(Duration::from_millis(random.random_range(0..20))).await,
                    1 => store.hold_from(Some(offset)),
                    2..5 => store.hold_from(None),
                    5..8 => store.wake(),
                    _ => {}
                }
            }
            store.hold_from(None);
        }
    });
    let readers = (0..20).map(|seed| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut subscription = from(&log, 0);
            let mut seen = Vec::new();
            while seen.last() != Some(&EVENTS) {
                let patience = Duration::from_millis(random.random_range(0..100));
                let delivery = tokio::time::timeout(patience, subscription.next()).await;
                if let Ok(Delivery::Events(events)) = delivery {
                    seen.extend(events.iter().map(|event| event.position.offset()));
                }
                match random.random_range(0..8) {
                    0 => {
                        let position = subscription.position();
                        subscription = from(&log, position.offset());
                    }
                    1 => sleep(Duration::from_millis(random.random_range(0..400))).await,
                    _ => {}
                }
            }
            seen
        })
    });
    for reader in futures::future::join_all(readers.collect::<Vec<_>>()).await {
        assert_eq!(reader.unwrap(), (1..=EVENTS).collect::<Vec<_>>());
    }
    writer.await.unwrap();
}
