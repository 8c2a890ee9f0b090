//! Whom the proxy lets in: by a user name and a password, which programs of this machine need not give. Knows no sockets.
//! Main types: [`Credentials`], [`Door`].

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use ring::hmac;

/// The user name of credentials that are made.
const USER: &str = "overdub";
/// What made passwords consist of: nothing that is mistaken for something else, or has a meaning in a URL or a shell.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Letters between dashes.
const GROUP: usize = 4;
/// Longest user name and longest password, in bytes (RFC 1929 §2).
const LONGEST: usize = 255;

/// A user name and a password. Never printed, unless somebody asks for them by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

/// Why a text is no credentials. It never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// No colon, or nothing on one of its sides.
    #[error("give a user name and a password as USER:PASSWORD")]
    Form,
    /// Longer than SOCKS can carry.
    #[error("user name and password have at most {LONGEST} bytes each")]
    TooLong,
    /// A line end or the like.
    #[error("user name and password hold no control characters")]
    Control,
}

/// Who has to give credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// Nobody.
    #[default]
    Open,
    /// Whoever comes from another machine.
    Strangers(Credentials),
    /// Everybody.
    Everyone(Credentials),
}

/// Whether a user name has to be the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// It has.
    Checked,
    /// People tell themselves apart by it.
    Free,
}

impl Credentials {
    /// With a password of 80 bits out of these bytes, which must be random.
    pub fn made_of(random: [u8; 16]) -> Self {
        let letter = |byte: u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
        let groups: Vec<String> = random.chunks(GROUP).map(|g| g.iter().copied().map(letter).collect()).collect();
        Self { user: USER.to_owned(), password: groups.join("-") }
    }

    /// Who.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The secret.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Whether these are they. Takes as long for wrong ones as for right ones, however much of them is right.
    pub(super) fn are(&self, user: &[u8], password: &[u8], names: Names) -> bool {
        // Equal lengths to compare, whatever was given: `verify` then looks at all of them.
        let key = hmac::Key::new(hmac::HMAC_SHA256, USER.as_bytes());
        let equal = |own: &str, given| hmac::verify(&key, own.as_bytes(), hmac::sign(&key, given).as_ref()).is_ok();
        let named = equal(&self.user, user) | (names == Names::Free);
        named & equal(&self.password, password)
    }
}

impl FromStr for Credentials {
    type Err = CredentialsError;

    fn from_str(text: &str) -> Result<Self, CredentialsError> {
        match text.split_once(':') {
            None | Some(("", _) | (_, "")) => Err(CredentialsError::Form),
            Some(parts) if [parts.0, parts.1].iter().any(|part| part.len() > LONGEST) => Err(CredentialsError::TooLong),
            Some(_) if text.chars().any(char::is_control) => Err(CredentialsError::Control),
            Some((user, password)) => Ok(Self { user: user.to_owned(), password: password.to_owned() }),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Door {
    /// What a client at `peer`, which dialled `local`, has to give.
    pub(super) fn asks(&self, peer: SocketAddr, local: SocketAddr) -> Option<&Credentials> {
        match self {
            Self::Open => None,
            Self::Strangers(_) if is_near(peer, local) => None,
            Self::Strangers(credentials) | Self::Everyone(credentials) => Some(credentials),
        }
    }

    /// Whether a client from elsewhere has to give something.
    pub(super) fn is_guarded(&self) -> bool {
        *self != Self::Open
    }
}

/// Whether a client is a program of this machine: no packet from elsewhere has a loopback address or our own as its source,
/// as systems drop those that claim it.
pub(super) fn is_near(peer: SocketAddr, local: SocketAddr) -> bool {
    let (peer, local) = (peer.ip().to_canonical(), local.ip().to_canonical());
    peer.is_loopback() || peer == local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_compared_and_never_printed() {
        let credentials: Credentials = "anna:se:cret".parse().unwrap();
        assert_eq!((credentials.user(), credentials.password()), ("anna", "se:cret"));
        for (user, password, checked, free) in [
            ("anna", "se:cret", true, true),
            ("bert", "se:cret", false, true),
            ("anna", "se:cre", false, false),
            ("anna", "se:crett", false, false),
            ("anna", "", false, false),
            ("", "se:cret", false, true),
        ] {
            let are = |names| credentials.are(user.as_bytes(), password.as_bytes(), names);
            assert_eq!((are(Names::Checked), are(Names::Free)), (checked, free), "{user}:{password}");
        }
        assert!(!format!("{:?}", Door::Strangers(credentials)).contains("cret"));
        for (text, error) in [
            ("anna", CredentialsError::Form),
            (":x", CredentialsError::Form),
            ("anna:", CredentialsError::Form),
            ("a\n:x", CredentialsError::Control),
            (&format!("a:{}", "x".repeat(256)), CredentialsError::TooLong),
        ] {
            assert_eq!(text.parse::<Credentials>(), Err(error));
        }
    }

    #[test]
    fn made_passwords_need_no_escaping_anywhere() {
        let made = Credentials::made_of(std::array::from_fn(|n| (n * 37) as u8));
        let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert!(made.password().len() == 19 && made.password().bytes().all(safe), "{}", made.password());
        assert_ne!(made, Credentials::made_of([7; 16]));
    }

    #[test]
    fn programs_of_this_machine_are_not_asked_unless_everybody_is() {
        let credentials: Credentials = "a:b".parse().unwrap();
        let strangers = Door::Strangers(credentials.clone());
        for (peer, local, near) in [
            ("127.0.0.1:5", "127.0.0.1:8080", true),
            ("127.8.8.8:5", "127.0.0.1:8080", true),
            ("[::1]:5", "[::1]:8080", true),
            ("[::ffff:127.0.0.1]:5", "[::ffff:127.0.0.1]:8080", true),
            ("192.0.2.7:5", "192.0.2.7:8080", true),
            ("[::ffff:192.0.2.7]:5", "192.0.2.7:8080", true),
            ("192.0.2.8:5", "192.0.2.7:8080", false),
            ("192.0.2.8:5", "127.0.0.1:8080", false),
            ("[2001:db8::1]:5", "[2001:db8::2]:8080", false),
        ] {
            let (peer, local) = (peer.parse().unwrap(), local.parse().unwrap());
            assert_eq!(strangers.asks(peer, local).is_none(), near, "{peer} {local}");
            assert!(Door::Open.asks(peer, local).is_none());
            assert!(Door::Everyone(credentials.clone()).asks(peer, local).is_some());
        }
    }
}
