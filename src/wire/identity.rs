//! Whose request is this? Tells the sessions of several people apart by client address, cookies and user agent.
//!
//! Pure: fed with requests and responses in order, it answers with session numbers. Used by the proxy and by import.

use std::net::IpAddr;

use crate::model::{Headers, Nanos, Origin, SessionId, SessionInfo};

/// Groups requests into sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    _private: (),
}

/// What is known of a request when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// Client address.
    pub client: IpAddr,
    /// Number of the client's connection.
    pub connection: u64,
    /// Where it goes.
    pub origin: &'a Origin,
    /// Method.
    pub method: &'a str,
    /// Target in origin form.
    pub target: &'a [u8],
    /// Its header fields.
    pub headers: &'a Headers,
    /// When, since the anchor.
    pub now: Nanos,
}

impl Sessions {
    /// The session of this request. The second value is set when the session is new.
    pub fn of_request(&mut self, _seen: &Sighting<'_>) -> (SessionId, Option<SessionInfo>) {
        todo!()
    }

    /// Notes the `Set-Cookie` fields that a response gave to this session.
    pub fn saw_response(
        &mut self,
        _session: SessionId,
        _origin: &Origin,
        _target: &[u8],
        _headers: &Headers,
        _now: Nanos,
    ) {
        todo!()
    }

    /// Notes that a client connection has closed.
    pub fn closed(&mut self, _connection: u64) {
        todo!()
    }
}
