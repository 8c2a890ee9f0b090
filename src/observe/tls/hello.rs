//! Handshake messages, as far as a reader with secrets needs them: hellos, agreed extensions, message boundaries.
//!
//! Knows no keys. Main types: [`ClientHello`], [`ServerHello`], [`Joiner`].

/// Message numbers of RFC 8446 §B.3 and RFC 5246 §A.4.
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const END_OF_EARLY_DATA: u8 = 5;
pub(super) const ENCRYPTED_EXTENSIONS: u8 = 8;
pub(super) const SERVER_HELLO_DONE: u8 = 14;
pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;
pub(super) const FINISHED: u8 = 20;
pub(super) const KEY_UPDATE: u8 = 24;

/// Longest message that is kept; longer ones are passed over. Hellos are far shorter.
const MAX_KEPT: usize = 1 << 16;

/// The random of a ServerHello that is a HelloRetryRequest (RFC 8446 §4.1.3).
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11,
    0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

#[derive(Debug, Default)]
pub(super) struct ClientHello {
    pub(super) random: [u8; 32],
    pub(super) session_id: Vec<u8>,
    pub(super) sni: Option<String>,
    pub(super) alpn: Vec<String>,
    pub(super) early_data: bool,
    pub(super) ech: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ServerHello {
    /// As agreed: 0x0304 for TLS 1.3 and its drafts.
    pub(super) version: u16,
    /// Number of the draft of TLS 1.3.
    pub(super) draft: Option<u8>,
    pub(super) random: [u8; 32],
    pub(super) session_id: Vec<u8>,
    pub(super) suite: u16,
    pub(super) compression: u8,
    pub(super) alpn: Option<String>,
    pub(super) encrypt_then_mac: bool,
    pub(super) extended_master: bool,
    pub(super) pre_shared_key: bool,
    pub(super) retry: bool,
}

#[derive(Debug, Default)]
pub(super) struct EncryptedExtensions {
    pub(super) alpn: Option<String>,
    pub(super) early_data: bool,
}

/// Reads from the front; `None` at the first thing that is not there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn word(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector with a length of one byte.
    fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }

    /// A vector with a length of two bytes.
    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.word()?;
        self.take(usize::from(length))
    }

    fn random(&mut self) -> Option<[u8; 32]> {
        self.take(32)?.try_into().ok()
    }

    /// Extensions, each with its number; none when nothing is left.
    fn extensions(&mut self) -> Option<Vec<(u16, Reader<'a>)>> {
        if self.0.is_empty() {
            return Some(Vec::new());
        }
        let mut inside = Reader(self.long()?);
        let mut found = Vec::new();
        while !inside.0.is_empty() {
            found.push((inside.word()?, Reader(inside.long()?)));
        }
        Some(found)
    }

    /// The protocol names of RFC 7301.
    fn alpn(&mut self) -> Option<Vec<String>> {
        let mut names = Reader(self.long()?);
        let mut found = Vec::new();
        while !names.0.is_empty() {
            found.push(String::from_utf8_lossy(names.short()?).into_owned());
        }
        Some(found)
    }

    /// The host of RFC 6066 §3.
    fn sni(&mut self) -> Option<String> {
        let mut names = Reader(self.long()?);
        while !names.0.is_empty() {
            let (kind, name) = (names.byte()?, names.long()?);
            if kind == 0 {
                return Some(String::from_utf8_lossy(name).into_owned());
            }
        }
        None
    }
}

impl ClientHello {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut body = Reader(body);
        body.word()?;
        let mut hello = Self { random: body.random()?, session_id: body.short()?.to_vec(), ..Self::default() };
        body.long()?;
        body.short()?;
        for (number, mut extension) in body.extensions()? {
            match number {
                0 => hello.sni = extension.sni(),
                16 => hello.alpn = extension.alpn()?,
                42 => hello.early_data = true,
                0xFE0D => hello.ech = true,
                _ => {}
            }
        }
        Some(hello)
    }
}

