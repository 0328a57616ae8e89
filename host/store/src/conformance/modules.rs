//! Modules, and the log of activations.

use std::sync::Arc;

use gavel_model::{
    Activation, ActivationKey, ActivationNumber, EventType, ExpectedVersion, ModuleDigest,
    ModuleKind, Namespace,
};

use super::support::*;
use crate::{
    ActivateError, ActivationFilter, AppendError, DeleteModuleError, ModuleFilter, ModuleViewer,
    NewActivation, NewModule, PAGE_BYTES, Store, StoredModule,
};

/// All modules that pass the filter, page by page.
async fn modules_of(store: &dyn Store, filter: &ModuleFilter) -> Vec<StoredModule> {
    let mut all: Vec<StoredModule> = Vec::new();
    loop {
        let after = all.last().map(|last| last.digest);
        let page = store.list_modules(filter, after, 2).await.unwrap();
        assert!(page.items.len() <= 2);
        all.extend(page.items);
        if !page.has_more {
            return all;
        }
    }
}

/// A whole activation log, page by page.
pub(super) async fn log_of_activations(store: &dyn Store, key: &ActivationKey) -> Vec<Activation> {
    let mut all: Vec<Activation> = Vec::new();
    loop {
        let before = all.last().map(|last| last.number);
        let page = store.activations(key, before, 2);
        let page = page.await.unwrap();
        assert!(page.items.len() <= 2);
        all.extend(page.items);
        if !page.has_more {
            return all;
        }
    }
}

/// The active modules, read page by page.
pub(super) async fn active_of(store: &dyn Store, filter: &ActivationFilter) -> Vec<Activation> {
    let mut all: Vec<Activation> = Vec::new();
    loop {
        let after = all.last().map(|last| &last.key);
        let page = store.list_active(filter, after, 2).await.unwrap();
        assert!(page.items.len() <= 2);
        all.extend(page.items);
        if !page.has_more {
            return all;
        }
    }
}

pub(crate) async fn lists_of_modules_and_activations_are_bounded_in_bytes(store: Arc<dyn Store>) {
    let large = json(&format!("{{\"x\":\"{}\"}}", "x".repeat(PAGE_BYTES / 2)));
    let of = stream("c");
    for (index, wasm) in ["1", "2", "3"].into_iter().enumerate() {
        let module = NewModule {
            manifest: large.clone(),
            ..module("counter", wasm)
        };
        store.put_module(module).await.unwrap();
        let after = ActivationNumber::new(i64::try_from(index).unwrap());
        let other = stream_of("default", &format!("counter-{wasm}"), "any");
        for (of, after) in [(&of, after), (&other, ActivationNumber::NONE)] {
            let activation = NewActivation {
                report: large.clone(),
                ..activation(of, after, wasm)
            };
            store.activate_one(activation).await.unwrap();
        }
    }
    let all = ModuleFilter::default();
    let modules = store.list_modules(&all, None, 1_000).await.unwrap();
    assert_eq!((modules.items.len(), modules.has_more), (1, true));
    assert_eq!(modules_of(&*store, &all).await.len(), 3);
    // What is gone is no place to go on from.
    let gone = Some(ModuleDigest::of(b"gone"));
    let nothing = store.list_modules(&all, gone, 10).await.unwrap();
    assert_eq!((nothing.items.len(), nothing.has_more), (0, false));

    let log = store.activations(&key(&of), None, 1_000).await.unwrap();
    assert_eq!((log.items.len(), log.has_more), (1, true));
    assert_eq!(log_of_activations(&*store, &key(&of)).await.len(), 3);
    let all = ActivationFilter::default();
    let active = store.list_active(&all, None, 1_000).await.unwrap();
    assert_eq!((active.items.len(), active.has_more), (1, true));
    assert_eq!(active_of(&*store, &all).await.len(), 4);
}

