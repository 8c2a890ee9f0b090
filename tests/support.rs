//! What several test files share: servers, directories, the binary.
