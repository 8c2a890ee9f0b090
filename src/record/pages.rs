//! Our own answers, when there is no server's to pass on. Errors are plain text: readable in a browser and in a terminal.

use rustls::AlertDescription;

use crate::model::Origin;

use super::chain::TunnelError;
use super::credentials::Names;
use super::upstream::ConnectError;

/// What the page may do in a browser: show itself, and see whether our own name can be reached.
const HTML_POLICY: &str = "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                           img-src data: http://overdub.test https://overdub.test; form-action 'none'; \
                           frame-ancestors 'none'; base-uri 'none'\r\n";
/// The one status that says how to come again.
const PROXY_AUTHENTICATION: &str = "407 Proxy Authentication Required";

/// A page and the status it goes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    status: &'static str,
    kind: Kind,
    body: Vec<u8>,
}

/// What a page is to a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Html,
    Svg,
    /// A file with its media type and name.
    Download(&'static str, &'static str),
}

impl Page {
    /// What the client sent cannot be passed on.
    pub(super) fn bad_request(why: &str) -> Self {
        Self::text("400 Bad Request", format!("overdub could not read this request: {why}.\n"))
    }

    /// Plain words.
    pub(super) fn plain(status: &'static str, text: String) -> Self {
        Self::text(status, text)
    }

    /// Somebody opened the proxy as if it were a web site.
    pub(super) fn not_a_site() -> Self {
        let text = "This is the overdub recording proxy, not a web site.\n\
                    Set it as the HTTP and HTTPS proxy of your browser, or use `curl --proxy`.\n\
                    How to set up a device is said at the path / of this address.\n";
        Self::text("400 Bad Request", text)
    }

    /// Nothing of ours stands there.
    pub(super) fn missing() -> Self {
        let text = "The overdub recording proxy has no such page; see http://overdub.test/\n";
        Self::text("404 Not Found", text)
    }

    /// Something of ours.
    pub(super) fn own(kind: Kind, body: impl Into<Vec<u8>>) -> Self {
        Self { status: "200 OK", kind, body: body.into() }
    }

    /// Somebody took the site, for which we stand, for a proxy.
    pub(super) fn not_a_proxy() -> Self {
        let text = "This overdub records with --mode reverse: open it like a web site, and do not set it as a proxy.\n";
        Self::text("400 Bad Request", text)
    }

    /// The client has to say who it is.
    pub(super) fn who_are_you() -> Self {
        let text = "This overdub tells people apart by the user name they give to the proxy (--user-by proxy-credentials).\n\
                    Give any name of your own, and any password: it is not looked at.\n";
        Self::text(PROXY_AUTHENTICATION, text)
    }

    /// The client has to give the password, and the user name that goes with it or, when that is free, one of its own.
    pub(super) fn credentials(names: Names) -> Self {
        let user = match names {
            Names::Checked => "the user name",
            Names::Free => "any user name of your own",
        };
        let text = format!(
            "This overdub recording proxy wants {user} and the password that its terminal showed when the recording began, or \
             that it was started with (--credentials).\nHow to set up a device is said at the path / of this address.\n"
        );
        Self::text(PROXY_AUTHENTICATION, text)
    }

    /// Somebody took the SOCKS proxy for an HTTP proxy.
    pub(super) fn socks_only() -> Self {
        let text = "This overdub records with --mode socks5: set it as a SOCKS 5 proxy, not as an HTTP proxy.\n";
        Self::text("400 Bad Request", text)
    }

    /// A connection that cannot be recorded.
    pub(super) fn astray(why: &str) -> Self {
        Self::text("421 Misdirected Request", format!("overdub cannot serve this: {why}.\n"))
    }

    /// The server cannot be reached or believed.
    pub(super) fn unreachable(origin: &Origin, error: &ConnectError) -> Self {
        let status = match error {
            ConnectError::Itself => "508 Loop Detected",
            ConnectError::Timeout => "504 Gateway Timeout",
            _ => "502 Bad Gateway",
        };
        let advice = match error {
            ConnectError::Itself => "Ask the proxy for some other server.".to_owned(),
            ConnectError::Certificate(distrust) => distrust.advice(),
            ConnectError::Alert(AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity) => {
                "The server and this program, which speaks TLS 1.2 and 1.3, have no version or cipher suite in common."
                    .to_owned()
            }
            ConnectError::Alert(_) => "If the server wants a client certificate, restart the recording with \
                 `--client-cert FILE`; else it may have no TLS 1.2 or 1.3, or none of the cipher suites in use today."
                .to_owned(),
            ConnectError::Tls(_) => {
                "The address was reached, but it does not speak TLS the way this program does.".to_owned()
            }
            ConnectError::Name(_) => "Check the host name; the proxy looks it up, not the browser.".to_owned(),
            ConnectError::Tunnel(_, TunnelError::Credentials(_)) => {
                "Restart the recording with the user name and password in \
                 `--upstream-proxy http://user:password@host:port`."
                    .to_owned()
            }
            ConnectError::Tunnel(..) => {
                "Its administrator may not allow this server or port; `--no-proxy HOST` lets the \
                 recorder go there directly."
                    .to_owned()
            }
            ConnectError::Proxy(..) => {
                "Check that `--upstream-proxy` is right and that the proxy can be reached from here.".to_owned()
            }
            ConnectError::Tcp(_) | ConnectError::Timeout => {
                "Check that the server runs and can be reached from here.".to_owned()
            }
        };
        Self::text(status, format!("overdub could not connect to {origin}: {}.\n{advice}\n", error.chain()))
    }

    /// The server hung up or sent rubbish.
    pub(super) fn broken(origin: &Origin, why: &str) -> Self {
        Self::text("502 Bad Gateway", format!("overdub got no usable answer from {origin}: {why}.\n"))
    }

    fn text(status: &'static str, text: impl Into<Vec<u8>>) -> Self {
        Self { status, kind: Kind::Text, body: text.into() }
    }

    /// As bytes; without a body when the request was for the head only. The connection is closed after it.
    pub(super) fn bytes(&self, method: &str) -> Vec<u8> {
        self.followed_by("close", method)
    }

    /// The same, and the client may go on.
    pub(super) fn bytes_before_more(&self, method: &str) -> Vec<u8> {
        self.followed_by("keep-alive", method)
    }

    fn followed_by(&self, connection: &str, method: &str) -> Vec<u8> {
        let (media, more) = self.kind.fields();
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: {media}\r\n{more}Content-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nServer: overdub\r\n{}Connection: {connection}\r\n\r\n",
            self.status,
            self.body.len(),
            if self.status == PROXY_AUTHENTICATION { "Proxy-Authenticate: Basic realm=\"overdub\"\r\n" } else { "" }
        );
        let body = if method == "HEAD" { &[] } else { self.body.as_slice() };
        [head.as_bytes(), body].concat()
    }
}

impl Kind {
    /// Media type, and the lines that go with it.
    fn fields(self) -> (&'static str, String) {
        match self {
            Self::Text => ("text/plain; charset=utf-8", String::new()),
            Self::Html => ("text/html; charset=utf-8", HTML_POLICY.to_owned()),
            Self::Svg => ("image/svg+xml", String::new()),
            Self::Download(media, name) => (media, format!("Content-Disposition: attachment; filename=\"{name}\"\r\n")),
        }
    }
}
