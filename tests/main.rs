//! Integration tests: one binary, a file per stage.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod capture;
mod compare;
mod demo;
mod end_to_end;
mod hostile;
mod import;
mod record;
mod replay;
mod rooms;
mod support;
