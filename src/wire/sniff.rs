//! Tells from its first bytes what a TCP connection carries. Pure; knows nothing of how the bytes came.

pub use super::http1::begins_request;
use super::http1::{holds_request, holds_response, looks_like_request, looks_like_response};
use super::http2;

/// So much of what a client says is no protocol known here until the server's answer is not awaited any more.
const PATIENCE_BYTES: usize = 4096;

/// A protocol that is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/0.9 to 1.1.
    Http1,
    /// HTTP/2 by prior knowledge.
    Http2,
    /// TLS.
    Tls,
    /// SOCKS 4, 4a or 5.
    Socks,
}

/// What the first bytes of both sides say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More bytes are needed.
    More,
    /// It is this.
    Is(Protocol),
    /// It is this, and who was taken for the server is the client.
    TurnedRound(Protocol),
    /// Nothing that is looked into.
    Nothing,
}

/// What a side says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    More,
    /// What only a client says.
    Asks(Protocol),
    /// What only a server says.
    Answers(Protocol),
    Nothing,
}

/// By the first bytes of a connection that was seen from its beginning: what the client sent and what the server sent.
pub fn sniff(client: &[u8], server: &[u8]) -> Verdict {
    match (says(client), says(server)) {
        (Says::Asks(protocol), _) => Verdict::Is(protocol),
        (_, Says::Asks(protocol)) => Verdict::TurnedRound(protocol),
        (_, Says::Answers(protocol)) => Verdict::Is(protocol),
        (Says::Answers(protocol), _) => Verdict::TurnedRound(protocol),
        // A server may yet answer in HTTP that it did not understand.
        (Says::Nothing, _) if server.is_empty() && client.len() < PATIENCE_BYTES => Verdict::More,
        (Says::Nothing, _) => Verdict::Nothing,
        (Says::More, Says::Nothing) if !server.is_empty() && !client.is_empty() => Verdict::Nothing,
        (Says::More, _) => Verdict::More,
    }
}

/// By a packet from the middle of a connection, sent by who is taken for the client or not.
pub fn sniff_midway(bytes: &[u8], by_client: bool) -> Verdict {
    let turned = |towards: bool, protocol| {
        if towards { Verdict::Is(protocol) } else { Verdict::TurnedRound(protocol) }
    };
    if holds_request(bytes) || looks_like_request(bytes) == Some(true) {
        return turned(by_client, Protocol::Http1);
    }
    if holds_response(bytes) || looks_like_response(bytes) == Some(true) {
        return turned(!by_client, Protocol::Http1);
    }
    match says(bytes) {
        Says::Asks(Protocol::Socks) => {}
        Says::Asks(protocol) => return turned(by_client, protocol),
        Says::Answers(protocol) => return turned(!by_client, protocol),
        Says::More | Says::Nothing => {}
    }
    if is_tls_record(bytes) {
        return Verdict::Is(Protocol::Tls);
    }
    match http2::looks_like_frames(bytes) {
        Some(true) => Verdict::Is(Protocol::Http2),
        _ => Verdict::More,
    }
}

/// Whether these first bytes of a side are of nothing that is looked into.
pub fn is_foreign(bytes: &[u8]) -> bool {
    says(bytes) == Says::Nothing
}

fn says(bytes: &[u8]) -> Says {
    if bytes.is_empty() {
        return Says::More;
    }
    match http2::looks_like_preface(bytes) {
        Some(true) => return Says::Asks(Protocol::Http2),
        Some(false) => {}
        // What it looks like so far is a request line, too.
        None => return Says::More,
    }
    let mut more = false;
    let mut is = |found: Option<bool>| {
        more |= found.is_none();
        found == Some(true)
    };
    if is(tls_hello(bytes, 1)) {
        Says::Asks(Protocol::Tls)
    } else if is(tls_hello(bytes, 2)) {
        Says::Answers(Protocol::Tls)
    } else if is(socks_greeting(bytes)) {
        Says::Asks(Protocol::Socks)
    } else if is(looks_like_response(bytes)) {
        Says::Answers(Protocol::Http1)
    } else if is(looks_like_request(bytes)) {
        Says::Asks(Protocol::Http1)
    } else if more {
        Says::More
    } else {
        Says::Nothing
    }
}

