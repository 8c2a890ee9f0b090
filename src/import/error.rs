//! Why an import cannot be done, and what was wrong with one that was.

use std::path::PathBuf;

use crate::capture::CaptureError;

use super::input::{Damage, InputError};
use super::packet::ContainerError;
use super::{Format, goreplay, har, mitmproxy};

/// Nothing could be imported, or nothing more can be written.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The input cannot be opened or read.
    #[error("{}", shown(path))]
    Input {
        /// Which.
        path: PathBuf,
        /// Why.
        source: InputError,
    },
    /// The first bytes are those of no kind of file that can be imported.
    #[error(
        "{} is none of the files that can be imported: pcap, pcapng (also .gz, .zst), HAR, mitmproxy flows, GoReplay",
        shown(path)
    )]
    Unknown {
        /// Which.
        path: PathBuf,
    },
    /// The input is empty.
    #[error("{} is empty", shown(path))]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// The input is compressed, and its compressed stream ends or breaks before anything can be told of it.
    #[error("{}: {damage}, and too little could be decompressed to tell what it is", shown(path))]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What.
        damage: Damage,
    },
    /// The input is what an import makes.
    #[error("{} is a capture already; correlate, inspect or export it as it is", shown(path))]
    Capture {
        /// Which.
        path: PathBuf,
    },
    /// Only packets are read while they come.
    #[error("--follow is for packet captures; {} is a {found}, which can be imported once it is complete", shown(path))]
    NotFollowed {
        /// Which.
        path: PathBuf,
        /// What it is.
        found: Format,
    },
    /// It was stopped before there was anything to keep.
    #[error("interrupted before anything was read")]
    Stopped,
    /// Several inputs make one capture only when they are of one kind.
    #[error("{} is a {found}, and the inputs before it are not", shown(path))]
    Mixed {
        /// Which.
        path: PathBuf,
        /// What it is.
        found: Format,
    },
    /// A key log file cannot be read.
    #[error("cannot read the key log {}", path.display())]
    Keylog {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no packet capture, from its first record on.
    #[error("{}", shown(path))]
    Packets {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ContainerError,
    },
    /// It is no HAR, from its first entry on.
    #[error("{}", shown(path))]
    Har {
        /// Which.
        path: PathBuf,
        /// Why.
        source: har::HarError,
    },
    /// It holds no mitmproxy flow that can be read.
    #[error("{}", shown(path))]
    Mitmproxy {
        /// Which.
        path: PathBuf,
        /// Why.
        source: mitmproxy::FlowError,
    },
    /// It holds no GoReplay message that can be read.
    #[error("{}", shown(path))]
    GoReplay {
        /// Which.
        path: PathBuf,
        /// Why.
        source: goreplay::GoReplayError,
    },
    /// What is compressed, or comes through a pipe, could not be kept beside the capture for a second reading.
    #[error("cannot keep what the input holds in a temporary file beside the capture")]
    Spool(#[source] std::io::Error),
    /// The capture cannot be written.
    #[error("cannot write the capture")]
    Write(#[from] CaptureError),
}

/// Something was wrong with an input. What could be read is in the capture; whoever imports must hear it.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Reading packets stopped early.
    #[error("{}: {}; what stands before it was read", shown(path), chain(error))]
    Packets {
        /// Which input.
        path: PathBuf,
        /// Why.
        error: ContainerError,
    },
    /// Between two readable records stood something else.
    #[error("{}: {bytes} bytes at offset {offset} are damaged and were passed over", shown(path))]
    Skipped {
        /// Which input.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// The compressed stream around the input is cut or damaged, or the file changed while it was read.
    #[error("{}: {damage}; what could be had was read", shown(path))]
    Compression {
        /// Which input.
        path: PathBuf,
        /// What.
        damage: Damage,
    },
    /// One input of several cannot be used.
    #[error("{}; the other inputs were read", chain(.0))]
    Left(Box<ImportError>),
    /// Reading the file stopped early.
    #[error("{}: {error}; what stands before it was read", shown(path))]
    Cut {
        /// Which input.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// Packets of link types that are not read.
    #[error("{packets} packets of link type {link}, which is not read, were left out")]
    LinkType {
        /// LINKTYPE number of tcpdump.org.
        link: u16,
        /// How many.
        packets: u64,
    },
    /// A file that was named as key log holds no secrets.
    #[error("{} holds no TLS key log line", path.display())]
    NoKeys {
        /// Which.
        path: PathBuf,
    },
    /// No secret fits any TLS connection.
    #[error("none of the {secrets} secrets of the key log fits any of the {connections} TLS connections")]
    WrongKeys {
        /// How many secrets.
        secrets: usize,
        /// How many connections.
        connections: u64,
    },
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut all = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !all.ends_with(&text) {
            all.push_str(": ");
            all.push_str(&text);
        }
        source = cause.source();
    }
    all
}

/// How an input is named to people.
pub fn shown(path: &std::path::Path) -> String {
    if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() }
}
