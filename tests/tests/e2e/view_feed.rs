//! Feeds of rows: the rows of a query, and then what becomes of them.

use std::collections::BTreeMap;
use std::path::Path;

use futures::future::{join_all, join3};
use gavel_tests::{
    COUNTER, CliOutput, Client, Host, Request, Store, View, component, on_every_store, revision,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::feed::{Block, Feed, SSE};
use crate::view_faults::hostile;

on_every_store! {
    a_feed_is_its_query_through_cuts,
    another_module_is_told_and_its_rows_follow,
    a_client_that_is_too_far_behind_or_has_seen_what_is_lost_begins_anew,
    a_parked_row_is_sent_as_it_was_and_anew_once_it_was_retried,
    a_host_feeds_what_another_one_has_decided,
    what_is_no_feed_is_refused,
    the_command_line_watches_rows,
}

const TALLY: &str = "tally";
/// The seed of the history, and of the places where connections are cut.
const SEED: u64 = 17;
/// The number of appends of the history.
const APPENDS: usize = 80;

/// The rows that a client of a feed has.
#[derive(Debug, Default)]
struct Follower {
    rows: BTreeMap<String, Value>,
    /// The newest id.
    id: String,
    /// The reasons to begin anew.
    resyncs: Vec<String>,
    /// The rows that were put or deleted since the last of these.
    changes: usize,
}

impl Follower {
    /// Takes a block. Tells whether it was the last one for now.
    fn take(&mut self, block: &Block) -> bool {
        if let Some(id) = block.position() {
            self.id = id;
        }
        let key = |data: &Value| data["key"].as_str().unwrap().to_owned();
        match block.event.as_str() {
            "upsert" => {
                let data = block.json();
                self.rows.insert(key(&data), data["row"].clone());
                self.changes += 1;
            }
            "delete" => {
                self.rows.remove(&key(&block.json()));
                self.changes += 1;
            }
            "resync" => {
                self.rows.clear();
                self.changes = 0;
                let reason = block.json()["reason"].as_str().unwrap().to_owned();
                self.resyncs.push(reason);
            }
            "caught-up" | "" => {}
            other => panic!("{other}"),
        }
        block.event == "caught-up"
    }

    fn request(&self, view: &View, query: &str) -> Request {
        let request = view.get(&format!("/rows?{query}"));
        request.header("Last-Event-ID", &self.id)
    }

    async fn open(&self, view: &View, query: &str) -> Feed {
        Feed::open(self.request(view, query), SSE).await
    }

    /// Takes what comes up to the place where that is all for now. False when the feed has ended or
    /// was cut before.
    async fn follow(&mut self, feed: &mut Feed) -> bool {
        while let Some(block) = feed.next_block().await {
            if self.take(&block) {
                return true;
            }
        }
        false
    }

    /// Connects once more, and takes all that was stored until now.
    async fn catch_up(&mut self, view: &View, query: &str) {
        let end = view.end_of_log().await;
        let request = self.request(view, query).header("Gavel-After", &end);
        let mut feed = Feed::open(request, SSE).await;
        assert!(self.follow(&mut feed).await, "it ended before");
    }

    async fn next_change(&mut self, feed: &mut Feed) -> Block {
        loop {
            let block = feed.next_block().await.expect("the feed goes on");
            self.take(&block);
            if !["", "caught-up"].contains(&block.event.as_str()) {
                return block;
            }
        }
    }
}

/// The rows that a query finds once it shows all that was stored until now.
async fn found(view: &View, query: &str) -> BTreeMap<String, Value> {
    let end = view.end_of_log().await;
    let (mut rows, mut after) = (BTreeMap::new(), String::new());
    loop {
        let path = format!("/rows?{query}&_limit=1000&_after={after}");
        let request = view.get(&path).header("Gavel-After", &end);
        let page = request.send().await.json(200);
        for row in page["rows"].as_array().unwrap() {
            rows.insert(row["key"].as_str().unwrap().to_owned(), row["row"].clone());
        }
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => return rows,
        }
    }
}

/// Appends events to streams of the decider, and knows how long each is.
struct Writer {
    client: Client,
    versions: BTreeMap<String, u64>,
}

