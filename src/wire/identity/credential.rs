//! Who a request says it comes from in `Authorization` and headers like it.
//!
//! What changes with every request (signatures, nonces) or with every log-in (the token around a subject) is looked
//! through as far as it can be; a credential is then only compared.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::name::name_of;
use crate::model::Headers;

/// Longest claims of a token that are looked into, in bytes.
const CLAIMS_BYTES: usize = 16 * 1024;
/// Shortest token without a scheme, in bytes.
const BARE_TOKEN_BYTES: usize = 12;
/// Headers that hold a token which logging in gives, and headers that hold a key which does not come from there.
const TOKEN_HEADERS: &[&str] = &["X-Auth-Token", "X-Access-Token", "X-Session-Token", "X-User-Token"];
const KEY_HEADERS: &[&str] = &["X-Api-Key", "Api-Key", "ApiKey", "X-ApiKey", "Private-Token"];
/// Parameters that name whose signature it is: HTTP Digest, AWS, OAuth 1, Hawk, HTTP signatures.
const NAMING_PARAMETERS: &[&str] = &["username", "credential", "oauth_token", "id", "keyid", "oauth_consumer_key"];
/// Claims that name a person, the best first.
const NAMING_CLAIMS: &[&str] = &["sub", "oid", "user_id", "uid", "preferred_username", "username", "email"];

/// Something that says who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credential {
    /// Name of where it stands: host, field and scheme. Only credentials of one place are compared.
    pub(super) slot: u64,
    /// Name of whose it is.
    pub(super) who: u64,
    pub(super) sort: Sort,
    /// Field and scheme as people call them.
    pub(super) label: Label,
}

/// Where a credential comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// An answer gave it to whoever logged in; nobody else has the same.
    Token,
    /// As `Token`, and it says who that is: the same again with another log-in or on another device.
    NamedToken,
    /// The sender has it from elsewhere, and others may have the same: a password, a key.
    Own,
}

/// What a credential is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Authorization(String),
    Header(&'static str),
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Authorization(scheme) if scheme.is_empty() => f.write_str("authorization"),
            Self::Authorization(scheme) => write!(f, "authorization `{scheme} …`"),
            Self::Header(name) => write!(f, "header `{name}`"),
        }
    }
}

/// The credentials of a request to the host of this name.
pub(super) fn credentials(headers: &Headers, host: u64) -> Vec<Credential> {
    let mut found: Vec<Credential> = Vec::new();
    for (name, value) in &headers.0 {
        // Most fields are none of these; their first letter shows it.
        if !matches!(name.first().map(u8::to_ascii_lowercase), Some(b'a' | b'p' | b'x')) || value.is_empty() {
            continue;
        }
        let is = |known: &&&str| name.eq_ignore_ascii_case(known.as_bytes());
        let credential = if name.eq_ignore_ascii_case(b"authorization") {
            std::str::from_utf8(value).ok().and_then(|value| of_authorization(value, host))
        } else if let Some(name) = TOKEN_HEADERS.iter().find(is) {
            Some(of_token(value, Sort::Token, (host, name), Label::Header(name)))
        } else {
            let key = KEY_HEADERS.iter().find(is);
            key.map(|name| of_token(value, Sort::Own, (host, name), Label::Header(name)))
        };
        found.extend(credential.filter(|credential| found.iter().all(|before| before.slot != credential.slot)));
    }
    found
}

fn of_authorization(value: &str, host: u64) -> Option<Credential> {
    let (scheme, rest) = value.split_once(' ').map_or(("", value), |(scheme, rest)| (scheme, rest.trim()));
    let lower = scheme.to_ascii_lowercase();
    let slot = (host, lower.as_str());
    let known_length = scheme.len() <= 32 && scheme.bytes().all(|b| b.is_ascii_graphic() && b != b'`');
    let label = Label::Authorization(if known_length { scheme.to_owned() } else { String::new() });
    let owned = |who: u64, label| Some(Credential { slot: name_of(slot), who, sort: Sort::Own, label });
    match lower.as_str() {
        // Steps of a handshake that say nothing to whoever does not take part in it.
        "negotiate" | "ntlm" | "kerberos" => None,
        // Without a scheme: a token as it is, or a scheme without anything.
        "" if rest.len() < BARE_TOKEN_BYTES => None,
        _ if rest.is_empty() => None,
        "basic" => {
            let plain = STANDARD_NO_PAD.decode(rest.trim_end_matches('=')).ok()?;
            let user = plain.split(|&b| b == b':').next().unwrap_or_default();
            owned(name_of(("basic", user)), label)
        }
        "bearer" | "token" | "jwt" | "dpop" | "session" | "" => {
            Some(of_token(rest.as_bytes(), Sort::Token, slot, label))
        }
        _ => match named_parameter(rest) {
            Some(name) => owned(name_of((lower.as_str(), name)), label),
            // A signature over each request says nothing; a single word is a key.
            None if rest.contains(['=', ',', ' ']) && !is_token68(rest) => None,
            None => owned(name_of((lower.as_str(), rest)), label),
        },
    }
}

fn of_token(value: &[u8], sort: Sort, slot: (u64, &str), label: Label) -> Credential {
    let slot = name_of(slot);
    match subject(value) {
        Some(who) => Credential { slot, who, sort: Sort::NamedToken, label },
        None => Credential { slot, who: name_of(value), sort, label },
    }
}

