//! One list of cases that every store runs: the contract of the traits, as tests.
//!
//! A store lists nothing. It depends on this crate with the feature `conformance`, says how a case
//! gets a fresh, empty store, and takes the whole list:
//!
//! ```ignore (the macros exist with the feature only)
//! macro_rules! memory_case { ($case:ident) => {
//!     #[tokio::test]
//!     async fn $case() { conformance::$case(Arc::new(MemoryStore::new(clock()))).await; }
//! } }
//! gavel_store::for_each_store_case!(memory_case);
//! ```
//!
//! **Invariant:** a case that is written but not listed is dead code, of which the compiler warns;
//! one that is listed runs on every store. Cases only rely on what the contract says: a store may
//! show an event in its log some time after the append was answered, and may take the time from
//! anywhere.

#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a case is a test, which fails by a panic"
)]

mod append;
mod atomic;
mod consumers;
mod holds;
mod hosts;
mod isolation;
mod kinds;
mod ledger;
mod log;
mod modules;
mod past;
mod payload;
mod processes;
mod races;
mod read;
mod rehearsals;
mod snapshots;
mod streams;
pub mod support;
mod swaps;
mod tags;
#[macro_use]
pub mod views;

use std::sync::Arc;

use crate::Store;

/// The cases as they are written; one that is not listed below is dead code here.
mod cases {
    pub(super) use super::append::*;
    pub(super) use super::atomic::*;
    pub(super) use super::consumers::*;
    pub(super) use super::holds::*;
    pub(super) use super::hosts::*;
    pub(super) use super::isolation::*;
    pub(super) use super::kinds::*;
    pub(super) use super::ledger::*;
    pub(super) use super::log::*;
    pub(super) use super::modules::*;
    pub(super) use super::past::*;
    pub(super) use super::payload::*;
    pub(super) use super::processes::*;
    pub(super) use super::races::*;
    pub(super) use super::read::*;
    pub(super) use super::rehearsals::*;
    pub(super) use super::snapshots::*;
    pub(super) use super::streams::*;
    pub(super) use super::swaps::*;
    pub(super) use super::tags::*;
}

/// Turns the list of cases into public functions, and into `for_each_store_case!`, which calls the
/// macro it is given with the name of each.
macro_rules! store_cases {
    ($($case:ident,)*) => {
        $(
            #[doc = concat!("Fails where a store breaks the contract: `", stringify!($case), "`.")]
            pub async fn $case(store: Arc<dyn Store>) {
                cases::$case(store).await;
            }
        )*
        store_cases!(@with_dollar ($) $($case,)*);
    };
    (@with_dollar ($dollar:tt) $($case:ident,)*) => {
        /// Calls a macro with the name of each case of [`conformance`]($crate::conformance).
        #[macro_export]
        macro_rules! for_each_store_case {
            ($dollar case:ident) => { $( $dollar case!($case); )* };
        }
    };
}

