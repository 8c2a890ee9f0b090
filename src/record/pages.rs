//! Our own answers, when there is no server's to pass on. Plain text: readable in a browser and in a terminal.

use crate::model::Origin;

use super::upstream::ConnectError;

/// A page and the status it goes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    status: &'static str,
    text: String,
}

impl Page {
    /// What the client sent cannot be passed on.
    pub(super) fn bad_request(why: &str) -> Self {
        Self { status: "400 Bad Request", text: format!("overdub could not read this request: {why}.\n") }
    }

    /// Somebody opened the proxy as if it were a web site.
    pub(super) fn not_a_site() -> Self {
        let text = "This is the overdub recording proxy, not a web site.\n\
                    Set it as the HTTP and HTTPS proxy of your browser, or use `curl --proxy`.\n";
        Self { status: "400 Bad Request", text: text.to_owned() }
    }

    /// The server cannot be reached or believed.
    pub(super) fn unreachable(origin: &Origin, error: &ConnectError) -> Self {
        let status = match error {
            ConnectError::Itself => "508 Loop Detected",
            ConnectError::Timeout => "504 Gateway Timeout",
            _ => "502 Bad Gateway",
        };
        let advice = match error {
            ConnectError::Itself => "The address is that of the proxy itself.",
            ConnectError::Certificate(_) => {
                "If this server is yours, restart the recording with `--upstream-ca FILE` and the certificate that signed \
                 the server's, or with `--upstream-insecure` to believe any certificate."
            }
            ConnectError::Tls(_) => "The address was reached, but it does not speak TLS the way this program does.",
            ConnectError::Name(_) => "Check the host name; the proxy looks it up, not the browser.",
            ConnectError::Tcp(_) | ConnectError::Timeout => "Check that the server runs and can be reached from here.",
        };
        Self { status, text: format!("overdub could not connect to {origin}: {}.\n{advice}\n", error.chain()) }
    }

    /// The server hung up or sent rubbish.
    pub(super) fn broken(origin: &Origin, why: &str) -> Self {
        let text = format!("overdub got no usable answer from {origin}: {why}.\n");
        Self { status: "502 Bad Gateway", text }
    }

    /// As bytes; without a body when the request was for the head only. The connection is closed after it.
    pub(super) fn bytes(&self, method: &str) -> Vec<u8> {
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             Server: overdub\r\nConnection: close\r\n\r\n",
            self.status,
            self.text.len()
        );
        let body = if method == "HEAD" { "" } else { self.text.as_str() };
        [head.as_bytes(), body.as_bytes()].concat()
    }
}
