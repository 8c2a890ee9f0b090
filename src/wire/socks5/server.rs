//! The side that is asked.
//!
//! ```text
//! Greeting ──no authentication──────────────────► Request ──CONNECT──► done
//!     └──user name and password──► Password ──good─┘  └──anything else──► refused
//!                                      └──────wrong, where that is checked───────┘
//! ```

use super::{
    CONNECT, NO_AUTHENTICATION, NOTHING_ACCEPTABLE, PASSWORD_VERSION, Parsed, Reply, Step, Target, USER_AND_PASSWORD,
    VERSION, target, text,
};

/// Whether a user name and a password are good.
pub type Check<'a> = &'a (dyn Fn(&[u8], &[u8]) -> bool + Sync);

/// A negotiation with one client.
pub struct Server<'a> {
    state: State,
    /// Clients have to say who they are.
    asks_user: bool,
    check: Option<Check<'a>>,
    user: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Password,
    Request,
    Over,
}

/// Who wants to go where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where to. The client still waits for a [`Reply`].
    pub target: Target,
    /// The user name it gave.
    pub user: Option<String>,
}

/// Why a negotiation ends. `reply` is to be sent before closing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ServerError {
    /// Last words to the client; empty for one that does not speak SOCKS 5.
    pub reply: Vec<u8>,
    /// What was wrong.
    pub why: Why,
}

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Another version, or no SOCKS at all.
    #[error("not SOCKS 5")]
    Version,
    /// It offers no way of authentication that is known or wanted.
    #[error("no user name and password offered")]
    Methods,
    /// An empty user name.
    #[error("an empty user name")]
    User,
    /// User name and password are not those that are wanted.
    #[error("wrong user name or password")]
    Password,
    /// `BIND`, `UDP ASSOCIATE` or something unheard of.
    #[error("a command other than CONNECT")]
    Command,
    /// A kind of address that is not known, no name, or port 0.
    #[error("no address to connect to")]
    Address,
}

impl<'a> Server<'a> {
    /// At the client's first byte. Any password is taken; with `asks_user` there must be one.
    pub fn new(asks_user: bool) -> Self {
        Self { state: State::Greeting, asks_user, check: None, user: None }
    }

    /// At the client's first byte. It must give a user name and a password that are good.
    pub fn guarded(check: Check<'a>) -> Self {
        Self { check: Some(check), ..Self::new(true) }
    }

    /// Looks at `input`, which starts where the last call's `consumed` ended. Nothing consumed: more is needed.
    ///
    /// # Errors
    /// When the client is to be refused; it says how.
    pub fn read(&mut self, input: &[u8]) -> Result<Step<Asked>, ServerError> {
        match self.state {
            State::Greeting => self.greeting(input),
            State::Password => self.password(input),
            State::Request => self.request(input),
            State::Over => Ok(MORE),
        }
    }

    fn greeting(&mut self, input: &[u8]) -> Result<Step<Asked>, ServerError> {
        let methods = match input {
            [] => return Ok(MORE),
            [VERSION] => return Ok(MORE),
            [VERSION, count, rest @ ..] => match rest.get(..usize::from(*count)) {
                Some(methods) => methods,
                None => return Ok(MORE),
            },
            _ => return Err(refuse(vec![], Why::Version)),
        };
        let method = if !self.asks_user && methods.contains(&NO_AUTHENTICATION) {
            self.state = State::Request;
            NO_AUTHENTICATION
        } else if methods.contains(&USER_AND_PASSWORD) {
            self.state = State::Password;
            USER_AND_PASSWORD
        } else {
            return Err(refuse(vec![VERSION, NOTHING_ACCEPTABLE], Why::Methods));
        };
        Ok(Step { consumed: 2 + methods.len(), reply: vec![VERSION, method], done: None })
    }

