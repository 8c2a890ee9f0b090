//! Why a replay did not begin.

use std::io;

use super::trust::TrustError;

/// Errors of this room, ordered by who must act. What goes wrong during a run is in its samples, not here.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The certificates to trust cannot be used.
    #[error("cannot set up TLS")]
    Trust(#[from] TrustError),
    /// No name that a certificate could have.
    #[error("`{0}` is not a name that TLS can verify")]
    ServerName(String),
    /// The name of a target is not known.
    #[error("cannot find the address of {target}")]
    Resolve {
        /// The target.
        target: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// The system gives no thread, event loop or timer.
    #[error("cannot start the engine")]
    Start(#[source] io::Error),
}
