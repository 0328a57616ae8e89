//! Tests of the answers to batches of commands.

use axum::http::StatusCode;

use crate::testing::{Api, assert_problem};

#[tokio::test]
async fn a_batch_tells_of_each_command_or_of_the_one_that_stopped_it() {
    let api = Api::default();
    let commands = r#"[{"decider":"counter","id":"1","command":"A"},{"decider":"counter","id":"2","command":"A"}]"#;
    let each = api
        .post("/v1/commands", &format!(r#"{{"commands":{commands}}}"#))
        .await;
    assert_eq!(each.status, StatusCode::OK);
    for index in 0..2 {
        let result = &each.body["results"][index];
        assert_eq!(result["code"], "decider-not-found");
        assert_eq!(result["instance"], each.header("request-id"));
    }
    let atomic = api
        .post(
            "/v1/commands",
            &format!(r#"{{"atomic":true,"commands":{commands}}}"#),
        )
        .await;
    assert_problem(&atomic, 404, "decider-not-found");
    assert_eq!(atomic.body["command_index"], 0);
    let empty = api
        .post("/v1/commands", r#"{"atomic":true,"commands":[]}"#)
        .await;
    assert_eq!(empty.body["results"], serde_json::json!([]));
}
