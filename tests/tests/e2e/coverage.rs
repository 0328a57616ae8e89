//! No endpoint without a test, and no test of an endpoint that is not described.

use std::collections::BTreeSet;

use gavel_tests::{Backend, Document, Host, Store};
use reqwest::Method;

/// Each operation of the API, and a case that would fail without it.
const COVERED: &[(&str, &str)] = &[
    ("GET /livez", "operations::a_host_tells_how_it_is"),
    (
        "GET /readyz",
        "outages::while_the_database_is_away_the_host_says_so_and_then_goes_on",
    ),
    ("GET /metrics", "operations::commands_are_counted"),
    (
        "GET /openapi.json",
        "coverage::every_operation_is_described_and_tested",
    ),
    ("GET /v1/info", "operations::a_host_tells_how_it_is"),
    (
        "POST /v1/modules",
        "modules::a_module_is_stored_once_under_its_digest",
    ),
    (
        "GET /v1/modules",
        "modules::modules_are_listed_by_name_and_kind",
    ),
    (
        "GET /v1/modules/{digest}",
        "modules::a_module_is_stored_once_under_its_digest",
    ),
    (
        "GET /v1/modules/{digest}/wasm",
        "modules::a_module_is_stored_once_under_its_digest",
    ),
    (
        "DELETE /v1/modules/{digest}",
        "modules::only_a_module_that_was_never_active_can_be_deleted",
    ),
    (
        "GET /v1/deciders",
        "activations::every_activation_is_on_record",
    ),
    (
        "GET /v1/deciders/{decider}",
        "activations::every_activation_is_on_record",
    ),
    (
        "GET /v1/deciders/{decider}/openapi.json",
        "operations::a_decider_describes_itself_as_a_typed_api",
    ),
    (
        "GET /v1/deciders/{decider}/streams",
        "streams::streams_are_listed_by_pages",
    ),
    (
        "POST /v1/activations",
        "activations::modules_that_change_together_become_active_together",
    ),
    (
        "POST /v1/deciders/{decider}/activations",
        "activations::every_activation_is_on_record",
    ),
    (
        "POST /v1/deciders/{decider}/deactivations",
        "deactivations::a_decider_that_was_deactivated_answers_no_command_and_stays_readable",
    ),
    (
        "POST /v1/deciders/{decider}/rollback",
        "activations::a_rollback_brings_the_former_module_back",
    ),
    (
        "POST /v1/deciders/{decider}/rehearsals",
        "gate_rehearsals::a_rehearsal_says_what_an_activation_would_and_changes_nothing",
    ),
    (
        "GET /v1/deciders/{decider}/rehearsals",
        "gate_rehearsals::a_rehearsal_says_what_an_activation_would_and_changes_nothing",
    ),
    (
        "GET /v1/rehearsals/{id}",
        "gate_rehearsals::a_rehearsal_says_what_an_activation_would_and_changes_nothing",
    ),
    (
        "GET /v1/views",
        "views::rows_are_the_same_over_http_and_in_sql",
    ),
    (
        "GET /v1/views/{view}",
        "views::rows_are_the_same_over_http_and_in_sql",
    ),
    (
        "GET /v1/views/{view}/openapi.json",
        "view_operations::a_view_describes_the_questions_that_it_answers",
    ),
    (
        "GET /v1/views/{view}/logs",
        "view_operations::the_output_of_a_view_can_be_read",
    ),
    (
        "GET /v1/views/{view}/rows",
        "views::rows_are_found_by_an_index_or_not_at_all",
    ),
    (
        "GET /v1/views/{view}/rows/{key}",
        "views::a_reader_sees_what_it_has_written",
    ),
    (
        "GET /v1/views/{view}/rows/{key}/why",
        "view_history::a_row_at_a_time_and_event_by_event_is_what_is_folded_by_hand",
    ),
    (
        "POST /v1/views/{view}/rows/{key}/retry",
        "view_faults::a_row_that_faults_waits_alone_and_can_be_tried_again",
    ),
    (
        "POST /v1/views/{view}/pause",
        "view_waits::a_paused_view_stays_as_it_is_until_it_is_resumed",
    ),
    (
        "POST /v1/views/{view}/resume",
        "view_waits::a_paused_view_stays_as_it_is_until_it_is_resumed",
    ),
    (
        "POST /v1/views/{view}/activations",
        "view_swaps::a_changed_view_is_shown_row_by_row_and_refused_until_a_person_accepts_it",
    ),
    (
        "POST /v1/views/{view}/deactivations",
        "view_swaps::a_deactivated_view_has_no_rows_until_it_works_again",
    ),
    (
        "POST /v1/views/{view}/rollback",
        "view_swaps::rows_are_those_of_one_module_before_and_after_a_swap_and_a_rollback",
    ),
    (
        "POST /v1/views/{view}/rehearsals",
        "view_swaps::a_changed_view_is_shown_row_by_row_and_refused_until_a_person_accepts_it",
    ),
    (
        "GET /v1/views/{view}/rehearsals",
        "view_swaps::a_changed_view_is_shown_row_by_row_and_refused_until_a_person_accepts_it",
    ),
    (
        "DELETE /v1/rehearsals/{id}",
        "gate_rehearsals::a_rehearsal_can_be_cancelled",
    ),
    (
        "GET /v1/deciders/{decider}/logs",
        "output::what_a_module_writes_reaches_its_author_and_rewrites_no_terminal",
    ),
    (
        "GET /v1/verify",
        "gate_verify::what_was_not_altered_is_decided_as_it_was",
    ),
    (
        "GET /v1/events/{event_id}/why",
        "gate_verify::an_event_tells_why_it_is_there",
    ),
    (
        "GET /v1/commands/{command_id}/why",
        "gate_verify::a_command_tells_why_it_was_rejected",
    ),
    (
        "POST /v1/deciders/{decider}/{id}/commands",
        "commands::a_command_stores_its_events_and_answers_with_them",
    ),
    (
        "GET /v1/deciders/{decider}/{id}",
        "time_travel::every_version_can_be_visited",
    ),
    (
        "GET /v1/deciders/{decider}/{id}/events",
        "streams::a_long_stream_is_read_by_pages",
    ),
    (
        "POST /v1/deciders/{decider}/{id}/events",
        "imports::imported_events_are_folded_like_decided_ones",
    ),
    (
        "POST /v1/commands",
        "batches::an_atomic_batch_is_stored_as_a_whole",
    ),
    (
        "GET /v1/events",
        "log::pages_of_the_log_hold_every_event_once_and_in_order",
    ),
    (
        "GET /v1/graph",
        "graph::the_graph_shows_who_writes_who_sends_and_who_reads",
    ),
    (
        "GET /v1/consumers",
        "consumers::a_consumer_reads_from_its_start_to_the_end",
    ),
    (
        "GET /v1/consumers/{name}",
        "consumers::a_consumer_reads_from_its_start_to_the_end",
    ),
    (
        "PUT /v1/consumers/{name}",
        "consumers::settings_change_and_the_checkpoint_stays",
    ),
    (
        "DELETE /v1/consumers/{name}",
        "consumers::consumers_are_reset_paused_and_deleted",
    ),
    (
        "POST /v1/consumers/{name}/leases",
        "consumers::a_worker_waits_for_what_comes",
    ),
    (
        "POST /v1/consumers/{name}/ack",
        "consumers::a_worker_that_is_late_is_told_so_and_changes_nothing",
    ),
    (
        "POST /v1/consumers/{name}/nack",
        "consumers::a_stream_that_fails_is_parked_and_nobody_waits_for_it",
    ),
    (
        "POST /v1/consumers/{name}/extend",
        "consumers::a_worker_that_is_late_is_told_so_and_changes_nothing",
    ),
    (
        "GET /v1/consumers/{name}/parked",
        "consumers::a_stream_that_fails_is_parked_and_nobody_waits_for_it",
    ),
    (
        "POST /v1/consumers/{name}/parked/retry",
        "stop::all_that_is_parked_is_retried_at_once",
    ),
    (
        "POST /v1/consumers/{name}/parked/{decider}/{id}/retry",
        "consumers::a_stream_that_fails_is_parked_and_nobody_waits_for_it",
    ),
    (
        "POST /v1/consumers/{name}/parked/{decider}/{id}/skip",
        "consumers::a_stream_that_fails_is_parked_and_nobody_waits_for_it",
    ),
    (
        "POST /v1/consumers/{name}/reset",
        "consumers::consumers_are_reset_paused_and_deleted",
    ),
    (
        "POST /v1/consumers/{name}/pause",
        "consumers::consumers_are_reset_paused_and_deleted",
    ),
    (
        "POST /v1/consumers/{name}/resume",
        "consumers::consumers_are_reset_paused_and_deleted",
    ),
];

