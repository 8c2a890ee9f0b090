//! The address of the proxy for a phone's camera: a QR code in half blocks, where it can be of use.

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use qrcode::{Color, EcLevel, QrCode};
use terminal_size::{Height, Width};

/// Light modules around the code. The standard wants 4; cameras read 2, and terminals are small.
const QUIET: usize = 2;
/// Lines that stay visible beside the code.
const OTHER_LINES: usize = 6;

/// How the code is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// Black on white, whatever the terminal's colours.
    Colours,
    /// Blocks for the light modules: right on a dark terminal, inverted (which cameras read, too) on a light one.
    Plain,
}

/// The address at which other devices reach the proxy; none when it listens to this machine alone.
pub(super) fn reachable(listening: SocketAddr) -> Option<SocketAddr> {
    let ip = listening.ip();
    match ip.is_unspecified() {
        true => outward(ip).map(|ip| SocketAddr::new(ip, listening.port())),
        false => (!ip.is_loopback()).then_some(listening),
    }
}

/// This machine's address on the way to the rest of the world. Nothing is sent: a datagram socket merely learns its route.
fn outward(unspecified: IpAddr) -> Option<IpAddr> {
    let v4 = || route(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    let v6 = || route(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into());
    // A listener on [::] usually takes IPv4 as well, and phones can type that.
    if unspecified.is_ipv4() { v4() } else { v4().or_else(v6) }
}

fn route(from: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((from, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

/// The code for stderr; none when that is no terminal or too small a one.
pub(super) fn for_terminal(text: &str) -> Option<String> {
    let stderr = std::io::stderr();
    if !stderr.is_terminal() {
        return None;
    }
    let (Width(columns), Height(rows)) = terminal_size::terminal_size_of(&stderr)?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    draw(text, if plain { Paint::Plain } else { Paint::Colours }, columns.into(), rows.into())
}

/// The code in lines, two modules a character; none when it does not fit.
pub(super) fn draw(text: &str, paint: Paint, columns: usize, rows: usize) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let (side, dark) = (code.width(), code.to_colors());
    let full = side + 2 * QUIET;
    if full > columns || full.div_ceil(2) + OTHER_LINES > rows {
        return None;
    }
    let is_light = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|&at| at < side);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => dark[y * side + x] == Color::Light,
            // Half a line too many below an odd number of modules is not painted.
            _ => y < full,
        }
    };
    let line =
        |upper: usize| -> String { (0..full).map(|x| block(is_light(x, upper), is_light(x, upper + 1))).collect() };
    let lines = (0..full).step_by(2).map(line);
    let lines = lines.map(|line| match paint {
        Paint::Colours => format!("\x1b[38;5;231;48;5;16m{line}\x1b[0m"),
        Paint::Plain => line,
    });
    Some(lines.collect::<Vec<_>>().join("\n"))
}

fn block(upper: bool, lower: bool) -> char {
    match (upper, lower) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://192.0.2.7:8080/";

    #[test]
    fn the_code_is_drawn_in_half_blocks_with_its_finder_patterns() {
        let plain = draw(URL, Paint::Plain, 80, 24).unwrap();
        let lines: Vec<Vec<char>> = plain.lines().map(|line| line.chars().collect()).collect();
        assert_eq!((lines.len(), lines[0].len()), (15, 29));
        assert!(lines.iter().all(|line| line.len() == 29));
        let text = |line: usize, from: usize, to: usize| lines[line][from..to].iter().collect::<String>();
        assert_eq!(text(0, 0, 29), "█".repeat(29));
        assert_eq!(
            [text(1, 0, 10), text(2, 0, 10), text(3, 0, 10), text(4, 0, 10)],
            ["██ ▄▄▄▄▄ █", "██ █   █ █", "██ █▄▄▄█ █", "██▄▄▄▄▄▄▄█",]
        );
        assert_eq!(text(14, 0, 29), "▀".repeat(29));
    }

    #[test]
    fn with_colours_every_line_sets_and_resets_them() {
        let (plain, coloured) = (draw(URL, Paint::Plain, 80, 24).unwrap(), draw(URL, Paint::Colours, 80, 24).unwrap());
        assert!(coloured.lines().all(|line| line.starts_with("\x1b[38;5;231;48;5;16m") && line.ends_with("\x1b[0m")));
        let stripped = coloured.replace("\x1b[38;5;231;48;5;16m", "").replace("\x1b[0m", "");
        assert_eq!(stripped, plain);
        assert!(!plain.contains('\x1b'));
    }

    #[test]
    fn a_terminal_that_is_too_small_gets_none() {
        for (columns, rows, fits) in [(29, 21, true), (28, 21, false), (29, 20, false), (0, 0, false)] {
            assert_eq!(draw(URL, Paint::Plain, columns, rows).is_some(), fits, "{columns}x{rows}");
        }
        assert_eq!(draw(&"x".repeat(10_000), Paint::Plain, 1000, 1000), None);
    }

    #[test]
    fn only_an_address_that_others_reach_is_offered() {
        for (listening, offered) in [
            ("127.0.0.1:8080", None),
            ("[::1]:8080", None),
            ("192.0.2.7:8080", Some("192.0.2.7:8080")),
            ("[2001:db8::7]:8080", Some("[2001:db8::7]:8080")),
        ] {
            let offered = offered.map(|address: &str| address.parse().unwrap());
            assert_eq!(reachable(listening.parse().unwrap()), offered, "{listening}");
        }
        for everywhere in ["0.0.0.0:8080", "[::]:8080"] {
            // A machine without a network has no such address.
            if let Some(found) = reachable(everywhere.parse().unwrap()) {
                assert!(found.port() == 8080 && !found.ip().is_unspecified() && !found.ip().is_loopback(), "{found}");
            }
        }
    }
}