/// Whose a JSON Web Token (RFC 7519) is, by issuer and subject.
fn subject(token: &[u8]) -> Option<u64> {
    let mut parts = token.split(|&b| b == b'.');
    let (header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if !header.starts_with(b"ey") || claims.len() > CLAIMS_BYTES {
        return None;
    }
    let claims = URL_SAFE_NO_PAD.decode(claims.strip_suffix(b"=").unwrap_or(claims)).ok()?;
    let claims: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&claims).ok()?;
    let name = NAMING_CLAIMS.iter().find_map(|claim| claims.get(*claim))?;
    let issuer = claims.get("iss").map(ToString::to_string);
    Some(name_of(("subject", issuer, name.to_string())))
}

/// The value of the parameter that says whose signature it is, less what changes in it.
fn named_parameter(parameters: &str) -> Option<&str> {
    NAMING_PARAMETERS.iter().find_map(|name| {
        let value = parameters.split([',', ';', ' ']).find_map(|parameter| {
            let (found, value) = parameter.trim().split_once('=')?;
            found.trim().eq_ignore_ascii_case(name).then_some(value)
        })?;
        let value = value.trim().trim_matches('"');
        // AWS: the key, then date, region and service.
        let value = value.split('/').next().unwrap_or(value);
        (!value.is_empty()).then_some(value)
    })
}

/// One word with padding at its end at most (RFC 9110 §11.2).
fn is_token68(text: &str) -> bool {
    text.trim_end_matches('=').bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Option<Credential> {
        let mut headers = Headers::default();
        headers.push(name, value);
        let mut found = credentials(&headers, 1);
        assert!(found.len() <= 1);
        found.pop()
    }

    fn jwt(claims: &str, signature: &str) -> String {
        format!("Bearer eyJhbGciOiJIUzI1NiJ9.{}.{signature}", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn equal_people_are_equal_whatever_changes_around_them() {
        let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
        let sub = |name: &str, more: &str| jwt(&format!("{{\"sub\":\"{name}\",\"iss\":\"i\"{more}}}"), "sig");
        for (a, b, c, sort) in [
            (basic("anna:one"), basic("anna:two"), basic("bert:one"), Sort::Own),
            (sub("1", ",\"exp\":1"), sub("1", ",\"exp\":2"), sub("2", ",\"exp\":1"), Sort::NamedToken),
            ("Bearer abc123".into(), "bearer abc123".into(), "Bearer abc124".into(), Sort::Token),
            ("0123456789ab".into(), "0123456789ab".into(), "0123456789ac".into(), Sort::Token),
            ("ApiKey k1==".into(), "apikey k1==".into(), "ApiKey k2==".into(), Sort::Own),
            (
                "Digest username=\"anna\", realm=\"r\", nonce=\"1\", response=\"x\"".into(),
                "Digest realm=\"r\", username=\"anna\", nonce=\"2\", response=\"y\"".into(),
                "Digest username=\"bert\", realm=\"r\", nonce=\"1\", response=\"x\"".into(),
                Sort::Own,
            ),
            (
                "AWS4-HMAC-SHA256 Credential=AKIA1/20250101/eu/s3/aws4_request, SignedHeaders=host, Signature=1".into(),
                "AWS4-HMAC-SHA256 Credential=AKIA1/20250102/us/s3/aws4_request,SignedHeaders=host,Signature=2".into(),
                "AWS4-HMAC-SHA256 Credential=AKIA2/20250101/eu/s3/aws4_request, SignedHeaders=host, Signature=1".into(),
                Sort::Own,
            ),
            (
                "OAuth oauth_consumer_key=\"app\", oauth_token=\"t1\", oauth_nonce=\"1\"".into(),
                "OAuth oauth_consumer_key=\"app\", oauth_token=\"t1\", oauth_nonce=\"2\"".into(),
                "OAuth oauth_consumer_key=\"app\", oauth_token=\"t2\", oauth_nonce=\"1\"".into(),
                Sort::Own,
            ),
        ] {
            let [a, b, c] = [a, b, c].map(|value: String| one("Authorization", &value).unwrap());
            assert_eq!((a.slot, a.who, a.sort), (b.slot, b.who, sort), "{a:?}");
            assert_eq!(a.slot, c.slot, "{a:?}");
            assert_ne!(a.who, c.who, "{a:?}");
        }
    }

    #[test]
    fn what_says_nothing_of_who_it_is_is_no_credential() {
        for value in
            ["", "Negotiate YIIabc==", "NTLM TlRM", "Negotiate", "Bearer", "Bearer ", "Basic ???", "Scheme sig=1, ts=2"]
        {
            assert_eq!(one("Authorization", value), None, "{value:?}");
        }
        for (name, value) in [("X-Api-Key", ""), ("X-Csrf-Token", "abc"), ("Proxy-Authorization", "Basic YTpi")] {
            assert_eq!(one(name, value), None, "{name}");
        }
    }

    #[test]
    fn credentials_are_called_by_names_that_people_know() {
        for (name, value, label) in [
            ("authorization", "Bearer abc", "authorization `Bearer …`"),
            ("authorization", "a-token-without-scheme", "authorization"),
            ("x-api-key", "abc", "header `X-Api-Key`"),
            ("x-auth-token", "abc", "header `X-Auth-Token`"),
        ] {
            assert_eq!(one(name, value).unwrap().label.to_string(), label);
        }
    }

    #[test]
    fn tokens_that_are_no_json_inside_are_compared_as_they_are() {
        for value in ["Bearer ey.a.b", "Bearer eyJ.!!!!.x", "Bearer a.b.c", "Bearer ey..", "Bearer eyJ.e30.x"] {
            assert_eq!(one("Authorization", value).unwrap().sort, Sort::Token, "{value}");
        }
    }
}
