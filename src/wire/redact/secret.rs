//! One secret: what stands for it, and what is remembered of it.

use super::base64text;
use super::fields::{self, Language};
use super::known::SHORTEST_BYTES;
use super::levels::Levels;
use super::scan::Context;
use super::shapes::{self, Shape};
use super::{COUNTED_SHORT, Redactor, known, permute, pseudonym};

/// Schemes of `Authorization` (RFC 9110 §11) behind which the secret begins.
const SCHEMES: &[&str] = &[
    "basic",
    "bearer",
    "token",
    "jwt",
    "dpop",
    "digest",
    "negotiate",
    "ntlm",
    "apikey",
    "hawk",
    "oauth",
    "signature",
    "session",
    "aws4-hmac-sha256",
    "privatetoken",
    "mac",
    "sso-key",
    "key",
    "custom",
    "kerberos",
];
/// Parameters of such a scheme that are no secret.
const OPEN_PARAMETERS: &[&str] = &[
    "realm",
    "uri",
    "algorithm",
    "qop",
    "nc",
    "signedheaders",
    "headers",
    "version",
    "oauth_version",
    "oauth_signature_method",
    "oauth_timestamp",
    "ts",
    "created",
    "expires",
    "charset",
    "stale",
];
/// Parts of secrets of this length are remembered on their own.
const WORD_BYTES: usize = 12;
/// Values that are so common that looking for them everywhere would do more harm than good.
const COMMON: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "username",
    "current-password",
    "new-password",
    "string",
    "number",
    "hidden",
    "submit",
    "required",
    "session",
    "default",
    "unknown",
    "localhost",
    "bearer",
    "disabled",
    "enabled",
    "anonymous",
    "public",
    "private",
    "optional",
    "boolean",
    "object",
    "integer",
    "nobody",
    "include",
    "same-origin",
    "omit",
    "cookie",
];

impl Redactor {
    /// What is written in the place of a value as it stands in a text, encoded or not. `learn`: look for it everywhere from
    /// here on.
    pub(super) fn replacement(&mut self, value: &[u8], learn: bool) -> Vec<u8> {
        let levels = Levels::of(value);
        let new = self.stand_in(levels.top(), learn);
        let mut out = value.to_vec();
        if !levels.overwrite(levels.count() - 1, 0, &new, &mut out) {
            out.copy_from_slice(value);
            let plain = permute::pseudonym(&self.key, levels.top());
            let _ = levels.overwrite(levels.count() - 1, 0, &plain, &mut out);
        }
        out
    }

    /// What stands for a value without encodings; as long as it.
    pub(super) fn stand_in(&mut self, value: &[u8], learn: bool) -> Vec<u8> {
        if let Some(known) = self.vault.exact(value) {
            return known.pseudonym.to_vec();
        }
        let new = match scheme(value) {
            Some(length) => {
                let (head, rest) = value.split_at(length);
                let basic = head.trim_ascii().eq_ignore_ascii_case(b"basic");
                let rest = if basic { self.basic(rest) } else { self.credential(rest) };
                [head, &rest].concat()
            }
            None => self.plain(value),
        };
        if learn {
            self.learn(value, &new);
        }
        new
    }

