//! Tests of whether a host is ready.

use axum::http::StatusCode;

use crate::testing::{Api, COMMANDS, assert_problem};

#[tokio::test]
async fn a_host_is_ready_when_it_says_so_and_until_it_drains() {
    let api = Api::default();
    assert_problem(&api.get("/readyz").await, 503, "starting");
    api.state.mark_ready();
    assert_eq!(api.get("/readyz").await.status, StatusCode::OK);
    api.drain.cancel();
    assert_problem(&api.get("/readyz").await, 503, "draining");
    let answer = api.post(COMMANDS, "{}").await;
    assert_problem(&answer, 503, "draining");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(api.get("/livez").await.status, StatusCode::OK);
}