/// A handshake record that begins with this message (1 of the client, 2 of the server).
fn tls_hello(bytes: &[u8], message: u8) -> Option<bool> {
    let expected = |at: usize, byte: u8| match at {
        0 => byte == 22,
        1 => byte == 3,
        2 => byte <= 4,
        5 => byte == message,
        _ => true,
    };
    let known = &bytes[..bytes.len().min(6)];
    if !known.iter().enumerate().all(|(at, &byte)| expected(at, byte)) {
        return Some(false);
    }
    (known.len() == 6).then_some(true)
}

/// The head of any record.
fn is_tls_record(bytes: &[u8]) -> bool {
    match bytes {
        &[kind @ 20..=24, 3, 0..=4, high, low, ..] => {
            let len = usize::from(u16::from_be_bytes([high, low]));
            (1..=16 * 1024 + 2048).contains(&len) && (kind != 20 || len == 1 || len > 16)
        }
        _ => false,
    }
}

/// A greeting that is all there is until the server answers: version 5 with its methods, or a version 4 request.
fn socks_greeting(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [5] => None,
        [5, count, methods @ ..] if *count > 0 => {
            let count = usize::from(*count);
            let known = |method: &u8| matches!(method, 0..=9 | 0x80..=0xfe);
            if methods.len() > count || !methods.iter().all(known) {
                return Some(false);
            }
            (methods.len() == count).then_some(true)
        }
        [4] | [4, 1 | 2] => None,
        [4, 1 | 2, rest @ ..] => {
            let user = rest.get(6..)?;
            let printable = |b: &u8| (0x20..0x7f).contains(b);
            let end = user.iter().position(|&b| b == 0);
            if !user[..end.unwrap_or(user.len())].iter().all(printable) || user.len() > 512 {
                return Some(false);
            }
            end.map(|_| true)
        }
        _ => Some(false),
    }
}

/// What a connection that is not looked into seems to carry, by its first bytes and its server's port.
pub fn guess(client: &[u8], server: &[u8], port: u16) -> &'static str {
    by_server(server, port).or_else(|| by_client(client)).or_else(|| by_port(port)).unwrap_or("unknown")
}

fn by_server(bytes: &[u8], port: u16) -> Option<&'static str> {
    let mail = matches!(port, 25 | 465 | 587 | 2525);
    Some(match bytes {
        [b'S', b'S', b'H', b'-', ..] => "SSH",
        [b'2', b'2', b'0', b' ' | b'-', rest @ ..] if mail || holds(rest, b"SMTP") => "SMTP",
        [b'2', b'2', b'0', b' ' | b'-', ..] => "FTP",
        [b'*', b' ', b'O', b'K', ..] => "IMAP",
        [b'+', b'O', b'K', ..] => "POP3",
        [b'R', b'F', b'B', b' ', b'0', ..] => "VNC",
        [b'I', b'N', b'F', b'O', b' ', b'{', ..] => "NATS",
        [b'@', b'R', b'S', b'Y', b'N', b'C', b'D', ..] => "rsync",
        [_, _, _, 0, 10, b'3'..=b'9', ..] | [_, _, _, 0, 10, b'1', b'0'..=b'9', b'.', ..] => "MySQL",
        [0xff, 0xfb..=0xfe, ..] => "Telnet",
        _ => return None,
    })
}

