//! Integration tests: one binary, a file per stage.

mod capture;
mod compare;
mod demo;
mod end_to_end;
mod hostile;
mod record;
mod replay;
mod rooms;
mod support;
