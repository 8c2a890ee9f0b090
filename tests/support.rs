//! What several test files share: servers that follow a script, the binary.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The program, without the environment's settings.
pub fn overdub() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overdub"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OVERDUB_")) {
        command.env_remove(name);
    }
    command
}

/// An address on loopback at which nobody listens.
pub fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Bytes in both directions.
pub trait Bytes: Read + Write + Send {}
impl<T: Read + Write + Send> Bytes for T {}

/// A server on loopback; each connection is a thread that follows a script. Stops when dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    stopping: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Server {
    /// A server that does `script` on each connection, which ends when the script returns.
    pub fn scripted(script: impl Fn(&mut Dialogue) + Send + Sync + 'static) -> Self {
        Self::wrapped(|stream| Box::new(stream), script)
    }

    /// A server that answers every request until the client closes.
    pub fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::scripted(move |dialogue| {
            while let Some(request) = dialogue.request() {
                dialogue.send(answer(&request));
            }
        })
    }

    /// A server whose connections are wrapped first, in TLS for example.
    pub fn wrapped(
        wrap: impl Fn(TcpStream) -> Box<dyn Bytes> + Send + Sync + 'static,
        script: impl Fn(&mut Dialogue) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stopping = Arc::new(AtomicBool::new(false));
        let (log, stop) = (Arc::clone(&requests), Arc::clone(&stopping));
        let shared = Arc::new((wrap, script));
        let listening = std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let (log, shared) = (Arc::clone(&log), Arc::clone(&shared));
                std::thread::spawn(move || {
                    let raw = stream.try_clone().unwrap();
                    let bytes = (shared.0)(stream);
                    (shared.1)(&mut Dialogue { bytes, raw, number, pending: Vec::new(), log });
                });
            }
        });
        Self { address, requests, stopping, listening: Some(listening) }
    }

    /// `http://` and the address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, each as its bytes came.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

/// One connection of a server.
pub struct Dialogue {
    /// Number of the connection, from 0.
    pub number: usize,
    bytes: Box<dyn Bytes>,
    raw: TcpStream,
    pending: Vec<u8>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Dialogue {
    /// The next request, head and body; `None` when the client closes.
    pub fn request(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.pending.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4) {
                let head = String::from_utf8_lossy(&self.pending[..end]).into_owned();
                let whole = end + field(&head, "content-length").map_or(0, |v| v.parse::<usize>().unwrap());
                if self.pending.len() >= whole {
                    let request: Vec<u8> = self.pending.drain(..whole).collect();
                    let request = String::from_utf8_lossy(&request).into_owned();
                    self.log.lock().unwrap().push(request.clone());
                    return Some(request);
                }
            }
            let mut buffer = [0; 4096];
            match self.bytes.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Sends bytes; false when the client is gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.bytes.write_all(bytes.as_ref()).and_then(|()| self.bytes.flush()).is_ok()
    }

    /// Waits until the client has sent something, and leaves it unread: closing now resets the connection.
    pub fn wait_without_reading(&mut self) {
        let _ = self.raw.peek(&mut [0]);
    }

    /// Waits until the client closes.
    pub fn wait_for_close(&mut self) {
        while self.bytes.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
    }
}

/// A header field of a message.
pub fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let head = message.split("\r\n\r\n").next()?;
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.trim())
}

/// A response with a body of a type.
pub fn page(content_type: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
