//! The side that asks.
//!
//! ```text
//! Method ──no authentication──────────────────► Reply ──succeeded──► done
//!    └──user name and password──► Password ──ok──┘  └──anything else──► refused
//! ```

use std::net::IpAddr;

use super::{
    CONNECT, Credentials, Host, IPV4, IPV6, NAME, NO_AUTHENTICATION, PASSWORD_VERSION, Parsed, Reply, Step, Target,
    USER_AND_PASSWORD, VERSION, target,
};

/// A negotiation with one server.
#[derive(Debug)]
pub struct Client {
    state: State,
    target: Target,
    credentials: Option<Credentials>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Method,
    Password,
    Reply,
    Over,
}

/// Why there is no way through this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It says something else than SOCKS 5.
    #[error("it does not speak SOCKS 5")]
    Syntax,
    /// It wants credentials that were not given, or of another kind.
    #[error("it wants other credentials")]
    Methods,
    /// It does not take the user name and password.
    #[error("it does not accept the user name and password")]
    Credentials,
    /// It will not or cannot connect.
    #[error("{0}")]
    Refused(Reply),
    /// The same, for a reason that has no name.
    #[error("failure {0}")]
    Odd(u8),
    /// A host name or credentials longer than 255 bytes, or empty.
    #[error("the host name, user name or password is empty or longer than 255 bytes")]
    Length,
}

impl Client {
    /// Asks for `target`; the first bytes to send come with it.
    ///
    /// # Errors
    /// [`ClientError::Length`].
    pub fn new(target: Target, credentials: Option<Credentials>) -> Result<(Self, Vec<u8>), ClientError> {
        let fits = |text: &str| (1..=255).contains(&text.len());
        let name_fits = match &target.host {
            Host::Name(name) => fits(name),
            Host::Ip(_) => true,
        };
        if !name_fits || credentials.as_ref().is_some_and(|own| !fits(&own.user) || !fits(&own.password)) {
            return Err(ClientError::Length);
        }
        let methods: &[u8] =
            if credentials.is_some() { &[NO_AUTHENTICATION, USER_AND_PASSWORD] } else { &[NO_AUTHENTICATION] };
        let greeting = [&[VERSION, length(methods)], methods].concat();
        Ok((Self { state: State::Method, target, credentials }, greeting))
    }

    /// Looks at `input`, which starts where the last call's `consumed` ended. Nothing consumed: more is needed.
    ///
    /// # Errors
    /// When the server refuses or is none.
    pub fn read(&mut self, input: &[u8]) -> Result<Step<()>, ClientError> {
        match (self.state, input) {
            (State::Over, _) | (_, []) => Ok(MORE),
            (State::Method | State::Reply, [first, ..]) if *first != VERSION => Err(ClientError::Syntax),
            (State::Password, [first, ..]) if *first != PASSWORD_VERSION => Err(ClientError::Syntax),
            (State::Method, [_, method, ..]) => self.method(*method),
            (State::Password, [_, 0, ..]) => Ok(self.ask(2)),
            (State::Password, [_, _, ..]) => Err(ClientError::Credentials),
            (State::Reply, [_, 0, _, address @ ..]) => match target(address) {
                Parsed::Part => Ok(MORE),
                Parsed::Unknown => Err(ClientError::Syntax),
                Parsed::Whole(_, end) => {
                    self.state = State::Over;
                    Ok(Step { consumed: 3 + end, reply: vec![], done: Some(()) })
                }
            },
            (State::Reply, [_, code, ..]) if *code > 0 => {
                Err(Reply::of(*code).map_or(ClientError::Odd(*code), ClientError::Refused))
            }
            _ => Ok(MORE),
        }
    }

    fn method(&mut self, method: u8) -> Result<Step<()>, ClientError> {
        match (method, &self.credentials) {
            (NO_AUTHENTICATION, _) => Ok(self.ask(2)),
            (USER_AND_PASSWORD, Some(Credentials { user, password })) => {
                let (user, password) = (user.as_bytes(), password.as_bytes());
                let reply = [&[PASSWORD_VERSION, length(user)], user, &[length(password)], password].concat();
                self.state = State::Password;
                Ok(Step { consumed: 2, reply, done: None })
            }
            _ => Err(ClientError::Methods),
        }
    }

