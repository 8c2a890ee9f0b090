//! The sample site and its visitors.
