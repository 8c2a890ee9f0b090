//! multipart/form-data as a lens (RFC 7578): names, file names and contents as ranges of the body.

use std::ops::Range;

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The field's name, where it stands in the body.
    pub name: Range<usize>,
    /// The file name, where it stands.
    pub filename: Option<Range<usize>>,
    /// The media type of the part.
    pub content_type: Option<String>,
    /// The content.
    pub content: Range<usize>,
}

/// The boundary of a `Content-Type` value.
pub fn boundary(content_type: &str) -> Option<String> {
    let lower = content_type.to_ascii_lowercase();
    if !lower.trim_start().starts_with("multipart/") {
        return None;
    }
    let at = lower.find("boundary=")? + "boundary=".len();
    let rest = &content_type[at..];
    let value = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split([';', ' ']).next()?,
    };
    (!value.is_empty() && value.len() <= 200).then(|| value.to_owned())
}

/// The parts of a body; empty when it is not made of parts with this boundary.
pub fn parts(body: &[u8], boundary: &str) -> Vec<Part> {
    let delimiter = format!("--{boundary}");
    let finder = memchr::memmem::Finder::new(delimiter.as_bytes());
    let marks: Vec<usize> = finder.find_iter(body).collect();
    marks.windows(2).filter_map(|pair| part(body, pair[0] + delimiter.len(), pair[1])).collect()
}

fn part(body: &[u8], start: usize, end: usize) -> Option<Part> {
    let inside = body.get(start..end)?;
    let head_start = inside.strip_prefix(b"\r\n").map(|_| start + 2)?;
    let head_len = memchr::memmem::find(&body[head_start..end], b"\r\n\r\n")?;
    let content = head_start + head_len + 4..end.checked_sub(2)?;
    if content.start > content.end || &body[content.end..end] != b"\r\n" {
        return None;
    }
    let mut found = Part { name: 0..0, filename: None, content_type: None, content };
    let mut named = false;
    let mut line_start = head_start;
    for line in body[head_start..head_start + head_len].split(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if starts_with_ignoring_case(text, b"content-disposition:") {
            if let Some(name) = parameter(text, b"name=\"") {
                found.name = line_start + name.start..line_start + name.end;
                named = true;
            }
            found.filename = parameter(text, b"filename=\"").map(|r| line_start + r.start..line_start + r.end);
        } else if starts_with_ignoring_case(text, b"content-type:") {
            found.content_type = Some(String::from_utf8_lossy(&text["content-type:".len()..]).trim().to_owned());
        }
        line_start += line.len() + 1;
    }
    named.then_some(found)
}

fn starts_with_ignoring_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The quoted parameter whose name (with `="`) is `key` and stands behind white space or `;`.
fn parameter(line: &[u8], key: &[u8]) -> Option<Range<usize>> {
    let at = memchr::memmem::find_iter(line, key).find(|at| *at > 0 && matches!(line[at - 1], b' ' | b';' | b'\t'))?;
    let start = at + key.len();
    let len = line[start..].iter().position(|b| *b == b'"')?;
    Some(start..start + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_with_their_places() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv1\r\n--B\r\ncontent-disposition: form-data; name=\"f\"; filename=\"x.png\"\r\nContent-Type: image/png\r\n\r\n\x89\r\n\x00\r\n--B--\r\n";
        let found = parts(body, "B");
        assert_eq!(found.len(), 2);
        assert_eq!(&body[found[0].name.clone()], b"a");
        assert_eq!(&body[found[0].content.clone()], b"v1");
        assert_eq!(&body[found[1].filename.clone().unwrap()], b"x.png");
        assert_eq!(found[1].content_type.as_deref(), Some("image/png"));
        assert_eq!(&body[found[1].content.clone()], b"\x89\r\n\x00");
    }

    #[test]
    fn boundaries_are_read_from_content_type() {
        assert_eq!(boundary("multipart/form-data; boundary=abc; x=y").as_deref(), Some("abc"));
        assert_eq!(boundary("Multipart/Form-Data; Boundary=\"a b\"").as_deref(), Some("a b"));
        assert_eq!(boundary("text/html; boundary=abc"), None);
    }

    #[test]
    fn mutilated_bodies_give_no_parts_and_no_panic() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv1\r\n--B--";
        for cut in 0..body.len() {
            let _ = parts(&body[..cut], "B");
            let _ = parts(&body[cut..], "B");
        }
        assert!(parts(b"--B--B--B", "B").is_empty());
    }
}
