//! Flags that say how traffic reaches the recorder, how it goes on, and whose it is.

use std::net::SocketAddr;
use std::path::Path;

use crate::model::{Origin, OriginError};
use crate::record::{Address, Egress, HostPattern, Mode, Reverse, UpstreamProxy};
use crate::wire::identity::UserBy;

use super::super::{CliError, Exit};

/// Flags of this part.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Flags {
    /// Address of the proxy; port 0 takes any free one (may repeat: each listener has users of its own)
    #[arg(
        long,
        env = "OVERDUB_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080",
        value_delimiter = ','
    )]
    listen: Vec<SocketAddr>,
    /// How traffic reaches the proxy: forward (clients name it as HTTP or SOCKS 5 proxy), reverse=URL (clients take it for
    /// that server), socks5, transparent (the system redirects connections to it; Linux)
    #[arg(long, env = "OVERDUB_MODE", value_name = "MODE", default_value = "forward", value_parser = mode)]
    mode: Mode,
    /// With --mode reverse: pass everything on as it is; without it the server sees its own address in Host, Origin and
    /// Referer, and redirects and cookies are made to lead clients back here
    #[arg(long, env = "OVERDUB_KEEP_HOST", value_parser = clap::builder::FalseyValueParser::new())]
    keep_host: bool,
    /// Reach all servers through this proxy: http://host:port or socks5://host:port, with user:password@ before the host if it
    /// wants them
    #[arg(long, env = "OVERDUB_UPSTREAM_PROXY", value_name = "URL", hide_env_values = true)]
    upstream_proxy: Option<UpstreamProxy>,
    /// Reach these hosts without --upstream-proxy: a name, with * for any text, or .domain (may repeat)
    #[arg(long, env = "OVERDUB_NO_PROXY", value_name = "HOST", value_delimiter = ',')]
    no_proxy: Vec<HostPattern>,
    /// What tells users apart: auto, or a list of listener, proxy-credentials (any user name, and the password of
    /// --credentials where that is asked for; neither it nor the header is recorded), address, agent, cookie, cookie:NAME, authorization, header:NAME, connection [default: auto, and
    /// the listener when there are several]
    #[arg(long, env = "OVERDUB_USER_BY", value_name = "LIST", value_parser = UserBy::parse)]
    user_by: Option<UserBy>,
}

/// What they amount to.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) mode: Mode,
    pub(super) egress: Egress,
    pub(super) user_by: UserBy,
}

impl Flags {
    /// All of them together.
    ///
    /// # Errors
    /// When they contradict each other.
    pub(super) fn settings(&self) -> Result<Settings, CliError> {
        let usage = |sentence: &str| Err(CliError::new(Exit::Usage, sentence.to_owned()));
        let mut mode = self.mode.clone();
        match &mut mode {
            Mode::Reverse(reverse) if self.keep_host => reverse.address = Address::Kept,
            _ if self.keep_host => return usage("--keep-host is for --mode reverse=URL"),
            _ => {}
        }
        if mode == Mode::Transparent && cfg!(not(target_os = "linux")) {
            return usage("--mode transparent works on Linux only");
        }
        if self.upstream_proxy.is_none() && !self.no_proxy.is_empty() {
            return usage("--no-proxy says what does not go through --upstream-proxy, which is not given");
        }
        let user_by = self.user_by.clone().unwrap_or_else(|| match self.listen.len() {
            0 | 1 => UserBy::default(),
            _ => UserBy::default().and_listener(),
        });
        if user_by.asks_proxy_user() && matches!(mode, Mode::Reverse(_) | Mode::Transparent) {
            return usage("--user-by proxy-credentials needs clients that know the proxy: --mode forward or socks5");
        }
        let egress = Egress { proxy: self.upstream_proxy.clone(), direct: self.no_proxy.clone() };
        Ok(Settings { listen: self.listen.clone(), mode, egress, user_by })
    }
}

/// Why a text is no mode.
#[derive(Debug, thiserror::Error)]
enum ModeError {
    #[error("give forward, reverse=https://origin, socks5 or transparent")]
    Unknown,
    #[error("after reverse= comes the server: {0}")]
    Origin(#[from] OriginError),
    #[error("`{0}` has a path; a reverse proxy stands for a whole server, so leave it out")]
    Path(String),
}

fn mode(text: &str) -> Result<Mode, ModeError> {
    match text.split_once('=') {
        None if text == "forward" => Ok(Mode::Forward),
        None if text == "socks5" => Ok(Mode::Socks5),
        None if text == "transparent" => Ok(Mode::Transparent),
        Some(("reverse", url)) => {
            let origin: Origin = url.parse()?;
            let behind = url.split_once("://").map_or("", |(_, rest)| rest);
            match behind.find(['/', '?', '#', '@']).map(|at| &behind[at..]) {
                None | Some("/") => Ok(Mode::Reverse(Reverse { origin, address: Address::Translated })),
                Some(_) => Err(ModeError::Path(url.to_owned())),
            }
        }
        _ => Err(ModeError::Unknown),
    }
}

/// What the operator is told to do.
#[derive(Debug)]
pub(super) struct Guide(Mode);

impl Guide {
    /// For this mode.
    pub(super) fn of(mode: &Mode) -> Self {
        Self(mode.clone())
    }

