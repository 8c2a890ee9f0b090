//! The pseudonym of a value, by its look alone: where a value stands has no say, so equal values stay equal everywhere.

use std::ops::Range;

use super::key::Key;
use super::permute;
use super::shapes::{self, Shape};

/// Reserved for what does not exist (RFC 2606); pseudonymous domains end in it.
const NOWHERE: &[u8] = b".test";

/// Of a value without encodings; as long as the value. JSON Web Tokens are not looked into here.
pub(super) fn pseudonym(key: &Key, value: &[u8]) -> Vec<u8> {
    let mut out = value.to_vec();
    let mut plain = 0;
    for (range, shape) in shapes::find(value, true) {
        permute::within(key, &mut out, plain..range.start);
        shaped(key, &mut out, range.clone(), shape);
        plain = range.end;
    }
    permute::within(key, &mut out, plain..value.len());
    out
}

fn shaped(key: &Key, out: &mut [u8], range: Range<usize>, shape: Shape) {
    let part = &mut out[range];
    match shape {
        Shape::Email => email(key, part),
        Shape::Card => card(key, part),
        Shape::Iban => iban(key, part),
        Shape::Phone => {
            // The country stays: its length is not known, two digits say most of it.
            let digits: Vec<usize> = (0..part.len()).filter(|&at| part[at].is_ascii_digit()).skip(2).collect();
            permute::digits(key, part, &digits);
        }
        Shape::Key => {
            let inner = shapes::key_start(part)..part.len();
            permute::within(key, part, inner);
        }
        Shape::Jwt | Shape::NationalId => {
            let all = 0..part.len();
            permute::within(key, part, all);
        }
    }
}

/// The local part is exchanged as it would be alone; the domain becomes a name under `.test` of the same length. Domains too
/// short for one keep their top level.
fn email(key: &Key, part: &mut [u8]) {
    let Some(at) = part.iter().position(|byte| *byte == b'@') else { return };
    permute::within(key, part, 0..at);
    let domain = &mut part[at + 1..];
    let label = domain.len().saturating_sub(NOWHERE.len());
    if label == 0 {
        let top = domain.iter().rposition(|byte| *byte == b'.').unwrap_or(0);
        permute::within(key, domain, 0..top);
        return;
    }
    let mut lower = domain.to_ascii_lowercase();
    lower.insert(0, b'@');
    for (at, place) in domain[..label].iter_mut().enumerate() {
        // A label is 63 bytes at most.
        let turn = at % 60;
        if at % 32 == 0 && at > 0 {
            lower.push(b'@');
        }
        let letter = b'a' + key.mac(&lower)[at % 32] % 26;
        *place = if turn == 59 && at + 1 < label { b'.' } else { letter };
    }
    domain[label..].copy_from_slice(NOWHERE);
}

/// The first four digits say whose card it is and stay, the last one is made right again.
fn card(key: &Key, part: &mut [u8]) {
    let places: Vec<usize> = (0..part.len()).filter(|&at| part[at].is_ascii_digit()).collect();
    let (Some(check), Some(inner)) = (places.last(), places.get(4..places.len().saturating_sub(1))) else { return };
    permute::digits(key, part, inner);
    part[*check] = b'0';
    let digits: Vec<u8> = places.iter().map(|&at| part[at] - b'0').collect();
    part[*check] = b'0' + shapes::luhn(&digits);
}

/// The country stays, the check digits are made right again.
fn iban(key: &Key, part: &mut [u8]) {
    let end = part.len();
    permute::within(key, part, 4..end);
    part[2..4].copy_from_slice(b"00");
    let check = u8::try_from(98 - shapes::iban_remainder(part)).unwrap_or(0);
    part[2] = b'0' + check / 10;
    part[3] = b'0' + check % 10;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> String {
        String::from_utf8(pseudonym(&Key::new(&[7; 32]), value.as_bytes())).unwrap()
    }

    #[test]
    fn what_had_a_look_keeps_it_and_its_check_digits() {
        for value in [
            "anna.smith@mail.shop.example",
            "4111 1111 1111 1111",
            "378282246310005",
            "DE89 3704 0044 0532 0130 00",
            "GB82WEST12345698765432",
            "+49 (170) 123-4567",
            "123-45-6789",
            "ghp_0123456789abcdefghij0123456789abcdef",
        ] {
            let other = of(value);
            assert_eq!(other.len(), value.len());
            assert_ne!(other, value);
            let look = |text: &str| shapes::find(text.as_bytes(), true);
            assert_eq!(look(&other), look(value), "{value} became {other}");
        }
    }

    #[test]
    fn parts_of_addresses_stay_equal_alone_and_domains_lead_nowhere() {
        let (alone, address) = (of("anna.smith"), of("anna.smith@gmail.com"));
        assert_eq!(address.split('@').next(), Some(alone.as_str()));
        assert!(address.ends_with(".test"), "{address}");
        assert_ne!(of("a@one.org"), of("a@two.org"));
        assert_eq!(of("a@ONE.org")[2..], of("a@one.org")[2..]);
        assert!(of("anna@t.co").ends_with(".co"));
        assert_eq!(of(&format!("a@{}.com", "b".repeat(200))).len(), 206);
        let whole = of("Anna <anna.smith@gmail.com>");
        assert!(whole.contains(&address), "{whole}");
    }
}
