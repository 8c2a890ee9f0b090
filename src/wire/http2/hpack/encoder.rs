//! Fields become header blocks (RFC 7541 §6).

use super::integer::{put, put_string};
use super::static_table::STATIC;
use super::table::Table;
use crate::wire::http2::Field;

/// What an encoder does with a field that is in no table yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// Adds it to the dynamic table.
    Add,
    /// Sends it as a literal.
    Without,
    /// Sends it as a literal that no intermediary may index either.
    Never,
}

/// How strings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strings {
    /// As they are.
    Plain,
    /// Huffman-coded where that is not longer.
    Huffman,
}

/// Encodes the header blocks of one side of a connection, in their order.
#[derive(Clone, Debug)]
pub struct Encoder {
    table: Table,
    strings: Strings,
    /// Sizes to be announced at the start of the next block.
    updates: Vec<u32>,
}

impl Encoder {
    /// With an empty table of 4096 bytes.
    pub fn new(strings: Strings) -> Self {
        Self { table: Table::fresh(), strings, updates: Vec::new() }
    }

    /// Changes the size of the table, at most to what the other side's SETTINGS allow; the next block announces it (§4.2).
    pub fn resize(&mut self, bytes: u32) {
        self.table.resize(bytes as usize);
        let smallest = self.updates.first().copied().filter(|&first| first < bytes);
        self.updates = smallest.into_iter().chain([bytes]).collect();
    }

    /// Begins a block: what must stand before its fields.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        for size in self.updates.drain(..) {
            put(size, 5, 0x20, out);
        }
    }

    /// Appends one field. Name and value must be shorter than 4 GiB.
    pub fn field(&mut self, name: &[u8], value: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
        let (whole, named) = self.find(name, value);
        if let (Some(index), Indexing::Add | Indexing::Without) = (whole, indexing) {
            return put(index, 7, 0x80, out);
        }
        let (prefix, first) = match indexing {
            Indexing::Add => (6, 0x40),
            Indexing::Without => (4, 0),
            Indexing::Never => (4, 0x10),
        };
        let huffman = self.strings == Strings::Huffman;
        put(named.unwrap_or(0), prefix, first, out);
        if named.is_none() {
            put_string(name, huffman, out);
        }
        put_string(value, huffman, out);
        if indexing == Indexing::Add {
            self.table.insert(Field { name: Some(name.to_vec()), value: Some(value.to_vec()) });
        }
    }

    /// A whole block, every field indexed where it can be.
    pub fn block(&mut self, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        self.begin(&mut out);
        for (name, value) in fields {
            self.field(name, value, Indexing::Add, &mut out);
        }
        out
    }

    /// Index of the field, and of the first with its name.
    fn find(&self, name: &[u8], value: &[u8]) -> (Option<u32>, Option<u32>) {
        let dynamic =
            self.table.entries().map(|f| (f.name.as_deref().unwrap_or(b""), f.value.as_deref().unwrap_or(b"")));
        let all = STATIC.iter().copied().chain(dynamic).zip(1u32..);
        let mut named = None;
        for ((n, v), index) in all {
            if n == name {
                if v == value {
                    return (Some(index), named.or(Some(index)));
                }
                named = named.or(Some(index));
            }
        }
        (None, named)
    }
}
