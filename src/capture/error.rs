//! Why a capture cannot be written or read.

/// Errors of this room, ordered by who must act.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A repair would write over what it reads.
    #[error("input and output are the same file")]
    SameFile,
    /// The file is something else.
    #[error("not an overdub capture")]
    NotACapture,
    /// The file is from a newer major version of the format.
    #[error(
        "written by overdub {program} in format {major}.{minor}, which this version cannot read; use overdub {program} or later"
    )]
    Newer {
        /// Program version in the header.
        program: String,
        /// Format major.
        major: u16,
        /// Format minor.
        minor: u16,
    },
    /// The header itself is cut or damaged.
    #[error("the capture's header is damaged")]
    Header,
    /// No such exchange.
    #[error("the capture has no exchange {0}")]
    NoExchange(u64),
    /// No such session.
    #[error("the capture has no session {0}")]
    NoSession(u32),
    /// A record inside a sound frame cannot be decoded.
    #[error("a record of the capture cannot be decoded")]
    Record,
    /// A frame that was sound when the file was opened, or is pointed at by the index, does not hold.
    #[error("the capture is damaged at offset {offset}; `overdub repair` saves the rest")]
    Damaged {
        /// Where the frame starts.
        offset: u64,
    },
    /// A record is longer than the format allows; it was not written.
    #[error("a record of {bytes} bytes is over what a capture can hold")]
    TooLarge {
        /// Its length.
        bytes: u64,
    },
    /// There is no room on the disk.
    #[error("the disk is full")]
    DiskFull(#[source] std::io::Error),
    /// Any other file error.
    #[error("cannot access the capture file")]
    Io(#[source] std::io::Error),
}

impl From<std::io::Error> for CaptureError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull(error),
            _ => Self::Io(error),
        }
    }
}
