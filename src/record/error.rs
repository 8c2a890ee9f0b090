//! Why a recording cannot start or end well. Traffic that fails is no error here: it is recorded with its reason.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::capture::CaptureError;

use super::RecordSummary;

/// Errors of this room, ordered by who must act.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The address to listen on is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The interception root cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A certificate to trust cannot be used.
    #[error("cannot trust the extra certificates")]
    Trust(#[source] rustls::Error),
    /// The file for TLS secrets cannot be used.
    #[error("cannot write TLS secrets to {}", path.display())]
    Keylog {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The capture cannot be created.
    #[error("cannot create {}", path.display())]
    Create {
        /// The capture.
        path: PathBuf,
        /// Why.
        #[source]
        source: CaptureError,
    },
    /// The capture could not be closed properly; what was flushed before is readable.
    #[error("cannot finish {}", path.display())]
    Finish {
        /// The capture.
        path: PathBuf,
        /// What was seen until then.
        summary: Box<RecordSummary>,
        /// Why.
        #[source]
        source: CaptureError,
    },
    /// The system refused a thread.
    #[error("cannot start the writer")]
    Thread(#[source] io::Error),
    /// The thread that writes the capture died; what was flushed before is readable.
    #[error("the writer of the capture failed")]
    Writer,
}

/// Why the interception root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Other users could read the key.
    #[error("{} can be read by others; make it private with `chmod 600`, or delete it to get a new root", .0.display())]
    Exposed(PathBuf),
    /// One of the two files is gone.
    #[error("{} is missing beside {}; put it back, or delete the other to get a new root", missing.display(), present.display())]
    Half {
        /// What is not there.
        missing: PathBuf,
        /// What is there.
        present: PathBuf,
    },
    /// The file holds something else.
    #[error("{} is damaged; delete it and its companion to get a new root", .0.display())]
    Damaged(PathBuf),
    /// Nobody would believe its certificates any more.
    #[error("the root in {} has expired; delete it and its key to get a new one", .0.display())]
    Expired(PathBuf),
    /// Certificate and key belong to different roots.
    #[error("the key in {} does not belong to its certificate; delete both to get a new root", .0.display())]
    Mismatch(PathBuf),
    /// A file or directory cannot be read or written.
    #[error("cannot access {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Mint(#[source] rcgen::Error),
}
