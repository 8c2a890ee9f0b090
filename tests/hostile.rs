//! Bad input: every outside byte ends in one clear sentence and an exit code.
