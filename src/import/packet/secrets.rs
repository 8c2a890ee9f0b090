//! TLS key logs inside pcapng files, found before the packets that need them are read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use pcap_parser::pcapng::DSB_MAGIC;

use super::super::input::{Input, InputError};
use super::block::{HEAD_BYTES, Head, Order, search};
use super::container::RECORD_LIMIT;
use super::ng::{Ng, secrets};
use super::window::Window;

/// Bytes it is cheaper to read than to seek past.
const SEEK_FROM: u64 = 256 * 1024;

/// Gives every TLS key log of the pcapng file at `path` to `found`, compressed or not, wherever it stands. Anything but a
/// regular pcapng file has none; where it is damaged, the search ends without a word: reading its packets will tell.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn secrets_in(path: &Path, found: &mut dyn FnMut(&[u8])) -> Result<(), InputError> {
    let open = |source| InputError::Open { path: path.to_owned(), source };
    if !std::fs::metadata(path).map_err(open)?.is_file() {
        return Ok(());
    }
    let mut file = File::open(path).map_err(open)?;
    let mut head = [0; 4];
    let plain = match file.read_exact(&mut head) {
        Ok(()) => Ng::recognises(&head),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        Err(error) => return Err(InputError::Read(error)),
    };
    if plain {
        file.rewind().map_err(InputError::Read)?;
        let seek = |file: &mut File, count: u64| match i64::try_from(count) {
            Ok(count) => file.seek(SeekFrom::Current(count)).map(|_| ()),
            Err(_) => Err(io::ErrorKind::InvalidInput.into()),
        };
        return walk(Window::new(file), seek, found).map_err(InputError::Read);
    }
    drop(file);
    let mut input = Input::open(path, std::sync::Arc::default())?;
    if !Ng::recognises(input.peek(4).map_err(InputError::Read)?) {
        return Ok(());
    }
    let read = |input: &mut Input, count: u64| io::copy(&mut input.take(count), &mut io::sink()).map(|_| ());
    walk(Window::new(input), read, found).map_err(InputError::Read)
}

/// Goes from block to block; `skip` moves the reader.
fn walk<R: Read>(
    mut window: Window<R>,
    skip: impl Fn(&mut R, u64) -> io::Result<()>,
    found: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let mut order = Order::default();
    while window.hold(HEAD_BYTES)? {
        let head = Head::parse(window.data(), order).filter(|head| head.bytes <= RECORD_LIMIT);
        let Some(head) = head else {
            if search(&mut window, order)?.is_some() {
                continue;
            }
            return Ok(());
        };
        order = head.order;
        if head.kind == DSB_MAGIC && window.hold(head.bytes)? {
            if let Some(secrets) = secrets(&window.data()[..head.bytes], order) {
                found(secrets);
            }
            window.consume(head.bytes);
            continue;
        }
        let beyond = (head.bytes as u64).saturating_sub(window.data().len() as u64);
        if beyond >= SEEK_FROM {
            skip(&mut window.reader, beyond)?;
            window.moved(beyond);
        } else if window.hold(head.bytes)? {
            window.consume(head.bytes);
        } else {
            return Ok(());
        }
    }
    Ok(())
}
