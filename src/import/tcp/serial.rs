//! Sequence numbers without end: a [`Position`] is a sequence number (RFC 9293, section 3.4) with its wraps counted, so
//! that comparing and subtracting need no serial arithmetic any more.

/// A place in one direction's stream. Its low 32 bits are the sequence number.
pub(super) type Position = u64;

/// Wraps of a stream's first position: far enough from zero that nothing goes below it.
const ORIGIN: Position = 1 << 40;

/// The position of the first sequence number ever seen of a stream.
pub(super) fn first(seq: u32) -> Position {
    ORIGIN | Position::from(seq)
}

/// The position of `seq` that is nearest to `reference`.
pub(super) fn near(seq: u32, reference: Position) -> Position {
    let distance = seq.wrapping_sub(reference as u32).cast_signed();
    reference.wrapping_add_signed(i64::from(distance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_go_on_where_sequence_numbers_wrap() {
        let before = first(u32::MAX - 1);
        let after = near(5, before);
        assert_eq!(after - before, 7);
        assert_eq!(near(u32::MAX, after), before + 1);
        assert_eq!(after as u32, 5);
    }
}
