//! The built-in sample site and its scripted visitors. Uses `wire` at most; knows nothing of the rest of the program.
