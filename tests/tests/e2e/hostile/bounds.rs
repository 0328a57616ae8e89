//! Clients and modules that take more than their share of places, turns and bytes.

use gavel_tests::{
    Backend, COUNTER, Host, LIMIT, Store, component, eventually, on_every_store, revision,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::doors::Holder;

on_every_store! {
    bodies_that_trickle_take_no_place,
    an_actor_whose_uploads_trickle_keeps_no_other_from_uploading,
    pages_are_bounded_in_bytes,
}

/// A request whose body has begun, and does not come.
struct Trickler {
    connection: TcpStream,
    rest: String,
}

impl Trickler {
    /// Sends a request up to the first byte of its body.
    async fn begin(host: &Host, line: &str, headers: &str, body: &str) -> Self {
        let address = host.address().strip_prefix("http://").unwrap();
        let mut connection = TcpStream::connect(address).await.unwrap();
        let (first, rest) = body.split_at(1);
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\
             Expect: 100-continue\r\n{headers}\r\n\r\n{first}"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        Self {
            connection,
            rest: rest.to_owned(),
        }
    }

    /// Waits until the host has begun to read the body.
    async fn being_read(mut self) -> Self {
        assert_eq!(self.read(25).await, "HTTP/1.1 100 Continue\r\n\r\n");
        self
    }

    async fn send_the_rest(&mut self) {
        let rest = self.rest.as_bytes();
        self.connection.write_all(rest).await.unwrap();
    }

    async fn read(&mut self, bytes: usize) -> String {
        let mut answer = vec![0; bytes];
        let read = timeout(LIMIT, self.connection.read_exact(&mut answer)).await;
        read.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }
}

async fn bodies_that_trickle_take_no_place(store: Store) {
    let settings = [("GAVEL_SERVER_MAX_REQUESTS_IN_FLIGHT", "4")];
    let host = Host::start_with(&store, &settings).await;
    host.client().deploy_example(COUNTER).await;
    let line = "POST /v1/deciders/counter/slow/commands";
    let mut tricklers = Vec::new();
    for _ in 0..8 {
        let body = r#"{"command":"Increment","data":{}}"#;
        let trickler = Trickler::begin(&host, line, "Content-Type: application/json", body);
        tricklers.push(trickler.await.being_read().await);
    }
    let honest = host.client().stream(COUNTER, "honest");
    honest.increment().await.accepted();

    // Whose body has come is worked on like all others.
    let mut patient = tricklers.swap_remove(0);
    patient.send_the_rest().await;
    assert_eq!(patient.read(12).await, "HTTP/1.1 200");
}

async fn an_actor_whose_uploads_trickle_keeps_no_other_from_uploading(store: Store) {
    let (slow, honest) = (
        Holder::new("slow", "deploy"),
        Holder::new("honest", "deploy"),
    );
    let tokens = format!("{}\n{}", slow.lines, honest.lines);
    let host = Host::start_configured(&store, &tokens).await;
    let headers = format!(
        "Content-Type: application/wasm\r\nAuthorization: Bearer {}",
        slow.token
    );
    let trickler = || Trickler::begin(&host, "POST /v1/modules", &headers, "\0asm and so on");
    let _being_read = [
        trickler().await.being_read().await,
        trickler().await.being_read().await,
    ];
    let mut waiting = Vec::new();
    for _ in 0..14 {
        waiting.push(trickler().await);
    }

    let client = host.client();
    let uploaded = client
        .with_token(&honest.token)
        .upload(component(COUNTER))
        .await;
    uploaded.expect(201);
}

/// The bound on the size of an answer (exclusive), in bytes, however many events are asked for.
const PAGE_BYTES: usize = 1_000_000;

async fn pages_are_bounded_in_bytes(store: Store) {
    const COUNT: usize = 20;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("hostile").await;
    let stream = client.stream("hostile", "large");
    let data = json!({ "text": "x".repeat(200_000) });
    for version in 0..COUNT {
        let events = json!([{ "event": "Happened", "data": data }]);
        stream
            .append(version as u64, &events)
            .send()
            .await
            .expect(200);
    }
    let ids = |events: &Value| -> Vec<Value> {
        let events = events.as_array().unwrap().iter();
        events.map(|event| event["event_id"].clone()).collect()
    };
    let expected: Vec<_> = stream.history_json().await;
    let expected = ids(&Value::Array(expected));
    assert_eq!(expected.len(), COUNT);

    let (mut read, mut after) = (Vec::new(), String::new());
    eventually("the whole log is read", LIMIT, async || {
        let request = client.get("/v1/events").query("limit", 1_000);
        let answer = request.query("after", &after).send().await;
        assert!(answer.bytes().len() < PAGE_BYTES);
        let page = answer.json(200);
        read.extend(ids(&page["events"]));
        page["next"].as_str().unwrap().clone_into(&mut after);
        (page["caught_up"] == true && read.len() >= COUNT).then_some(())
    })
    .await;
    assert_eq!(read, expected);

    let lines = client.get("/v1/events").query("limit", 1_000);
    let lines = lines.header("Accept", "application/x-ndjson").send().await;
    assert!(lines.expect(200).bytes().len() < PAGE_BYTES);
    let page = stream.events().query("limit", 1_000).send().await;
    assert!(page.bytes().len() < PAGE_BYTES);
    assert!(page.json(200)["next_after_version"].is_u64());

    let consumer = client.consumer("worker");
    consumer.put(json!({})).await.expect(201);
    let leased = consumer.lease(json!({ "max_events": 1_000 })).await;
    assert!(leased.bytes().len() < PAGE_BYTES);
    let leases = leased.json(200)["leases"].clone();
    let events = &leases[0]["events"];
    assert!(!ids(events).is_empty());
    assert!(expected.starts_with(&ids(events)));
}

/// Checks that a module above a limit is refused for good, since it will be above the limit again,
/// and that the reason names the setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_can_never_be_started_is_invalid() {
    for (setting, value, module) in [
        ("deadline_ms", "20", "loops_at_start"),
        ("fuel", "1000", "loops_at_start"),
        ("memory_bytes", "1048576", COUNTER),
        ("instances", "1", COUNTER),
        ("table_elements", "1", COUNTER),
    ] {
        let store = Store::new(Backend::Sqlite).await;
        let variable = format!("GAVEL_SANDBOX_{}", setting.to_uppercase());
        let host = Host::start_with(&store, &[(&variable, value)]).await;
        let module = revision(component(module), 1);
        let problem = host
            .client()
            .upload(module)
            .await
            .problem(422, "invalid-module");
        let reason = problem["reasons"][0].as_str().unwrap();
        assert!(reason.contains(&format!("`sandbox.{setting}`")), "{reason}");
    }
}
