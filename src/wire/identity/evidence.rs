//! What tells a session from others, for people; and which cookies belong to a log-in.

use crate::wire::cookie::Cookie;

/// Longest cookie name that is shown.
const NAME_CHARS: usize = 64;
/// Shortest value that keeps a session.
const SESSION_BYTES: usize = 8;
/// Shortest value of a cookie with a name that says nothing which is taken for a session's.
const STRONG_BYTES: usize = 24;

/// Parts of names of cookies that keep a log-in or a session.
const SESSION_PARTS: &[&str] =
    &["sess", "auth", "token", "login", "logged", "remember", "jwt", "ticket", "identity", "aspnetcore.cookies", "sso"];
/// Whole names and ends of names of the same.
const SESSION_ENDS: &[&str] = &["sid", "uid", "wordpress_sec", "phpsessid"];
/// Names, and beginnings of names, of cookies that count, test, ask for consent, balance load, keep robots off, or
/// remember a taste.
const OTHER_NAMES: &[&str] =
    &["_ga", "_gat", "_gid", "_fbp", "_fbc", "tz", "dnt", "route", "uuid", "_dd_s", "serverid"];
const OTHER_STARTS: &[&str] = &[
    "_ga_",
    "_gat_",
    "_gac_",
    "_gcl",
    "__utm",
    "_hj",
    "_pk_",
    "_clck",
    "_clsk",
    "amp_",
    "amplitude",
    "mp_",
    "ajs_",
    "optimizely",
    "intercom",
    "__hs",
    "hubspot",
    "_mkto",
    "_uet",
    "__gads",
    "__gpi",
    "_ym_",
    "_tt_",
    "_ttp",
    "_pin_",
    "_scid",
    "_vwo",
    "_vis_",
    "_dc_gtm",
    "_sp_",
    "s_",
    "amcv",
    "mbox",
    "optanon",
    "cookie",
    "consent",
    "euconsent",
    "eupub",
    "cmplz",
    "borlabs",
    "didomi",
    "usprivacy",
    "gdpr",
    "klaro",
    "onetrust",
    "lang",
    "locale",
    "i18n",
    "theme",
    "timezone",
    "currency",
    "wp-settings",
    "awsalb",
    "awselb",
    "arraffinity",
    "bigip",
    "__cf",
    "cf_",
    "_cfuvid",
    "ak_bm",
    "bm_",
    "_abck",
    "incap_",
    "visid_",
    "nlbi_",
    "datadome",
    "sentry",
    "rl_",
    "utm_",
];

/// Whether a cookie belongs to a log-in or a session, by its name; by its value when the name says nothing.
pub(super) fn is_session_like(cookie: &Cookie) -> bool {
    let name = cookie.name.to_ascii_lowercase();
    let name = name.trim_start_matches("__host-").trim_start_matches("__secure-");
    let is_other = OTHER_NAMES.contains(&name)
        || OTHER_STARTS.iter().any(|start| name.starts_with(start))
        || name.contains("csrf")
        || name.contains("xsrf");
    if cookie.value.len() < SESSION_BYTES || is_other {
        return false;
    }
    let named =
        SESSION_PARTS.iter().any(|part| name.contains(part)) || SESSION_ENDS.iter().any(|end| name.ends_with(end));
    named || (!name.starts_with('_') && is_strong(&cookie.value))
}

/// Whether a value looks as if nobody could guess it.
fn is_strong(value: &str) -> bool {
    let mut seen = [false; 256];
    value.bytes().for_each(|byte| seen[usize::from(byte)] = true);
    let distinct = seen.iter().filter(|seen| **seen).count();
    let digits = value.bytes().any(|b| b.is_ascii_digit());
    let letters = value.bytes().any(|b| b.is_ascii_alphabetic());
    let one_word = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+/=%:|".contains(&b));
    value.len() >= STRONG_BYTES && distinct >= 10 && digits && letters && one_word
}

/// What tells a session from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Nothing but where it comes from.
    #[default]
    Client,
    /// As `Client`, with an address that a proxy in between forwarded.
    ForwardedClient,
    /// A cookie that nobody else sends.
    Cookie(String),
    /// What a credential is called.
    Credential(String),
    /// A cookie that keeps its log-in.
    SessionCookie(String),
}

impl Evidence {
    /// The rank of what nothing is better than.
    pub(super) const BEST: u8 = 3;

    /// How much it says.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Client | Self::ForwardedClient => 0,
            Self::Cookie(_) => 1,
            Self::Credential(_) => 2,
            Self::SessionCookie(_) => Self::BEST,
        }
    }

    /// Of a cookie that this session alone sends.
    pub(super) fn of_cookie(cookie: &Cookie) -> Self {
        let name = cookie.name.chars().take(NAME_CHARS).filter(|c| !c.is_control()).collect();
        if is_session_like(cookie) { Self::SessionCookie(name) } else { Self::Cookie(name) }
    }
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Client => f.write_str("client address and user agent"),
            Self::ForwardedClient => f.write_str("forwarded client address and user agent"),
            Self::Cookie(name) | Self::SessionCookie(name) => write!(f, "cookie `{name}`"),
            Self::Credential(label) => f.write_str(label),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_sessions_are_told_from_those_that_count_visitors() {
        for (name, value, expected) in [
            ("PHPSESSID", "k3j4h5g6f7d8", true),
            ("JSESSIONID", "ABCDEF0123456789", true),
            ("connect.sid", "s%3Aabcdef", true),
            ("_redmine_session", "abcdefghijkl", true),
            ("__Host-sessionid", "abcdefghijkl", true),
            ("ASP.NET_SessionId", "abcdefghijkl", true),
            (".AspNetCore.Identity.Application", "CfDJ8abc", true),
            ("wordpress_logged_in_d41d8cd9", "admin%7C17", true),
            ("remember_user_token", "W1sxXSwi", true),
            ("u", "1f3870be274f6c49b3e31a0c6728957f", true),
            ("sid", "1", false),
            ("_ga", "GA1.2.1234567890.1700000000", false),
            ("_ga_session", "GS1.1.1700000000.1.1.1700000000", false),
            ("_fbp", "fb.1.1700000000000.1234567890", false),
            ("OptanonConsent", "isGpcEnabled=0&datestamp=2025", false),
            ("csrftoken", "1f3870be274f6c49b3e31a0c6728957f", false),
            ("XSRF-TOKEN", "1f3870be274f6c49b3e31a0c6728957f", false),
            ("AWSALB", "1f3870be274f6c49b3e31a0c6728957f", false),
            ("__cf_bm", "1f3870be274f6c49b3e31a0c6728957f", false),
            ("lang", "en-GB-long-value-of-words", false),
            ("greeting", "hello-to-everybody-out-there", false),
        ] {
            let cookie = Cookie { name: name.to_owned(), value: value.to_owned() };
            assert_eq!(is_session_like(&cookie), expected, "{name}");
        }
    }
}
