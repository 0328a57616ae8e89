//! Requests about whatever module works under a name: a decider, or a view.

use gavel_client::{Answer, Client, Error, Result};
use reqwest::Method;
use serde_json::Value;

/// The kinds of modules in the paths of the HTTP API, in the order in which they are tried: a name
/// belongs to one of them.
const COLLECTIONS: [(&str, &str); 2] = [
    ("deciders", "decider-not-found"),
    ("views", "view-not-found"),
];

/// Posts `body` to `resource` of the module that works under `name`.
pub(super) async fn post(
    client: &Client,
    name: &str,
    resource: &str,
    body: &Value,
) -> Result<Answer> {
    of_any_kind(name, async |collection| {
        let path = ["v1", collection, name, resource];
        let request = client.request(Method::POST, &path)?.json(body);
        client.send(request).await
    })
    .await
}

/// Asks in one collection after the other, until there is a module under `name`.
pub(super) async fn of_any_kind<T>(
    name: &str,
    ask: impl AsyncFn(&'static str) -> Result<T>,
) -> Result<T> {
    let mut first = None;
    for (collection, missing) in COLLECTIONS {
        match ask(collection).await {
            Err(Error::Problem(problem)) if problem.code() == missing => {
                first.get_or_insert(Error::Problem(problem));
            }
            // What is no name of a view is none of a view.
            Err(Error::Problem(problem)) if first.is_some() && problem.status() == 400 => {}
            answer => return answer,
        }
    }
    Err(first.unwrap_or_else(|| Error::Unusable(format!("there is no kind for {name}"))))
}