pub(crate) async fn a_module_is_kept_once(store: Arc<dyn Store>) {
    let wasm: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let module = NewModule {
        digest: ModuleDigest::of(&wasm),
        wasm: wasm.clone(),
        kind: ModuleKind::View,
        contract: "example:module@1.2.3".to_owned(),
        name: "restaurant".to_owned(),
        manifest: json(r#"{"name":"restaurant","specs":["it's","日本"]}"#),
        imports: vec![
            "wasi:cli/environment@0.2.6".to_owned(),
            "wasi:io/error".to_owned(),
        ],
    };
    assert_eq!(store.module(module.digest).await.unwrap(), None);
    assert_eq!(store.module_wasm(module.digest).await.unwrap(), None);

    let (stored, is_new) = store.put_module(module.clone()).await.unwrap();
    assert!(is_new);
    assert_eq!(stored.digest, module.digest);
    assert_eq!(stored.size_bytes, 100_000);
    assert_eq!((stored.kind, &stored.name), (module.kind, &module.name));
    assert_eq!(stored.contract, module.contract);
    assert_eq!(stored.manifest, module.manifest);
    assert_eq!(stored.imports, module.imports);
    assert_eq!(
        store.module(module.digest).await.unwrap(),
        Some(stored.clone())
    );
    assert_eq!(store.module_wasm(module.digest).await.unwrap(), Some(wasm));

    let (again, is_new) = store.put_module(module).await.unwrap();
    assert!(!is_new);
    assert_eq!(again, stored);
    assert_eq!(
        modules_of(&*store, &ModuleFilter::default()).await,
        [stored]
    );
}

pub(crate) async fn modules_are_listed_newest_first_and_filtered(store: Arc<dyn Store>) {
    for (name, kind, wasm) in [
        ("restaurant", ModuleKind::Decider, "1"),
        ("order", ModuleKind::Decider, "2"),
        ("restaurant", ModuleKind::View, "3"),
        ("restaurant", ModuleKind::Decider, "4"),
    ] {
        let module = NewModule {
            kind,
            ..module(name, wasm)
        };
        store.put_module(module).await.unwrap();
    }
    let listed = async |name: Option<&str>, kind: Option<ModuleKind>| {
        let filter = ModuleFilter {
            name: name.map(str::to_owned),
            kind,
            ..ModuleFilter::default()
        };
        let modules = modules_of(&*store, &filter).await;
        assert!(modules.is_sorted_by(|newer, older| newer.uploaded_at >= older.uploaded_at));
        let mut digests: Vec<ModuleDigest> = modules.iter().map(|module| module.digest).collect();
        digests.sort();
        digests
    };
    let digests = |wasms: &[&str]| {
        let mut digests: Vec<ModuleDigest> = wasms
            .iter()
            .map(|wasm| ModuleDigest::of(wasm.as_bytes()))
            .collect();
        digests.sort();
        digests
    };
    assert_eq!(listed(None, None).await, digests(&["1", "2", "3", "4"]));
    assert_eq!(
        listed(Some("restaurant"), None).await,
        digests(&["1", "3", "4"])
    );
    assert_eq!(
        listed(None, Some(ModuleKind::Decider)).await,
        digests(&["1", "2", "4"])
    );
    assert_eq!(
        listed(Some("restaurant"), Some(ModuleKind::Decider)).await,
        digests(&["1", "4"])
    );
    assert_eq!(listed(Some("rest"), None).await, []);
}

pub(crate) async fn a_viewer_knows_what_it_has_uploaded_and_what_was_active_with_it(
    store: Arc<dyn Store>,
) {
    let [mine, theirs, east, west] =
        ["mine", "theirs", "east", "west"].map(|name| module(name, name));
    for module in [&mine, &theirs, &east, &west] {
        store.put_module(module.clone()).await.unwrap();
    }
    store.record_upload(mine.digest, "ann").await.unwrap();
    store.record_upload(mine.digest, "ann").await.unwrap();
    store.record_upload(mine.digest, "bob").await.unwrap();
    store.record_upload(theirs.digest, "bob").await.unwrap();
    for module in [&east, &west] {
        let activation = NewActivation {
            ..activation(
                &stream_of(&module.name, "counter", "a"),
                ActivationNumber::NONE,
                &module.name,
            )
        };
        store.activate_one(activation).await.unwrap();
    }
    let known = async |name: &str, namespaces: &[&str]| {
        let namespaces = namespaces.iter().map(|name| Namespace::new(*name).unwrap());
        let filter = ModuleFilter {
            viewer: Some(ModuleViewer {
                name: name.to_owned(),
                namespaces: namespaces.collect(),
            }),
            ..ModuleFilter::default()
        };
        let modules = modules_of(&*store, &filter).await;
        let mut names: Vec<_> = modules.into_iter().map(|module| module.name).collect();
        names.sort();
        let one = ModuleFilter {
            digest: Some(mine.digest),
            ..filter
        };
        let is_mine_known = !modules_of(&*store, &one).await.is_empty();
        assert_eq!(is_mine_known, names.iter().any(|name| name == "mine"));
        names
    };
    assert_eq!(known("ann", &["east"]).await, ["east", "mine"]);
    assert_eq!(
        known("ann", &["east", "west"]).await,
        ["east", "mine", "west"]
    );
    assert_eq!(known("bob", &[]).await, ["mine", "theirs"]);
    assert_eq!(known("eve", &["default"]).await, Vec::<String>::new());

    // What is gone was uploaded by nobody.
    store.delete_module(mine.digest).await.unwrap();
    store.record_upload(mine.digest, "ann").await.unwrap();
    store.put_module(mine.clone()).await.unwrap();
    assert_eq!(known("ann", &["east"]).await, ["east"]);
}

pub(crate) async fn a_module_that_was_never_active_can_be_deleted(store: Arc<dyn Store>) {
    let digest = ModuleDigest::of(b"1");
    let error = store.delete_module(digest).await.unwrap_err();
    assert!(matches!(error, DeleteModuleError::NotFound), "{error:?}");

    store.put_module(module("counter", "1")).await.unwrap();
    store.put_module(module("counter", "2")).await.unwrap();
    store.delete_module(digest).await.unwrap();
    assert_eq!(store.module(digest).await.unwrap(), None);
    assert_eq!(store.module_wasm(digest).await.unwrap(), None);
    assert_eq!(modules_of(&*store, &ModuleFilter::default()).await.len(), 1);
    let error = store.delete_module(digest).await.unwrap_err();
    assert!(matches!(error, DeleteModuleError::NotFound), "{error:?}");

    let (_, is_new) = store.put_module(module("counter", "1")).await.unwrap();
    assert!(is_new);
}

pub(crate) async fn a_module_that_is_or_was_active_cannot_be_deleted(store: Arc<dyn Store>) {
    let elsewhere = stream_of("other", "counter", "c");
    for of in [stream("c"), elsewhere] {
        activate(&*store, &of).await;
        activate(&*store, &of).await;
    }
    for wasm in ["counter 0", "counter 1"] {
        let digest = ModuleDigest::of(wasm.as_bytes());
        let error = store.delete_module(digest).await.unwrap_err();
        assert!(matches!(error, DeleteModuleError::InUse), "{error:?}");
        assert!(store.module_wasm(digest).await.unwrap().is_some());
    }
}

pub(crate) async fn an_activation_is_recorded_with_every_field(store: Arc<dyn Store>) {
    let of = stream("c");
    assert_eq!(store.active(&key(&of)).await.unwrap(), None);
    assert_eq!(log_of_activations(&*store, &key(&of)).await, []);
    store.put_module(module("counter", "1")).await.unwrap();
    store.put_module(module("counter", "2")).await.unwrap();

    let plain = activation(&of, ActivationNumber::NONE, "1");
    let first = store.activate_one(plain).await.unwrap();
    let full = NewActivation {
        activated_by: Some("ann \"the\" admin".to_owned()),
        message: Some("fixes the règle; 'quoted'".to_owned()),
        accepted: vec!["state-changed".to_owned(), "a,b".to_owned()],
        report: json(r#"{"steps":[{"name":"replay","streams":12}],"ok":true}"#),
        ..activation(&of, first.number, "2")
    };
    let second = store.activate_one(full.clone()).await.unwrap();
    let third = store
        .activate_one(activation(&of, second.number, "1"))
        .await
        .unwrap();

    assert_eq!(first.number, ActivationNumber::new(1));
    assert_eq!(
        (first.digest, first.replaces),
        (Some(ModuleDigest::of(b"1")), None)
    );
    assert_eq!(first.key, key(&of));
    assert_eq!((&first.activated_by, &first.message), (&None, &None));
    assert_eq!(first.accepted, Vec::<String>::new());
    assert_eq!(second.number, ActivationNumber::new(2));
    assert_eq!(second.replaces, Some(ModuleDigest::of(b"1")));
    assert_eq!(
        (&second.activated_by, &second.message),
        (&full.activated_by, &full.message)
    );
    assert_eq!(
        (&second.accepted, &second.report),
        (&full.accepted, &full.report)
    );
    assert_eq!(third.replaces, Some(ModuleDigest::of(b"2")));
    let active = store.active(&key(&of)).await.unwrap();
    assert_eq!(active.as_ref(), Some(&third));
    let log = log_of_activations(&*store, &key(&of)).await;
    assert_eq!(log, [third, second, first]);
}

pub(crate) async fn an_activation_after_another_than_the_newest_is_refused(store: Arc<dyn Store>) {
    let of = stream("c");
    store.put_module(module("counter", "1")).await.unwrap();
    let at = async |after: i64| {
        let activation = activation(&of, ActivationNumber::new(after), "1");
        store.activate_one(activation).await
    };
    let moved_to = |outcome: Result<_, ActivateError>| match outcome {
        Err(ActivateError::Moved { current, .. }) => current.get(),
        outcome => panic!("{outcome:?}"),
    };
    assert_eq!(moved_to(at(1).await), 0);
    at(0).await.unwrap();
    assert_eq!(moved_to(at(0).await), 1);
    assert_eq!(moved_to(at(2).await), 1);
    at(1).await.unwrap();
    let log = log_of_activations(&*store, &key(&of)).await;
    assert_eq!(log.len(), 2);
}

pub(crate) async fn only_a_stored_module_is_activated(store: Arc<dyn Store>) {
    let of = stream("c");
    let error = store
        .activate_one(activation(&of, ActivationNumber::NONE, "unheard"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ActivateError::ModuleNotFound { .. }),
        "{error:?}"
    );
    assert_eq!(store.active(&key(&of)).await.unwrap(), None);
    // Nothing of it took place, so that its events are not registered either.
    let error = append(&*store, import(&of, ExpectedVersion::Any, increments(1)))
        .await
        .unwrap_err();
    assert!(
        matches!(error, AppendError::EventUnregistered { .. }),
        "{error:?}"
    );
}

pub(crate) async fn an_activation_registers_its_events(store: Arc<dyn Store>) {
    let of = stream("c");
    let refused = append(&*store, import(&of, ExpectedVersion::Any, increments(1))).await;
    let error = refused.unwrap_err();
    assert!(
        matches!(error, AppendError::EventUnregistered { .. }),
        "{error:?}"
    );
    store.put_module(module("counter", "1")).await.unwrap();
    store.put_module(module("counter", "2")).await.unwrap();
    store
        .activate_one(activation(&of, ActivationNumber::NONE, "1"))
        .await
        .unwrap();
    grow(&*store, &of, 1).await;

    // The next module drops all events but one, which it describes anew, and adds a version: what
    // is registered stays so.
    let described = EventType {
        description: "the counter went up".to_owned(),
        ..event_type("Incremented")
    };
    let newer = EventType {
        schema_version: 2,
        ..described.clone()
    };
    let second = NewActivation {
        events: vec![described, newer],
        ..activation(&of, ActivationNumber::new(1), "2")
    };
    store.activate_one(second).await.unwrap();
    let mut events = vec![incremented(), incremented(), event("Reset")];
    events[1].schema_version = 2;
    append(&*store, import(&of, exactly(1), events))
        .await
        .unwrap();
}

pub(crate) async fn active_modules_are_listed_by_namespace_and_name(store: Arc<dyn Store>) {
    let in_order = [
        ("0", "counter"),
        ("a", "Order"),
        ("a", "account"),
        ("a", "counter"),
        ("a-b", "counter"),
        ("b", "counter"),
    ];
    let everywhere = ActivationFilter::default();
    assert_eq!(active_of(&*store, &everywhere).await, []);
    for (namespace, decider) in in_order.iter().rev() {
        let of = stream_of(namespace, decider, "any");
        activate(&*store, &of).await;
        activate(&*store, &of).await;
    }
    let all = active_of(&*store, &everywhere).await;
    let names: Vec<(&str, &str)> = all
        .iter()
        .map(|activation| {
            (
                activation.key.namespace().as_str(),
                activation.key.name().as_str(),
            )
        })
        .collect();
    assert_eq!(names, in_order);
    assert!(
        all.iter()
            .all(|activation| activation.number == ActivationNumber::new(2))
    );
    let in_one = ActivationFilter {
        namespace: Some(namespace("a")),
        kind: None,
    };
    let of_one = active_of(&*store, &in_one).await;
    assert_eq!(of_one, all[1..4]);
}