impl ServerHello {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut body = Reader(body);
        let version = body.word()?;
        let mut hello = Self { version, random: body.random()?, ..Self::default() };
        hello.retry = hello.random == HELLO_RETRY_REQUEST;
        hello.select(version);
        // Until draft 22 the version stood in front, and neither session id nor compression in the message.
        let old_draft = hello.draft.is_some();
        if !old_draft {
            hello.session_id = body.short()?.to_vec();
        }
        hello.suite = body.word()?;
        if !old_draft {
            hello.compression = body.byte()?;
        }
        for (number, mut extension) in body.extensions()? {
            match number {
                16 => hello.alpn = extension.alpn()?.into_iter().next(),
                22 => hello.encrypt_then_mac = true,
                23 => hello.extended_master = true,
                41 => hello.pre_shared_key = true,
                43 => {
                    let selected = extension.word()?;
                    hello.select(selected);
                }
                _ => {}
            }
        }
        Some(hello)
    }

    fn select(&mut self, version: u16) {
        let [high, low] = version.to_be_bytes();
        self.version = if high == 0x7F { 0x0304 } else { version };
        self.draft = (high == 0x7F).then_some(low);
    }
}

impl EncryptedExtensions {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        for (number, mut extension) in Reader(body).extensions()? {
            match number {
                16 => found.alpn = extension.alpn()?.into_iter().next(),
                42 => found.early_data = true,
                _ => {}
            }
        }
        Some(found)
    }
}

/// The start of the encrypted premaster in a ClientKeyExchange of RSA (RFC 5246 §7.4.7.1).
pub(super) fn encrypted_premaster(body: &[u8]) -> Option<&[u8]> {
    Reader(body).long()
}

/// One side's handshake messages, joined across records.
#[derive(Default)]
pub(super) struct Joiner {
    state: Join,
    /// Bytes before the next record are missing: it may continue a message whose length nobody knows.
    lost: bool,
}

#[derive(Default)]
enum Join {
    /// Between messages, or in the four bytes before one.
    #[default]
    Between,
    Head(Vec<u8>),
    Keeping {
        kind: u8,
        length: usize,
        body: Vec<u8>,
    },
    Passing {
        kind: u8,
        left: usize,
    },
}

impl Joiner {
    /// The next message that ends in `bytes`; its body is empty when it is of no interest. `None`: more bytes are needed.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<(u8, Vec<u8>)> {
        loop {
            match std::mem::take(&mut self.state) {
                Join::Between if bytes.is_empty() => return None,
                Join::Between => self.state = Join::Head(Vec::with_capacity(4)),
                Join::Head(mut head) => {
                    take(bytes, &mut head, 4);
                    let [kind, length @ ..] = &head[..] else { return None };
                    if head.len() < 4 {
                        self.state = Join::Head(head);
                        return None;
                    }
                    let length = length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
                    self.state = begin(*kind, length);
                }
                Join::Keeping { kind, length, mut body } => {
                    take(bytes, &mut body, length);
                    if body.len() == length {
                        return Some((kind, body));
                    }
                    self.state = Join::Keeping { kind, length, body };
                    return None;
                }
                Join::Passing { kind, left } => {
                    let passed = left.min(bytes.len());
                    *bytes = &bytes[passed..];
                    if passed == left {
                        return Some((kind, Vec::new()));
                    }
                    self.state = Join::Passing { kind, left: left - passed };
                    return None;
                }
            }
        }
    }

    /// True when no message has begun.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, Join::Between)
    }

    /// Bytes are missing here.
    pub(super) fn lose(&mut self) {
        *self = Self { state: Join::Between, lost: true };
    }

    /// True when a record with this content can be read: always, but behind a loss only when whole messages fill it.
    pub(super) fn accepts(&mut self, content: &[u8]) -> bool {
        self.lost = self.lost && !whole_messages(content);
        !self.lost
    }
}

/// True when `content` is one or more messages of known numbers, and nothing else.
pub(super) fn whole_messages(mut content: &[u8]) -> bool {
    loop {
        let Some((&[kind, high, middle, low], rest)) = content.split_first_chunk::<4>() else { return false };
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if !matches!(kind, 0..=2 | 4 | 5 | 8 | 11..=16 | 20..=25) || rest.len() < length {
            return false;
        }
        content = &rest[length..];
        if content.is_empty() {
            return true;
        }
    }
}

fn begin(kind: u8, length: usize) -> Join {
    let wanted = matches!(kind, CLIENT_HELLO | SERVER_HELLO | ENCRYPTED_EXTENSIONS | CLIENT_KEY_EXCHANGE | KEY_UPDATE);
    if wanted && length <= MAX_KEPT {
        Join::Keeping { kind, length, body: Vec::new() }
    } else {
        Join::Passing { kind, left: length }
    }
}

