//! Header blocks become fields (RFC 7541 §3, §6), known as far as what they refer to was seen.

use super::static_table::STATIC;
use super::table::{Slot, Table};
use super::{Extent, HpackError, integer};
use crate::wire::http2::Field;

/// Most fields that are handed out of one block.
pub const MAX_FIELDS: usize = 4096;
/// Most bytes of names and values that are handed out of one block.
pub const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;

/// Decodes the header blocks of one side of a connection, in their order.
#[derive(Clone, Debug)]
pub struct Decoder {
    table: Table,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// For a connection that begins.
    pub fn new() -> Self {
        Self { table: Table::fresh() }
    }

    /// For a connection whose earlier blocks were not seen.
    pub fn midway() -> Self {
        Self { table: Table::unknown() }
    }

    /// Blocks, or parts of them, were lost: which entries they added, and how many, is unknown.
    pub fn lost(&mut self) {
        self.table = Table::unknown();
    }

    /// Fields of a block. `limit` is the largest table that the other side may have allowed, None when that is not known.
    /// Of a block that is cut, the fields before the cut; then [`Decoder::lost`] is for the caller to say. Over
    /// [`MAX_FIELDS`] or [`MAX_LIST_BYTES`] one unknown field stands for the rest.
    ///
    /// # Errors
    /// When the block is malformed. The table is then worth nothing: [`Decoder::lost`] again.
    pub fn decode(&mut self, block: &[u8], extent: Extent, limit: Option<u32>) -> Result<Vec<Field>, HpackError> {
        let mut list = List::default();
        let mut rest = block;
        let mut leading = true;
        while !rest.is_empty() {
            match self.step(&mut rest, leading, limit, &mut list) {
                Ok(step) => leading &= step == Step::Resized,
                Err(HpackError::Truncated) if extent == Extent::Cut => break,
                Err(error) => return Err(error),
            }
        }
        Ok(list.fields)
    }

    /// One representation.
    fn step(
        &mut self,
        rest: &mut &[u8],
        leading: bool,
        limit: Option<u32>,
        list: &mut List,
    ) -> Result<Step, HpackError> {
        let first = *rest.first().ok_or(HpackError::Truncated)?;
        match first.leading_zeros() {
            0 => {
                let index = integer::take(rest, 7)?;
                self.indexed(index, list)?;
            }
            1 => {
                let field = self.literal(rest, 6)?;
                if list.takes(field_bytes(&field)) {
                    list.fields.push(field.clone());
                }
                self.table.insert(field);
            }
            2 => {
                let size = integer::take(rest, 5)?;
                if !leading || limit.is_some_and(|limit| size > limit) {
                    return Err(HpackError::SizeUpdate);
                }
                self.table.resize(size as usize);
                return Ok(Step::Resized);
            }
            // Without indexing, or never indexed: the same to who only reads.
            _ => {
                let field = self.literal(rest, 4)?;
                if list.takes(field_bytes(&field)) {
                    list.fields.push(field);
                }
            }
        }
        Ok(Step::Field)
    }

    /// Both parts are measured before they are copied: one byte can refer to thousands.
    fn indexed(&self, index: u32, list: &mut List) -> Result<(), HpackError> {
        match place(index)? {
            Place::Static(name, value) => {
                if list.takes(name.len() + value.len()) {
                    list.fields.push(Field { name: Some(name.to_vec()), value: Some(value.to_vec()) });
                }
            }
            Place::Dynamic(place) => match self.table.slot(place) {
                Slot::Known(field) => {
                    if list.takes(field_bytes(field)) {
                        list.fields.push(field.clone());
                    }
                }
                Slot::Unknown => {
                    if list.takes(0) {
                        list.fields.push(Field::UNKNOWN);
                    }
                }
                Slot::Absent => return Err(HpackError::Index),
            },
        }
        Ok(())
    }

    fn literal(&self, rest: &mut &[u8], prefix: u32) -> Result<Field, HpackError> {
        let name = match integer::take(rest, prefix)? {
            0 => Some(integer::take_string(rest)?),
            index => match place(index)? {
                Place::Static(name, _) => Some(name.to_vec()),
                Place::Dynamic(place) => match self.table.slot(place) {
                    Slot::Known(field) => field.name.clone(),
                    Slot::Unknown => None,
                    Slot::Absent => return Err(HpackError::Index),
                },
            },
        };
        Ok(Field { name, value: Some(integer::take_string(rest)?) })
    }
}

#[derive(PartialEq, Eq)]
enum Step {
    Field,
    Resized,
}

/// What is handed out, within its bounds.
#[derive(Default)]
struct List {
    fields: Vec<Field>,
    bytes: usize,
    full: bool,
}

impl List {
    /// Whether a field of so many bytes still goes in; of the first that does not, an unknown one remains.
    fn takes(&mut self, bytes: usize) -> bool {
        if self.full {
            return false;
        }
        self.bytes += bytes;
        self.full = self.bytes > MAX_LIST_BYTES || self.fields.len() >= MAX_FIELDS;
        if self.full {
            self.fields.push(Field::UNKNOWN);
        }
        !self.full
    }
}

fn field_bytes(field: &Field) -> usize {
    field.name.as_ref().map_or(0, Vec::len) + field.value.as_ref().map_or(0, Vec::len)
}

enum Place {
    Static(&'static [u8], &'static [u8]),
    Dynamic(usize),
}

/// Which table an index means (§2.3.3).
fn place(index: u32) -> Result<Place, HpackError> {
    let index = (index as usize).checked_sub(1).ok_or(HpackError::Index)?;
    Ok(match STATIC.get(index) {
        Some((name, value)) => Place::Static(name, value),
        None => Place::Dynamic(index - STATIC.len()),
    })
}
