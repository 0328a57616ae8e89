//! A server with prepared answers on a real socket, and commands run against it as a person would.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clap::Parser as _;
use gavel_client::Client;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::{Arguments, Exit, Output};

/// The effects of a command.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) exit: Exit,
    /// Standard output.
    pub(super) data: String,
    /// Standard error.
    pub(super) notes: String,
}

/// Parses arguments as `main` does.
pub(super) fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from([&["gavel"], arguments].concat())
}

/// Runs a command as `main` does without a terminal.
#[track_caller]
pub(super) fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, None)
}

/// Runs a command as `main` does, with a person who gives these `answers`.
#[track_caller]
fn run_with(arguments: &[&str], answers: Option<&mut dyn BufRead>) -> Ran {
    let arguments = parse(arguments).unwrap();
    let (mut data, mut notes) = (Vec::new(), Vec::new());
    let mut output = Output::new(arguments.output, &mut data, &mut notes);
    if let Some(answers) = answers {
        output = output.asking(answers);
    }
    let exit = super::run(&arguments, &mut output);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        exit,
        data: text(data),
        notes: text(notes),
    }
}

/// A request that has arrived.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Method and target.
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An answer that is given once.
struct Prepared {
    status: u16,
    media_type: &'static str,
    body: String,
}

#[derive(Default)]
struct Script {
    answers: VecDeque<Prepared>,
    requests: Vec<Request>,
}

/// Gives prepared answers in order and keeps what it was asked.
pub(super) struct TestServer {
    url: String,
    script: Arc<Mutex<Script>>,
    /// Ends the server when dropped.
    _runtime: Runtime,
}

impl TestServer {
    pub(super) fn answering(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let json = answers.into_iter().map(|(status, body)| Prepared {
            status,
            media_type: "application/json",
            body: body.to_string(),
        });
        Self::start(json.collect())
    }

    /// Answers each request with a piece of an event stream, or a problem, and ends the answer.
    pub(super) fn streaming<'a>(answers: impl IntoIterator<Item = Result<&'a str, Value>>) -> Self {
        let prepared = answers.into_iter().map(|answer| match answer {
            Ok(body) => Prepared {
                status: 200,
                media_type: "text/event-stream",
                body: body.to_owned(),
            },
            Err(problem) => Prepared {
                status: u16::try_from(problem["status"].as_u64().unwrap()).unwrap(),
                media_type: "application/problem+json",
                body: problem.to_string(),
            },
        });
        Self::start(prepared.collect())
    }

    fn start(answers: VecDeque<Prepared>) -> Self {
        let script = Arc::new(Mutex::new(Script {
            answers,
            requests: Vec::new(),
        }));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(script.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            url,
            script,
            _runtime: runtime,
        }
    }

    #[track_caller]
    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        run(&[arguments, &["--server", &self.url]].concat())
    }

    /// Runs a command at a terminal, where a person types `answers`.
    #[track_caller]
    pub(super) fn run_asking(&self, arguments: &[&str], answers: &str) -> Ran {
        let mut typed = answers.as_bytes();
        run_with(
            &[arguments, &["--server", &self.url]].concat(),
            Some(&mut typed),
        )
    }

    /// A client of this server, for what a whole command cannot show.
    pub(super) fn client(&self) -> Client {
        let arguments = parse(&["modules", "--server", &self.url]).unwrap();
        arguments.connection.client().unwrap()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.script.lock().unwrap().requests.clone()
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut script = script.lock().unwrap();
    script.requests.push(Request {
        line: format!("{method} {uri}"),
        headers,
        body: body.to_vec(),
    });
    let answer = script
        .answers
        .pop_front()
        .expect("an answer for each request");
    let status = StatusCode::from_u16(answer.status).unwrap();
    (status, [(CONTENT_TYPE, answer.media_type)], answer.body).into_response()
}
