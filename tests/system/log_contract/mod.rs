//! What every log promises, run against memory and against JetStream on a real server; and what only a log
//! on a server can be put through.

mod atomic;
mod bed;
mod broken;
mod expect;
mod keep;
mod last;
mod limits;
mod open;
mod order;
mod outage;
mod read;
mod remove;
mod replicated;

use bed::Bed;

/// Each case becomes two tests, one for each log.
macro_rules! contract {
    ($($file:ident: $($case:ident),+;)+) => {
        mod memory {
            $($(#[tokio::test]
            async fn $case() {
                super::$file::$case(super::Bed::memory()).await;
            })+)+
        }

        mod jetstream {
            $($(#[tokio::test]
            async fn $case() {
                super::$file::$case(super::Bed::jetstream().await).await;
            })+)+
        }
    };
}

contract! {
    order: gives_entries_back_as_written, an_empty_log_has_nothing_between_its_bounds,
        writes_singles_in_the_order_of_their_calls, two_writers_share_one_order;
    read: starts_at_a_position, reads_what_matches_a_pattern, reads_headers_without_payloads,
        waits_for_new_entries, readers_do_not_disturb_each_other, a_cancelled_wait_loses_nothing,
        a_reader_past_the_end_waits_for_its_place;
    atomic: writes_a_batch_side_by_side, a_refused_batch_leaves_nothing, takes_a_thousand_entries,
        batches_and_singles_keep_their_word_together;
    expect: an_own_expectation_holds_or_refuses, a_fence_on_another_subject_guards_a_single,
        a_fence_on_another_subject_guards_a_batch, fence_and_own_expectations_go_into_one_batch,
        a_takeover_shuts_the_old_owner_out, pipelined_singles_share_a_fence,
        refuses_expectations_about_what_the_commit_writes, every_entry_may_carry_a_fence;
    keep: a_rollup_replaces_what_was_before, a_rollup_in_a_batch_replaces_under_an_expectation,
        an_entry_expires_after_its_time, an_expired_lease_is_none;
    last: finds_the_last_entry_right_after_its_commit, gives_the_last_of_each_subject_in_order,
        a_subject_without_entries_has_no_last;
    remove: removes_what_matches_up_to_a_position, a_removal_changes_no_position,
        a_reader_goes_on_behind_what_was_removed;
    limits: takes_the_largest_entry_and_no_larger, takes_no_subject_that_it_does_not_keep,
        takes_one_to_a_thousand_entries_a_commit, takes_headers_up_to_their_limit;
}