    fn ask(&mut self, consumed: usize) -> Step<()> {
        self.state = State::Reply;
        let mut reply = vec![VERSION, CONNECT, 0];
        match &self.target.host {
            Host::Ip(IpAddr::V4(ip)) => reply.extend([&[IPV4][..], &ip.octets()].concat()),
            Host::Ip(IpAddr::V6(ip)) => reply.extend([&[IPV6][..], &ip.octets()].concat()),
            Host::Name(name) => reply.extend([&[NAME, length(name.as_bytes())], name.as_bytes()].concat()),
        }
        reply.extend(self.target.port.to_be_bytes());
        Step { consumed, reply, done: None }
    }
}

const MORE: Step<()> = Step { consumed: 0, reply: Vec::new(), done: None };

/// Of something that [`Client::new`] has measured.
fn length(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Server;
    use super::*;

    fn target(host: &str) -> Target {
        Target { host: Host::of(host), port: 443 }
    }

    fn own(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), password: password.into() }
    }

    #[test]
    fn our_client_and_our_server_understand_each_other() {
        for (host, credentials, asks_user) in [
            ("shop.test", None, false),
            ("127.0.0.1", Some(own("anna", "s")), false),
            ("[::1]", Some(own("anna", "s")), true),
        ] {
            let mut server = Server::new(asks_user);
            let (mut client, mut to_server) = Client::new(target(host), credentials).unwrap();
            let asked = (0..5)
                .find_map(|_| {
                    let step = server.read(&to_server).unwrap();
                    assert_eq!(step.consumed, to_server.len());
                    if step.done.is_some() {
                        return step.done;
                    }
                    let answer = client.read(&step.reply).unwrap();
                    assert_eq!((answer.consumed, answer.done), (step.reply.len(), None));
                    to_server = answer.reply;
                    None
                })
                .unwrap();
            assert_eq!(asked.target, target(host));
            assert_eq!(asked.user.is_some(), asks_user);
            let last = Reply::Succeeded.bytes();
            for end in 0..last.len() {
                assert_eq!(client.read(&last[..end]).unwrap(), MORE, "{end}");
            }
            let behind = [&last[..], b"220 hello"].concat();
            let step = client.read(&behind).unwrap();
            assert_eq!((step.consumed, step.done), (last.len(), Some(())));
        }
    }

    #[test]
    fn refusals_say_what_the_server_said() {
        let refused = |said: &[&[u8]], credentials| {
            let (mut client, _) = Client::new(target("shop.test"), credentials).unwrap();
            said.iter().find_map(|bytes| client.read(bytes).err())
        };
        for (said, credentials, error) in [
            (&[&b"HTTP/1.1 400"[..]][..], None, ClientError::Syntax),
            (&[b"\x05\xff"], None, ClientError::Methods),
            (&[b"\x05\x02"], None, ClientError::Methods),
            (&[b"\x05\x01"], Some(own("a", "b")), ClientError::Methods),
            (&[b"\x05\x02", b"\x01\x01"], Some(own("a", "b")), ClientError::Credentials),
            (&[b"\x05\x00", b"\x05\x05"], None, ClientError::Refused(Reply::ConnectionRefused)),
            (&[b"\x05\x00", b"\x05\x63\x00\x01"], None, ClientError::Odd(99)),
            (&[b"\x05\x00", b"\x05\x00\x00\x07"], None, ClientError::Syntax),
        ] {
            assert_eq!(refused(said, credentials), Some(error), "{said:?}");
        }
        assert_eq!(Client::new(target(&"a".repeat(256)), None).err(), Some(ClientError::Length));
        assert_eq!(Client::new(target("a"), Some(own("", "b"))).err(), Some(ClientError::Length));
    }
}
