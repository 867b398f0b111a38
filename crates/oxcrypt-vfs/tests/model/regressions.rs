//! Sequences that once failed, shrunk. Each says what was wrong.

#![allow(unused_imports, reason = "kept sequences use any of them")]

use oxcrypt_vfs::{AllocateMode::*, RenameFlags::*};

use crate::op::Op::*;
use crate::replay;

#[test]
fn a_node_of_every_kind_is_made_and_removed() {
    replay(&[
        Create(0, 0, 0o644),
        Mkdir(0, 1, 0o755),
        Symlink(0, 4, 3),
        Reopen,
        Unlink(0, 0),
        Rmdir(0, 1),
        Unlink(0, 4),
    ]);
}

#[test]
fn a_name_too_long_in_its_other_spelling_is_just_not_there() {
    replay(&[Unlink(0, 7)]);
}

#[test]
fn a_file_keeps_its_other_names_when_the_one_met_last_goes() {
    replay(&[
        Create(0, 0, 0o644),
        Link(0, 0, 4),
        Unlink(0, 4),
        Link(0, 0, 4),
        Unlink(0, 0),
        Link(0, 0, 1),
        Reopen,
    ]);
}

#[test]
fn making_what_exists_leaves_the_times_of_the_directory_alone() {
    replay(&[Create(0, 5, 0o644), SetTime(0, 0), Create(0, 5, 0o644)]);
}

#[test]
fn a_copy_behind_the_own_end_does_not_feed_itself() {
    replay(&[Create(0, 0, 0o644), Append(0, 10, 1), Copy(0, 0, 0, 20, 15)]);
}

#[test]
fn nothing_is_copied_from_a_directory() {
    replay(&[Copy(0, 0, 0, 0, 0)]);
}

#[test]
fn a_taken_target_is_told_before_a_loop() {
    replay(&[
        Mkdir(0, 0, 0o755),
        Mkdir(1, 1, 0o755),
        Rename(0, 0, 1, 1, NoReplace),
    ]);
}

#[test]
fn a_hole_may_reach_beyond_the_disk() {
    replay(&[
        Create(0, 0, 0o644),
        Append(0, 10, 1),
        Allocate(0, 5, 1_000_000_000_000_000, PunchHole),
    ]);
}

#[test]
fn a_removed_directory_is_empty_for_those_who_hold_it() {
    replay(&[
        Mkdir(0, 0, 0o755),
        Mkdir(0, 1, 0o755),
        Rmdir(0, 0),
        Getattr(1),
        Unlink(1, 0),
        Create(1, 0, 0o644),
    ]);
}

#[test]
fn a_rename_that_fails_leaves_nothing_behind() {
    replay(&[
        Mkdir(0, 0, 0o755),
        Symlink(0, 4, 3),
        Rmdir(0, 0),
        Rename(0, 4, 1, 5, Replace),
    ]);
}

/// On disk; in memory it never failed.
#[test]
fn a_listing_goes_on_after_the_directory_was_closed() {
    crate::replay_on_disk(&[
        Mkdir(0, 0, 0o755),
        ListPart(1, 1),
        Create(1, 4, 0o644),
        Mkdir(1, 2, 0o755),
        Rmdir(1, 2),
        ListRest,
    ]);
}

/// The journal held what was written, and gave it up as that of a file without a name.
#[test]
fn a_file_whose_only_known_name_is_replaced_keeps_what_was_written() {
    replay(&[
        Symlink(0, 0, 0),
        Create(0, 1, 0o644),
        Lookup(0, 0),
        Link(0, 0, 7),
        Reopen,
        Lookup(0, 7),
        Write(0, 0, 1, 0),
        Write(0, 0, 1, 1),
        Rename(0, 8, 0, 7, Replace),
        Forget(0),
    ]);
}

#[test]
fn a_file_whose_only_known_name_is_removed_keeps_what_was_written() {
    replay(&[
        Create(0, 0, 0o644),
        Link(0, 0, 1),
        Reopen,
        Lookup(0, 0),
        Write(0, 0, 9, 0),
        Write(0, 0, 5, 1),
        Append(0, 40_000, 2),
        Unlink(0, 0),
        Forget(0),
    ]);
}
