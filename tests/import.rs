//! `overdub import` and `overdub export` as a user runs them, and the proof that imported traffic equals recorded traffic.

mod faults;
mod har_round_trip;
mod live;
mod redact;
mod sources;
mod wiretap;