fn take(bytes: &mut &[u8], into: &mut Vec<u8>, until: usize) {
    let (taken, rest) = bytes.split_at(until.saturating_sub(into.len()).min(bytes.len()));
    into.extend_from_slice(taken);
    *bytes = rest;
}

/// Does this look like the start of a TLS connection? `None` when more bytes are needed to say.
pub fn looks_like_hello(bytes: &[u8]) -> Option<bool> {
    let plausible: [fn(u8) -> bool; 6] =
        [|b| b == 22, |b| b == 3, |b| b <= 4, |b| b <= 0x40, |_| true, |b| matches!(b, CLIENT_HELLO | SERVER_HELLO)];
    looks_like(bytes, &plausible)
}

/// Does this look like a TLS record, as in the middle of a connection? `None` when more bytes are needed to say.
pub fn looks_like_record(bytes: &[u8]) -> Option<bool> {
    let plausible: [fn(u8) -> bool; 5] = [|b| matches!(b, 20..=24), |b| b == 3, |b| b <= 4, |b| b <= 0x48, |_| true];
    looks_like(bytes, &plausible)
}

fn looks_like(bytes: &[u8], plausible: &[fn(u8) -> bool]) -> Option<bool> {
    if bytes.iter().zip(plausible).any(|(&byte, plausible)| !plausible(byte)) {
        return Some(false);
    }
    (bytes.len() >= plausible.len()).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_joined_however_records_cut_them() {
        let mut stream = vec![11, 0, 0, 5, 1, 2, 3, 4, 5, SERVER_HELLO, 0, 0, 3, 7, 8, 9, SERVER_HELLO_DONE, 0, 0, 0];
        stream.extend([KEY_UPDATE, 0, 0, 1, 0]);
        let expected = vec![(11, vec![]), (2, vec![7, 8, 9]), (14, vec![]), (24, vec![0])];
        for size in 1..=stream.len() {
            let mut joiner = Joiner::default();
            let mut found = Vec::new();
            for mut record in stream.chunks(size) {
                while let Some(message) = joiner.next(&mut record) {
                    found.push(message);
                }
            }
            assert_eq!(found, expected, "records of {size}");
        }
    }

    #[test]
    fn behind_a_loss_only_whole_messages_are_read() {
        let mut joiner = Joiner::default();
        joiner.lose();
        assert!(!joiner.accepts(&[1, 2, 3]));
        assert!(!joiner.accepts(&[14, 0, 0, 1]));
        assert!(joiner.accepts(&[14, 0, 0, 0]));
        assert!(joiner.accepts(&[1, 2, 3]));
    }

    #[test]
    fn a_start_is_told_from_other_protocols_as_soon_as_possible() {
        let cases = [
            (&b""[..], None, None),
            (b"\x16", None, None),
            (b"\x16\x03\x01\x02\x00\x01", Some(true), Some(true)),
            (b"\x16\x03\x01\x02\x00", None, Some(true)),
            (b"\x17\x03\x03\x02\x00", Some(false), Some(true)),
            (b"GET / HTTP/1.1", Some(false), Some(false)),
            (b"\x16\x02", Some(false), Some(false)),
            (b"\x16\x03\x01\x50\x00\x01", Some(false), Some(false)),
        ];
        for (bytes, hello, record) in cases {
            assert_eq!(looks_like_hello(bytes), hello, "{bytes:?}");
            assert_eq!(looks_like_record(bytes), record, "{bytes:?}");
        }
    }

    #[test]
    fn a_hello_cut_anywhere_is_refused_or_read_and_never_a_panic() {
        let mut hello = vec![3, 3];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0x13, 1, 1, 0, 0, 31]);
        hello.extend([0, 0, 0, 8, 0, 6, 0, 0, 3, b'a', b'.', b'b', 0, 16, 0, 5, 0, 3, 2, b'h', b'2']);
        hello.extend([0, 42, 0, 0, 0xFE, 0x0D, 0, 2, 0, 0]);
        let whole = ClientHello::parse(&hello).unwrap();
        assert_eq!((whole.sni.as_deref(), whole.early_data, whole.ech), (Some("a.b"), true, true));
        assert_eq!(whole.alpn, ["h2"]);
        for end in 0..hello.len() {
            let cut = ClientHello::parse(&hello[..end]);
            assert!(cut.is_none() || end == 41, "{end}");
        }
    }
}