    /// Whether marks can be set over HTTP.
    pub(super) fn hears_marks(&self) -> bool {
        matches!(self.0, Mode::Forward | Mode::Reverse(_))
    }

    /// Whether clients name the proxy as their HTTP proxy.
    pub(super) fn is_forward(&self) -> bool {
        self.0 == Mode::Forward
    }

    /// Whether clients know the proxy, so that it can ask something of them.
    pub(super) fn asks(&self) -> bool {
        matches!(self.0, Mode::Forward | Mode::Socks5)
    }

    /// What stands before the proxy's address in a URL.
    pub(super) fn scheme(&self) -> &'static str {
        if self.0 == Mode::Socks5 { "socks5h" } else { "http" }
    }

    /// The lines to show when the proxy listens on `addresses`; `first` is how a program of this machine dials the first.
    pub(super) fn lines(&self, addresses: &[SocketAddr], first: SocketAddr, output: &Path, root: &Path) -> Vec<String> {
        let (into, root) = (output.display(), root.display());
        let places = |scheme: &str| addresses.iter().map(|at| format!("{scheme}{at}")).collect::<Vec<_>>().join(", ");
        let mut lines = match &self.0 {
            Mode::Forward => vec![
                format!("recording on {} into {into}", places("http://")),
                format!("  curl      curl --proxy http://{first} --cacert {root} https://…"),
                format!("  browser   set {first} as HTTP and HTTPS proxy, then open http://overdub.test/"),
            ],
            Mode::Socks5 => vec![
                format!("recording on {} into {into}", places("socks5://")),
                format!("  curl      curl --proxy socks5h://{first} --cacert {root} https://…"),
                format!("  browser   set {first} as SOCKS 5 proxy, and trust the root certificate"),
            ],
            Mode::Reverse(Reverse { origin, .. }) => vec![
                format!("recording {origin} on {} into {into}", places("http://")),
                format!("  curl      curl http://{first}/"),
                format!("  browser   open http://{first}/, or https://{first}/ once the root certificate is trusted"),
            ],
            Mode::Transparent => vec![
                format!("recording what is redirected to {} into {into}", places("")),
                format!(
                    "  route     iptables -t nat -A PREROUTING -p tcp -m multiport --dports 80,443 -j REDIRECT --to-ports {}",
                    first.port()
                ),
            ],
        };
        lines.push(format!("  root      {root}"));
        lines
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn settings(arguments: &[&str]) -> Result<Settings, String> {
        let command = Flags::augment_args(clap::Command::new("record"));
        let all = std::iter::once("record").chain(arguments.iter().copied());
        let matches = command.try_get_matches_from(all).map_err(|error| error.to_string())?;
        Flags::from_arg_matches(&matches).unwrap().settings().map_err(|error| error.to_string())
    }

    #[test]
    fn modes_are_read() {
        let reverse = |url: &str| Mode::Reverse(Reverse { origin: url.parse().unwrap(), address: Address::Translated });
        for (text, expected) in [
            ("forward", Mode::Forward),
            ("socks5", Mode::Socks5),
            ("transparent", Mode::Transparent),
            ("reverse=https://shop.test", reverse("https://shop.test")),
            ("reverse=http://Shop.test:8000/", reverse("http://shop.test:8000")),
        ] {
            assert_eq!(settings(&["--mode", text]).unwrap().mode, expected);
        }
        let kept = settings(&["--mode", "reverse=http://a", "--keep-host"]).unwrap().mode;
        assert!(matches!(kept, Mode::Reverse(Reverse { address: Address::Kept, .. })));
    }

    #[test]
    fn several_listeners_have_users_of_their_own_unless_told_otherwise() {
        let two = ["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:2"];
        assert_eq!(settings(&[]).unwrap().user_by, UserBy::default());
        let settings_of_two = settings(&two).unwrap();
        assert_eq!((settings_of_two.listen.len(), settings_of_two.user_by), (2, UserBy::default().and_listener()));
        let told = settings(&[&two[..], &["--user-by", "auto"]].concat()).unwrap();
        assert_eq!(told.user_by, UserBy::default());
    }

    #[test]
    fn contradictions_and_nonsense_are_refused_with_a_sentence() {
        for (arguments, said) in [
            (&["--mode", "reverse"][..], "socks5 or transparent"),
            (&["--mode", "reverse=shop.test"], "http:// or https://"),
            (&["--mode", "reverse=https://shop.test/app"], "has a path"),
            (&["--keep-host"], "--mode reverse"),
            (&["--no-proxy", "a"], "--upstream-proxy"),
            (&["--upstream-proxy", "ftp://x"], "socks5://"),
            (&["--user-by", "shoe-size"], "listener"),
            (&["--mode", "transparent", "--user-by", "proxy-credentials"], "forward or socks5"),
        ] {
            let error = settings(arguments).unwrap_err();
            assert!(error.contains(said), "{arguments:?}: {error}");
        }
    }
}
