//! Tests of imports into a stream.

use crate::testing::{Api, assert_problem};

#[tokio::test]
async fn an_import_has_to_say_where_it_goes_on() {
    let answer = Api::default()
        .post(
            "/v1/deciders/counter/c-1/events",
            r#"{"events":[{"event":"A","data":{}}]}"#,
        )
        .await;
    assert_problem(&answer, 400, "malformed-request");
    assert_eq!(answer.body["errors"][0]["pointer"], "/expected_version");
}
