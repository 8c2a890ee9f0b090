//! Content codings: gzip, deflate, br, zstd, undone for reading. Bounded against decompression bombs.

use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};

/// Most codings in a list.
const CODINGS: usize = 8;
/// Largest zstd window, as a power of two: 8 MiB, what RFC 9659 allows in HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;
/// Room made at a time while inflating, in bytes.
const STEP_BYTES: usize = 64 * 1024;

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
/// lists of them; empty means none). The result is at most `limit` bytes, and so is what any one coding of a list gives.
/// No bytes stay no bytes. Bytes behind the end of a gzip or deflate body are passed over, as browsers do.
///
/// # Errors
/// See [`ContentError`]. A list of more than eight codings is [`ContentError::Unknown`].
pub fn decode(coding: &str, bytes: &[u8], limit: usize) -> Result<Vec<u8>, ContentError> {
    let named = coding.split(',').map(str::trim).filter(|name| !name.is_empty());
    let codings = named.map(Coding::by_name).collect::<Result<Vec<_>, _>>()?;
    if codings.len() > CODINGS {
        return Err(ContentError::Unknown(coding.to_owned()));
    }
    let mut decoded: Option<Vec<u8>> = None;
    for coding in codings.iter().rev() {
        let input = decoded.as_deref().unwrap_or(bytes);
        if input.is_empty() || matches!(coding, Coding::Identity) {
            continue;
        }
        decoded = Some(coding.undo(input, limit)?);
    }
    match decoded {
        Some(decoded) => Ok(decoded),
        None if bytes.len() > limit => Err(ContentError::TooLarge(limit)),
        None => Ok(bytes.to_vec()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    fn by_name(name: &str) -> Result<Self, ContentError> {
        match name.to_ascii_lowercase().as_str() {
            "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "br" => Ok(Self::Brotli),
            "zstd" => Ok(Self::Zstd),
            _ => Err(ContentError::Unknown(name.to_owned())),
        }
    }

    fn undo(self, bytes: &[u8], limit: usize) -> Result<Vec<u8>, ContentError> {
        match self {
            Self::Identity => Ok(bytes.to_vec()),
            Self::Gzip => gunzip(bytes, limit),
            Self::Deflate => match inflate(bytes, true, limit) {
                // Some servers send deflate without the zlib wrapping that RFC 9110 asks for.
                Err(ContentError::Damaged(_)) => inflate(bytes, false, limit),
                result => result,
            },
            Self::Brotli => read_all(brotli_decompressor::Decompressor::new(bytes, 4096), "br", limit),
            Self::Zstd => {
                let damaged = |_| ContentError::Damaged("zstd");
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(damaged)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(damaged)?;
                read_all(decoder, "zstd", limit)
            }
        }
    }
}

/// One gzip member after the other, until something else follows.
fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, ContentError> {
    let mut all = Vec::new();
    let mut rest = bytes;
    loop {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        read_into(&mut all, &mut member, "gzip", limit)?;
        rest = member.into_inner();
        if !rest.starts_with(&[0x1f, 0x8b]) {
            return Ok(all);
        }
    }
}

/// Steps the decoder by hand, since its readers take a body that was cut short for a whole one.
fn inflate(bytes: &[u8], zlib: bool, limit: usize) -> Result<Vec<u8>, ContentError> {
    let damaged = || ContentError::Damaged("deflate");
    let mut decoder = Decompress::new(zlib);
    let mut all = Vec::new();
    loop {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let rest = usize::try_from(read).ok().and_then(|read| bytes.get(read..)).ok_or_else(damaged)?;
        all.reserve(STEP_BYTES);
        let status = decoder.decompress_vec(rest, &mut all, FlushDecompress::None).map_err(|_| damaged())?;
        if all.len() > limit {
            return Err(ContentError::TooLarge(limit));
        }
        if status == Status::StreamEnd {
            return Ok(all);
        }
        if (read, written) == (decoder.total_in(), decoder.total_out()) {
            return Err(damaged());
        }
    }
}

fn read_all(mut decoder: impl Read, name: &'static str, limit: usize) -> Result<Vec<u8>, ContentError> {
    let mut all = Vec::new();
    read_into(&mut all, &mut decoder, name, limit)?;
    Ok(all)
}

/// Appends all that `decoder` gives, as long as `all` stays within the limit.
fn read_into(all: &mut Vec<u8>, decoder: &mut impl Read, name: &'static str, limit: usize) -> Result<(), ContentError> {
    let room = limit.saturating_sub(all.len()).saturating_add(1);
    let read = decoder.take(u64::try_from(room).unwrap_or(u64::MAX)).read_to_end(all);
    if all.len() > limit {
        return Err(ContentError::TooLarge(limit));
    }
    read.map(drop).map_err(|_| ContentError::Damaged(name))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    /// What a peer would send, and [`text`] as each coding has it.
    fn text() -> Vec<u8> {
        format!("<p>{}</p>", "hello, wide world ".repeat(20)).into_bytes()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(bytes, 3).unwrap()
    }

    /// [`text`] as the brotli of Node.js has it.
    const BROTLI: &[u8] = &[
        0x1b, 0x6e, 0x01, 0xa0, 0x8c, 0x94, 0x6e, 0xde, 0x48, 0xcd, 0x93, 0x06, 0x77, 0xa7, 0x41, 0x7c, 0xc8, 0xca,
        0xb4, 0x20, 0x9b, 0xac, 0xc2, 0x98, 0xcc, 0x90, 0x58, 0x92, 0x47, 0x6b, 0xdb, 0xc8, 0x10, 0x00, 0x1d, 0x03,
    ];

    #[test]
    fn every_coding_is_undone_whatever_its_case_and_place_in_a_list() {
        let text = text();
        for (coding, bytes) in [
            ("", text.clone()),
            ("identity", text.clone()),
            ("gzip", gzip(&text)),
            ("X-GZip", gzip(&text)),
            ("deflate", zlib(&text)),
            ("deflate", raw_deflate(&text)),
            ("br", BROTLI.to_vec()),
            (" zstd ", zstd(&text)),
            ("gzip, br", {
                // A brotli stream of one stored block: 4 nibbles of length, then the bytes, then the empty last block.
                let inner = gzip(&text);
                let length = u32::try_from(inner.len() - 1).unwrap();
                let header = (length << 4) | (1 << 20);
                let mut stored = header.to_le_bytes()[..3].to_vec();
                stored.extend_from_slice(&inner);
                stored.push(3);
                stored
            }),
            ("deflate,identity,, gzip", gzip(&zlib(&text))),
            ("gzip, zstd", zstd(&gzip(&text))),
        ] {
            let decoded = decode(coding, &bytes, text.len());
            assert_eq!(decoded.as_deref(), Ok(&text[..]), "{coding}");
        }
        for coding in ["", "gzip", "deflate", "br", "zstd", "gzip, br"] {
            assert_eq!(decode(coding, b"", 0), Ok(Vec::new()), "nothing as {coding:?}");
        }
    }

    #[test]
    fn bodies_of_several_parts_are_read_to_their_end() {
        let (a, b) = (b"first ".as_slice(), b"second".as_slice());
        assert_eq!(decode("gzip", &[gzip(a), gzip(b)].concat(), 12).unwrap(), b"first second");
        assert_eq!(decode("zstd", &[zstd(a), zstd(b)].concat(), 12).unwrap(), b"first second");
        assert_eq!(decode("gzip", &[gzip(a), vec![0; 9]].concat(), 12).unwrap(), a, "padding behind it");
        assert_eq!(decode("gzip", &[gzip(a), gzip(b)].concat(), 11), Err(ContentError::TooLarge(11)));
    }

    #[test]
    fn bodies_cut_short_are_damaged_wherever_the_cut_is() {
        let text = text();
        for (coding, name, bytes) in [
            ("gzip", "gzip", gzip(&text)),
            ("deflate", "deflate", zlib(&text)),
            ("deflate", "deflate", raw_deflate(&text)),
            ("br", "br", BROTLI.to_vec()),
            ("zstd", "zstd", zstd(&text)),
        ] {
            for cut in 1..bytes.len() {
                let decoded = decode(coding, &bytes[..cut], 1 << 20);
                assert_eq!(decoded, Err(ContentError::Damaged(name)), "{coding} cut at {cut} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let zeros = vec![0; 10_000_000];
        for (coding, bytes) in [
            ("gzip", gzip(&zeros)),
            ("deflate", zlib(&zeros)),
            ("deflate", raw_deflate(&zeros)),
            ("zstd", zstd(&zeros)),
            ("identity", zeros.clone()),
            ("gzip, gzip", gzip(&gzip(&zeros))),
        ] {
            assert_eq!(decode(coding, &bytes, 1_000_000), Err(ContentError::TooLarge(1_000_000)), "{coding}");
        }
        assert_eq!(decode("br", BROTLI, 100), Err(ContentError::TooLarge(100)));
        assert!(matches!(decode(&"gzip,".repeat(9), b"x", 100), Err(ContentError::Unknown(_))));
    }

    #[test]
    fn unknown_codings_are_named_before_anything_is_read() {
        assert_eq!(decode("gzip, compress", b"x", 9), Err(ContentError::Unknown("compress".to_owned())));
    }

    #[test]
    fn mutated_bodies_end_in_bytes_or_an_error_within_the_limit() {
        let text = text();
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).unwrap()
        };
        let bodies = [("gzip", gzip(&text)), ("deflate", zlib(&text)), ("br", BROTLI.to_vec()), ("zstd", zstd(&text))];
        for round in 0..4000 {
            let (coding, mut bytes) = bodies[round % bodies.len()].clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = u8::try_from(random(256)).unwrap();
            }
            if let Ok(decoded) = decode(coding, &bytes, 4096) {
                assert!(decoded.len() <= 4096);
            }
        }
    }
}
