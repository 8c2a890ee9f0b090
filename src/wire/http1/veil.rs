//! Takes the hint at HTTP/3 out of a response head, in place: a client that followed it would leave the proxy.

const NAME: &[u8] = b"alt-svc:";
/// The same letters in an order that means nothing.
const VEILED: &[u8] = b"svc-alt:";

/// Gives each field `Alt-Svc` (RFC 7838 §3) of a head a name that means nothing; whether there was one. No byte is added or
/// taken away.
pub fn veil_alt_svc(head: &mut [u8]) -> bool {
    let mut found = false;
    let mut from = 0;
    while let Some(end) = memchr::memchr(b'\n', &head[from..]) {
        from += end + 1;
        if let Some(name) = head.get_mut(from..from + NAME.len())
            && name.eq_ignore_ascii_case(NAME)
        {
            name.copy_from_slice(VEILED);
            found = true;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_loses_its_name_in_whatever_case_and_nothing_else_changes() {
        for (head, veiled) in [
            (
                "HTTP/1.1 200 OK\r\nAlt-Svc: h3\r\nA: alt-svc: x\r\n\r\n",
                "HTTP/1.1 200 OK\r\nsvc-alt: h3\r\nA: alt-svc: x\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nX-Alt-Svc: 1\r\nALT-SVC:clear\r\n\r\n",
                "HTTP/1.1 200 OK\r\nX-Alt-Svc: 1\r\nsvc-alt:clear\r\n\r\n",
            ),
            ("alt-svc: 1\r\nAlt-Svc", "alt-svc: 1\r\nAlt-Svc"),
            ("", ""),
        ] {
            let mut bytes = head.as_bytes().to_vec();
            assert_eq!(veil_alt_svc(&mut bytes), head != veiled);
            assert_eq!(String::from_utf8(bytes).unwrap(), veiled);
        }
    }
}