    fn password(&mut self, input: &[u8]) -> Result<Step<Asked>, ServerError> {
        let failed = |why| refuse(vec![PASSWORD_VERSION, 1], why);
        let rest = match input {
            [] => return Ok(MORE),
            [PASSWORD_VERSION, rest @ ..] => rest,
            _ => return Err(failed(Why::Version)),
        };
        let Some((user, user_end)) = text(rest) else { return Ok(MORE) };
        let Some((password, password_end)) = text(&rest[user_end..]) else { return Ok(MORE) };
        if user.is_empty() {
            return Err(failed(Why::User));
        }
        if self.check.is_some_and(|is_good| !is_good(user, password)) {
            return Err(failed(Why::Password));
        }
        self.user = Some(String::from_utf8_lossy(user).into_owned());
        self.state = State::Request;
        Ok(Step { consumed: 1 + user_end + password_end, reply: vec![PASSWORD_VERSION, 0], done: None })
    }

    fn request(&mut self, input: &[u8]) -> Result<Step<Asked>, ServerError> {
        let failed = |reply: Reply, why| refuse(reply.bytes(), why);
        let (command, rest) = match input {
            [VERSION, command, _, rest @ ..] => (*command, rest),
            [] | [VERSION] | [VERSION, _] => return Ok(MORE),
            _ => return Err(failed(Reply::GeneralFailure, Why::Version)),
        };
        match target(rest) {
            Parsed::Part => Ok(MORE),
            Parsed::Whole(..) if command != CONNECT => Err(failed(Reply::CommandNotSupported, Why::Command)),
            Parsed::Whole(target, end) if target.port > 0 && !target.host.to_string().is_empty() => {
                self.state = State::Over;
                let done = Some(Asked { target, user: self.user.take() });
                Ok(Step { consumed: 3 + end, reply: vec![], done })
            }
            Parsed::Whole(..) | Parsed::Unknown => Err(failed(Reply::AddressNotSupported, Why::Address)),
        }
    }
}

impl std::fmt::Debug for Server<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("state", &self.state).field("asks_user", &self.asks_user).finish_non_exhaustive()
    }
}

const MORE: Step<Asked> = Step { consumed: 0, reply: Vec::new(), done: None };

