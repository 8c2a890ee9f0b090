//! Guesses which end of a connection is the server when no SYN tells.

use super::key::{End, Key};

/// How often each port was seen.
#[derive(Debug)]
pub(super) struct Ports {
    /// Connections with this port, at either end: a server's port comes back, a client's hardly does.
    used: Vec<u32>,
    /// Handshakes in which this port answered.
    answered: Vec<u32>,
}

/// Ports that need a privilege to listen on; hardly ever a client's.
const WELL_KNOWN: u16 = 1024;

impl Ports {
    /// Nothing seen.
    pub fn new() -> Self {
        Self { used: vec![0; 1 << 16], answered: vec![0; 1 << 16] }
    }

    /// A new connection.
    pub fn connection(&mut self, key: &Key) {
        for end in [0, 1] {
            bump(&mut self.used, key.port(end));
        }
    }

    /// A SYN-ACK came from this end.
    pub fn answered(&mut self, key: &Key, end: End) {
        bump(&mut self.answered, key.port(end));
    }

    /// The client, as far as ports tell; `sender` (who sent payload first) when they do not.
    pub fn client(&self, key: &Key, sender: End) -> End {
        let weight = |end: End| {
            let port = key.port(end);
            let index = usize::from(port);
            (port < WELL_KNOWN, self.answered[index], self.used[index], u16::MAX - port)
        };
        match weight(0).cmp(&weight(1)) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => sender,
            std::cmp::Ordering::Greater => 1,
        }
    }
}

fn bump(counts: &mut [u32], port: u16) {
    let count = &mut counts[usize::from(port)];
    *count = count.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_where_ports_say_so_and_else_the_second_to_speak() {
        let key = |a: &str, b: &str| Key::of(a.parse().unwrap(), b.parse().unwrap()).0;
        let mut ports = Ports::new();
        let cases = [
            ("10.0.0.1:80", "10.0.0.2:40000", 1),
            ("10.0.0.1:40000", "10.0.0.2:8080", 0),
            ("10.0.0.1:7000", "10.0.0.2:7000", 1),
        ];
        for (a, b, client) in cases {
            assert_eq!(ports.client(&key(a, b), 1), client, "{a} {b}");
        }
        for port in 0..5 {
            ports.connection(&key("10.0.0.1:50000", &format!("10.0.0.2:{}", 41000 + port)));
        }
        assert_eq!(ports.client(&key("10.0.0.1:50000", "10.0.0.2:41001"), 0), 1, "the port that comes back");
        ports.answered(&key("10.0.0.1:50000", "10.0.0.2:41001"), 1);
        assert_eq!(ports.client(&key("10.0.0.1:50000", "10.0.0.2:41001"), 0), 0, "the port that answered a SYN");
    }
}
