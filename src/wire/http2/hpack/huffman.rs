//! The Huffman code of HPACK (RFC 7541 §5.2, Appendix B).
//!
//! The code is canonical, so the lengths alone say everything; all tables are made of them when the program is compiled.

use super::HpackError;

/// Bits of each symbol's code; 256 is the end of string.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const END_OF_STRING: u16 = 256;
const LONGEST: usize = 30;
const TABLES: Tables = Tables::build();

struct Tables {
    /// Code of each symbol, at the low end.
    codes: [u32; 257],
    /// By the next 8 bits: symbol and length of its code, or length 0 when the code is longer.
    short: [(u8, u8); 256],
    /// By length: the first 32-bit window, left-aligned, behind all codes of at most this length.
    limit: [u64; LONGEST + 1],
    /// By length: its first code, and where its symbols begin in `order`.
    first: [(u32, u16); LONGEST + 1],
    /// Symbols by length, then value.
    order: [u16; 257],
}

impl Tables {
    const fn build() -> Self {
        let mut tables = Self {
            codes: [0; 257],
            short: [(0, 0); 256],
            limit: [0; LONGEST + 1],
            first: [(0, 0); LONGEST + 1],
            order: [0; 257],
        };
        let (mut code, mut placed, mut length) = (0u32, 0usize, 1usize);
        while length <= LONGEST {
            code <<= 1;
            tables.first[length] = (code, placed as u16);
            let mut symbol = 0;
            while symbol < 257 {
                if LENGTHS[symbol] as usize == length {
                    tables.codes[symbol] = code;
                    tables.order[placed] = symbol as u16;
                    if length <= 8 {
                        let mut window = (code as usize) << (8 - length);
                        let end = (code as usize + 1) << (8 - length);
                        while window < end {
                            tables.short[window] = (symbol as u8, length as u8);
                            window += 1;
                        }
                    }
                    placed += 1;
                    code += 1;
                }
                symbol += 1;
            }
            tables.limit[length] = (code as u64) << (32 - length);
            length += 1;
        }
        tables
    }
}

/// The symbol at the top of `window`, and the length of its code.
fn symbol(window: u64) -> (u16, u32) {
    let (symbol, length) = TABLES.short[(window >> 56) as usize];
    if length != 0 { (u16::from(symbol), u32::from(length)) } else { long_symbol(window >> 32) }
}

fn long_symbol(window: u64) -> (u16, u32) {
    for length in 9..LONGEST {
        if window < TABLES.limit[length] {
            let (first, at) = TABLES.first[length];
            let nth = (window >> (32 - length)) as u32 - first;
            return (TABLES.order[usize::from(at) + nth as usize], length as u32);
        }
    }
    let (first, at) = TABLES.first[LONGEST];
    let nth = (window >> (32 - LONGEST)) as u32 - first;
    (TABLES.order[usize::from(at) + nth as usize], LONGEST as u32)
}

/// Appends the decoded string to `out`: at most 8/5 of the input.
///
/// # Errors
/// When the string holds the end-of-string symbol, or ends in anything but less than eight bits of it.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    out.reserve(input.len() + input.len() / 2);
    let (mut window, mut bits) = (0u64, 0u32);
    let mut rest = input;
    loop {
        if let Some((word, _)) = rest.split_first_chunk::<8>() {
            window |= u64::from_be_bytes(*word) >> bits;
            let taken = (64 - bits) / 8;
            rest = &rest[taken as usize..];
            bits += taken * 8;
            // The bits of `word` that did not fit are read again: what stands there already is the same.
        } else {
            while let Some((&byte, behind)) = rest.split_first()
                && bits <= 56
            {
                window &= !(u64::MAX.checked_shr(bits).unwrap_or(0));
                window |= u64::from(byte) << (56 - bits);
                bits += 8;
                rest = behind;
            }
            if rest.is_empty() {
                break;
            }
        }
        while bits >= LONGEST as u32 {
            let (symbol, length) = symbol(window);
            if symbol == END_OF_STRING {
                return Err(HpackError::Huffman);
            }
            out.push(symbol as u8);
            window <<= length;
            bits -= length;
        }
    }
    loop {
        // Padding is the beginning of end-of-string, all ones: with ones behind it, it reads as a code longer than what is left.
        let (symbol, length) = symbol(window | u64::MAX.checked_shr(bits).unwrap_or(0));
        if length > bits {
            let ones = bits == 0 || window >> (64 - bits) == (1 << bits) - 1;
            return if bits < 8 && ones { Ok(()) } else { Err(HpackError::Huffman) };
        }
        if symbol == END_OF_STRING {
            return Err(HpackError::Huffman);
        }
        out.push(symbol as u8);
        window <<= length;
        bits -= length;
    }
}

/// Length of `input` when encoded.
pub(super) fn encoded_len(input: &[u8]) -> usize {
    input.iter().map(|&b| usize::from(LENGTHS[usize::from(b)])).sum::<usize>().div_ceil(8)
}

/// Appends `input`, encoded.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) {
    let (mut window, mut bits) = (0u64, 0u32);
    for &byte in input {
        let length = u32::from(LENGTHS[usize::from(byte)]);
        window = (window << length) | u64::from(TABLES.codes[usize::from(byte)]);
        bits += length;
        while bits >= 8 {
            bits -= 8;
            out.push((window >> bits) as u8);
        }
    }
    if bits > 0 {
        out.push(((window << (8 - bits)) | ((1 << (8 - bits)) - 1)) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_survives_at_every_bit_position() {
        for symbol in 0..=255u8 {
            for before in 0..9 {
                for behind in 0..10 {
                    let mut text = vec![b'0'; before];
                    text.push(symbol);
                    text.extend(vec![b'X'; behind]);
                    let mut coded = Vec::new();
                    encode(&text, &mut coded);
                    assert_eq!(coded.len(), encoded_len(&text));
                    let mut back = Vec::new();
                    decode(&coded, &mut back).unwrap();
                    assert_eq!(back, text);
                }
            }
        }
    }

    #[test]
    fn codes_are_those_of_appendix_b() {
        for (symbol, code, length) in [
            (0, 0x1ff8, 13),
            (b' ', 0x14, 6),
            (b'0', 0, 5),
            (b'\\', 0x7fff0, 19),
            (0xff, 0x3ff_ffee, 26),
            (10, 0x3fff_fffc, 30),
        ] {
            assert_eq!(TABLES.codes[usize::from(symbol)], code);
            assert_eq!(LENGTHS[usize::from(symbol)], length);
        }
        assert_eq!(TABLES.codes[256], 0x3fff_ffff);
    }

    #[test]
    fn bad_endings_are_refused() {
        for bad in [
            &b"\xff"[..],                        // eight bits of padding
            b"\x00",                             // padding of zeros
            b"\xff\xff\xff\xff",                 // end of string, in full
            b"\xff\xff\xff\xff\xff\xff\xff\xff", // and with more behind it
            b"\x1f\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xfe\xff", // '!' and then nine bits... of which the last eight are padding
        ] {
            let result = decode(bad, &mut Vec::new());
            if bad == b"\xfe\xff" {
                assert!(result.is_ok(), "'!' (10 bits) and six bits of padding");
            } else {
                assert_eq!(result, Err(HpackError::Huffman), "{bad:x?}");
            }
        }
        assert_eq!(decode(b"", &mut Vec::new()), Ok(()));
    }
}
