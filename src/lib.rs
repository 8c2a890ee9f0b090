//! Overdub records real web sessions through a proxy, finds what makes them impossible to play back as they stand, plays
//! them back for many users at once, and says what got slower.
//!
//! The rooms, in the order in which traffic passes through them:
//! [`record`] (or [`import`]) has [`observe`] make exchanges of traffic and write a [`capture`]; [`correlate`] finds [`rules`]; [`plan`] turns sessions, rules and a
//! workload into a plan; [`replay`] plays it and [`measure`] keeps the numbers; [`compare`] and [`report`] say what they
//! mean. [`export`] writes a capture in other tools' formats. [`model`] holds the words all of them share, [`wire`] the protocols, [`demo`] a site to try it on, and [`cli`]
//! the command line. `ARCHITECTURE.md` beside this file is the map.

pub mod capture;
pub mod cli;
pub mod compare;
pub mod correlate;
pub mod demo;
pub mod export;
pub mod import;
pub mod measure;
pub mod model;
pub mod observe;
pub mod plan;
pub mod record;
pub mod replay;
pub mod report;
pub mod rules;
pub mod wire;
