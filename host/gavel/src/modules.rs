//! `gavel modules`: list, show or upload modules.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use gavel_client::{Answer, Client};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::exit::Result;
use super::module::Module;
use super::output::{Output, size, table};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel modules\n  gavel modules upload account.wasm\n  gavel modules show sha256:2c26b46b…"
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all modules; also without a subcommand.
    List,
    /// Show what is in a module.
    Show {
        /// The module, as `sha256:` and 64 digits.
        digest: String,
    },
    /// Upload a module without activating it.
    Upload {
        /// A component, built for wasm32-wasip2.
        file: PathBuf,
    },
}

/// A page of modules.
#[derive(Debug, Deserialize)]
struct Modules<M> {
    modules: Vec<M>,
    next: Option<String>,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    match &arguments.action {
        None | Some(Action::List) => list(client, output).await,
        Some(Action::Show { digest }) => show(digest, client, output).await,
        Some(Action::Upload { file }) => {
            let answer = upload(read(file)?, client).await?;
            if output.is_json() {
                return output.received(answer.body());
            }
            let module: Module = answer.parse()?;
            let verb = if answer.status() == 201 {
                "uploaded"
            } else {
                "was already there:"
            };
            output.text(&format!("{verb} {} {}", module.name, module.digest))
        }
    }
}

/// Reads a module file.
pub(super) fn read(file: &Path) -> Result<Vec<u8>> {
    Ok(std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?)
}

/// Uploads a component. The answer is the module object, with status 201, or 200 if it was there
/// before.
pub(super) async fn upload(wasm: Vec<u8>, client: &Client) -> Result<Answer> {
    let request = client
        .request(Method::POST, &["v1", "modules"])?
        .header(CONTENT_TYPE, "application/wasm")
        .body(wasm);
    Ok(client.send(request).await?)
}

async fn show(digest: &str, client: &Client, output: &mut Output<'_>) -> Result {
    let answer = client
        .send(client.request(Method::GET, &["v1", "modules", digest])?)
        .await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    // What is uploaded has been linked: none of its imports was refused.
    output.text(&answer.parse::<Module>()?.in_words(|_| false))
}

async fn list(client: &Client, output: &mut Output<'_>) -> Result {
    if output.is_json() {
        let modules: Vec<Value> = all(client).await?;
        return output.json(&json!({ "modules": modules, "next": null }));
    }
    let modules: Vec<Module> = all(client).await?;
    if modules.is_empty() {
        output.note("there is no module yet; `gavel deploy MODULE.wasm` uploads one");
        return Ok(());
    }
    let rows = modules.into_iter().map(|module| {
        let uploaded_at = module.uploaded_at.unwrap_or_default();
        [
            module.name,
            module.kind,
            size(module.size_bytes),
            uploaded_at,
            module.digest,
        ]
    });
    output.text(&table(["NAME", "KIND", "SIZE", "UPLOADED", "DIGEST"], rows))
}

/// The modules of all pages.
async fn all<M: DeserializeOwned>(client: &Client) -> Result<Vec<M>> {
    let mut all = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let request = client.request(Method::GET, &["v1", "modules"])?;
        let request = match &next {
            Some(after) => request.query(&[("after", after)]),
            None => request,
        };
        let page: Modules<M> = client.send(request).await?.parse()?;
        all.extend(page.modules);
        next = page.next;
        if next.is_none() {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Exit;
    use super::super::test_server::TestServer;

    fn module() -> Value {
        json!({
            "digest": "sha256:aa", "kind": "decider", "contract": "gavel:module@0.1.0", "name": "account", "size_bytes": 2048, "imports": [], "sdk": "x",
            "commands": [], "events": [], "state_schema": {}, "specs": [], "uploaded_at": "2026-11-21T10:00:00Z",
        })
    }

    #[test]
    fn modules_are_listed_in_a_table() {
        let server = TestServer::answering([(200, json!({"modules": [module()]}))]);
        let ran = server.run(&["modules"]);
        assert_eq!(ran.exit, Exit::Done);
        assert!(ran.data.contains("account"), "{}", ran.data);
        assert!(ran.data.contains("2.0 KiB"), "{}", ran.data);
        assert_eq!(server.requests()[0].line, "GET /v1/modules");
    }

    #[test]
    fn modules_of_all_pages_are_listed() {
        let page = |next: Value| (200, json!({"modules": [module()], "next": next}));
        let pages = || [page(json!("sha256:aa")), page(Value::Null)];
        let server = TestServer::answering(pages());
        let ran = server.run(&["modules"]);
        assert_eq!(ran.data.matches("account").count(), 2, "{}", ran.data);
        let after = "GET /v1/modules?after=sha256%3Aaa";
        assert_eq!(server.requests()[1].line, after);

        let server = TestServer::answering(pages());
        let ran = server.run(&["modules", "--output", "json"]);
        let all: Value = serde_json::from_str(&ran.data).unwrap();
        assert_eq!(all["modules"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_namespace_and_a_token_go_with_every_request() {
        let server = TestServer::answering([(200, json!({"modules": []}))]);
        server.run(&["modules", "--namespace", "tests", "--token", "t0k"]);
        let request = &server.requests()[0];
        assert_eq!(request.headers["gavel-namespace"], "tests");
        assert_eq!(request.headers["authorization"], "Bearer t0k");
    }

    #[test]
    fn uploading_sends_the_bytes_and_says_whether_they_are_new() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("account.wasm");
        std::fs::write(&file, b"\0asm").unwrap();
        let server = TestServer::answering([(201, module()), (200, module())]);
        let arguments = ["modules", "upload", file.to_str().unwrap()];
        assert_eq!(server.run(&arguments).data, "uploaded account sha256:aa\n");
        assert_eq!(
            server.run(&arguments).data,
            "was already there: account sha256:aa\n"
        );
        let request = &server.requests()[0];
        assert_eq!(request.headers["content-type"], "application/wasm");
        assert_eq!(request.body, b"\0asm");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_before_anything_is_sent() {
        let server = TestServer::answering([]);
        let ran = server.run(&["modules", "upload", "nowhere.wasm"]);
        assert_eq!(ran.exit, Exit::Error);
        assert!(
            ran.notes.contains("cannot read nowhere.wasm"),
            "{}",
            ran.notes
        );
        assert!(server.requests().is_empty());
    }

    #[test]
    fn an_invalid_module_is_refused_with_all_reasons() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("account.wasm");
        std::fs::write(&file, b"\0asm").unwrap();
        let problem = json!({"code": "invalid-module", "status": 422, "title": "Invalid module", "reasons": ["imports wasi:http", "no manifest"]});
        let server = TestServer::answering([(422, problem)]);
        let ran = server.run(&["modules", "upload", file.to_str().unwrap()]);
        assert_eq!(ran.exit, Exit::Refused);
        assert_eq!(
            ran.data,
            "Invalid module\n  imports wasi:http\n  no manifest\n"
        );
    }
}
