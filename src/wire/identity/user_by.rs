//! By what users are told apart, as people say it.

use std::fmt;
use std::str::FromStr;

/// By what users are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserBy {
    /// Whatever tells users apart of these; none when `keys` alone say it.
    pub(super) telling: Option<Telling>,
    /// What must be equal in all requests of a session.
    pub(super) keys: Vec<Key>,
}

/// What may tell users apart where nobody said which cookie or header does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Telling {
    pub(super) cookies: bool,
    pub(super) credentials: bool,
}

/// Something that a request has or has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Address,
    Agent,
    Connection,
    Cookie(String),
    Authorization,
    Header(String),
    /// Address of the proxy on which the connection came.
    Listener,
    /// User name that the client gave to the proxy.
    ProxyUser,
}

/// Why a text does not say by what users are told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserByError {
    /// Nothing like that tells users apart.
    #[error("users cannot be told apart by `{0}`: {CHOICES}")]
    Unknown(String),
    /// `cookie:` or `header:` without a name.
    #[error("`{0}` needs a name behind the colon: {CHOICES}")]
    NoName(String),
    /// Traffic that was seen elsewhere does not tell.
    #[error("users can be told apart by `{0}` only while they are recorded: {CHOICES}")]
    Live(&'static str),
    /// Nothing at all.
    #[error("say by what users are told apart: {CHOICES}")]
    Empty,
}

const LISTENER: &str = "listener";
const PROXY_CREDENTIALS: &str = "proxy-credentials";

/// The choices, for people.
const CHOICES: &str = "give `auto` or a list of `address`, `agent`, `connection`, `cookie`, `cookie:NAME`, \
                       `authorization`, `header:NAME`, such as `address,cookie:sid`; the proxy also knows `listener` \
                       and `proxy-credentials`";

impl Default for UserBy {
    /// By cookies, credentials, connections, client address and user agent, whichever tell.
    fn default() -> Self {
        Self { telling: Some(Telling { cookies: true, credentials: true }), keys: Vec::new() }
    }
}

impl UserBy {
    /// Reads `auto`, or a list with commas of `address`, `agent`, `connection`, `cookie` (whichever tells), `cookie:NAME`,
    /// `authorization`, `header:NAME`, `listener`, `proxy-credentials`. Of a list every item must agree.
    ///
    /// # Errors
    /// See [`UserByError`]; its text lists the choices.
    pub fn parse(text: &str) -> Result<Self, UserByError> {
        let (mut auto, mut cookie) = (false, false);
        let mut keys = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (kind, name) = match item.split_once(':') {
                Some((kind, name)) => (kind.trim(), Some(name.trim())),
                None => (item, None),
            };
            let key = match (kind.to_ascii_lowercase().as_str(), name) {
                ("auto", None) => {
                    auto = true;
                    continue;
                }
                ("cookie", None) => {
                    cookie = true;
                    continue;
                }
                ("address", None) => Key::Address,
                ("agent", None) => Key::Agent,
                ("connection", None) => Key::Connection,
                ("authorization", None) => Key::Authorization,
                (LISTENER, None) => Key::Listener,
                (PROXY_CREDENTIALS, None) => Key::ProxyUser,
                ("cookie" | "header", Some("")) => return Err(UserByError::NoName(item.to_owned())),
                ("cookie", Some(name)) => Key::Cookie(name.to_owned()),
                ("header", Some(name)) => Key::Header(name.to_ascii_lowercase()),
                _ => return Err(UserByError::Unknown(item.to_owned())),
            };
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if !auto && !cookie && keys.is_empty() {
            return Err(UserByError::Empty);
        }
        let named = keys.iter().any(|key| matches!(key, Key::Cookie(_)));
        if !auto && (!cookie || named) {
            return Ok(Self { telling: None, keys });
        }
        let credentials = auto || keys.contains(&Key::Authorization);
        keys.retain(|key| !matches!(key, Key::Authorization | Key::Cookie(_)));
        Ok(Self { telling: Some(Telling { cookies: true, credentials }), keys })
    }
}

