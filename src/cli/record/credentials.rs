//! Flags that say whom the proxy lets in, and what the operator is told of it.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

use super::super::{CliError, Exit};
use super::qr;
use crate::record::{Credentials, Door};

/// Flags of this part.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Flags {
    /// User name and password that other machines have to give to the proxy; on a loopback address alone, everybody but a
    /// program that is recorded [default: none on loopback; elsewhere `overdub` and a random password, shown in the greeting]
    #[arg(long, env = "OVERDUB_CREDENTIALS", value_name = "USER:PASSWORD", hide_env_values = true,
          value_parser = given)]
    credentials: Option<Given>,
    /// Let everybody who can reach the proxy use it
    #[arg(long, env = "OVERDUB_NO_CREDENTIALS", value_parser = clap::builder::FalseyValueParser::new())]
    no_credentials: bool,
}

/// What was written. Read later, as an error on the command line would show it.
#[derive(Clone)]
struct Given(String);

/// What the answer depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Clients know the proxy.
    pub(super) asks: bool,
    /// Other machines reach it.
    pub(super) is_reachable: bool,
    /// It records a program that it starts.
    pub(super) has_companion: bool,
    /// The operator reads nothing.
    pub(super) is_quiet: bool,
}

/// Who is let in, and how the operator comes to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Credentials that the operator has set, or none.
    Known(Door),
    /// Credentials that nobody knows yet.
    Made(Credentials, Door),
}

impl Flags {
    /// Who is let in.
    ///
    /// # Errors
    /// When the flags contradict each other or the mode, or nobody would come to know the password.
    pub(super) fn door(&self, place: Place) -> Result<Told, CliError> {
        let usage = |sentence: &str| Err(CliError::new(Exit::Usage, sentence.to_owned()));
        match &self.credentials {
            Some(_) if self.no_credentials => usage("--credentials and --no-credentials contradict each other"),
            Some(_) if !place.asks => usage("--credentials need clients that know the proxy: --mode forward or socks5"),
            Some(Given(text)) => {
                let credentials: Credentials = text
                    .parse()
                    .map_err(|error| CliError::because(Exit::Usage, "--credentials cannot be used", &error))?;
                // Nobody else reaches it, and the program that is recorded cannot always give them.
                let near_alone = !place.is_reachable && !place.has_companion;
                let door = if near_alone { Door::Everyone } else { Door::Strangers };
                Ok(Told::Known(door(credentials)))
            }
            None if self.no_credentials || !place.asks || !place.is_reachable => Ok(Told::Known(Door::Open)),
            None if place.is_quiet => usage(
                "other machines reach this address, and with --quiet nobody sees the password that is made for them; give \
                 --credentials USER:PASSWORD, or --no-credentials to let everybody in",
            ),
            None => {
                let mut random = [0; 16];
                SystemRandom::new()
                    .fill(&mut random)
                    .map_err(|_| CliError::new(Exit::Broken, "the system gives no random numbers".to_owned()))?;
                let made = Credentials::made_of(random);
                Ok(Told::Made(made.clone(), Door::Strangers(made)))
            }
        }
    }
}

impl Told {
    /// Who is let in.
    pub(super) fn door(&self) -> &Door {
        match self {
            Self::Known(door) | Self::Made(_, door) => door,
        }
    }

    /// Whether anybody has to give credentials.
    pub(super) fn is_guarded(&self) -> bool {
        *self.door() != Door::Open
    }

    /// The lines to show when the proxy listens on `addresses`. A password is in them only if it was made just now.
    pub(super) fn lines(&self, scheme: &str, addresses: &[SocketAddr], root: &Path) -> Vec<String> {
        let proxy = addresses.iter().find_map(|address| qr::reachable(*address)).unwrap_or(addresses[0]);
        let root = root.display();
        let who = if matches!(self.door(), Door::Everyone(_)) { "programs" } else { "others" };
        match self {
            Self::Known(Door::Open) => Vec::new(),
            Self::Known(Door::Strangers(own) | Door::Everyone(own)) => {
                let user = super::clean(own.user());
                vec![format!(
                    "  {who:<9} give the user name {user} and its password: curl --proxy {scheme}://{proxy} --proxy-user {user}"
                )]
            }
            Self::Made(own, _) => {
                let (user, password) = (own.user(), own.password());
                vec![
                    format!(
                        "  {who:<9} give the user name {user} and the password {password}; from this machine none is asked"
                    ),
                    format!("            curl --proxy {scheme}://{user}:{password}@{proxy} --cacert {root} https://…"),
                ]
            }
        }
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given(…)")
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what clap wants")]
fn given(text: &str) -> Result<Given, std::convert::Infallible> {
    Ok(Given(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Place = Place { asks: true, is_reachable: true, has_companion: false, is_quiet: false };
    const NEAR: Place = Place { is_reachable: false, ..FAR };

    fn flags(credentials: Option<&str>, no_credentials: bool) -> Flags {
        Flags { credentials: credentials.map(|text| Given(text.to_owned())), no_credentials }
    }

    #[test]
    fn other_machines_are_asked_unless_told_otherwise() {
        let own: Credentials = "anna:secret".parse().unwrap();
        let companion = Place { has_companion: true, ..NEAR };
        let reverse = Place { asks: false, ..FAR };
        for (credentials, none, place, door) in [
            (None, false, NEAR, Door::Open),
            (None, true, FAR, Door::Open),
            (None, false, reverse, Door::Open),
            (Some("anna:secret"), false, FAR, Door::Strangers(own.clone())),
            (Some("anna:secret"), false, NEAR, Door::Everyone(own.clone())),
            (Some("anna:secret"), false, companion, Door::Strangers(own.clone())),
        ] {
            assert_eq!(flags(credentials, none).door(place).unwrap(), Told::Known(door), "{place:?}");
        }
        let (one, two) = (flags(None, false).door(FAR).unwrap(), flags(None, false).door(FAR).unwrap());
        assert!(matches!((&one, &two), (Told::Made(..), Told::Made(..))) && one != two, "each its own");
    }

    #[test]
    fn contradictions_are_refused_and_no_sentence_holds_the_password() {
        for (credentials, none, place, said) in [
            (Some("anna:secret"), true, FAR, "contradict"),
            (Some("anna:secret"), false, Place { asks: false, ..FAR }, "--mode forward"),
            (Some("secret"), false, FAR, "USER:PASSWORD"),
            (Some("anna:secret\n"), false, FAR, "control"),
            (None, false, Place { is_quiet: true, ..FAR }, "--no-credentials"),
        ] {
            let error = flags(credentials, none).door(place).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
        }
        assert!(!format!("{:?}", flags(Some("anna:secret"), false)).contains("secret"));
    }

    #[test]
    fn the_greeting_shows_a_password_only_if_nobody_knows_it() {
        let address = "192.0.2.7:8080".parse().unwrap();
        let lines = |told: &Told| told.lines("http", &[address], Path::new("ca.pem")).join("\n");
        let made = flags(None, false).door(FAR).unwrap();
        let Door::Strangers(own) = made.door() else { panic!("{made:?}") };
        let ready = format!("curl --proxy http://overdub:{}@192.0.2.7:8080 --cacert ca.pem https://…", own.password());
        assert!(lines(&made).contains(&ready), "{}", lines(&made));
        let known = lines(&flags(Some("anna:secret"), false).door(FAR).unwrap());
        assert!(known.contains("--proxy-user anna") && !known.contains("secret"), "{known}");
        assert_eq!(lines(&flags(None, true).door(FAR).unwrap()), "");
    }
}