impl Writer {
    fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            versions: BTreeMap::new(),
        }
    }

    async fn act(&mut self, id: &str, acts: Vec<Value>) {
        let version = self.versions.entry(id.to_owned()).or_default();
        let events = acts.iter();
        let events = events.map(|data| json!({ "event": "Acted", "data": data }));
        let events: Vec<Value> = events.collect();
        let stream = self.client.stream("actor", id);
        let appended = stream.append(*version, &json!(events)).send().await;
        appended.expect(200);
        *version += events.len() as u64;
    }

    /// Rows that come, change, end, are parked, and come in hundreds.
    async fn write_history(mut self, mut random: StdRng) {
        for _ in 0..APPENDS {
            let id = format!("a{}", random.random_range(0..8));
            let acts = (0..random.random_range(1..6)).map(|_| {
                let note = if random.random_bool(0.5) { "a" } else { "b" };
                match random.random_range(0..20) {
                    0..3 => json!({ "act": "End" }),
                    3..6 => json!({ "act": "Flag" }),
                    6 => json!({ "act": "EvolveError" }),
                    7..9 => json!({ "act": "ManyKeys", "number": 20, "note": note }),
                    9 => json!({ "act": "ManyKeys", "number": 20, "key": "m0", "note": note }),
                    10 => json!({ "act": "End", "key": format!("m0-{}", random.random_range(0..1000)) }),
                    _ => json!({ "note": note }),
                }
            });
            self.act(&id, acts.collect()).await;
        }
    }
}

/// Follows a query over connections that are cut after any number of bytes, until `over`.
async fn follow_with_cuts(
    view: &View,
    query: &str,
    mut random: StdRng,
    over: watch::Receiver<bool>,
) -> Follower {
    let (mut follower, mut was_between_rows) = (Follower::default(), false);
    while !*over.borrow() || !was_between_rows {
        let mut feed = follower.open(view, query).await;
        feed.cut_after(random.random_range(0..400_000));
        let is_whole = follower.follow(&mut feed).await;
        // The place of a row is a part of its own, and `0` before the first one.
        let place = follower.id.split('.').nth(4);
        was_between_rows |= !is_whole && place.is_some_and(|place| place != "0");
        if is_whole && random.random_bool(0.2) {
            follower = Follower::default();
        }
    }
    follower
}

async fn a_feed_is_its_query_through_cuts(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = hostile(&client).await;
    let mut writer = Writer::new(&client);
    for id in ["m0", "m1"] {
        let many = json!({ "act": "ManyKeys", "number": 1000, "note": "a" });
        writer.act(id, vec![many]).await;
    }
    found(&view, "").await;
    let (tell, over) = watch::channel(false);
    let queries = ["", "note=a", "flag=true&count.gte=2&_order=-count"];
    let live = async {
        let mut follower = Follower::default();
        let (mut feed, mut over) = (follower.open(&view, "note=a").await, over.clone());
        loop {
            tokio::select! {
                block = feed.next_block() => drop(follower.take(&block.unwrap())),
                _ = over.wait_for(|over| *over) => return follower,
            }
        }
    };
    let cut = queries[..2].iter().zip(0..).map(|(query, number)| {
        let random = StdRng::seed_from_u64(SEED + number);
        follow_with_cuts(&view, query, random, over.clone())
    });
    let writing = async {
        writer.write_history(StdRng::seed_from_u64(SEED)).await;
        tell.send_replace(true);
    };
    let (cut, live, ()) = join3(join_all(cut), live, writing).await;

    let mut followers: Vec<_> = queries.into_iter().zip(cut).collect();
    followers.push((queries[1], live));
    followers.push((queries[2], Follower::default()));
    for (query, mut follower) in followers {
        follower.catch_up(&view, query).await;
        let expected = found(&view, query).await;
        assert!(!expected.is_empty(), "{query}");
        assert_eq!(follower.rows, expected, "{query}");
        assert_eq!(follower.resyncs, [""; 0], "{query}");
    }
}

/// Deploys the counter and its view, with so many counters.
async fn tally(client: &Client, counters: u64) -> View {
    client.deploy_example(COUNTER).await;
    for number in 0..counters {
        let stream = client.stream(COUNTER, &format!("c-{number}"));
        stream.increment().await.accepted();
    }
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    tally
}

