//! A template and one user's values become the bytes of a request.

use std::cell::RefCell;
use std::ops::Range;
use std::time::Duration;

use crate::plan::{BodyTemplate, ColumnId, Generator, Piece, Template, Values, VariableId};

use super::seed::Random;

/// Fields that concern one connection only, or that the engine writes itself.
const NOT_FROM_TEMPLATE: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// One user's values at the moment of one step.
#[derive(Debug)]
pub struct Fill<'a> {
    /// By variable.
    pub variables: &'a [Option<String>],
    /// The user's data row.
    pub row: &'a [String],
    /// Of this step alone, so that parallel steps do not depend on who is first.
    pub random: Random,
    /// Wall clock since the Unix epoch.
    pub unix: Duration,
    /// Variables that had no value.
    pub stale: RefCell<Vec<VariableId>>,
}

impl Values for Fill<'_> {
    fn variable(&self, id: VariableId) -> Option<&str> {
        let value = self.variables.get(id.0 as usize).and_then(Option::as_deref);
        let mut stale = self.stale.borrow_mut();
        if value.is_none() && !stale.contains(&id) {
            stale.push(id);
        }
        value
    }

    fn column(&self, id: ColumnId) -> &str {
        self.row.get(id.0 as usize).map_or("", String::as_str)
    }

    fn generate(&mut self, generator: Generator) -> String {
        match generator {
            Generator::Uuid4 => self.random.uuid4(),
            Generator::UnixSeconds => self.unix.as_secs().to_string(),
            Generator::UnixMillis => self.unix.as_millis().to_string(),
            Generator::IsoMillis => iso_millis(self.unix),
        }
    }
}

/// Where the target stands in a rendered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    target: Range<usize>,
}

impl Rendered {
    /// The path that was asked for, without the query.
    pub fn path(&self, request: &[u8]) -> String {
        path_of(request.get(self.target.clone()).unwrap_or_default())
    }
}

