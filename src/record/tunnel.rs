//! Bytes that are not HTTP, both ways until both ends have closed.

use std::io;

use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::select;

use super::link::{Intake, Io, Link};
use super::listener::Stop;

/// Passes everything on in both directions; a FIN is passed on, too. Ends with the recording at the latest.
pub(super) async fn copy(client: &mut Link, server: &mut Link, stop: &mut Stop) {
    let up = pour(&mut client.intake, &mut server.outlet);
    let down = pour(&mut server.intake, &mut client.outlet);
    select! {
        _ = async { tokio::try_join!(up, down) } => {}
        () = stop.requested() => {}
    }
}

async fn pour(from: &mut Intake, to: &mut WriteHalf<Io>) -> io::Result<()> {
    loop {
        if !from.bytes.is_empty() {
            to.write_all(&from.bytes).await?;
            to.flush().await?;
            from.bytes.clear();
        }
        if from.more().await? == 0 {
            return to.shutdown().await;
        }
    }
}
