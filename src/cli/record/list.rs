//! The live list: a line for each exchange as it ends, above a prompt when the operator types. What was captured cannot
//! steer the terminal.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::cli::inspect::size;
use crate::cli::inspect::text::{Lines, cut, seconds, visible};
use crate::cli::replay::short;
use crate::record::Listed;

/// Width of a line that goes to a file.
const FILE_COLUMNS: usize = 400;
/// A URL gets at least so many columns; a narrower terminal wraps the line.
const LEAST_URL: usize = 16;
/// Fewest and most characters of a remark behind a URL.
const LEAST_REMARK: usize = 8;
const MOST_REMARK: usize = 60;
const METHOD_CHARS: usize = 7;
/// SGR parameters (ECMA-48 §8.3.117).
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Whether escape sequences may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Plain,
    Ansi,
}

impl Colour {
    /// For stderr as it is: in colour on a terminal that can show it, unless `NO_COLOR` says otherwise (no-color.org).
    pub(super) fn of_stderr() -> Self {
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        if io::stderr().is_terminal() && !dumb && !set("NO_COLOR") { Self::Ansi } else { Self::Plain }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// Writes the list to stderr.
#[derive(Debug)]
pub(super) struct List {
    colour: Colour,
    prompt: Option<String>,
}

impl List {
    /// A list without lines.
    pub(super) fn new(colour: Colour) -> Self {
        Self { colour, prompt: None }
    }

    /// An exchange has ended.
    pub(super) fn exchange(&self, listed: &Listed) {
        let text = line(listed, columns(), self.colour);
        self.above(|| write(&format!("{text}\n")));
    }

    /// So many lines are left out here.
    pub(super) fn left_out(&self, count: u64) {
        self.above(|| write(&format!("{}\n", self.colour.paint(DIM, &format!("… {count} more")))));
    }

    /// Lets others write lines to stderr.
    pub(super) fn above(&self, print: impl FnOnce()) {
        match &self.prompt {
            None => print(),
            Some(prompt) => {
                write("\r\x1b[2K");
                print();
                write(prompt);
            }
        }
    }

    /// What is being typed from now on; none when nothing is.
    pub(super) fn prompt(&mut self, typed: Option<&str>) {
        if typed.is_none() && self.prompt.is_none() {
            return;
        }
        write("\r\x1b[2K");
        self.prompt = typed.map(|typed| prompt_line(typed, columns()));
        write(self.prompt.as_deref().unwrap_or_default());
    }
}

/// A stderr that is gone is not an error.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Asked for each line, as windows change.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    size.map(|size| usize::from(size.ws_col)).ok().filter(|&columns| columns > 0).unwrap_or(FILE_COLUMNS)
}

/// The end of what is typed, as it must stay on one line.
fn prompt_line(typed: &str, columns: usize) -> String {
    let asked = "transaction (empty ends it): ";
    let shown = visible(typed.as_bytes(), Lines::Escape);
    let room = columns.saturating_sub(asked.len() + 1).max(LEAST_URL);
    let hidden = shown.chars().count().saturating_sub(room);
    format!("{asked}{}", shown.chars().skip(hidden).collect::<String>())
}

/// An exchange on one line, no wider than `columns` where that can be.
fn line(listed: &Listed, columns: usize, colour: Colour) -> String {
    let method = if listed.method.is_empty() { "?".to_owned() } else { ascii(listed.method.as_bytes()) };
    let method = if method.len() > METHOD_CHARS { cut(&method, METHOD_CHARS - 1) } else { method };
    let (session, took) = (format!("s{}", listed.session.0), short(Duration::from_nanos(listed.took.0)));
    let lead = format!("{:>9} {session:>4} {method:<METHOD_CHARS$} ", seconds(listed.started));
    let status = format!("{:>3}", listed.status.map_or_else(|| "-".to_owned(), |status| status.to_string()));
    let tail = format!(" {:>9} {took:>8}  ", size(listed.bytes));
    let room = columns.saturating_sub(lead.chars().count() + status.len() + tail.chars().count());
    let remarks = remarks(listed, room.saturating_sub(LEAST_URL));
    let url = ascii(&[listed.host.as_bytes(), &listed.target].concat());
    let url = shorten(&url, room.saturating_sub(remarks.chars().count()).max(LEAST_URL));
    let status = colour.paint(status_code(listed.status), &status);
    match (&listed.noise, remarks.is_empty()) {
        (Some(_), _) => {
            let (lead, rest) = (colour.paint(DIM, &lead), colour.paint(DIM, &format!("{tail}{url}{remarks}")));
            format!("{lead}{status}{rest}")
        }
        (None, true) => format!("{lead}{status}{tail}{url}"),
        (None, false) => format!("{lead}{status}{tail}{url}{}", colour.paint(YELLOW, &remarks)),
    }
}

/// What is odd about an exchange, in about so many columns.
fn remarks(listed: &Listed, room: usize) -> String {
    let noise = listed.noise.as_ref().map(|what| format!("noise: {what}"));
    let parts: Vec<String> = noise.into_iter().chain(listed.incomplete.clone()).collect();
    if parts.is_empty() {
        return String::new();
    }
    let text = visible(parts.join("; ").as_bytes(), Lines::Escape);
    let room = room.saturating_sub("  […]".chars().count()).clamp(LEAST_REMARK, MOST_REMARK);
    format!("  [{}]", cut(&text, room))
}

fn status_code(status: Option<u16>) -> &'static str {
    match status {
        Some(0..300) => GREEN,
        Some(300..400) => CYAN,
        Some(400..500) => YELLOW,
        _ => RED,
    }
}

