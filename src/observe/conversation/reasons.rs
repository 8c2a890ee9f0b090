//! Why exchanges are not whole, in the words of the live proxy where it has some.

use crate::model::{Incomplete, Side};
use crate::observe::streams::Ending;

/// `side` ended inside its message.
pub(super) fn inside(side: Side, how: Ending) -> Incomplete {
    match (side, how) {
        (Side::Request, Ending::Fin) => Incomplete::Client("closed inside the request".into()),
        (Side::Response, Ending::Fin) => Incomplete::Upstream("closed inside the response".into()),
        (_, Ending::Reset) => reset(side),
        (_, Ending::Stopped) => Incomplete::Stopped,
        (Side::Request, Ending::EndOfCapture) => not_recorded("the capture ends inside the request"),
        (Side::Response, Ending::EndOfCapture) => not_recorded("the capture ends inside the response"),
        (Side::Request, Ending::Reused | Ending::Forgotten) => not_recorded("the end of the request was not captured"),
        (Side::Response, Ending::Reused | Ending::Forgotten) => {
            not_recorded("the end of the response was not captured")
        }
    }
}

/// Bytes of the message of `side` were lost.
pub(super) fn missing(side: Side) -> Incomplete {
    match side {
        Side::Request => not_recorded("bytes of the request are missing from the source"),
        Side::Response => not_recorded("bytes of the response are missing from the source"),
    }
}

/// The server ended without a response.
pub(super) fn unanswered(how: Ending) -> Incomplete {
    match how {
        Ending::Fin => Incomplete::Upstream("closed without an answer".into()),
        Ending::Reset => reset(Side::Response),
        Ending::Stopped => Incomplete::Stopped,
        Ending::EndOfCapture => not_recorded("the capture ends before the response"),
        Ending::Reused | Ending::Forgotten => response_lost(),
    }
}

/// `side` broke the connection.
pub(super) fn reset(side: Side) -> Incomplete {
    let words = "connection reset by peer".into();
    match side {
        Side::Request => Incomplete::Client(words),
        Side::Response => Incomplete::Upstream(words),
    }
}

/// There may have been a response, and nobody saw it.
pub(super) fn response_lost() -> Incomplete {
    not_recorded("the response was not captured")
}

/// There was a request, and nobody saw it.
pub(super) fn request_lost() -> Incomplete {
    not_recorded("the request was not captured")
}

/// The server wanted no more of the request.
pub(super) fn refused() -> Incomplete {
    Incomplete::Upstream("answered before the whole request was sent".into())
}

/// `side` sent what cannot be read on.
pub(super) fn malformed(side: Side, error: &dyn std::error::Error) -> Incomplete {
    match side {
        Side::Request => Incomplete::Client(error.to_string()),
        Side::Response => Incomplete::Upstream(error.to_string()),
    }
}

pub(super) fn not_recorded(words: &str) -> Incomplete {
    Incomplete::NotRecorded(words.into())
}
