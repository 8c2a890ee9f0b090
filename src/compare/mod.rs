//! Two results become a verdict. Pure; knows nothing of replay.
