//! The file header: magic, format version, provenance, checksum. Its layout is the same in every major version, so that
//! any reader can say who wrote a file that it cannot read. Layout: FORMAT.md.

use super::{CaptureError, Provenance};

/// First bytes of every capture, modelled on PNG's: not ASCII, so no text; line ends that careless transfers change.
pub const MAGIC: [u8; 8] = *b"\x8eDUB\r\n\x1a\n";

/// The version that this program writes. FORMAT.md has the changelog.
pub(super) const CURRENT: FormatVersion = FormatVersion { major: 1, minor: 2 };

/// Bytes before the variable part.
const FIXED_BYTES: usize = 20;

/// Longest variable part that is believed.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Longest program version or source that is written.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Most bytes that a header can have.
pub(super) const MAX_HEADER_BYTES: usize = FIXED_BYTES + MAX_BODY_BYTES;

/// Version of the file format. A newer minor is readable, a newer major is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FormatVersion {
    /// Changes when an old reader would misunderstand the file.
    pub(super) major: u16,
    /// Changes when something was added that an old reader can skip.
    pub(super) minor: u16,
}

/// A header that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What it says of the content.
    pub(super) provenance: Provenance,
    /// Its length in the file, which is where the first frame starts.
    pub(super) bytes: u64,
    /// Its checksum, from which the checksums of the frames start.
    pub(super) seed: u32,
}

/// The bytes of a header, and the seed for the frames behind it.
pub(super) fn encode(version: FormatVersion, provenance: &Provenance) -> (Vec<u8>, u32) {
    let mut body = Vec::new();
    body.extend_from_slice(&provenance.anchor_unix_ns.to_le_bytes());
    for text in [&provenance.program, &provenance.source] {
        let text = cut(text, MAX_TEXT_BYTES);
        let len = u16::try_from(text.len()).expect("cut to less than 64 KiB");
        body.extend_from_slice(&len.to_le_bytes());
        body.extend_from_slice(text.as_bytes());
    }
    let len = u32::try_from(body.len()).expect("two texts of less than 64 KiB");
    let mut all = Vec::with_capacity(FIXED_BYTES + body.len());
    all.extend_from_slice(&MAGIC);
    all.extend_from_slice(&version.major.to_le_bytes());
    all.extend_from_slice(&version.minor.to_le_bytes());
    all.extend_from_slice(&len.to_le_bytes());
    let seed = crc32c::crc32c_append(crc32c::crc32c(&all), &body);
    all.extend_from_slice(&seed.to_le_bytes());
    all.extend_from_slice(&body);
    (all, seed)
}

/// Reads the header at the start of `bytes`, which hold the whole file or at least `MAX_HEADER_BYTES` of it.
///
/// # Errors
/// `NotACapture`, `Newer`, or `Header` when it is cut or damaged.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, CaptureError> {
    if bytes.len() < MAGIC.len() {
        let cut = !bytes.is_empty() && MAGIC.starts_with(bytes);
        return Err(if cut { CaptureError::Header } else { CaptureError::NotACapture });
    }
    if bytes[..MAGIC.len()] != MAGIC {
        return Err(CaptureError::NotACapture);
    }
    let fixed = bytes.get(..FIXED_BYTES).ok_or(CaptureError::Header)?;
    let u16_at = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let u32_at = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let version = FormatVersion { major: u16_at(8), minor: u16_at(10) };
    let len = usize::try_from(u32_at(12)).unwrap_or(usize::MAX);
    let seed = u32_at(16);
    if len > MAX_BODY_BYTES {
        return Err(CaptureError::Header);
    }
    let body = bytes.get(FIXED_BYTES..FIXED_BYTES + len).ok_or(CaptureError::Header)?;
    if crc32c::crc32c_append(crc32c::crc32c(&fixed[..16]), body) != seed {
        return Err(CaptureError::Header);
    }
    let provenance = parse_body(body).ok_or(CaptureError::Header)?;
    if version.major != CURRENT.major {
        let FormatVersion { major, minor } = version;
        return Err(CaptureError::Newer { program: provenance.program, major, minor });
    }
    Ok(Header { provenance, bytes: (FIXED_BYTES + len) as u64, seed })
}

/// What can be made of a damaged header, for repair: where frames may begin, and the seeds that may be theirs.
pub(super) fn salvage(bytes: &[u8]) -> Option<(u64, Vec<u32>)> {
    let fixed = bytes.get(..FIXED_BYTES)?;
    let mut seeds = vec![u32::from_le_bytes([fixed[16], fixed[17], fixed[18], fixed[19]])];
    let len = u32::from_le_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]) as usize;
    if let Some(body) = FIXED_BYTES.checked_add(len).and_then(|end| bytes.get(FIXED_BYTES..end)) {
        let mut whole = fixed[..16].to_vec();
        whole[..8].copy_from_slice(&MAGIC);
        whole[8..10].copy_from_slice(&CURRENT.major.to_le_bytes());
        seeds.push(crc32c::crc32c_append(crc32c::crc32c(&whole), body));
    }
    Some((FIXED_BYTES as u64, seeds))
}

fn parse_body(body: &[u8]) -> Option<Provenance> {
    let (anchor, rest) = body.split_first_chunk::<8>()?;
    let (program, rest) = parse_text(rest)?;
    let (source, _later_fields) = parse_text(rest)?;
    Some(Provenance { anchor_unix_ns: u64::from_le_bytes(*anchor), source, program })
}

fn parse_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    Some((String::from_utf8_lossy(text).into_owned(), rest))
}

fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance() -> Provenance {
        Provenance { anchor_unix_ns: 42, source: "proxy 127.0.0.1:8080".into(), program: "9.1.0".into() }
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        let (bytes, seed) = encode(CURRENT, &provenance());
        let header = parse(&bytes).unwrap();
        assert_eq!(header, Header { provenance: provenance(), bytes: bytes.len() as u64, seed });
    }

    #[test]
    fn a_newer_minor_is_read_and_a_newer_major_names_its_writer() {
        let (bytes, _) = encode(FormatVersion { major: 1, minor: 9 }, &provenance());
        assert_eq!(parse(&bytes).unwrap().provenance, provenance());
        let (bytes, _) = encode(FormatVersion { major: 2, minor: 3 }, &provenance());
        let sentence = parse(&bytes).unwrap_err().to_string();
        assert!(sentence.contains("overdub 9.1.0") && sentence.contains("2.3"), "{sentence}");
    }

    #[test]
    fn a_header_with_later_fields_is_read() {
        let (bytes, _) = encode(CURRENT, &provenance());
        let mut longer = bytes.clone();
        longer.extend_from_slice(b"more");
        let len = u32::try_from(longer.len() - FIXED_BYTES).unwrap();
        longer[12..16].copy_from_slice(&len.to_le_bytes());
        let seed = crc32c::crc32c_append(crc32c::crc32c(&longer[..16]), &longer[FIXED_BYTES..]);
        longer[16..20].copy_from_slice(&seed.to_le_bytes());
        assert_eq!(parse(&longer).unwrap().provenance, provenance());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_header_is_noticed() {
        let (bytes, _) = encode(CURRENT, &provenance());
        for at in 0..bytes.len() {
            assert!(parse(&bytes[..at]).is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(parse(&bad).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_long_source_is_cut_between_characters() {
        let long = Provenance { source: "ä".repeat(40_000), ..provenance() };
        let read = parse(&encode(CURRENT, &long).0).unwrap().provenance;
        assert_eq!(read.source, "ä".repeat(MAX_TEXT_BYTES / 2));
    }
}
