//! The ordered exchanges of one recorded user.

use super::Exchange;

/// Number of a session in its capture, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// What is known of a recorded user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its number.
    pub id: SessionId,
    /// Client address as text, without the port.
    pub client: String,
    /// `User-Agent` of its first request.
    pub user_agent: Option<String>,
    /// What tells this user from others, such as `cookie sid` or `client address and user agent`; empty when not said.
    pub evidence: String,
    /// True when it begins in the middle: its first requests carry cookies or credentials that no response gave it.
    pub midway: bool,
}

/// One recorded user: exchanges in the order in which they began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Who.
    pub info: SessionInfo,
    /// What they did, by start time.
    pub exchanges: Vec<Exchange>,
}