/// The files that the cases are in.
const SOURCES: &[(&str, &str)] = &[
    ("activations", include_str!("activations.rs")),
    ("batches", include_str!("batches.rs")),
    ("commands", include_str!("commands.rs")),
    ("consumers", include_str!("consumers.rs")),
    ("coverage", include_str!("coverage.rs")),
    ("deactivations", include_str!("deactivations.rs")),
    ("gate_rehearsals", include_str!("gate_rehearsals.rs")),
    ("gate_verify", include_str!("gate_verify.rs")),
    ("graph", include_str!("graph.rs")),
    ("imports", include_str!("imports.rs")),
    ("log", include_str!("log.rs")),
    ("modules", include_str!("modules.rs")),
    ("operations", include_str!("operations.rs")),
    ("output", include_str!("hostile/output.rs")),
    ("outages", include_str!("outages.rs")),
    ("stop", include_str!("hostile/stop.rs")),
    ("streams", include_str!("streams.rs")),
    ("time_travel", include_str!("time_travel.rs")),
    ("view_faults", include_str!("view_faults.rs")),
    ("view_history", include_str!("view_history.rs")),
    ("view_operations", include_str!("view_operations.rs")),
    ("view_swaps", include_str!("view_swaps.rs")),
    ("view_waits", include_str!("view_waits.rs")),
    ("views", include_str!("views.rs")),
];

