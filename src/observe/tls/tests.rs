//! Dialogues: recorded transcripts and connections of rustls, cut, holed and mutated.

mod fixtures;
mod gaps;
mod live;
mod transcript;
