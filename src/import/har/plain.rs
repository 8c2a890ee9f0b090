//! Files that must be rewritten before they can be read here: compressed ones and UTF-16.
//!
//! Main functions: [`is_plain`], [`make_plain`].

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

/// How much of a file's start [`is_plain`] wants to see.
pub const START_BYTES: usize = 4;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrapping {
    Plain,
    Gzip,
    Zlib,
    Zstd,
    Utf16 { big: bool },
}

fn wrapping(start: &[u8]) -> Wrapping {
    match start {
        [0x1f, 0x8b, ..] => Wrapping::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Wrapping::Zstd,
        // mitmproxy's `.zhar`: a zlib header is a multiple of 31.
        [0x78, flags, ..] if (0x7800 + u16::from(*flags)).is_multiple_of(31) => Wrapping::Zlib,
        [0xff, 0xfe, ..] | [b'{', 0, ..] => Wrapping::Utf16 { big: false },
        [0xfe, 0xff, ..] | [0, b'{', ..] => Wrapping::Utf16 { big: true },
        _ => Wrapping::Plain,
    }
}

/// Whether a file that starts like this can be imported as it is; else [`make_plain`] makes one that can.
pub fn is_plain(start: &[u8]) -> bool {
    wrapping(start) == Wrapping::Plain
}

/// Writes the file as UTF-8, uncompressed: gzip, zlib and zstd are undone, UTF-16 is transcoded, anything else is copied.
/// Streams; a file cut short is written as far as it goes.
///
/// # Errors
/// When `input` cannot be read or `output` cannot be written.
pub fn make_plain(input: impl Read, output: impl Write) -> io::Result<()> {
    let mut output = BufWriter::new(output);
    unwrap_into(BufReader::new(input), &mut output, 3)?;
    output.flush()
}

fn unwrap_into(mut input: impl BufRead, output: &mut impl Write, layers: u8) -> io::Result<()> {
    let mut start = Vec::new();
    input.by_ref().take(START_BYTES as u64).read_to_end(&mut start)?;
    let found = wrapping(&start);
    let whole: &mut dyn BufRead = &mut io::Cursor::new(start).chain(input);
    if layers == 0 {
        return copy(whole, output);
    }
    match found {
        Wrapping::Plain => copy(whole, output),
        Wrapping::Gzip => {
            let inside: Box<dyn BufRead + '_> = Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(whole)));
            unwrap_boxed(inside, output, layers)
        }
        Wrapping::Zlib => {
            let inside: Box<dyn BufRead + '_> = Box::new(BufReader::new(flate2::bufread::ZlibDecoder::new(whole)));
            unwrap_boxed(inside, output, layers)
        }
        Wrapping::Zstd => {
            let inside: Box<dyn BufRead + '_> =
                Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(whole)?));
            unwrap_boxed(inside, output, layers)
        }
        Wrapping::Utf16 { big } => transcode(whole, output, big),
    }
}

fn unwrap_boxed<W: Write>(inside: Box<dyn BufRead + '_>, output: &mut W, layers: u8) -> io::Result<()> {
    unwrap_into(inside, output, layers - 1)
}

/// Copies up to the end or to the place where a compressed file breaks off.
fn copy(input: &mut dyn BufRead, output: &mut impl Write) -> io::Result<()> {
    let mut window = vec![0; 64 << 10];
    loop {
        match input.read(&mut window) {
            Ok(0) => return Ok(()),
            Ok(read) => output.write_all(&window[..read])?,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                    return Ok(());
                }
                _ => return Err(error),
            },
        }
    }
}

fn transcode(input: &mut dyn BufRead, output: &mut impl Write, big: bool) -> io::Result<()> {
    let mut units = Vec::new();
    let mut text = String::new();
    let mut window = Vec::new();
    loop {
        window.clear();
        if input.take(64 << 10).read_to_end(&mut window)? == 0 {
            break;
        }
        let pairs = window.chunks(2).filter_map(|pair| Some([*pair.first()?, *pair.get(1)?]));
        units.extend(pairs.map(if big { u16::from_be_bytes } else { u16::from_le_bytes }));
        // The first half of a pair waits for the other one.
        let held = units.pop_if(|unit| (0xd800..0xdc00).contains(unit));
        let characters = char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
        text.extend(characters.filter(|c| *c != '\u{feff}'));
        output.write_all(text.as_bytes())?;
        text.clear();
        units.extend(held);
    }
    if units.is_empty() { Ok(()) } else { output.write_all("\u{fffd}".as_bytes()) }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    const HAR: &str = "{\"log\":{\"entries\":[\"\u{e4}\u{1f600}\"]}}";

    fn utf16(text: &str, bom: bool, big: bool) -> Vec<u8> {
        let units = bom.then_some(0xfeff).into_iter().chain(text.encode_utf16());
        units.flat_map(|unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn wrapped_files_become_plain() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(HAR.as_bytes()).unwrap();
        for (bytes, plain) in [
            (HAR.as_bytes().to_vec(), true),
            (format!("\u{feff}{HAR}").into_bytes(), true),
            (gzip(HAR.as_bytes()), false),
            (gzip(&gzip(&utf16(HAR, true, false))), false),
            (zlib.finish().unwrap(), false),
            (zstd::stream::encode_all(HAR.as_bytes(), 1).unwrap(), false),
            (utf16(HAR, true, true), false),
            (utf16(HAR, false, false), false),
            (utf16(HAR, false, true), false),
        ] {
            assert_eq!(is_plain(&bytes), plain);
            let mut out = Vec::new();
            make_plain(&bytes[..], &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap().trim_start_matches('\u{feff}'), HAR);
        }
        let long = format!("{{{}", "\u{1f600}".repeat(100_000));
        let mut out = Vec::new();
        make_plain(&utf16(&format!(" {long}"), true, false)[..], &mut out).unwrap();
        assert_eq!(out, format!(" {long}").as_bytes(), "pairs cut by the window");
    }

    #[test]
    fn a_wrapped_file_that_is_cut_is_kept_as_far_as_it_goes() {
        let bytes = gzip(HAR.repeat(9000).as_bytes());
        let mut out = Vec::new();
        make_plain(&bytes[..bytes.len() / 2], &mut out).unwrap();
        assert!(out.starts_with(HAR.as_bytes()));
    }
}
