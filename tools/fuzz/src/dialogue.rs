//! What two sides of a connection say: the form in which conversations are input, kept, damaged and laid out as packets.

use overdub::model::Side;

use crate::bytes;
use crate::dice::Dice;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Turn {
    /// A side sends.
    Says(Side, Vec<u8>),
    /// So many bytes of a side were not captured.
    Lost(Side, u64),
    /// A side sends no more.
    Ends(Side),
}

/// Everything in order.
pub type Dialogue = Vec<Turn>;

/// The client says this.
pub fn client(bytes: impl AsRef<[u8]>) -> Turn {
    Turn::Says(Side::Request, bytes.as_ref().to_vec())
}

/// The server says this.
pub fn server(bytes: impl AsRef<[u8]>) -> Turn {
    Turn::Says(Side::Response, bytes.as_ref().to_vec())
}

/// Reads a dialogue out of any bytes: a kind, two bytes of length, the content; anything is one.
pub fn parse(mut input: &[u8]) -> Dialogue {
    let mut turns = Vec::new();
    while let Some((&[kind, a, b], rest)) = input.split_first_chunk() {
        let number = u16::from_be_bytes([a, b]);
        let side = if kind & 1 == 0 { Side::Request } else { Side::Response };
        input = rest;
        turns.push(match kind & 7 {
            4 | 5 => Turn::Lost(side, gap(kind >> 3, number)),
            6 | 7 => Turn::Ends(side),
            _ => {
                let (says, rest) = input.split_at(usize::from(number).min(input.len()));
                input = rest;
                Turn::Says(side, says.to_vec())
            }
        });
    }
    turns
}

/// Most gaps are of some packets; few are absurd.
fn gap(kind: u8, number: u16) -> u64 {
    match kind {
        0 => u64::MAX - u64::from(number),
        1 => u64::from(number) << 32,
        2 => 0,
        _ => u64::from(number),
    }
}

/// The bytes that [`parse`] reads this from. Long turns become several.
pub fn encode(dialogue: &[Turn]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |kind: u8, side: &Side, number: u16, bytes: &[u8]| {
        out.push(kind | u8::from(*side == Side::Response));
        out.extend_from_slice(&number.to_be_bytes());
        out.extend_from_slice(bytes);
    };
    for turn in dialogue {
        match turn {
            Turn::Says(side, bytes) => bytes.chunks(0xffff).for_each(|piece| put(0, side, piece.len() as u16, piece)),
            Turn::Lost(side, 0) => put(4 | 2 << 3, side, 0, &[]),
            Turn::Lost(side, count) if *count > 0xffff_ffff => put(4, side, !*count as u16, &[]),
            Turn::Lost(side, count) => put(4 | 3 << 3, side, (*count).min(0xffff) as u16, &[]),
            Turn::Ends(side) => put(6, side, 0, &[]),
        }
    }
    out
}

/// Damages a dialogue as a whole: what is said, in which pieces and order, what of it is lost.
pub fn damage(dice: &mut Dice, turns: &mut Dialogue) {
    for _ in 0..=dice.small(6) {
        if turns.is_empty() {
            return;
        }
        let at = dice.below(turns.len());
        match dice.below(14) {
            0..=4 => {
                if let Turn::Says(_, said) = &mut turns[at] {
                    bytes::once(dice, said);
                }
            }
            5 | 6 => split(dice, turns, at),
            7 => drop(turns.remove(at)),
            8 => turns.insert(at, turns[at].clone()),
            9 => {
                let other = dice.below(turns.len());
                turns.swap(at, other);
            }
            10 | 11 => lose(dice, turns, at),
            12 if dice.once_in(3) => turns.truncate(at + 1),
            12 if dice.once_in(4) => drop(turns.drain(..at)),
            13 if dice.once_in(3) => {
                let side = if dice.once_in(2) { Side::Request } else { Side::Response };
                turns.insert(at, Turn::Ends(side));
            }
            _ => {
                if let Turn::Says(side, _) | Turn::Ends(side) = &mut turns[at]
                    && dice.once_in(4)
                {
                    *side = side.other();
                }
            }
        }
    }
}

fn split(dice: &mut Dice, turns: &mut Dialogue, at: usize) {
    if let Turn::Says(side, said) = &mut turns[at]
        && !said.is_empty()
    {
        let side = *side;
        if dice.once_in(4) {
            // Byte by byte, or nearly.
            let size = 1 + dice.small(5);
            let pieces: Vec<Turn> = said.chunks(size).take(400).map(|piece| Turn::Says(side, piece.to_vec())).collect();
            turns.splice(at..=at, pieces);
        } else {
            let rest = said.split_off(dice.below(said.len()));
            turns.insert(at + 1, Turn::Says(side, rest));
        }
    }
}

/// A piece of what is said is lost, mostly in the right length.
fn lose(dice: &mut Dice, turns: &mut Dialogue, at: usize) {
    if let Turn::Says(side, said) = &mut turns[at]
        && !said.is_empty()
    {
        let side = *side;
        let start = dice.below(said.len());
        let mut rest = said.split_off(start);
        let count = 1 + dice.below(rest.len());
        let behind = rest.split_off(count);
        let told = match dice.below(10) {
            0 => 0,
            1 => u64::MAX - dice.below(3) as u64,
            2 => dice.below(100_000) as u64,
            _ => count as u64,
        };
        turns.insert(at + 1, Turn::Lost(side, told));
        turns.insert(at + 2, Turn::Says(side, behind));
    }
}
