//! The number of allocations that a command costs the host, on a store in memory.
//!
//! Everything from the socket to the store is counted, the module's calls included. The client is a
//! thread of this process that allocates nothing while it is counted.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::alloc::System;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gavel_engine::command::CommandSettings;
use gavel_engine::streaming::{PushRules, PushSettings};
use gavel_engine::views::ViewSettings;
use gavel_gate::GateSettings;
use gavel_http::{ApiSettings, AppState, ServerSettings, Services};
use gavel_model::SystemClock;
use gavel_sandbox::{Limits, Runtime, RuntimeOptions};
use gavel_store::{MemoryStore, MemoryViews};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The requests that are counted, after as many that warm the host up.
const REQUESTS: usize = 200;
/// The commands of a batch.
const BATCH: usize = 100;

/// One kept-alive connection.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).unwrap(),
            buffer: vec![0; 1 << 20],
        }
    }

    /// Sends a request, and gives the body of its answer. Allocates nothing when all is well.
    fn send(&mut self, request: &[u8]) -> &str {
        self.stream.write_all(request).unwrap();
        let mut length = 0;
        loop {
            let more = self.stream.read(&mut self.buffer[length..]).unwrap();
            assert_ne!(more, 0, "the connection was closed");
            length += more;
            let text = std::str::from_utf8(&self.buffer[..length]).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let announced = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |digits| digits.parse().unwrap());
            if body.len() >= announced {
                assert!(head.starts_with("HTTP/1.1 20"), "{text}");
                let start = length - body.len();
                return std::str::from_utf8(&self.buffer[start..length]).unwrap();
            }
        }
    }
}

fn post(path: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn post_json(path: &str, body: &str) -> Vec<u8> {
    post(path, "application/json", body.as_bytes())
}

/// Starts a host with the module `account`.
async fn start() -> SocketAddr {
    let recorder = gavel_http::recorder().unwrap();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();
    let options = RuntimeOptions {
        program: PathBuf::from(env!("CARGO_BIN_EXE_gavel")),
        ..RuntimeOptions::default()
    };
    let services = Services::new(
        Arc::new(MemoryStore::new(Arc::new(SystemClock))),
        Arc::new(MemoryViews::new(Arc::new(SystemClock))),
        Runtime::new(Limits::default(), options).unwrap(),
        CommandSettings::default(),
        GateSettings::default(),
        PushSettings {
            timeout: Duration::from_secs(1),
            rules: PushRules::new(None, SocketAddr::from((Ipv4Addr::LOCALHOST, 4000))),
        },
        ViewSettings::default(),
    );
    let drain = CancellationToken::new();
    let state = AppState::new(services, ApiSettings::default(), metrics, drain.clone());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = gavel_http::router(state);
    tokio::spawn(gavel_http::serve(
        listener,
        router,
        ServerSettings::default(),
        drain,
    ));
    address
}

fn deploy_account(client: &mut Client) {
    let folder = std::env::var_os("GAVEL_TEST_MODULES")
        .expect("GAVEL_TEST_MODULES must name the folder of the built modules");
    let wasm = std::fs::read(PathBuf::from(folder).join("account.wasm")).unwrap();
    let answer = client.send(&post("/v1/modules", "application/wasm", &wasm));
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    let activation = serde_json::json!({"digest": answer["digest"]}).to_string();
    client.send(&post_json("/v1/deciders/account/activations", &activation));
}

/// Sends the request often, and gives the allocations that each has cost.
fn allocations(client: &mut Client, request: &[u8]) -> usize {
    let mut run = || {
        let before = ALLOCATOR.stats();
        for _ in 0..REQUESTS {
            client.send(request);
        }
        let cost = ALLOCATOR.stats() - before;
        cost.allocations + cost.reallocations
    };
    run();
    run() / REQUESTS
}

#[test]
fn a_command_costs_few_allocations() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address = runtime.block_on(start());
    let mut client = Client::new(address);
    deploy_account(&mut client);

    let path = |id: usize| format!("/v1/deciders/account/acc-{id}/commands");
    let open = r#"{"command":"Open","data":{"owner":"ann"}}"#;
    let mut items = String::new();
    for id in 0..BATCH {
        client.send(&post_json(&path(id), open));
        let comma = if id == 0 { "" } else { "," };
        write!(
            items,
            r#"{comma}{{"decider":"account","id":"acc-{id}","command":"Deposit","data":{{"amount":1}}}}"#
        )
        .unwrap();
    }
    let deposit = r#"{"command":"Deposit","data":{"amount":1}}"#;
    let single = allocations(&mut client, &post_json(&path(0), deposit));
    let batch = format!(r#"{{"atomic":false,"commands":[{items}]}}"#);
    let of_batch = allocations(&mut client, &post_json("/v1/commands", &batch)) / BATCH;
    let liveness = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let nothing = allocations(&mut client, liveness);
    eprintln!("allocations: {single} a command, {of_batch} in a batch, {nothing} a request");
    // A tenth or so above what they are; `benches/README.md` says what they were.
    assert!(single <= 142, "{single} allocations a command");
    assert!(
        of_batch <= 92,
        "{of_batch} allocations a command in a batch"
    );
    assert!(nothing <= 35, "{nothing} allocations a request");
}
