//! Heads as bytes. Everything is written as given: what must not stand in a head, the caller keeps out.

use crate::model::{Headers, Version};

/// Appends a request head, from the request line to the empty line. HTTP/2 is written as 1.1.
pub fn write_request_head(out: &mut Vec<u8>, method: &str, target: &[u8], version: Version, headers: &Headers) {
    out.reserve(method.len() + target.len() + 16 + fields_bytes(headers));
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(target);
    out.push(b' ');
    out.extend_from_slice(version_word(version));
    out.extend_from_slice(b"\r\n");
    write_fields(out, headers);
}

/// Appends a response head, from the status line to the empty line. HTTP/2 is written as 1.1.
pub fn write_response_head(out: &mut Vec<u8>, version: Version, status: u16, reason: &[u8], headers: &Headers) {
    out.reserve(reason.len() + 20 + fields_bytes(headers));
    out.extend_from_slice(version_word(version));
    out.extend_from_slice(format!(" {status:03} ").as_bytes());
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    write_fields(out, headers);
}

fn write_fields(out: &mut Vec<u8>, headers: &Headers) {
    for (name, value) in &headers.0 {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn fields_bytes(headers: &Headers) -> usize {
    headers.0.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
}

fn version_word(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"HTTP/1.0",
        _ => b"HTTP/1.1",
    }
}
