//! What is fed, and with what. Each target reads bytes alone, so that other fuzzers can drive it too; each panics when a
//! promise is broken.

mod connection;
mod import;
mod make;
mod wire;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use crate::dice::Dice;
use crate::seeds::Seeds;

pub use import::CODINGS;

/// One thing that is fed.
#[derive(Clone, Copy)]
pub struct Target {
    /// As on the command line.
    pub name: &'static str,
    /// How often it is chosen when none is named.
    pub weight: usize,
    /// Feeds it.
    pub run: fn(&Bench, &[u8]),
    /// Makes an input for it.
    pub make: fn(&Seeds, &mut Dice) -> Vec<u8>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "packets", weight: 50, run: import::file, make: make::packets },
    Target { name: "har", weight: 6, run: import::file, make: make::har },
    Target { name: "flows", weight: 6, run: import::file, make: make::flows },
    Target { name: "payloads", weight: 4, run: import::file, make: make::payloads },
    Target { name: "conversation", weight: 12, run: import::conversation, make: make::conversation },
    Target { name: "container", weight: 3, run: connection::container, make: make::container },
    Target { name: "dissector", weight: 3, run: connection::dissector, make: make::dissector },
    Target { name: "tcp", weight: 4, run: connection::tcp, make: make::tcp },
    Target { name: "tls", weight: 3, run: connection::tls, make: make::tls },
    Target { name: "http1", weight: 3, run: wire::http1, make: make::dialogue },
    Target { name: "http2", weight: 3, run: wire::http2, make: make::http2 },
    Target { name: "hpack", weight: 2, run: wire::hpack, make: make::hpack },
    Target { name: "websocket", weight: 2, run: wire::websocket, make: make::websocket },
    Target { name: "sse", weight: 1, run: wire::sse, make: make::events },
    Target { name: "grpc", weight: 1, run: wire::grpc, make: make::grpc },
    Target { name: "content", weight: 2, run: import::content, make: make::content },
    // These cost much, so they have to be asked for: what is long, and what is started anew.
    Target { name: "long", weight: 0, run: import::conversation, make: make::long },
    Target { name: "many", weight: 0, run: import::file, make: make::many },
    Target { name: "program", weight: 0, run: import::program, make: make::any_file },
];

/// The target of this name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Where targets keep files, gone with it.
#[derive(Debug)]
pub struct Bench {
    folder: PathBuf,
    /// The program for the target that runs it.
    pub program: Option<PathBuf>,
    /// Exchanges that were imported: tells how far inside the inputs get.
    pub exchanges: Cell<u64>,
}

impl Bench {
    /// In memory, where the system has a file system for that.
    pub fn new() -> std::io::Result<Self> {
        let root = Path::new("/dev/shm");
        let root = if root.is_dir() { root.to_owned() } else { std::env::temp_dir() };
        let folder = root.join(format!("overdub-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, program: None, exchanges: Cell::new(0) })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Feeds `input` to a target, for fuzzers that keep nothing between inputs.
pub fn feed(name: &str, input: &[u8]) {
    thread_local! {
        static BENCH: Bench = Bench::new().expect("a folder for files");
    }
    let target = named(name).expect("a target of this name");
    BENCH.with(|bench| (target.run)(bench, input));
}

/// Splits what two bytes of length stand before from the rest; anything can be split.
pub(crate) fn split(input: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = input.split_first_chunk::<2>() else { return (&[], &[]) };
    rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()))
}

/// The other way round.
pub(crate) fn joined(first: &[u8], rest: &[u8]) -> Vec<u8> {
    let first = &first[..first.len().min(0xffff)];
    [&(first.len() as u16).to_be_bytes(), first, rest].concat()
}
