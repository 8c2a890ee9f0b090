//! SIGINT and SIGTERM as something to wait for.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CliError, Exit};

/// Twice so many descriptors must be free at the start.
const SPARE_PAIRS: usize = 4;

/// From now on a file that grows over the limit of the system (`ulimit -f`) is a failed write like any other, and not the
/// sudden end of the program: traffic that is being recorded flows on, and what was measured is still told.
///
/// # Errors
/// When the system allows so few open files that nothing would work.
pub(super) fn survive_file_limit() -> Result<(), CliError> {
    let few = |error: io::Error| {
        let context = "the system allows this process too few open files (raise `ulimit -n`)";
        CliError::because(Exit::Broken, context, &error)
    };
    // The library panics when it finds no descriptors for signals, so we look first.
    let spare = (0..SPARE_PAIRS).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>().map_err(few)?;
    drop(spare);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(few)?;
    let _inside = runtime.enter();
    // The handler stays when the stream of signals is dropped. A system that refuses it ends us as it always did.
    let _ = signal(SignalKind::from_raw(libc::SIGXFSZ));
    Ok(())
}

/// Which of the two came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// SIGINT: Ctrl-C in the terminal, which all programs in its foreground get.
    Interrupt,
    /// SIGTERM: for us alone.
    Terminate,
}

/// Both signals, from now on; they no longer end the program by themselves.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Starts to listen. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for either. Cancellation-safe.
    pub(super) async fn either(&mut self) -> Received {
        tokio::select! {
            _ = self.interrupt.recv() => Received::Interrupt,
            _ = self.terminate.recv() => Received::Terminate,
        }
    }
}
