//! Content codings: gzip, deflate, br, zstd, undone for reading. Bounded against decompression bombs.

/// Why a coded body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// A coding this program does not know.
    #[error("unknown content coding `{0}`")]
    Unknown(String),
    /// The bytes are not what the coding says.
    #[error("damaged {0} body")]
    Damaged(&'static str),
    /// Would become longer than the limit.
    #[error("decoded body is over {0} bytes")]
    TooLarge(usize),
}

/// Undoes the codings of a `Content-Encoding` value (`gzip`, `x-gzip`, `deflate` raw or zlib, `br`, `zstd`, `identity`,
/// lists of them; empty means none). The result is at most `limit` bytes.
///
/// # Errors
/// See [`ContentError`].
pub fn decode(_coding: &str, _bytes: &[u8], _limit: usize) -> Result<Vec<u8>, ContentError> {
    todo!()
}
