//! The list of cases that every store of views runs.

mod commits;
mod holds;
mod parked;
mod queries;
mod support;
mod tables;

use std::sync::Arc;

use crate::views::ViewStore;

/// The cases as they are written; one that is not listed below is dead code here.
mod cases {
    pub(super) use super::commits::*;
    pub(super) use super::holds::*;
    pub(super) use super::parked::*;
    pub(super) use super::queries::*;
    pub(super) use super::tables::*;
}

/// Turns the list of cases into public functions, and into `for_each_view_case!`, which calls the
/// macro it is given with the name of each.
macro_rules! view_cases {
    ($($case:ident,)*) => {
        $(
            #[doc = concat!("Fails where a store breaks the contract: `", stringify!($case), "`.")]
            pub async fn $case(store: Arc<dyn ViewStore>) {
                cases::$case(store).await;
            }
        )*
        view_cases!(@with_dollar ($) $($case,)*);
    };
    (@with_dollar ($dollar:tt) $($case:ident,)*) => {
        /// Calls a macro with the name of each case of
        /// [`conformance::views`]($crate::conformance::views).
        #[macro_export]
        macro_rules! for_each_view_case {
            ($dollar case:ident) => { $( $dollar case!($case); )* };
        }
    };
}

view_cases!(
    // tables
    a_table_is_made_once_for_a_view_and_a_module,
    a_table_is_listed_with_every_field,
    a_table_that_is_dropped_is_gone_with_its_rows,
    a_table_that_is_read_is_not_dropped,
    a_table_that_begins_again_is_empty_and_not_finished,
    the_pointer_never_goes_back_to_an_older_activation,
    a_view_stays_paused_when_its_pointer_moves,
    rows_that_change_without_an_event_are_another_revision,
    views_of_one_name_in_two_namespaces_share_nothing,
    columns_of_any_name_are_kept,
    // commits
    rows_and_progress_change_together,
    a_change_that_begins_elsewhere_changes_nothing,
    of_changes_that_race_one_is_made,
    a_row_that_ends_is_gone_and_may_come_again,
    the_text_of_a_row_that_goes_in_comes_out,
    values_of_every_type_are_kept_to_their_edges,
    many_new_rows_are_kept_as_a_few_are,
    keys_that_look_alike_are_different_rows,
    rows_are_scanned_by_the_bytes_of_their_keys,
    pages_of_rows_are_bounded_in_bytes,
    sums_are_over_all_rows,
    changes_follow_the_model,
    // parked
    a_parked_row_is_told_with_its_fault_and_what_waits,
    a_row_that_is_not_parked_any_more_has_nothing_waiting,
    what_waits_after_the_event_that_a_row_is_parked_at_now_waits_on,
    no_event_waits_behind_a_row_that_was_retried_meanwhile,
    parked_events_are_counted,
    // queries
    rows_are_read_through_the_pointer,
    pages_of_a_query_join_in_every_order,
    rows_without_a_value_come_last,
    bounds_are_inclusive_or_exclusive,
    rows_have_all_of_the_values_that_are_asked_for,
    a_query_for_a_column_that_is_not_there_is_refused,
    // holds
    a_hold_keeps_changes_away_and_moves_the_pointer,
    a_hold_that_is_let_go_of_leaves_tables_as_they_were,
    a_hold_moves_the_pointers_of_several_views_or_none,
    reads_go_on_while_tables_are_held,
);