fn by_client(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [b'S', b'S', b'H', b'-', ..] => "SSH",
        [b'A', b'M', b'Q', b'P', ..] => "AMQP",
        [0x10, _, 0, 4, b'M', b'Q', b'T', b'T', ..]
        | [0x10, _, _, 0, 4, b'M', b'Q', b'T', b'T', ..]
        | [0x10, _, 0, 6, b'M', b'Q', b'I', b's', ..] => "MQTT",
        [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f | 0x30, ..] | [0, 0, _, _, 0, 3, 0, 0, ..] => "PostgreSQL",
        [0, _, _, _, 0xfd..=0xff, b'S', b'M', b'B', ..] => "SMB",
        [3, 0, _, _, _, 0xe0, ..] => "RDP",
        [0x30, _, 2, 1, _, 0x60, ..] | [0x30, 0x84, _, _, _, _, 2, 1, _, 0x60, ..] => "LDAP",
        [_, _, _, _, _, _, _, _, _, _, _, _, 0xdd, 0x07, 0, 0, ..]
        | [_, _, _, _, _, _, _, _, _, _, _, _, 0xd4, 0x07, 0, 0, ..] => "MongoDB",
        [b'*', b'1'..=b'9', b'\r', b'\n', b'$', ..] | [b'*', b'1'..=b'9', b'0'..=b'9', b'\r', b'\n', b'$', ..] => {
            "Redis"
        }
        [0x13, b'B', b'i', b't', b'T', b'o', b'r', b'r', ..] => "BitTorrent",
        [0x80 | 0x82, b'a'..=b'z', ..] => "memcached",
        [0, 0, _, _, 0, 0..=80, 0, 0..=20, _, _, _, _, ..] => "Kafka",
        _ => return by_words(bytes),
    })
}

/// Protocols whose clients speak in lines.
fn by_words(bytes: &[u8]) -> Option<&'static str> {
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or(bytes);
    let line = &line[..line.len().min(1024)];
    let word = line.split(|b| !b.is_ascii_alphanumeric()).next().unwrap_or(line).to_ascii_uppercase();
    Some(match word.as_slice() {
        _ if holds(line, b" RTSP/1.") => "RTSP",
        _ if holds(line, b" SIP/2.0") => "SIP",
        b"EHLO" | b"HELO" => "SMTP",
        b"PING" if line.trim_ascii().len() == 4 => "Redis",
        b"STOMP" => "STOMP",
        b"NICK" => "IRC",
        _ => return None,
    })
}

fn by_port(port: u16) -> Option<&'static str> {
    Some(match port {
        21 => "FTP",
        22 => "SSH",
        23 => "Telnet",
        25 | 465 | 587 => "SMTP",
        53 => "DNS",
        88 => "Kerberos",
        110 | 995 => "POP3",
        143 | 993 => "IMAP",
        179 => "BGP",
        389 | 636 => "LDAP",
        139 | 445 => "SMB",
        1433 => "SQL Server",
        1521 => "Oracle",
        1883 | 8883 => "MQTT",
        2049 => "NFS",
        3306 => "MySQL",
        3389 => "RDP",
        5432 => "PostgreSQL",
        5671 | 5672 => "AMQP",
        5900..=5909 => "VNC",
        6379 => "Redis",
        9042 => "Cassandra",
        9092 => "Kafka",
        11211 => "memcached",
        27017..=27019 => "MongoDB",
        _ => return None,
    })
}

