//! What keys amount to: `m`, a name, Enter. Bytes in, marks out; knows no terminal.
//!
//! ```text
//! idle ──m──► naming ──Enter──► idle, with a mark        Esc and Ctrl-D leave everything as it was
//! ```

use crate::record::{Label, Mark};

/// Most bytes of a name that are kept while it is typed.
const NAME_BYTES: usize = 800;

/// What was typed since the last mark.
#[derive(Debug, Default)]
pub(super) struct Typing {
    name: Option<Vec<u8>>,
}

impl Typing {
    /// The name so far, while one is typed.
    pub(super) fn name(&self) -> Option<&[u8]> {
        self.name.as_deref()
    }

    /// Takes keys; gives the marks that they set, in order.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Mark> {
        let mut marks = Vec::new();
        let mut rest = bytes;
        while let Some((&key, behind)) = rest.split_first() {
            rest = match (key, behind) {
                (0x1b, [b'[' | b'O', sequence @ ..]) => after_sequence(sequence),
                _ => behind,
            };
            let is_sequence = key == 0x1b && rest.len() < behind.len();
            match &mut self.name {
                None if key == b'm' => self.name = Some(Vec::new()),
                None => {}
                Some(_) if is_sequence => {}
                Some(name) => match key {
                    b'\r' | b'\n' => {
                        marks.push(Label::lossy(name).map_or(Mark::End, Mark::Begin));
                        self.name = None;
                    }
                    0x1b | 0x04 => self.name = None,
                    0x7f | 0x08 => erase(name),
                    0x15 => name.clear(),
                    0x00..0x20 => {}
                    _ if name.len() < NAME_BYTES => name.push(key),
                    _ => {}
                },
            }
        }
        marks
    }
}

/// Behind a sequence such as a cursor key sends (ECMA-48 §5.4): parameters, then one final byte.
fn after_sequence(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| (0x40..=0x7e).contains(b)).map_or(bytes.len(), |at| at + 1);
    &bytes[end..]
}

/// Takes the last character away, not only its last byte.
fn erase(name: &mut Vec<u8>) {
    while name.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_marks() {
        let begin = |name: &str| Mark::Begin(name.parse().unwrap());
        for (keys, marks, typed) in [
            ("mcheck out\r", vec![begin("check out")], None),
            ("m\r", vec![Mark::End], None),
            ("m  \n", vec![Mark::End], None),
            ("mone\rmtwo\r", vec![begin("one"), begin("two")], None),
            ("xyz\r", vec![], None),
            ("mlog", vec![], Some("log")),
            ("mlogg\x7f in\r", vec![begin("log in")], None),
            ("mä\x7f\x7f\x7fü\r", vec![begin("ü")], None),
            ("mwrong\x15right\r", vec![begin("right")], None),
            ("mno\x1b", vec![], None),
            ("mno\x04\r", vec![], None),
            ("ma\x1b[D\x1b[1;5C\x1bOHb\r", vec![begin("ab")], None),
            ("\x1b[Dm", vec![], Some("")),
            ("\x1b[m", vec![], None),
            ("mm\r", vec![begin("m")], None),
            ("ma\x07\tb\r", vec![begin("ab")], None),
        ] {
            let mut typing = Typing::default();
            let found: Vec<Mark> = typing.feed(keys.as_bytes());
            assert_eq!(found, marks, "{keys:?}");
            assert_eq!(typing.name.as_deref(), typed.map(str::as_bytes), "{keys:?}");
        }
    }

    #[test]
    fn a_name_may_come_in_pieces_of_any_size_and_length() {
        let mut typing = Typing::default();
        let marks: Vec<Mark> = "mzahlen für alle\r".bytes().flat_map(|key| typing.feed(&[key])).collect();
        assert_eq!(marks, [Mark::Begin("zahlen für alle".parse().unwrap())]);
        typing.feed(b"m");
        (0..100).for_each(|_| assert!(typing.feed(&[b'x'; 1000]).is_empty()));
        assert_eq!(typing.name.as_ref().map(Vec::len), Some(NAME_BYTES));
        assert!(matches!(&typing.feed(b"\r")[..], [Mark::Begin(label)] if label.as_str().len() == 200));
    }
}