impl UserBy {
    /// The same for traffic that was recorded by others, of which the proxy knows nothing.
    ///
    /// # Errors
    /// As for [`UserBy::parse`], and when it names something that only the proxy knows.
    pub fn parse_for_import(text: &str) -> Result<Self, UserByError> {
        let user_by = Self::parse(text)?;
        match user_by.keys.iter().find(|key| key.is_proxys()) {
            Some(Key::Listener) => Err(UserByError::Live(LISTENER)),
            Some(_) => Err(UserByError::Live(PROXY_CREDENTIALS)),
            None => Ok(user_by),
        }
    }

    /// The same, and each listener of the proxy has users of its own.
    pub fn and_listener(mut self) -> Self {
        if !self.keys.contains(&Key::Listener) {
            self.keys.push(Key::Listener);
        }
        self
    }

    /// Whether the proxy has to ask its clients for a user name.
    pub fn asks_proxy_user(&self) -> bool {
        self.keys.contains(&Key::ProxyUser)
    }
}

impl Key {
    /// Whether only the proxy knows it.
    pub(super) fn is_proxys(&self) -> bool {
        matches!(self, Self::Listener | Self::ProxyUser)
    }
}

impl FromStr for UserBy {
    type Err = UserByError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("client address"),
            Self::Agent => f.write_str("user agent"),
            Self::Connection => f.write_str("connection"),
            Self::Cookie(name) => write!(f, "cookie `{name}`"),
            Self::Authorization => f.write_str("authorization"),
            Self::Header(name) => write!(f, "header `{name}`"),
            Self::Listener => f.write_str(LISTENER),
            Self::ProxyUser => f.write_str(PROXY_CREDENTIALS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_what_tells_users_apart_are_read() {
        let telling = |cookies, credentials| Some(Telling { cookies, credentials });
        for (text, expected, keys) in [
            ("auto", telling(true, true), vec![]),
            (" Auto , address", telling(true, true), vec![Key::Address]),
            ("cookie", telling(true, false), vec![]),
            ("cookie,authorization,agent", telling(true, true), vec![Key::Agent]),
            ("address,agent,address", None, vec![Key::Address, Key::Agent]),
            ("cookie:SID", None, vec![Key::Cookie("SID".to_owned())]),
            ("cookie,cookie:SID", None, vec![Key::Cookie("SID".to_owned())]),
            ("header:X-User:Name", None, vec![Key::Header("x-user:name".to_owned())]),
            ("authorization, connection", None, vec![Key::Authorization, Key::Connection]),
            ("listener,Proxy-Credentials", None, vec![Key::Listener, Key::ProxyUser]),
            ("auto,listener", telling(true, true), vec![Key::Listener]),
        ] {
            assert_eq!(UserBy::parse(text), Ok(UserBy { telling: expected, keys }), "{text}");
        }
        assert_eq!("auto".parse(), Ok(UserBy::default()));
    }

    #[test]
    fn an_import_cannot_ask_for_what_the_proxy_alone_knows() {
        for text in ["listener", "auto,proxy-credentials"] {
            assert!(UserBy::parse(text).is_ok());
            assert!(matches!(UserBy::parse_for_import(text), Err(UserByError::Live(word)) if text.contains(word)));
        }
        assert_eq!(UserBy::parse_for_import("agent"), UserBy::parse("agent"));
        assert_eq!(UserBy::default().and_listener(), UserBy::parse("auto,listener").unwrap());
    }

    #[test]
    fn what_is_no_such_list_is_answered_with_the_choices() {
        for (text, error) in [
            ("", UserByError::Empty),
            (" , ", UserByError::Empty),
            ("cookie:", UserByError::NoName("cookie:".to_owned())),
            ("address,header: ", UserByError::NoName("header:".to_owned())),
            ("ip", UserByError::Unknown("ip".to_owned())),
            ("address:1", UserByError::Unknown("address:1".to_owned())),
        ] {
            assert_eq!(UserBy::parse(text), Err(error.clone()), "{text:?}");
            let says = error.to_string();
            assert!(says.contains("`cookie:NAME`") && says.contains("`auto`"), "{says}");
        }
    }
}
