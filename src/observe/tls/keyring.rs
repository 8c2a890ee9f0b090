//! Secrets of connections as key logs hold them (RFC 9850, NSS key log format).
//!
//! Knows lines and their secrets, not where they were read or which connection asks. Main type: [`Keyring`].

use std::collections::HashMap;
use std::fmt;

/// What a secret is for (RFC 9850 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// Master secret of TLS 1.2 and older.
    Master,
    ClientEarly,
    ClientHandshake,
    ServerHandshake,
    ClientTraffic,
    ServerTraffic,
}

/// Secrets by label and client random: key log lines (RFC 9850 and older), from files and pcapng secrets blocks.
#[derive(Clone, Default)]
pub struct Keyring {
    by_random: HashMap<[u8; 32], Vec<(Label, Secret)>>,
    /// Premaster secrets by the first 8 bytes of their encryption (`RSA` lines).
    premasters: HashMap<[u8; 8], Box<[u8]>>,
    /// Master secrets by session id (`RSA Session-ID:` lines).
    sessions: HashMap<Box<[u8]>, Box<[u8]>>,
    secrets: usize,
    revision: u64,
    not_understood: u64,
}

type Secret = Box<[u8]>;

/// What a line says.
enum Line {
    Secret(Label, [u8; 32], Box<[u8]>),
    Premaster([u8; 8], Box<[u8]>),
    Session(Box<[u8]>, Box<[u8]>),
    /// Understood and of no use here.
    Ignored,
}

impl Keyring {
    /// Takes the secrets of `text`: whole lines, any ends of lines. Says how many lines it took.
    pub fn add(&mut self, text: &[u8]) -> usize {
        let mut taken = 0;
        for line in text.split(|&byte| byte == b'\n' || byte == b'\r') {
            let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii();
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            match parse(line) {
                None => self.not_understood += 1,
                Some(Line::Ignored) => {}
                Some(line) => {
                    taken += 1;
                    self.take(line);
                }
            }
        }
        taken
    }

    fn take(&mut self, line: Line) {
        let old = match line {
            Line::Secret(label, random, secret) => {
                let secrets = self.by_random.entry(random).or_default();
                match secrets.iter_mut().find(|(known, _)| *known == label) {
                    Some((_, known)) => Some(std::mem::replace(known, secret)),
                    None => {
                        secrets.push((label, secret));
                        None
                    }
                }
            }
            Line::Premaster(prefix, secret) => self.premasters.insert(prefix, secret),
            Line::Session(id, secret) => self.sessions.insert(id, secret),
            Line::Ignored => return,
        };
        self.secrets += usize::from(old.is_none());
        self.revision += 1;
    }

    /// True when there is no secret.
    pub fn is_empty(&self) -> bool {
        self.secrets == 0
    }

    /// Number of secrets.
    pub fn len(&self) -> usize {
        self.secrets
    }

    /// Number of lines that were neither comments nor understood.
    pub fn not_understood(&self) -> u64 {
        self.not_understood
    }

    /// Grows with every line taken: whoever found no secret need not look again before it does.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn secret(&self, label: Label, client_random: &[u8; 32]) -> Option<&[u8]> {
        let secrets = self.by_random.get(client_random)?;
        secrets.iter().find(|(known, _)| *known == label).map(|(_, secret)| &**secret)
    }

    /// True when there is any secret of this connection.
    pub(super) fn knows(&self, client_random: &[u8; 32]) -> bool {
        self.by_random.contains_key(client_random)
    }

    pub(super) fn premaster(&self, encrypted: &[u8]) -> Option<&[u8]> {
        self.premasters.get(encrypted.first_chunk::<8>()?).map(|secret| &**secret)
    }

    pub(super) fn session(&self, id: &[u8]) -> Option<&[u8]> {
        self.sessions.get(id).map(|secret| &**secret)
    }
}

/// Says how many there are, never what they are.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("secrets", &self.secrets).finish_non_exhaustive()
    }
}

fn parse(line: &[u8]) -> Option<Line> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let name = words.next()?;
    let (first, second) = (words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let label = match name {
        b"CLIENT_RANDOM" => Label::Master,
        b"CLIENT_EARLY_TRAFFIC_SECRET" => Label::ClientEarly,
        b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Label::ClientHandshake,
        b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => Label::ServerHandshake,
        b"CLIENT_TRAFFIC_SECRET_0" => Label::ClientTraffic,
        b"SERVER_TRAFFIC_SECRET_0" => Label::ServerTraffic,
        b"RSA" => return rsa(first, second),
        _ => return other(name, first, second),
    };
    let secret = hex(second)?;
    let fits = match label {
        Label::Master => secret.len() == 48,
        _ => matches!(secret.len(), 32 | 48),
    };
    fits.then_some(Line::Secret(label, hex(first)?.as_ref().try_into().ok()?, secret))
}