async fn another_module_is_told_and_its_rows_follow(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let tally = tally(&client, 12).await;
    let mut follower = Follower::default();
    let mut feed = follower.open(&tally, "").await;
    assert!(follower.follow(&mut feed).await);
    assert_eq!(follower.rows.len(), 12);
    let former = follower.id.clone();
    client.stream(COUNTER, "c-3").increment().await.accepted();
    let change = follower.next_change(&mut feed).await;
    assert_eq!(change.json()["key"], "c-3");
    assert_eq!(change.json()["row"]["total"], 2);

    let changed = tally.upload(component("tally-changed")).await;
    tally.activate(&changed, &["rows"]).await;
    let resync = follower.next_change(&mut feed).await;
    assert_eq!(
        resync.json(),
        json!({ "reason": "module", "module": changed })
    );
    assert!(follower.follow(&mut feed).await);
    assert_eq!(follower.rows["c-7"]["total"], 2);
    assert_eq!(follower.rows, found(&tally, "").await);

    // Another module with the same rows sends these, and not a change.
    let before = follower.rows.clone();
    let refactored = tally.upload(revision(component("tally-changed"), 1)).await;
    tally.activate(&refactored, &[]).await;
    let resync = follower.next_change(&mut feed).await;
    assert_eq!(resync.json()["module"], json!(refactored));
    assert!(follower.follow(&mut feed).await);
    assert_eq!((&follower.rows, follower.changes), (&before, 12));
    client.stream(COUNTER, "c-7").increment().await.accepted();
    let change = follower.next_change(&mut feed).await;
    assert_eq!(change.json()["row"]["total"], 4, "{change:?}");

    let mut late = Follower {
        id: former,
        ..Follower::default()
    };
    late.catch_up(&tally, "").await;
    assert_eq!(late.resyncs, ["module"]);
    assert_eq!(late.rows, follower.rows);

    let deactivated = client.post("/v1/views/tally/deactivations", &json!({}));
    deactivated.send().await.expect(201);
    while feed.next_block().await.is_some() {}
}

async fn a_client_that_is_too_far_behind_or_has_seen_what_is_lost_begins_anew(store: Store) {
    let host = Host::start_configured(&store, "[views]\nfeed_events = 150\n").await;
    let client = host.client();
    let view = hostile(&client).await;
    let mut writer = Writer::new(&client);
    writer.act("one", vec![json!({ "note": "a" })]).await;
    let mut follower = Follower::default();
    follower.catch_up(&view, "").await;

    let acts = |count| vec![json!({}); count];
    writer.act("two", acts(150)).await;
    writer.act("two", vec![json!({ "act": "End" })]).await;
    writer.act("one", acts(30)).await;
    follower.catch_up(&view, "").await;
    assert_eq!(follower.resyncs, ["behind"]);
    assert_eq!(follower.rows, found(&view, "").await);

    writer.act("one", acts(140)).await;
    follower.catch_up(&view, "").await;
    assert_eq!(follower.resyncs, ["behind"], "140 are not too many");
    assert_eq!(follower.rows["one"]["count"], 171);

    let id = follower.id;
    let (_, rest) = id.split_once('.').unwrap();
    let (_, rest) = rest.split_once('.').unwrap();
    let lost = "gffffffffffffffff00";
    let end = view.end_of_log().await;
    for id in [
        format!("{lost}.{lost}.{rest}"),
        format!("{end}.{lost}.{rest}"),
    ] {
        let mut follower = Follower {
            id,
            ..Follower::default()
        };
        follower.catch_up(&view, "").await;
        assert_eq!(follower.resyncs, ["lost"]);
        assert_eq!(follower.rows.len(), 1);
    }
}

async fn a_parked_row_is_sent_as_it_was_and_anew_once_it_was_retried(store: Store) {
    let mut host = Host::start(&store).await;
    let client = host.client();
    let view = hostile(&client).await;
    let mut writer = Writer::new(&client);
    writer.act("one", vec![json!({ "note": "a" })]).await;
    let huge = json!({ "act": "HugeRow" });
    writer.act("one", vec![huge, json!({ "note": "b" })]).await;
    let mut follower = Follower::default();
    follower.catch_up(&view, "note=a").await;
    assert_eq!(follower.rows["one"]["count"], 1);

    host.configure("[views]\nrow_bytes = 1048576\n");
    host.kill();
    host.restart().await;
    let client = host.client();
    let view = client.view("hostile");
    let mut feed = follower.open(&view, "note=a").await;
    assert!(follower.follow(&mut feed).await);
    assert_eq!(follower.resyncs, [""; 0]);
    let retried = client.post("/v1/views/hostile/rows/one/retry", &json!({}));
    assert_eq!(retried.send().await.json(200)["parked"], Value::Null);
    follower.next_change(&mut feed).await;
    assert_eq!(follower.resyncs, ["rows"]);
    assert!(follower.follow(&mut feed).await);
    assert_eq!(follower.rows, BTreeMap::new());
}

