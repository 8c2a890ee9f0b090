//! The whole pipeline through the command line.