/// `RSA <first 8 bytes of the encrypted premaster> <premaster>`, or `RSA Session-ID:<id> Master-Key:<master>`.
fn rsa(first: &[u8], second: &[u8]) -> Option<Line> {
    if let (Some(id), Some(master)) = (first.strip_prefix(b"Session-ID:"), second.strip_prefix(b"Master-Key:")) {
        let (id, master) = (hex(id)?, hex(master)?);
        return (id.len() <= 32 && master.len() == 48).then_some(Line::Session(id, master));
    }
    let (prefix, premaster) = (hex(first)?, hex(second)?);
    (premaster.len() == 48).then_some(Line::Premaster(prefix.as_ref().try_into().ok()?, premaster))
}

/// Labels of no use here: exporters, later generations (derived from the first), ECH, QUIC.
fn other(name: &[u8], first: &[u8], second: &[u8]) -> Option<Line> {
    let label = name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    (label && hex(first)?.len() == 32 && hex(second).is_some()).then_some(Line::Ignored)
}

fn hex(text: &[u8]) -> Option<Box<[u8]>> {
    if text.is_empty() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, random: u8, secret: usize) -> String {
        format!("{label} {} {}", format!("{random:02X}").repeat(32), "ab".repeat(secret))
    }

    #[test]
    fn lines_are_taken_ignored_or_counted() {
        let cases = [
            (line("CLIENT_RANDOM", 0xAB, 48), 1, 0),
            (line("CLIENT_RANDOM", 1, 47), 0, 1),
            (line("CLIENT_TRAFFIC_SECRET_0", 1, 32), 1, 0),
            (line("SERVER_TRAFFIC_SECRET_0", 1, 48), 1, 0),
            (line("SERVER_TRAFFIC_SECRET_0", 1, 31), 0, 1),
            (line("EXPORTER_SECRET", 1, 48), 0, 0),
            (line("ECH_SECRET", 1, 32), 0, 0),
            ("# a comment".to_owned(), 0, 0),
            ("   ".to_owned(), 0, 0),
            ("CLIENT_RANDOM 00 zz".to_owned(), 0, 1),
            ("garbage".to_owned(), 0, 1),
            (line("CLIENT_RANDOM", 1, 48) + " more", 0, 1),
            (format!("RSA {} {}", "0f".repeat(8), "cd".repeat(48)), 1, 0),
            (format!("RSA Session-ID:{} Master-Key:{}", "0f".repeat(32), "cd".repeat(48)), 1, 0),
        ];
        for (text, taken, not_understood) in cases {
            let mut keys = Keyring::default();
            assert_eq!(keys.add(text.as_bytes()), taken, "{text}");
            assert_eq!(keys.len(), taken, "{text}");
            assert_eq!(keys.not_understood(), not_understood, "{text}");
        }
    }

    #[test]
    fn ends_of_lines_and_case_of_hex_do_not_matter() {
        let one = line("CLIENT_HANDSHAKE_TRAFFIC_SECRET", 0xCD, 32);
        let two = line("CLIENT_RANDOM", 0xEF, 48).to_lowercase().replace("client_random", "CLIENT_RANDOM");
        let mut keys = Keyring::default();
        assert_eq!(keys.add(format!("\u{feff}{one}\r\n# note\r\n\r\n{two}").as_bytes()), 2);
        assert_eq!(keys.secret(Label::ClientHandshake, &[0xCD; 32]), Some(&[0xAB; 32][..]));
        assert_eq!(keys.secret(Label::Master, &[0xEF; 32]), Some(&[0xAB; 48][..]));
        assert_eq!(keys.secret(Label::Master, &[0xCD; 32]), None);
    }

    #[test]
    fn a_repeated_line_is_one_secret_and_the_last_one_counts() {
        let mut keys = Keyring::default();
        let text = line("CLIENT_RANDOM", 1, 48);
        keys.add(text.as_bytes());
        keys.add(text.replace("ab", "cd").as_bytes());
        assert_eq!(keys.len(), 1);
        assert_eq!(keys.secret(Label::Master, &[1; 32]), Some(&[0xCD; 48][..]));
    }
}
