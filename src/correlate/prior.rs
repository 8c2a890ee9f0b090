//! Names of tokens that frameworks are known to use: a hint, never the mechanism. Off with `--no-prior`.

/// Parts of names, lower case and without punctuation. Sources: research on ~75 frameworks (Django, Rails, Laravel,
/// ASP.NET, WordPress, MediaWiki, Drupal, JSF, Spring, Keycloak, SAML …) and their documentation.
const TOKENS: &[&str] = &[
    "csrf",
    "xsrf",
    "authenticitytoken",
    "requestverificationtoken",
    "viewstate",
    "eventvalidation",
    "nonce",
    "formtoken",
    "formbuildid",
    "formkey",
    "sectok",
    "crumb",
    "lockversion",
    "revision",
    "revid",
    "edittime",
    "starttime",
    "parentid",
    "undoid",
    "etag",
    "changetoken",
    "execution",
    "flowkey",
    "tabid",
    "sessioncode",
    "samlresponse",
    "samlrequest",
    "relaystate",
    "authstate",
    "requestdigest",
    "sessionid",
    "sesskey",
    "sessid",
    "jsessionid",
    "idtoken",
    "accesstoken",
    "refreshtoken",
    "snapshot",
    "checksum",
    "icsid",
    "icstatenum",
    "antiforgery",
];

/// Whether a field name belongs to a known token.
pub(super) fn is_known_token(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    TOKENS.iter().any(|token| plain.contains(token))
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_names_are_recognised_in_any_spelling() {
        for name in [
            "X-CSRFToken",
            "csrfmiddlewaretoken",
            "__VIEWSTATE",
            "issue[lock_version]",
            "authenticity_token",
            "_wpnonce",
        ] {
            assert!(super::is_known_token(name), "{name}");
        }
        for name in ["title", "q", "page", "username"] {
            assert!(!super::is_known_token(name), "{name}");
        }
    }
}
