//! Integers and strings of HPACK (RFC 7541 §5).

use super::{HpackError, huffman};

/// Takes an integer whose first byte has `prefix` bits for it from the front of `rest`. The bits before are ignored.
///
/// # Errors
/// [`HpackError::Truncated`] when more bytes are needed, [`HpackError::Integer`] over 32 bits.
pub(super) fn take(rest: &mut &[u8], prefix: u32) -> Result<u32, HpackError> {
    let (&first, mut behind) = rest.split_first().ok_or(HpackError::Truncated)?;
    let full = (1u32 << prefix) - 1;
    let mut value = u64::from(u32::from(first) & full);
    if value == u64::from(full) {
        let mut shift = 0;
        loop {
            let (&byte, next) = behind.split_first().ok_or(HpackError::Truncated)?;
            behind = next;
            value += u64::from(byte & 0x7f) << shift;
            if value > u64::from(u32::MAX) {
                return Err(HpackError::Integer);
            }
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > 28 {
                return Err(HpackError::Integer);
            }
        }
    }
    *rest = behind;
    Ok(value as u32)
}

/// Appends an integer; `first` holds the bits before the prefix.
pub(super) fn put(value: u32, prefix: u32, first: u8, out: &mut Vec<u8>) {
    let full = (1u32 << prefix) - 1;
    if value < full {
        out.push(first | value as u8);
        return;
    }
    out.push(first | full as u8);
    let mut left = value - full;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// Takes a string literal from the front of `rest`.
///
/// # Errors
/// [`HpackError::Truncated`] when more bytes are needed; else when its length or its Huffman code is invalid.
pub(super) fn take_string(rest: &mut &[u8]) -> Result<Vec<u8>, HpackError> {
    let huffman = rest.first().ok_or(HpackError::Truncated)? & 0x80 != 0;
    let length = take(rest, 7)? as usize;
    let (text, behind) = rest.split_at_checked(length).ok_or(HpackError::Truncated)?;
    *rest = behind;
    if !huffman {
        return Ok(text.to_vec());
    }
    let mut decoded = Vec::new();
    huffman::decode(text, &mut decoded)?;
    Ok(decoded)
}

/// Appends a string literal, Huffman-coded where that is allowed and not longer. Its length must fit 32 bits.
pub(super) fn put_string(text: &[u8], huffman: bool, out: &mut Vec<u8>) {
    let coded = if huffman { huffman::encoded_len(text) } else { usize::MAX };
    if coded <= text.len() {
        put(coded as u32, 7, 0x80, out);
        huffman::encode(text, out);
    } else {
        put(text.len() as u32, 7, 0, out);
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_appendix_c_1() {
        for (value, prefix, bytes) in [(10, 5, &b"\x0a"[..]), (1337, 5, b"\x1f\x9a\x0a"), (42, 8, b"\x2a")] {
            let mut out = Vec::new();
            put(value, prefix, 0, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(take(&mut &out[..], prefix), Ok(value));
        }
    }

    #[test]
    fn integers_survive_the_round_trip_and_end_at_32_bits() {
        for prefix in 4..=7 {
            for value in [0, 1, 14, 15, 16, 30, 31, 62, 63, 126, 127, 128, 255, 16_383, 1 << 21, u32::MAX - 1, u32::MAX]
            {
                let mut out = Vec::new();
                put(value, prefix, 0, &mut out);
                assert_eq!(take(&mut &out[..], prefix), Ok(value));
                for cut in 0..out.len() {
                    assert_eq!(take(&mut &out[..cut], prefix), Err(HpackError::Truncated));
                }
            }
        }
        for bad in [
            &b"\x1f\xff\xff\xff\xff\x7f"[..],
            b"\x1f\x80\x80\x80\x80\x80\x00",
            b"\x1f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(take(&mut &bad[..], 5), Err(HpackError::Integer));
        }
    }
}
