//! HPACK (RFC 7541): a decoder that can join midway and says what it cannot know, and an encoder.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod static_table;
mod table;

#[cfg(test)]
mod tests;

pub use decoder::{Decoder, MAX_FIELDS, MAX_LIST_BYTES};
pub use encoder::{Encoder, Indexing, Strings};

/// `text` in the Huffman code of RFC 7541, padded to whole bytes.
pub(super) fn huffman_code(text: &[u8]) -> Vec<u8> {
    let mut code = Vec::new();
    huffman::encode(text, &mut code);
    code
}

/// How much of a header block there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// Its beginning; the rest was lost or is not there yet.
    Cut,
}

/// Why bytes are not a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    /// It ends inside a field.
    #[error("header block ends inside a field")]
    Truncated,
    /// An integer over 32 bits.
    #[error("integer in a header block is too large")]
    Integer,
    /// A string that is no Huffman code.
    #[error("invalid Huffman code in a header block")]
    Huffman,
    /// An index that refers to nothing.
    #[error("index in a header block refers to nothing")]
    Index,
    /// A change of the table's size that is not allowed, or not at the beginning of the block.
    #[error("invalid table size in a header block")]
    SizeUpdate,
}
