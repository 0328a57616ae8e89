//! Clients and modules that take more than their share of places, turns and bytes.

use gavel_tests::{Backend, COUNTER, Host, LIMIT, Store, component, on_every_store, revision};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::doors::Holder;

on_every_store! {
    bodies_that_trickle_take_no_place,
    an_actor_whose_uploads_trickle_keeps_no_other_from_uploading,
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

/// What is above a limit will be so again: nobody is told to try again, and the reason names the setting.
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
