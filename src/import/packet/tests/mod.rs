//! The room as a whole: bytes of files in, segments out.

mod bytes;
mod containers;
mod fragments;
mod layers;
mod mutated;