#[tokio::test]
async fn every_operation_is_described_and_tested() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let document = Document::new(host.client().get("/openapi.json").send().await.json(200));

    let covered: BTreeSet<_> = COVERED
        .iter()
        .map(|(operation, _)| (*operation).to_owned())
        .collect();
    assert_eq!(
        document.operations(),
        covered,
        "left: described; right: tested"
    );
    for (operation, case) in COVERED {
        let (file, name) = case.split_once("::").unwrap();
        let source = SOURCES.iter().find(|(known, _)| *known == file);
        let exists =
            source.is_some_and(|(_, source)| source.contains(&format!("async fn {name}(")));
        assert!(exists, "{operation} is tested by {case}");
    }
}

#[tokio::test]
async fn every_described_operation_is_routed() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let document = Document::new(host.client().get("/openapi.json").send().await.json(200));

    for operation in document.operations() {
        let (method, template) = operation.split_once(' ').unwrap();
        let digest = format!("sha256:{}", "0".repeat(64));
        let path = template
            .replace("{digest}", &digest)
            .replace("{decider}", "counter")
            .replace("{view}", "counters")
            .replace("{key}", "c-1")
            .replace("{id}", "c-1");
        let answer = host
            .client()
            .request(Method::from_bytes(method.as_bytes()).unwrap(), &path)
            .send()
            .await;
        assert!(
            !["not-found", "method-not-allowed"]
                .contains(&answer.code().unwrap_or_default().as_str()),
            "{operation}"
        );
    }
}
