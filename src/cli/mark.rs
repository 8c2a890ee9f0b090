//! `overdub mark`: tells a running recording which transaction begins.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::record::{Label, MARK_PATH, OWN_HOST};
use crate::wire::http1::{Event, Limits, Reader, ResponseHead};

use super::inspect::text::{Lines, visible};
use super::{CliError, Console, Exit};

/// For connecting, and for the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const ANSWER_BYTES: usize = 64 * 1024;

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of the transaction that begins now
    #[arg(value_name = "NAME", required_unless_present = "end", conflicts_with = "end")]
    name: Option<Label>,
    /// End the transaction
    #[arg(long)]
    end: bool,
    /// Address of the proxy that records
    #[arg(long, env = "OVERDUB_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    proxy: SocketAddr,
    /// Print nothing but errors
    #[arg(short, long, env = "OVERDUB_QUIET", value_parser = clap::builder::FalseyValueParser::new())]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// When no recording listens there, or it does not set the mark.
pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let address = reachable(arguments.proxy);
    let answer = ask(address, &request(arguments.name.as_ref())).map_err(|error| {
        let advice = "start `overdub record`, or name its address with --proxy";
        CliError::because(Exit::Broken, format_args!("no recording answers at {address} ({advice})"), &error)
    })?;
    let Some((head, body)) = understood(&answer).filter(|(head, _)| is_overdubs(head)) else {
        return Err(CliError::new(Exit::Broken, format!("what listens at {address} is no recording of overdub")));
    };
    let said = visible(body.trim_ascii(), Lines::Escape);
    match head.status {
        200..300 => {
            Console::new(arguments.quiet).say(said);
            Ok(Exit::Passed)
        }
        400..500 => Err(CliError::new(Exit::Usage, format!("the recording at {address} set no mark: {said}"))),
        _ => Err(CliError::new(Exit::Broken, format!("the recording at {address} set no mark: {said}"))),
    }
}

/// Where to connect to reach who listens there.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn request(name: Option<&Label>) -> Vec<u8> {
    let (method, body) = name.map_or(("DELETE", ""), |name| ("POST", name.as_str()));
    let length = body.len();
    let head =
        format!("{method} {MARK_PATH} HTTP/1.1\r\nHost: {OWN_HOST}\r\nContent-Length: {length}\r\nConnection: close");
    format!("{head}\r\n\r\n{body}").into_bytes()
}

/// Sends the request and reads until the answer is whole; gives what came.
fn ask(address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while answer.len() < ANSWER_BYTES && understood(&answer).is_none() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// The head and body of an answer that is whole; none when it is not.
fn understood(answer: &[u8]) -> Option<(ResponseHead, Vec<u8>)> {
    let mut reader = Reader::responses(Limits::default());
    reader.expect("POST");
    let (mut at, mut head, mut body) = (0, None, Vec::new());
    loop {
        let rest = &answer[at..];
        let step = reader.read(rest).ok()?;
        match step.event {
            Some(Event::Response(found, _)) => head = Some(found),
            Some(Event::Body(range)) => body.extend_from_slice(&rest[range]),
            Some(Event::End(_)) => return Some((head?, body)),
            Some(Event::Request(..)) => return None,
            None if step.consumed == 0 => return None,
            None => {}
        }
        at += step.consumed;
    }
}

/// Whether it is ours: anything may listen on that port.
fn is_overdubs(head: &ResponseHead) -> bool {
    head.headers.text("server") == Some("overdub")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_loopback() {
        for (listen, reached) in
            [("0.0.0.0:8080", "127.0.0.1:8080"), ("[::]:81", "[::1]:81"), ("192.0.2.7:8080", "192.0.2.7:8080")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), reached.parse().unwrap());
        }
    }

    #[test]
    fn only_whole_answers_of_overdub_are_believed() {
        let answer = |server: &str| format!("HTTP/1.1 200 OK\r\nServer: {server}\r\nContent-Length: 3\r\n\r\nyes");
        let ours = answer("overdub");
        let (head, body) = understood(ours.as_bytes()).unwrap();
        assert!(is_overdubs(&head) && body == b"yes");
        (0..ours.len()).for_each(|end| assert!(understood(&ours.as_bytes()[..end]).is_none(), "cut at {end}"));
        assert!(!is_overdubs(&understood(answer("nginx").as_bytes()).unwrap().0));
        assert!(understood(b"SSH-2.0-x\r\n").is_none() && understood(b"").is_none());
    }
}