    fn learn(&mut self, value: &[u8], new: &[u8]) {
        let digits = value.iter().all(u8::is_ascii_digit);
        let letters = value.iter().any(u8::is_ascii_alphanumeric) || !value.is_ascii();
        let common = COMMON.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()));
        if !letters || value == new {
            return;
        }
        if common || value.len() < SHORTEST_BYTES || (digits && value.len() < 8) {
            if self.short.len() < COUNTED_SHORT {
                self.short.insert(known::hash(value));
            }
            return;
        }
        if self.vault.add(value, new) && self.left.may_have(value) {
            self.tally.late += 1;
        }
        for unit in permute::units(value) {
            let word = &value[unit.clone()];
            if word.len() >= WORD_BYTES && word.len() < value.len() && fields::is_opaque(word) {
                self.vault.add(word, &new[unit]);
            }
        }
    }

    /// A value that is no credential: JSON Web Tokens in it are looked into.
    fn plain(&mut self, value: &[u8]) -> Vec<u8> {
        let mut new = Vec::with_capacity(value.len());
        let mut done = 0;
        for (range, shape) in shapes::find(value, false) {
            if shape == Shape::Jwt {
                new.extend(pseudonym::pseudonym(&self.key, &value[done..range.start]));
                new.extend(self.token(&value[range.clone()]));
                done = range.end;
            }
        }
        new.extend(pseudonym::pseudonym(&self.key, &value[done..]));
        new
    }

    /// A JSON Web Token: the header stays, claims that say who somebody is become pseudonyms and the rest of them stays, the
    /// signature fits nothing any more. Of the same length, as nothing in it changes its own.
    fn token(&mut self, token: &[u8]) -> Vec<u8> {
        if let Some(known) = self.vault.exact(token) {
            return known.pseudonym.to_vec();
        }
        let mut parts = token.splitn(3, |byte| *byte == b'.');
        let (Some(header), Some(claims), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return permute::pseudonym(&self.key, token);
        };
        let context = Context { claims: true, depth: 1, ..Context::of(Language::Data, false) };
        let mut within = |part: &[u8]| {
            let Some(inner) = base64text::decode(part) else { return permute::pseudonym(&self.key, part) };
            let edited = self.whole(&inner.text, context);
            inner.written_as(&edited.bytes)
        };
        let (header, claims) = (within(header), within(claims));
        let new = [&header, &claims, &permute::pseudonym(&self.key, signature)].map(Vec::as_slice).join(&b'.');
        self.learn(token, &new);
        if let Some((start, stop)) = token.len().checked_sub(signature.len()).map(|start| (start, token.len())) {
            self.learn_word(&token[start..stop], &new[start..stop]);
        }
        new
    }

    fn learn_word(&mut self, word: &[u8], new: &[u8]) {
        if word.len() >= WORD_BYTES {
            self.vault.add(word, new);
        }
    }

    /// User and password of HTTP Basic (RFC 7617).
    fn basic(&mut self, coded: &[u8]) -> Vec<u8> {
        let Some(inner) = base64text::decode(coded) else { return self.plain(coded) };
        let new = match inner.text.iter().position(|byte| *byte == b':') {
            Some(colon) => {
                let (user, password) = (&inner.text[..colon], &inner.text[colon + 1..]);
                [self.stand_in(user, true), self.stand_in(password, true)].join(&b':')
            }
            None => self.stand_in(&inner.text, true),
        };
        inner.written_as(&new)
    }

    /// What follows a scheme: one token, or parameters.
    fn credential(&mut self, rest: &[u8]) -> Vec<u8> {
        let has_parameters = rest.contains(&b'=') && (rest.contains(&b',') || rest.contains(&b'"'));
        if !has_parameters {
            return self.stand_in(rest, true);
        }
        let mut new = Vec::with_capacity(rest.len());
        for (number, parameter) in rest.split(|byte| *byte == b',').enumerate() {
            if number > 0 {
                new.push(b',');
            }
            let equals = parameter.iter().position(|byte| *byte == b'=').map_or(0, |at| at + 1);
            let (name, value) = parameter.split_at(equals);
            new.extend_from_slice(name);
            let name = name.strip_suffix(b"=").unwrap_or(name).trim_ascii();
            if OPEN_PARAMETERS.iter().any(|open| name.eq_ignore_ascii_case(open.as_bytes())) {
                new.extend_from_slice(value);
                continue;
            }
            let start = usize::from(value.starts_with(b"\""));
            let end = value.len() - usize::from(value.len() > start && value.ends_with(b"\""));
            new.extend_from_slice(&value[..start]);
            // AWS: the key, then date, region and service.
            let inner = &value[start..end];
            let key = inner.iter().position(|byte| *byte == b'/' && name.eq_ignore_ascii_case(b"credential"));
            let (secret, open) = inner.split_at(key.unwrap_or(inner.len()));
            new.extend(self.stand_in(secret, true));
            new.extend_from_slice(open);
            new.extend_from_slice(&value[end..]);
        }
        new
    }
}

/// The length of a scheme and the space behind it.
fn scheme(value: &[u8]) -> Option<usize> {
    let space = value.iter().take(24).position(|byte| *byte == b' ')?;
    let known = SCHEMES.iter().any(|scheme| value[..space].eq_ignore_ascii_case(scheme.as_bytes()));
    (known && value.len() > space + 1).then_some(space + 1)
}
