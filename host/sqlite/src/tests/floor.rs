//! Files of hosts of before, and of newer ones.

use gavel_model::{ActivationKey, ModuleKind};
use gavel_store::{ModuleFilter, Outdated, RehearsalStore as _};

use super::*;
use crate::migrations;

const RAISE: &str = "PRAGMA user_version = 1000000";
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Makes a file as it was left by hosts that knew of deciders only.
fn of_deciders_only(file: &File) {
    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    let mut sql = file.plain_sql();
    migrations::STORE.run_before(&mut sql, 34);
    let rows = format!(
        "INSERT INTO modules VALUES ('{DIGEST}', 3, 'decider', 'counter', '{{}}', '[]', 1000, x'010203');
         INSERT INTO module_uploads VALUES ('{DIGEST}', 'ann');
         INSERT INTO activations VALUES
             ('default', 'counter', 1, '{DIGEST}', NULL, 2000, 'ann', 'first', '[]', '{{}}'),
             ('default', 'counter', 2, '{DIGEST}', '{DIGEST}', 3000, NULL, NULL, '[\"cost\"]', '{{}}');
         INSERT INTO deciders VALUES ('counter', 'Incremented', 1, '');
         INSERT INTO rehearsals VALUES
             ('default', x'01990000000070008000000000000001', 'counter', '{DIGEST}', 1, 4000, '{{}}');
         INSERT INTO events (event, event_id, decider, decider_id, command_id, created_at, version, data)
         VALUES ('Incremented', x'01990000000070008000000000000002', 'counter', 'deactivations',
                 x'01990000000070008000000000000003', 5000, 1, '{{}}')"
    );
    sql.execute_batch(&rows).unwrap();
}

#[tokio::test]
async fn a_file_that_knows_of_deciders_only_is_opened_with_all_it_holds() {
    let file = File::new();
    of_deciders_only(&file);
    let store = file.open().await;
    assert_sound(&file);

    let digest: ModuleDigest = DIGEST.parse().unwrap();
    let module = store.module(digest).await.unwrap().unwrap();
    assert_eq!(module.kind, ModuleKind::Decider);
    assert_eq!(module.contract, "gavel:decider@0.1.0");
    let wasm = store.module_wasm(digest).await.unwrap();
    assert_eq!(wasm.as_deref(), Some([1, 2, 3].as_slice()));
    let of_ann = ModuleFilter {
        viewer: Some(gavel_store::ModuleViewer {
            name: "ann".to_owned(),
            namespaces: Vec::new(),
        }),
        ..ModuleFilter::default()
    };
    let listed = store.list_modules(&of_ann, None, 10).await.unwrap();
    assert_eq!(listed.items, [module]);

    let key = ActivationKey::new(Namespace::default(), ModuleKind::Decider, "counter").unwrap();
    let log = store.activations(&key, None, 10).await.unwrap().items;
    let [second, first] = log.as_slice() else {
        panic!("{log:?}")
    };
    assert_eq!((first.digest, first.replaces), (Some(digest), None));
    assert_eq!(first.activated_by.as_deref(), Some("ann"));
    assert_eq!(
        (second.digest, second.replaces),
        (Some(digest), Some(digest))
    );
    assert_eq!(second.accepted, ["cost"]);
    let all = ActivationFilter::default();
    let active = store.list_active(&all, None, 10).await.unwrap();
    assert_eq!(active.items, std::slice::from_ref(second));
    let rehearsals = store.rehearsals(&key, 10).await.unwrap();
    assert_eq!(rehearsals.len(), 1);

    for rule in [
        "UPDATE activations SET message = ''",
        "DELETE FROM activations",
        "UPDATE modules SET name = ''",
        "INSERT INTO activations (namespace, name, number, digest, activated_at, accepted, report) \
         SELECT namespace, name, 9, digest, activated_at, accepted, report FROM activations",
    ] {
        assert!(file.plain_sql().execute_batch(rule).is_err(), "{rule}");
    }
}

#[tokio::test]
async fn a_stream_whose_id_means_something_else_by_now_stays_readable_and_goes_on() {
    let file = File::new();
    of_deciders_only(&file);
    let store = file.open().await;
    let namespace = Namespace::default();
    let stored = log_of(&store, &namespace, 1).await;
    let stream = &stored[0].stream;
    assert_eq!(stream.id(), "deactivations");
    assert_eq!(events_of(&store, stream).await, stored);
    let later = grow(&store, stream, 1).await;
    assert_eq!(later[0].version, version(2));

    let begun = file.plain_sql().execute_batch(
        "INSERT INTO events (event, event_id, decider, decider_id, command_id, created_at, version, data)
         VALUES ('Incremented', randomblob(16), 'counter', 'logs', randomblob(16), 6000, 1, '{}')",
    );
    let refused = begun.unwrap_err().to_string();
    assert!(refused.contains("do not name a stream"), "{refused}");
}

#[tokio::test]
async fn a_file_for_newer_programs_is_refused() {
    let file = File::new();
    drop(file.open().await);
    file.plain_sql().execute_batch(RAISE).unwrap();
    for migrate in [true, false] {
        let error = open(&file.path(), migrate).await.unwrap_err();
        let OpenError::Outdated(outdated) = error else {
            panic!("{error:?}");
        };
        let known = migrations::STORE.newest();
        let floor = 1_000_000;
        assert_eq!(outdated, Outdated { floor, known });
        let told = outdated.to_string();
        assert!(told.starts_with("newer schema, update me"), "{told}");
        assert!(
            told.contains("1000000") && told.contains(&known.to_string()),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_program_under_which_the_floor_is_raised_writes_no_more_and_is_told() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    let stored = grow(&store, &stream("a"), 1).await;
    file.plain_sql().execute_batch(RAISE).unwrap();

    let part = import(&stream("a"), exactly(1), increments(1));
    let error = append(&store, part).await.unwrap_err();
    assert!(matches!(error, AppendError::Unavailable(_)), "{error:?}");
    let (floor, known) = (1_000_000, migrations::STORE.newest());
    assert_eq!(store.outdated().await, Outdated { floor, known });
    assert_eq!(events_of(&store, &stream("a")).await, stored);
}