fn refuse(reply: Vec<u8>, why: Why) -> ServerError {
    ServerError { reply, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whom it was asked for and by whom, once that is known; or why it refused.
    type Outcome = Result<Option<(String, Option<String>)>, Why>;

    /// What the server says to these bytes, given in pieces; then whom it was asked for, or why it refused.
    fn dialogue(asks_user: bool, said: &[u8], piece: usize) -> (Vec<u8>, Outcome) {
        let mut server = Server::new(asks_user);
        let (mut input, mut replies, mut done) = (Vec::new(), Vec::new(), None);
        for bytes in said.chunks(piece) {
            input.extend_from_slice(bytes);
            loop {
                match server.read(&input) {
                    Ok(step) => {
                        input.drain(..step.consumed);
                        replies.extend(step.reply);
                        if let Some(asked) = step.done {
                            done = Some((asked.target.to_string(), asked.user));
                        }
                        if step.consumed == 0 {
                            break;
                        }
                    }
                    Err(error) => {
                        replies.extend(error.reply);
                        return (replies, Err(error.why));
                    }
                }
            }
        }
        (replies, Ok(done))
    }

    #[test]
    fn clients_are_understood_however_their_bytes_come() {
        let name = b"\x05\x01\x00\x05\x01\x00\x03\x09shop.test\x01\xbb";
        let v4 = b"\x05\x02\x00\x02\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50";
        let v6 = b"\x05\x01\x00\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1f\x90";
        let user = b"\x05\x02\x00\x02\x01\x04anna\x01x\x05\x01\x00\x03\x03a.b\x00\x50";
        for (asks, said, replies, to, who) in [
            (false, &name[..], &b"\x05\x00"[..], "shop.test:443", None),
            (false, v4, b"\x05\x00", "127.0.0.1:80", None),
            (false, v6, b"\x05\x00", "[::1]:8080", None),
            (true, user, b"\x05\x02\x01\x00", "a.b:80", Some("anna")),
        ] {
            for piece in [1, 3, 100] {
                let expected = Ok(Some((to.to_owned(), who.map(str::to_owned))));
                assert_eq!(dialogue(asks, said, piece), (replies.to_vec(), expected));
            }
        }
    }

    #[test]
    fn the_client_may_go_on_at_once_and_what_it_says_is_left_alone() {
        let mut server = Server::new(false);
        let said = b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50GET / HTTP/1.1";
        let greeting = server.read(said).unwrap();
        let request = server.read(&said[greeting.consumed..]).unwrap();
        assert!(request.done.is_some());
        assert_eq!(&said[greeting.consumed + request.consumed..], b"GET / HTTP/1.1");
        assert_eq!(server.read(b"GET").unwrap(), MORE);
    }

    #[test]
    fn what_cannot_be_served_is_refused_in_words_the_client_knows() {
        let none: &[u8] = b"";
        for (asks, said, replies, why) in [
            (false, &b"\x04\x01\x00\x50\x01\x02\x03\x04\x00"[..], none, Why::Version),
            (false, b"GET / HTTP/1.1\r\n", none, Why::Version),
            (true, b"\x05\x01\x00", b"\x05\xff", Why::Methods),
            (false, b"\x05\x00", b"\x05\xff", Why::Methods),
            (false, b"\x05\x01\x01", b"\x05\xff", Why::Methods),
            (true, b"\x05\x01\x02\x01\x00\x01x", b"\x05\x02\x01\x01", Why::User),
            (true, b"\x05\x01\x02\x05\x01x\x01x", b"\x05\x02\x01\x01", Why::Version),
            (
                false,
                b"\x05\x01\x00\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50",
                b"\x05\x00\x05\x07\x00\x01\0\0\0\0\0\0",
                Why::Command,
            ),
            (false, b"\x05\x01\x00\x05\x01\x00\x09", b"\x05\x00\x05\x08\x00\x01\0\0\0\0\0\0", Why::Address),
            (false, b"\x05\x01\x00\x05\x01\x00\x03\x00\x00\x50", b"\x05\x00\x05\x08\x00\x01\0\0\0\0\0\0", Why::Address),
            (
                false,
                b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x00",
                b"\x05\x00\x05\x08\x00\x01\0\0\0\0\0\0",
                Why::Address,
            ),
        ] {
            assert_eq!(dialogue(asks, said, 100), (replies.to_vec(), Err(why)), "{said:?}");
        }
    }

    #[test]
    fn where_passwords_are_checked_a_wrong_one_ends_the_dialogue_and_none_is_no_way_in() {
        let is_good = |user: &[u8], password: &[u8]| (user, password) == (b"anna", b"x");
        for (said, password_reply, why) in [
            (&b"\x01\x04anna\x01x"[..], Ok(vec![1, 0]), None),
            (b"\x01\x04anna\x01y", Err(vec![1, 1]), Some(Why::Password)),
            (b"\x01\x04bert\x01x", Err(vec![1, 1]), Some(Why::Password)),
            (b"\x01\x04anna\x00", Err(vec![1, 1]), Some(Why::Password)),
        ] {
            let mut server = Server::guarded(&is_good);
            assert_eq!(server.read(b"\x05\x02\x00\x02").unwrap().reply, [5, 2], "no way around");
            let answer = server.read(said);
            assert_eq!(answer.as_ref().err().map(|error| error.why), why);
            assert_eq!(answer.map(|step| step.reply).map_err(|error| error.reply), password_reply);
        }
        assert_eq!(Server::guarded(&is_good).read(b"\x05\x01\x00").unwrap_err().why, Why::Methods);
    }

    #[test]
    fn no_beginning_of_a_dialogue_is_refused_or_done() {
        let said = b"\x05\x02\x00\x02\x01\x04anna\x01x\x05\x01\x00\x03\x03a.b\x00\x50";
        for end in 0..said.len() {
            let (_, result) = dialogue(true, &said[..end], 100);
            assert_eq!(result, Ok(None), "{end}");
        }
    }
}
