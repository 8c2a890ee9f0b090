//! What the proxy itself knows of a client connection, beside what is said on it.

use std::net::SocketAddr;

use super::user_by::Key;

/// Longest user name that is shown.
const USER_CHARS: usize = 255;

/// A client connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guest {
    /// Address of the proxy on which it came.
    pub(super) listener: Option<SocketAddr>,
    /// User name that it gave to the proxy.
    pub(super) user: Option<String>,
}

impl Guest {
    /// What of it belongs to `keys`, in words.
    pub(super) fn words(&self, keys: &[Key]) -> Vec<String> {
        let words = keys.iter().filter_map(|key| match key {
            Key::Listener => self.listener.map(|address| format!("listener {address}")),
            Key::ProxyUser => self.user.as_ref().map(|user| {
                let user: String = user.chars().take(USER_CHARS).collect();
                format!("proxy user `{user}`")
            }),
            _ => None,
        });
        words.collect()
    }
}