fn holds(bytes: &[u8], words: &[u8]) -> bool {
    memchr::memmem::find(&bytes[..bytes.len().min(1024)], words).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Protocol::{Http1, Http2, Socks, Tls};
    use Verdict::{Is, More, Nothing, TurnedRound};

    const HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc];

    #[test]
    fn first_bytes_tell_the_protocol() {
        for (client, server, verdict) in [
            (&b""[..], &b""[..], More),
            (b"GET / HTTP/1.1\r\n", b"", Is(Http1)),
            (b"\r\n\r\nGET / HTTP/1.1\r\n", b"", Is(Http1)),
            (b"GET / http/1.2\n", b"", Is(Http1)),
            (b"GET /\r\n", b"", Is(Http1)),
            (b"GET /long", b"", More),
            (b"CONNECT a.test:443 HTTP/1.1\r\n", b"", Is(Http1)),
            (b"M-SEARCH * HTTP/1.1\r\n", b"", Is(Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"", Is(Http2)),
            (b"PRI * HTTP/2.0\r\n\r\n", b"", More),
            (HELLO, b"", Is(Tls)),
            (b"\x16\x03", b"", More),
            (&[5, 1, 0], b"", Is(Socks)),
            (&[5, 2, 0], b"", More),
            (&[5, 1, 0, 9], b"", More),
            (&[5, 1, 0, 9], b"what", Nothing),
            (b"OPTIONS HTTP/1.1\n\n", b"HTTP/1.0 400 Bad Request\r\n", Is(Http1)),
            (&[0xff; 5000], b"", Nothing),
            (b"\x04\x01\x00\x50\x01\x02\x03\x04me\0", b"", Is(Socks)),
            (b"", b"SSH-2.0-OpenSSH_9\r\n", More),
            (b"SSH-2.0-x\r\n", b"SSH-2.0-OpenSSH_9\r\n", Nothing),
            (b"EHLO x\r\n", b"220 mail ESMTP\r\n", Nothing),
            (b"", b"HTTP/1.1 200 OK\r\n", Is(Http1)),
            (b"HTTP/1.1 200 OK\r\n", b"", TurnedRound(Http1)),
            (b"", b"GET / HTTP/1.1\r\n", TurnedRound(Http1)),
            (b"", HELLO, TurnedRound(Tls)),
            (b"\x16\x03\x03\x00\x50\x02", b"", TurnedRound(Tls)),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", b"N", Nothing),
            (b"OPTIONS rtsp://x/ RTSP/1.0\r\n", b"RTSP/1.0 200 OK\r\n", Nothing),
        ] {
            assert_eq!(sniff(client, server), verdict, "{:?} {:?}", client.escape_ascii(), server.escape_ascii());
        }
    }

    #[test]
    fn packets_in_the_middle_tell_it_too() {
        for (bytes, by_client, verdict) in [
            (&b"GET / HTTP/1.1\r\nA: b\r\n\r\n"[..], true, Is(Http1)),
            (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", false, TurnedRound(Http1)),
            (b"rest of a body\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n", false, Is(Http1)),
            (b"\x17\x03\x03\x00\x50abc", true, Is(Tls)),
            (b"\x17\x03\x03\xff\x50abc", true, More),
            (b"rest of a body", true, More),
        ] {
            assert_eq!(sniff_midway(bytes, by_client), verdict, "{:?}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_looked_into_is_named() {
        for (client, server, port, name) in [
            (&b""[..], &b"SSH-2.0-OpenSSH_9"[..], 2222, "SSH"),
            (b"EHLO a\r\n", b"220 mx ESMTP", 2500, "SMTP"),
            (b"USER a\r\n", b"220 ready", 21, "FTP"),
            (b"a LOGIN", b"* OK ready", 143, "IMAP"),
            (b"USER", b"+OK ready", 110, "POP3"),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", b"", 5432, "PostgreSQL"),
            (b"\0\0\0\x54\0\x03\0\0user\0", b"", 6000, "PostgreSQL"),
            (b"", b"\x4a\0\0\0\x0a8.0.36\0", 3306, "MySQL"),
            (b"*1\r\n$4\r\nPING\r\n", b"", 6379, "Redis"),
            (b"AMQP\0\0\x09\x01", b"", 5672, "AMQP"),
            (b"\x10\x10\0\x04MQTT\x04", b"", 1883, "MQTT"),
            (b"\x3a\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0", b"", 1, "MongoDB"),
            (b"\0\0\0\x45\xffSMB", b"", 445, "SMB"),
            (b"\x03\0\0\x13\x0e\xe0\0", b"", 3389, "RDP"),
            (b"\x30\x0c\x02\x01\x01\x60\x07", b"", 389, "LDAP"),
            (b"OPTIONS rtsp://x/ RTSP/1.0\r\n", b"", 554, "RTSP"),
            (b"what", b"ever", 53, "DNS"),
            (b"what", b"ever", 4711, "unknown"),
        ] {
            assert_eq!(guess(client, server, port), name, "{:?}", client.escape_ascii());
        }
    }

    #[test]
    fn no_bytes_can_make_it_fail() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..20_000 {
            let mut bytes = [0u8; 24];
            for byte in &mut bytes {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                *byte = [seed as u8, b' ', 0, 5, 22, b'H', b'\n', 3][(seed >> 8) as usize % 8];
            }
            for end in 0..bytes.len() {
                sniff(&bytes[..end], &bytes[end..]);
                sniff_midway(&bytes[..end], true);
                guess(&bytes[..end], &bytes[end..], 1);
            }
        }
    }
}
