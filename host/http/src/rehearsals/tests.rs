//! Tests of requests for rehearsals.

use crate::testing::{Api, assert_problem};

#[tokio::test]
async fn a_rehearsal_that_asks_for_nothing_we_know_is_not_begun() {
    let api = Api::default();
    let digest = format!("sha256:{}", "0".repeat(64));
    for (body, pointer) in [
        ("{}".to_owned(), ""),
        (r#"{"digest":"sha256:00"}"#.to_owned(), "/digest"),
        (format!(r#"{{"digest":"{digest}","mode":"live"}}"#), "/mode"),
        (
            format!(r#"{{"digest":"{digest}","accept":"cost"}}"#),
            "/accept",
        ),
        (
            format!(r#"{{"digest":"{digest}","message":"why"}}"#),
            "/message",
        ),
    ] {
        let answer = api.post("/v1/deciders/counter/rehearsals", &body).await;
        assert_problem(&answer, 400, "malformed-request");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{body}");
    }
}
