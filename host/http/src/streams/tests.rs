//! Tests of imports into a stream.

use gavel_model::{
    ActivationKey, ActivationNumber, EventType, Json, ModuleDigest, ModuleKind, Namespace,
};
use gavel_store::{NewActivation, NewModule};

use crate::testing::{Api, assert_problem};

/// Begins a name with a module of the kind, and registers the event `A` of it.
async fn begin(api: &Api, namespace: &str, kind: ModuleKind, name: &str) {
    let store = &api.state.services.store;
    let wasm = kind.as_str().as_bytes();
    let module = NewModule {
        digest: ModuleDigest::of(wasm),
        wasm: wasm.to_vec(),
        kind,
        contract: "gavel:module@0.1.0".to_owned(),
        name: name.to_owned(),
        manifest: Json::empty_object(),
        imports: Vec::new(),
    };
    store.put_module(module).await.unwrap();
    let event = EventType {
        event: "A".to_owned(),
        schema_version: 1,
        description: String::new(),
    };
    let activation = NewActivation {
        key: ActivationKey::new(Namespace::new(namespace).unwrap(), kind, name).unwrap(),
        after: ActivationNumber::NONE,
        digest: Some(ModuleDigest::of(wasm)),
        events: vec![event],
        activated_by: None,
        message: None,
        accepted: Vec::new(),
        report: Json::empty_object(),
    };
    store.activate_one(activation).await.unwrap();
}

#[tokio::test]
async fn an_import_into_a_name_of_another_kind_is_refused() {
    let api = Api::default();
    // The registry is that of all namespaces.
    begin(&api, "elsewhere", ModuleKind::Decider, "counter").await;
    let import = async |namespace: &str| {
        let headers = [
            ("content-type", "application/json"),
            ("gavel-namespace", namespace),
        ];
        let line = "POST /v1/deciders/counter/c-1/events";
        let body = r#"{"expected_version":0,"events":[{"event":"A","data":{}}]}"#;
        api.send(line, &headers, body).await
    };
    for kind in [ModuleKind::Process, ModuleKind::View] {
        begin(&api, kind.plural(), kind, "counter").await;
        let answer = import(kind.plural()).await;
        assert_problem(&answer, 409, "name-taken");
        assert_eq!(answer.body["name"], "counter");
        assert_eq!(answer.body["kind"], kind.as_str());
    }
    for namespace in ["elsewhere", "nobodys"] {
        let answer = import(namespace).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["version"]),
            (200, &1.into())
        );
    }
}

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
