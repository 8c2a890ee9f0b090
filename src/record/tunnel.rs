//! Bytes passed both ways as they come until both ends have closed, and told to the side.

use std::io;

use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::select;
use tokio::time::sleep;

use crate::model::Side;
use crate::observe::streams::Ending;
use crate::wire::http2::Veil;

use super::link::{Intake, Io, Link};
use super::listener::{GRACE, Stop};
use super::tee::Wiretap;

/// Passes everything on in both directions, what the server says through the veil; a FIN is passed on, too. Ends soon after the recording at the latest.
pub(super) async fn copy(
    client: &mut Link,
    server: &mut Link,
    wiretap: Wiretap,
    mut veil: Option<Veil>,
    stop: &mut Stop,
) {
    let mut open = Open { wiretap, sides: [true; 2] };
    let Link { intake: client_in, outlet: client_out, .. } = client;
    let Link { intake: server_in, outlet: server_out, .. } = server;
    let mut unveiled = None;
    let [up_open, down_open] = &mut open.sides;
    let wiretap = &open.wiretap;
    let up = pour(client_in, server_out, wiretap, (Side::Request, &mut unveiled), up_open);
    let down = pour(server_in, client_out, wiretap, (Side::Response, &mut veil), down_open);
    let stopped = async {
        stop.requested().await;
        // What is under way may come to its end. The listener ends us behind that.
        sleep(GRACE / 2).await;
    };
    let broken = select! {
        done = async { tokio::try_join!(up, down) } => done.err(),
        () = stopped => None,
    };
    if let Some(side) = broken {
        open.end(side, Ending::Reset);
    }
}

/// What has not ended yet. Dropped, it ends as the recording does.
struct Open {
    wiretap: Wiretap,
    sides: [bool; 2],
}

impl Open {
    fn end(&mut self, side: Side, how: Ending) {
        for (open, of) in self.sides.iter_mut().zip([Side::Request, Side::Response]) {
            if std::mem::take(open) {
                self.wiretap.ended(of, if of == side { how } else { Ending::Fin });
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        for (open, side) in self.sides.iter_mut().zip([Side::Request, Side::Response]) {
            if std::mem::take(open) {
                self.wiretap.ended(side, Ending::Stopped);
            }
        }
    }
}

/// Passes one direction on; an error says whose end broke.
async fn pour(
    from: &mut Intake,
    to: &mut WriteHalf<Io>,
    wiretap: &Wiretap,
    (side, veil): (Side, &mut Option<Veil>),
    open: &mut bool,
) -> Result<(), Side> {
    let there = |_: io::Error| side.other();
    let mut veiled = Vec::new();
    loop {
        if !from.bytes.is_empty() {
            wiretap.bytes(side, &from.bytes);
            let bytes = match veil {
                None => &from.bytes[..],
                Some(veil) => {
                    veiled.clear();
                    veil.pass(&from.bytes, &mut veiled);
                    &veiled
                }
            };
            to.write_all(bytes).await.map_err(there)?;
            to.flush().await.map_err(there)?;
            from.bytes.clear();
        }
        if from.more().await.map_err(|_| side)? == 0 {
            if std::mem::take(open) {
                wiretap.ended(side, Ending::Fin);
            }
            return to.shutdown().await.map_err(there);
        }
    }
}
