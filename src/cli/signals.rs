//! SIGINT and SIGTERM as something to wait for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// From now on a file that grows over the limit of the system (`ulimit -f`) is a failed write like any other, and not the
/// sudden end of the program: traffic that is being recorded flows on, and what was measured is still told.
pub(super) fn survive_file_limit() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let _inside = runtime.enter();
    // The handler stays when the stream of signals is dropped. A system that refuses it ends us as it always did.
    let _ = signal(SignalKind::from_raw(libc::SIGXFSZ));
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
    pub(super) async fn either(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