async fn a_host_feeds_what_another_one_has_decided(store: Store) {
    let (one, other) = (Host::start(&store).await, Host::start(&store).await);
    let (here, there) = (one.client(), other.client());
    let view = tally(&here, 3).await;
    let there_view = there.view(TALLY);
    found(&there_view, "").await;
    let mut follower = Follower::default();
    let mut feed = follower.open(&there_view, "total.gte=2").await;
    assert!(follower.follow(&mut feed).await);
    assert_eq!(follower.rows.len(), 0);
    here.stream(COUNTER, "c-1").increment().await.accepted();
    let change = follower.next_change(&mut feed).await;
    assert_eq!(
        (change.event.as_str(), &change.json()["key"]),
        ("upsert", &json!("c-1"))
    );
    here.stream(COUNTER, "c-1")
        .send("Decrement", json!({}))
        .await
        .accepted();
    let change = follower.next_change(&mut feed).await;
    assert_eq!(change.event, "delete");
    // One host goes on where the other one was.
    here.stream(COUNTER, "c-2").increment().await.accepted();
    follower.catch_up(&view, "total.gte=2").await;
    assert_eq!(follower.rows, found(&view, "total.gte=2").await);
    assert_eq!(follower.resyncs, [""; 0]);
}

async fn what_is_no_feed_is_refused(store: Store) {
    let mut host = Host::start_with(&store, &[("GAVEL_SERVER_MAX_SUBSCRIPTIONS", "1")]).await;
    let client = host.client();
    let tally = tally(&client, 1).await;
    let ask = async |view: &View, query: &str, id: &str| {
        let request = view.get(&format!("/rows?{query}")).header("Accept", SSE);
        request.header("Last-Event-ID", id).send().await
    };
    for (query, id) in [
        ("_limit=10", ""),
        ("_after=5b6e756c6c2c2261225d", ""),
        ("", "7"),
    ] {
        let refused = ask(&tally, query, id).await;
        refused.problem(400, "malformed-request");
    }
    ask(&tally, "resets=1", "")
        .await
        .problem(422, "index-missing");
    let nothing = client.view("nothing");
    ask(&nothing, "", "").await.problem(404, "view-not-found");

    let mut follower = Follower::default();
    let mut feed = follower.open(&tally, "").await;
    assert!(follower.follow(&mut feed).await);
    ask(&tally, "", "").await.problem(503, "overloaded");
    host.ask_to_end();
    while feed.next_block().await.is_some() {}
    assert!(host.ended().await.success());
}

async fn the_command_line_watches_rows(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let tally = tally(&client, 2).await;
    found(&tally, "").await;
    let counter = client.stream(COUNTER, "c-1");
    let writing = async {
        // Until the change is seen, however late the command has begun to watch.
        loop {
            counter.increment().await.accepted();
            counter.send("Decrement", json!({})).await.accepted();
        }
    };
    let arguments = [
        "rows",
        TALLY,
        "--where",
        "total.gte=2",
        "--watch",
        "--limit",
        "2",
        "-o",
        "json",
    ];
    let watched = tokio::task::spawn_blocking(move || {
        let output = CliOutput::of(Some(&host), Path::new("."), &arguments);
        (output.exits_with(0).stdout(), host)
    });
    let (shown, _host) = tokio::select! {
        watched = watched => watched.unwrap(),
        () = writing => unreachable!("it is written without end"),
    };
    let shown: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let changes = shown.iter().filter(|line| line["caught-up"].is_null());
    let changes: Vec<&Value> = changes.collect();
    assert_eq!(changes.len(), 2, "{shown:?}");
    for change in changes {
        let is_upsert = change["upsert"]["row"]["total"] == 2;
        assert!(
            is_upsert || change["delete"] == json!({ "key": "c-1" }),
            "{change}"
        );
    }
}
