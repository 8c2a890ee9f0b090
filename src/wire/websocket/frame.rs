//! The head of a frame, and masking (RFC 6455 §5).

use crate::model::MessageKind;

use super::WebSocketError;

/// Longest frame head: two bytes, eight of length, four of masking key.
pub(super) const HEAD_BYTES: usize = 14;

/// What a frame holds, by its opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    /// The first frame of a message.
    Data(MessageKind),
    Control(MessageKind),
    /// Without a meaning yet.
    Reserved,
}

impl Opcode {
    fn of(nibble: u8) -> Self {
        match nibble {
            0 => Self::Continuation,
            1 => Self::Data(MessageKind::Text),
            2 => Self::Data(MessageKind::Binary),
            8 => Self::Control(MessageKind::Close),
            9 => Self::Control(MessageKind::Ping),
            10 => Self::Control(MessageKind::Pong),
            _ => Self::Reserved,
        }
    }
}

/// A frame head taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Nothing of this message follows.
    pub(super) fin: bool,
    /// The bit that permessage-deflate sets in the first frame of a compressed message.
    pub(super) rsv1: bool,
    /// A bit that no extension known here sets.
    pub(super) rsv23: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: Option<[u8; 4]>,
    /// Payload bytes, below 2⁶³.
    pub(super) len: u64,
}

impl Head {
    /// Reads a head and its own length; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the length has its most significant bit set.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, WebSocketError> {
        let &[first, second, ..] = bytes else { return Ok(None) };
        let (len, mut end) = match (second & 0x7f, &bytes[2..]) {
            (126, &[a, b, ..]) => (u64::from(u16::from_be_bytes([a, b])), 4),
            (127, &[a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 10),
            (126 | 127, _) => return Ok(None),
            (len, _) => (u64::from(len), 2),
        };
        if len > u64::MAX / 2 {
            return Err(WebSocketError::Length(len));
        }
        let mask = match (second & 0x80, &bytes[end..]) {
            (0, _) => None,
            (_, &[a, b, c, d, ..]) => {
                end += 4;
                Some([a, b, c, d])
            }
            _ => return Ok(None),
        };
        let (fin, rsv1, rsv23) = (first & 0x80 != 0, first & 0x40 != 0, first & 0x30 != 0);
        Ok(Some((Self { fin, rsv1, rsv23, opcode: Opcode::of(first & 0x0f), mask, len }, end)))
    }
}

impl Head {
    /// Whether endpoints send such a head, whatever its length, its mask and its message.
    pub(super) fn is_sent(&self) -> bool {
        let meant = match self.opcode {
            Opcode::Reserved => false,
            Opcode::Control(_) => self.fin && self.len <= 125 && !self.rsv1,
            Opcode::Continuation => !self.rsv1,
            Opcode::Data(_) => true,
        };
        meant && !self.rsv23
    }
}

/// Masks or unmasks bytes that stand `offset` bytes behind the start of their payload.
pub(super) fn mask(bytes: &mut [u8], key: [u8; 4], offset: u64) {
    let turn = (offset % 4) as usize;
    let key: [u8; 8] = std::array::from_fn(|i| key[(i + turn) % 4]);
    let word = u64::from_ne_bytes(key);
    let mut words = bytes.chunks_exact_mut(8);
    for chunk in &mut words {
        let masked = u64::from_ne_bytes(std::array::from_fn(|i| chunk[i])) ^ word;
        chunk.copy_from_slice(&masked.to_ne_bytes());
    }
    words.into_remainder().iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_soon_as_they_are_whole() {
        let key = Some([1, 2, 3, 4]);
        for (bytes, mask, len) in [
            (&[0x81, 5][..], None, 5),
            (&[0x81, 0x80, 1, 2, 3, 4], key, 0),
            (&[0x81, 126, 1, 2], None, 0x102),
            (&[0x81, 126, 0, 5], None, 5),
            (&[0x81, 0xfe, 1, 2, 1, 2, 3, 4], key, 0x102),
            (&[0x81, 127, 0x7f, 0, 0, 0, 0, 0, 0, 1], None, 0x7f00_0000_0000_0001),
            (&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], key, 0x10000),
        ] {
            let head =
                Head { fin: true, rsv1: false, rsv23: false, opcode: Opcode::Data(MessageKind::Text), mask, len };
            for cut in 0..bytes.len() {
                assert_eq!(Head::parse(&bytes[..cut]), Ok(None), "{bytes:?} cut at {cut}");
            }
            let behind = [bytes, &[9; 9]].concat();
            assert_eq!(Head::parse(&behind), Ok(Some((head, bytes.len()))));
        }
        let huge = [0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Head::parse(&huge), Err(WebSocketError::Length(1 << 63)));
    }

    #[test]
    fn masking_is_the_same_by_words_and_by_bytes() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let plain: Vec<u8> = (0..60).collect();
        for len in 0..plain.len() {
            for offset in [0u64, 1, 2, 3, 4, 1021, u64::MAX] {
                let mut masked = plain[..len].to_vec();
                mask(&mut masked, key, offset);
                for (i, byte) in masked.iter().enumerate() {
                    assert_eq!(*byte, plain[i] ^ key[((offset % 4) as usize + i) % 4]);
                }
            }
        }
    }
}
