//! Damage to bytes that knows nothing of what they mean, but what readers trip over.

use crate::dice::Dice;

/// No input grows beyond this.
pub const LONGEST: usize = 96 * 1024;

/// Numbers at which arithmetic breaks.
const EDGES: &[u64] = &[
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    31,
    32,
    63,
    64,
    100,
    127,
    128,
    255,
    256,
    1000,
    4095,
    4096,
    16383,
    16384,
    16385,
    32767,
    32768,
    65534,
    65535,
    65536,
    0xff_ffff,
    0x0100_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX - 1,
    u64::MAX,
];

/// Pieces of the protocols that are read.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"=",
    b"\"",
    b"%00",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    b"CONNECT a:443 HTTP/1.1\r\n\r\n",
    b"HEAD / HTTP/1.0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.0 200\r\n",
    b"ICY 200 OK\r\n\r\n",
    b"Content-Length: 18446744073709551615\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: br\r\n",
    b"Content-Encoding: zstd\r\n",
    b"Content-Encoding: deflate\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    b"Expect: 100-continue\r\n",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=8\r\n",
    b"Content-Type: text/event-stream\r\n",
    b"Content-Type: application/grpc+proto\r\n",
    b"Content-Type: application/grpc-web-text\r\n",
    b"grpc-encoding: gzip\r\n",
    b"Trailer: X\r\n",
    b"Set-Cookie: a=b; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT\r\n",
    b"Cookie: ",
    b"Authorization: Basic YTpi\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"10000000000000000\r\n",
    b"5;x=y\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\0\0\0\x04\0\0\0\0\0",
    b"\0\0\0\x04\x01\0\0\0\0",
    b"\0\0\x04\x08\0\0\0\0\0\xff\xff\xff\xff",
    b"\0\0\x01\x01\x05\0\0\0\x01\x82",
    b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
    b"\xff\xff\xff\0\0\0\0\0\x01",
    b"\0\0\x01\x09\x04\0\0\0\x01\x82",
    b"\x3f\xff\xff\xff\xff\x0f",
    b"\x20",
    b"\x7f\xff\xff\xff\xff\xff\xff",
    b"\x81\x05hello",
    b"\x81\x85\0\0\0\0hello",
    b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0",
    b"\x88\x02\x03\xe8",
    b"\x89\0",
    b"\x80\0",
    b"\x01\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x82\x7e\xff\xff",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    b"\x17\x03\x03\x40\x11",
    b"\x14\x03\x03\0\x01\x01",
    b"\x15\x03\x03\0\x02\x01\0",
    b"\x16\x03\x03\0\x04\x0e\0\0\0",
    b"\x18\x03\x03\0\x05",
    b"\x05\x01\0",
    b"\x05\0\x05\0\0\x01\x7f\0\0\x01\0\x50",
    b"\x04\x01\0\x50\x7f\0\0\x01\0",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
    b"\x28\xb5\x2f\xfd",
    b"\x0a\x0d\x0d\x0a",
    b"\x4d\x3c\x2b\x1a",
    b"\xd4\xc3\xb2\xa1",
    b"data: x\n\n",
    b"id:\n",
    b"retry: 1\n",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"{\"",
    b"\"a\":",
    b"1e999",
    b"-0",
    b"\\ud800",
    b"\\u0000",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"\"encoding\":\"base64\",",
    b"\"text\":\"",
    b"\"_webSocketMessages\":[{\"type\":\"send\",\"time\":1e9,\"opcode\":1,\"data\":\"x\"}],",
    b"\"startedDateTime\":\"9999-12-31T23:59:60.999999999+23:59\",",
    b"\"startedDateTime\":\"0000-00-00T00:00:00Z\",",
    b"\"time\":-1,",
    b"\"time\":1e308,",
    b"\"status\":0,",
    b"\"status\":99999999999,",
    b"\"httpVersion\":\"h3\",",
    b"\"entries\":[",
    b"\"postData\":{\"mimeType\":\"multipart/form-data\",\"params\":[]},",
    b"\xf0\x9f\x90\xb5\xf0\x9f\x99\x88\xf0\x9f\x99\x89",
    b"1 8e091765ae902fef8a2b7d9dd9600ee8c9d4a5b1 1700000000000000000\n",
    b"2 ",
    b"3 ",
    b"0:~",
    b"4:true!",
    b"3:abc;",
    b"0:}",
    b"0:]",
    b"99999999999:",
    b"20:18446744073709551615#",
    b"3:nan^",
    b"5:1e400^",
];

/// Damages `bytes` in one to five places.
pub fn damage(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.small(5) {
        once(dice, bytes);
        bytes.truncate(LONGEST);
    }
}

/// Damages `bytes` in one place.
pub fn once(dice: &mut Dice, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        bytes.extend_from_slice(*dice.pick::<&[u8]>(WORDS));
        return;
    }
    let at = dice.below(bytes.len());
    match dice.below(16) {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 => bytes[at] = dice.byte(),
        3 => bytes[at] = *dice.pick(&[0, 1, 0x7f, 0x80, 0xff, b'\n', b'\r', b' ', b'0', b'9', b':', b'"', b'{', b'}']),
        4 | 5 => insert(bytes, at, *dice.pick::<&[u8]>(WORDS)),
        6 => {
            let word = *dice.pick(WORDS);
            let end = (at + word.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&word[..end - at]);
        }
        7 => {
            let noise: Vec<u8> = (0..=dice.small(200)).map(|_| dice.byte()).collect();
            insert(bytes, at, &noise);
        }
        8 => drop(bytes.drain(dice.range(bytes.len()))),
        9 => {
            let copy = bytes[dice.range(bytes.len())].to_vec();
            insert(bytes, at, &copy);
        }
        10 => {
            let (from, to) = (dice.range(bytes.len()), dice.below(bytes.len()));
            let end = (to + from.len()).min(bytes.len());
            bytes.copy_within(from.start..from.start + (end - to), to);
        }
        11 if dice.once_in(4) => bytes.truncate(at),
        12 => number(dice, &mut bytes[at..]),
        13 | 14 => digits(dice, bytes, at),
        15 if dice.once_in(4) => {
            let byte = bytes[at];
            let run = vec![byte; 1 + dice.small(20_000)];
            insert(bytes, at, &run);
        }
        _ => bytes[at] = bytes[at].wrapping_add(if dice.once_in(2) { 1 } else { 255 }),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// A binary number of some width becomes one at an edge.
fn number(dice: &mut Dice, at: &mut [u8]) {
    let edge = dice.pick(EDGES).wrapping_add(dice.below(3) as u64).wrapping_sub(1);
    let width = (*dice.pick(&[1, 2, 3, 4, 8])).min(at.len());
    let bytes = if dice.once_in(3) { edge.to_le_bytes() } else { (edge << ((8 - width) * 8) % 64).to_be_bytes() };
    at[..width].copy_from_slice(&bytes[..width]);
}

/// The decimal or hexadecimal number at or behind `at` becomes one at an edge.
fn digits(dice: &mut Dice, bytes: &mut Vec<u8>, at: usize) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
    let end = bytes[start..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |found| start + found);
    let edge = dice.pick(EDGES).wrapping_add(dice.below(3) as u64).wrapping_sub(1);
    let text = match dice.below(6) {
        0 => format!("{edge:x}"),
        1 => format!("-{edge}"),
        2 => format!("{edge}0"),
        3 => format!("000{edge}"),
        _ => edge.to_string(),
    };
    bytes.splice(start..end, text.into_bytes());
}