/// Bytes that a URL does not have are percent-encoded: one column a character, nothing a terminal would act on.
fn ascii(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| if b.is_ascii_graphic() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Text of ASCII characters with an ellipsis for what is too much, nearer to its end, since both ends tell URLs apart.
fn shorten(text: &str, room: usize) -> String {
    if text.len() <= room {
        return text.to_owned();
    }
    let end = room.saturating_sub(1) / 3;
    let start = room.saturating_sub(1 + end);
    format!("{}…{}", &text[..start], &text[text.len() - end..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Nanos, SessionId};

    fn listed() -> Listed {
        Listed {
            started: Nanos(12_345_678_900),
            took: Nanos(35_200_000),
            session: SessionId(2),
            method: "GET".into(),
            host: "shop.test".into(),
            target: b"/cart?item=17".to_vec(),
            status: Some(200),
            bytes: 1_234,
            incomplete: None,
            noise: None,
        }
    }

    #[test]
    fn a_line_shows_what_happened() {
        let plain = line(&listed(), 120, Colour::Plain);
        assert_eq!(plain, "   12.345   s2 GET     200    1.2 kB  35.2 ms  shop.test/cart?item=17");
        let failed = Listed { status: None, incomplete: Some("server: closed".into()), ..listed() };
        let failed = line(&failed, 120, Colour::Plain);
        assert!(
            failed.contains("GET       - ") && failed.ends_with("shop.test/cart?item=17  [server: closed]"),
            "{failed}"
        );
        let noise = Listed { noise: Some("Chromium updates".into()), ..listed() };
        assert!(line(&noise, 120, Colour::Plain).ends_with("  [noise: Chromium updates]"));
        assert!(line(&listed(), 120, Colour::Ansi).contains("\x1b[32m200\x1b[0m"));
    }

    #[test]
    fn a_line_is_as_wide_as_the_terminal_at_most_and_harmless() {
        let target = [b"/a/\x1b[2J\r\n\xff/".as_slice(), "ä/".repeat(90).as_bytes(), b"the-end"].concat();
        let method = "BREW\x1b[1m-AND-MORE".to_owned();
        let wild = Listed { target, method, incomplete: Some("client: \x1b]0;x\x07".repeat(9)), ..listed() };
        for columns in [0, 1, 60, 80, 120, 200] {
            for noise in [None, Some("x\u{9b}".to_owned())] {
                let text = line(&Listed { noise, ..wild.clone() }, columns, Colour::Plain);
                assert!(!text.chars().any(char::is_control), "{text:?}");
                assert!(columns < 80 || text.chars().count() <= columns, "{columns}: {text}");
            }
        }
        let long = Listed { incomplete: None, ..wild };
        let text = line(&long, 80, Colour::Plain);
        assert!(text.chars().count() == 80 && text.contains('…') && text.ends_with("the-end"), "{text}");
    }

    #[test]
    fn a_prompt_stays_on_one_line() {
        assert_eq!(prompt_line("log in", 80), "transaction (empty ends it): log in");
        let long = prompt_line(&format!("{}end", "x".repeat(300)), 80);
        assert!(long.chars().count() < 80 && long.ends_with("xend"), "{long}");
    }
}