store_cases!(
    // append
    every_expected_version_against_every_head,
    appends_follow_the_model,
    the_first_event_has_version_one_and_no_predecessor,
    events_are_chained_across_appends,
    an_append_answers_with_what_is_read_back,
    the_expected_previous_id_is_checked,
    nothing_follows_a_final_event,
    an_unregistered_event_is_refused,
    an_event_id_is_stored_once_in_all_streams_and_namespaces,
    a_refused_append_writes_nothing,
    checks_come_in_the_documented_order,
    an_append_without_events_leaves_the_stream_as_it_is,
    an_append_without_parts_does_nothing,
    // atomic
    parts_are_stored_together_or_not_at_all,
    a_later_part_sees_the_events_of_those_before_it,
    answers_come_in_the_order_of_the_parts,
    fence_and_ledger_of_every_part_come_before_any_conflict,
    one_command_id_in_two_parts_is_refused,
    opposite_orders_of_streams_never_deadlock,
    // races
    of_racing_writers_one_wins,
    of_twenty_concurrent_first_events_one_is_stored,
    writers_without_expectation_each_get_a_version,
    a_command_that_races_itself_is_recorded_once,
    an_event_id_that_races_itself_is_stored_once,
    no_stale_append_follows_an_activation,
    of_racing_activations_one_wins,
    a_dropped_append_is_whole_or_absent,
    of_appends_at_the_same_time_each_has_its_own_outcome,
    // payload
    every_field_of_an_event_is_kept,
    text_of_every_kind_is_kept,
    numbers_keep_their_value,
    the_text_that_goes_in_comes_out,
    the_largest_payload_is_kept,
    stream_ids_that_look_alike_are_different_streams,
    // ledger
    every_field_of_a_command_is_kept,
    of_a_command_whose_keys_are_kept_all_but_the_payload_is_found,
    an_unknown_command_is_not_found,
    a_known_command_is_refused_whatever_its_outcome_was,
    what_has_its_command_id_taken_is_never_stored,
    a_command_id_belongs_to_its_namespace,
    commands_that_are_looked_up_together_are_told_apart,
    a_stale_fence_is_refused_whatever_the_outcome,
    a_fence_holds_for_its_decider_and_namespace_alone,
    // read
    every_range_of_a_stream_in_both_directions,
    a_history_is_what_folding_needs_of_the_events,
    a_stream_without_events_is_at_version_zero,
    the_head_names_the_newest_event,
    the_version_at_a_time_is_that_of_the_last_event_until_then,
    created_at_never_decreases_within_a_stream,
    a_part_of_a_stream_is_bounded_in_bytes,
    what_is_read_to_be_folded_is_bounded_in_bytes,
    streams_are_listed_in_pages_by_the_bytes_of_their_ids,
    a_stream_is_listed_from_its_first_event_on,
    the_store_answers_a_ping,
    // past
    the_past_is_read_stream_by_stream_and_version_by_version,
    a_page_of_the_past_begins_where_the_last_one_has_ended,
    the_past_of_one_stream_is_that_stream,
    the_past_of_some_streams_begins_in_each_where_it_is_told_to,
    the_past_holds_no_other_decider_and_no_other_namespace,
    commands_without_events_are_read_by_stream_version_and_id,
    what_comes_after_a_moment_is_told_and_can_be_left_out,
    commands_are_found_by_many_ids_at_once,
    an_event_is_found_by_its_id_in_its_namespace_only,
    the_past_can_be_counted_in_pages_of_any_size,
    // isolation
    deciders_that_share_an_id_share_nothing_else,
    namespaces_are_isolated_in_every_read,
    // log
    pages_of_the_log_join_without_loss_or_repetition,
    pages_of_the_log_are_bounded_in_bytes,
    reading_resumes_after_a_position_never_at_it,
    events_are_found_by_their_positions,
    the_log_is_filtered_by_decider_and_event,
    the_log_is_filtered_by_patterns_of_stream_ids,
    the_log_is_filtered_by_tags,
    a_consumer_is_leased_events_that_have_all_of_its_tags,
    next_is_past_what_the_filter_left_out,
    a_page_says_whether_there_was_more,
    a_page_of_nothing_stays_where_it_is,
    only_the_positions_of_its_events_are_of_a_log,
    a_reader_misses_nothing_while_writers_race,
    // streams
    the_log_is_read_through_a_moment,
    events_of_some_streams_come_in_the_order_of_the_log,
    pages_of_some_streams_are_bounded_in_bytes,
    // holds
    what_is_appended_while_a_decider_is_held_meets_the_next_activation,
    what_was_stored_and_not_looked_at_keeps_the_pointer_where_it_is,
    a_hold_that_is_let_go_of_leaves_everything_as_it_was,
    a_hold_that_is_never_let_go_of_ends_by_itself,
    // modules
    a_module_is_kept_once,
    modules_are_listed_newest_first_and_filtered,
    lists_of_modules_and_activations_are_bounded_in_bytes,
    a_viewer_knows_what_it_has_uploaded_and_what_was_active_with_it,
    a_module_that_was_never_active_can_be_deleted,
    a_module_that_is_or_was_active_cannot_be_deleted,
    an_activation_is_recorded_with_every_field,
    an_activation_after_another_than_the_newest_is_refused,
    only_a_stored_module_is_activated,
    an_activation_registers_its_events,
    active_modules_are_listed_by_namespace_and_name,
    // kinds
    two_kinds_share_no_pointer_and_no_rehearsal,
    a_name_belongs_to_one_kind_for_good,
    a_name_with_events_is_a_deciders,
    of_two_kinds_that_begin_a_name_at_the_same_time_one_has_it,
    what_no_other_kind_may_have_begun_is_not_stored_where_one_has,
    of_an_import_and_another_kind_that_begin_a_name_at_the_same_time_one_has_it,
    a_deactivation_is_a_fact_after_which_nothing_is_decided,
    no_append_follows_a_deactivation,
    the_host_appends_to_the_streams_of_a_process,
    // swaps
    a_set_moves_all_its_pointers_at_once,
    a_set_of_which_one_is_refused_moves_no_pointer,
    no_stale_append_to_any_decider_follows_a_set,
    what_is_appended_while_a_set_is_held_meets_the_next_activation,
    sets_that_share_deciders_wait_for_each_other_and_all_end,
    a_swap_after_others_than_those_that_were_counted_is_refused,
    of_swaps_that_come_after_the_same_others_one_takes_place,
    // snapshots
    a_load_is_the_snapshot_and_what_follows_it,
    a_stream_without_events_loads_as_nothing,
    a_snapshot_never_gives_way_to_an_older_one,
    a_snapshot_is_of_one_module_and_one_stream,
    snapshots_of_modules_that_are_not_kept_are_forgotten_in_steps,
    a_snapshot_beyond_the_head_is_ignored_until_the_stream_is_there,
    // tags
    events_of_before_and_after_a_guard_are_found_by_their_tags,
    no_kind_is_read_by_tags_before_all_of_it_is_indexed,
    conditions_on_tags_select_what_a_filter_of_the_log_does,
    tags_are_those_of_one_namespace_and_one_decider,
    history_is_indexed_while_writers_append,
    pages_of_tagged_events_are_bounded,
    // rehearsals
    a_rehearsal_is_kept_with_every_field,
    a_rehearsal_that_is_over_stays_over,
    rehearsals_are_listed_newest_first_by_namespace_and_decider,
    a_rehearsal_that_was_left_alone_is_adopted_once,
    of_rehearsals_that_are_over_the_newest_are_kept,
    // hosts
    a_host_sees_itself_and_none_that_has_left_or_has_other_rows,
    // processes: rosters
    a_roster_is_made_once_for_a_process_and_a_module,
    a_roster_that_begins_again_is_empty_and_where_it_began,
    a_roster_that_is_dropped_is_gone_for_good,
    a_process_is_paused_with_all_its_rosters,
    rosters_in_two_namespaces_share_nothing,
    // processes: changes
    instances_tasks_and_progress_change_together,
    a_change_of_a_roster_that_begins_elsewhere_changes_nothing,
    of_changes_of_a_roster_that_race_one_is_made,
    an_instance_that_ends_is_gone_and_may_begin_anew,
    documents_of_instances_and_tasks_keep_their_text,
    // processes: tasks
    an_open_send_that_is_withdrawn_stays_until_it_is_settled,
    a_settled_send_or_a_wait_that_goes_is_forgotten,
    a_send_that_is_listed_again_is_the_one_recorded_first,
    a_task_that_is_done_stays_while_it_is_listed,
    a_task_that_is_listed_once_is_forgotten_when_it_is_done,
    a_parked_send_holds_back_what_follows_it_to_its_stream,
    sends_to_deciders_that_rest_are_left_out,
    pages_of_sends_join_by_place,
    waits_are_due_in_the_order_of_their_times,
    // processes: settling
    rosters_of_a_process_share_what_was_recorded_and_settled,
    parked_tasks_are_opened_again,
    tasks_by_which_two_rosters_differ_are_told,
    skipped_tasks_are_done_also_when_they_are_listed_again,
    what_the_active_roster_has_is_not_skipped,
    // processes: parked
    a_parked_instance_is_told_with_what_it_holds,
    an_instance_that_is_not_parked_any_more_holds_nothing,
    what_is_held_after_the_input_that_an_instance_is_parked_at_is_held_on,
    no_input_is_held_behind_an_instance_that_was_retried_meanwhile,
    // processes: lists
    instances_are_listed_by_the_bytes_of_their_keys,
    pages_of_instances_are_bounded_in_bytes,
    instances_are_listed_while_something_is_left_to_do,
    // processes: holds
    a_hold_keeps_changes_of_rosters_away_until_it_is_dropped,
    a_hold_of_rosters_ends_after_its_time,
    // processes: model
    changes_of_rosters_follow_the_model,
    // consumers
    events_are_leased_in_order_and_acknowledged_once,
    what_is_appended_to_a_leased_stream_waits_for_its_lease,
    a_consumer_begins_where_it_is_told,
    a_consumer_leaves_behind_what_it_does_not_want,
    changing_a_consumer_moves_no_checkpoint,
    a_lease_that_was_taken_over_is_lost,
    a_lease_is_good_for_its_consumer_alone,
    only_what_is_leased_can_be_acknowledged,
    a_lease_can_be_acknowledged_piece_by_piece,
    a_stream_that_fails_comes_again_and_is_parked_in_the_end,
    of_what_is_said_of_a_failure_so_much_is_kept,
    a_parked_event_can_be_skipped,
    all_that_is_parked_is_retried_at_once,
    a_lease_that_is_given_back_costs_no_attempt,
    a_lease_that_expires_at_the_last_attempt_parks_the_stream,
    a_nack_with_a_delay_lets_the_stream_rest,
    only_wanted_events_are_leased,
    max_events_are_shared_out,
    what_is_leased_at_once_is_bounded_in_bytes,
    a_stream_that_keeps_growing_does_not_starve_the_others,
    a_paused_consumer_leases_nothing,
    a_consumer_that_a_host_pauses_says_why,
    a_reset_loses_all_leases_and_begins_anew,
    a_namespace_has_room_for_so_many_consumers,
    a_deleted_consumer_is_unknown,
    consumers_of_a_namespace_see_its_events_alone,
    consumers_are_listed_in_pages,
    deciders_that_share_an_id_are_leased_apart,
    a_consumer_says_how_far_it_has_come,
    workers_that_race_and_fail_do_everything_in_order,
);