/// Writes the request to `out` (empty), with `scratch` for its body. `jar` gives the cookies for a path.
pub fn render(
    template: &Template,
    authority: &str,
    fill: &mut Fill<'_>,
    jar: impl FnOnce(&str) -> Option<String>,
    (out, scratch): (&mut Vec<u8>, &mut Vec<u8>),
) -> Rendered {
    scratch.clear();
    if let BodyTemplate::Pieces(pieces) = &template.body {
        render_pieces(pieces, fill, scratch);
    }
    out.extend_from_slice(template.method.as_bytes());
    out.push(b' ');
    let start = out.len();
    render_pieces(&template.target, fill, out);
    only_visible(out, start);
    let rendered = Rendered { target: start..out.len() };
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    out.extend_from_slice(authority.as_bytes());
    out.extend_from_slice(b"\r\n");
    headers(template, fill, jar(&rendered.path(out)), out);
    if matches!(template.body, BodyTemplate::Pieces(_)) || has_length_anyway(&template.method) {
        out.extend_from_slice(format!("Content-Length: {}\r\n", scratch.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(scratch);
    rendered
}

fn headers(template: &Template, fill: &mut Fill<'_>, cookies: Option<String>, out: &mut Vec<u8>) {
    let mut cookies = cookies.filter(|c| !c.is_empty());
    for (name, value) in &template.headers {
        if NOT_FROM_TEMPLATE.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes())) {
            continue;
        }
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        let start = out.len();
        if name.eq_ignore_ascii_case(b"cookie")
            && let Some(own) = cookies.take()
        {
            out.extend_from_slice(own.as_bytes());
            let joint = out.len();
            out.extend_from_slice(b"; ");
            render_pieces(value, fill, out);
            if out.len() == joint + 2 {
                out.truncate(joint);
            }
        } else {
            render_pieces(value, fill, out);
        }
        one_line(&mut out[start..]);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(own) = cookies {
        out.extend_from_slice(b"Cookie: ");
        let start = out.len();
        out.extend_from_slice(own.as_bytes());
        one_line(&mut out[start..]);
        out.extend_from_slice(b"\r\n");
    }
}

fn render_pieces(pieces: &[Piece], fill: &mut Fill<'_>, out: &mut Vec<u8>) {
    for piece in pieces {
        // Which variable had no value is noted by `fill`.
        let _ = piece.render(fill, out);
    }
}

/// Methods that say `Content-Length: 0` when they have no body (RFC 9110 §8.6).
fn has_length_anyway(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

/// A value that a server gave must not end the line it is put into.
fn one_line(value: &mut [u8]) {
    for byte in value {
        if matches!(byte, b'\r' | b'\n' | 0) {
            *byte = b' ';
        }
    }
}

/// Percent-encodes what a request target cannot hold.
fn only_visible(out: &mut Vec<u8>, start: usize) {
    if out[start..].iter().all(|b| *b > b' ' && *b != 0x7f) {
        return;
    }
    let target = out.split_off(start);
    for byte in target {
        if byte > b' ' && byte != 0x7f {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

/// The path of a target in origin form.
fn path_of(target: &[u8]) -> String {
    let end = memchr::memchr2(b'?', b'#', target).unwrap_or(target.len());
    String::from_utf8_lossy(&target[..end]).into_owned()
}

/// UTC date and time of an instant since the Unix epoch, as `2026-11-24T01:30:27.123Z`. Days to date after Howard Hinnant's
/// `civil_from_days`.
fn iso_millis(unix: Duration) -> String {
    let seconds = unix.as_secs();
    let (days, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", unix.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Vec<Piece> {
        vec![Piece::Literal(text.as_bytes().into())]
    }

    fn variable(id: u32, recorded: &str) -> Vec<Piece> {
        vec![Piece::Variable { id: VariableId(id), encode: Vec::new(), recorded: recorded.into() }]
    }

    fn rendered(
        template: &Template,
        variables: &[Option<String>],
        cookies: Option<&str>,
    ) -> (String, Vec<u32>, String) {
        let mut fill = Fill {
            variables,
            row: &["ada".to_owned()],
            random: Random::new(1, &[]),
            unix: Duration::from_millis(1_700_000_000_123),
            stale: RefCell::default(),
        };
        let (mut out, mut scratch) = (Vec::new(), Vec::new());
        let jar = |_: &str| cookies.map(str::to_owned);
        let at = render(template, "shop.test:81", &mut fill, jar, (&mut out, &mut scratch));
        let stale = fill.stale.take().iter().map(|id| id.0).collect();
        let path = at.path(&out);
        (String::from_utf8(out).unwrap(), stale, path)
    }

    fn template(method: &str, target: Vec<Piece>) -> Template {
        Template { method: method.into(), target, headers: Vec::new(), body: BodyTemplate::None }
    }

    #[test]
    fn fields_keep_their_order_and_case_and_hop_by_hop_ones_go() {
        let mut get = template("GET", literal("/a?b=c"));
        for (name, value) in
            [("HOST", "old.test"), ("aCCept", "*/*"), ("Connection", "keep-alive"), ("TE", "trailers"), ("X-Last", "1")]
        {
            get.headers.push((name.into(), literal(value)));
        }
        let (text, stale, path) = rendered(&get, &[], None);
        assert_eq!(text, "GET /a?b=c HTTP/1.1\r\nHost: shop.test:81\r\naCCept: */*\r\nX-Last: 1\r\n\r\n");
        assert_eq!((stale, path.as_str()), (vec![], "/a"));
    }

    #[test]
    fn cookies_of_jar_and_template_become_one_field() {
        let mut get = template("GET", literal("/"));
        get.headers.push((b"Cookie".to_vec(), literal("own=1")));
        get.headers.push((b"X".to_vec(), literal("1")));
        assert!(rendered(&get, &[], Some("a=b; c=d")).0.contains("\r\nCookie: a=b; c=d; own=1\r\nX: 1\r\n"));
        assert!(rendered(&get, &[], None).0.contains("\r\nCookie: own=1\r\n"));
        get.headers[0].1 = literal("");
        assert!(rendered(&get, &[], Some("a=b")).0.contains("\r\nCookie: a=b\r\n"));
        get.headers.clear();
        assert!(rendered(&get, &[], Some("a=b")).0.contains("\r\nCookie: a=b\r\n"));
    }

    #[test]
    fn the_length_is_that_of_the_body_as_sent() {
        let mut post = template("POST", literal("/"));
        assert!(rendered(&post, &[], None).0.ends_with("\r\nContent-Length: 0\r\n\r\n"));
        post.body = BodyTemplate::Pieces([literal("t="), variable(0, "old")].concat());
        let (text, stale, _) = rendered(&post, &[Some("longer".into())], None);
        assert!(text.ends_with("\r\nContent-Length: 8\r\n\r\nt=longer"), "{text}");
        assert_eq!(stale, Vec::<u32>::new());
        let (text, stale, _) = rendered(&post, &[None], None);
        assert!(text.ends_with("\r\nContent-Length: 5\r\n\r\nt=old"), "{text}");
        assert_eq!(stale, [0]);
        let delete = template("DELETE", literal("/"));
        assert!(!rendered(&delete, &[], None).0.contains("Content-Length"));
    }

    #[test]
    fn a_value_cannot_smuggle_a_line_or_a_second_request() {
        let evil = [Some("x\r\nEvil: 1\r\n\r\nGET /b HTTP/1.1".to_owned())];
        let mut get = template("GET", [literal("/a/"), variable(0, "")].concat());
        get.headers.push((b"X".to_vec(), variable(0, "")));
        let (text, _, _) = rendered(&get, &evil, Some("a=b\r\nEvil: 2"));
        assert_eq!(text.matches("\r\n").count(), 5, "{text}");
        assert!(text.starts_with("GET /a/x%0D%0AEvil:%201%0D%0A%0D%0AGET%20/b%20HTTP/1.1 HTTP/1.1\r\n"), "{text}");
    }

    #[test]
    fn dates_are_written_as_scripts_write_them() {
        // Values of `date -u -d @N`.
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_795_483_827_999, "2026-11-24T01:30:27.999Z"),
        ] {
            assert_eq!(iso_millis(Duration::from_millis(millis)), text);
        }
    }
}
