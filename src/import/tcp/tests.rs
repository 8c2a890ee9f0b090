//! Dialogues: packets in, a transcript out.

mod dialogue;
mod faults;
mod random;
