//! `overdub record`: the proxy in the foreground until a signal ends it, or the program it accompanies ends.

mod browser;
mod command;
mod companion;
mod credentials;
mod invitation;
mod qr;

mod tls;

mod keys;
mod list;
mod operator;
mod typing;

mod modes;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::capture::CaptureError;
use crate::record::{
    self, Config, Filter, HostCount, Http3Hints, Mark, Notice, Pattern, RecordError, RecordSummary, Recording,
    UpstreamTrust,
};

use super::signals::Signals;
use super::{CliError, Console, Exit, ca, redact};
use companion::Companion;
use invitation::{Host, Invitation};
use operator::{Operator, Show};

/// So long an end that waits for the disk needs no explanation.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

/// Flags of this command.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Capture to write
    #[arg(short, long, env = "OVERDUB_OUTPUT", value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    modes: modes::Flags,
    #[command(flatten)]
    credentials: credentials::Flags,
    /// PEM file with certificates to trust in servers, beside the system's (may repeat)
    #[arg(long, env = "OVERDUB_UPSTREAM_CA", value_name = "FILE", value_delimiter = ',')]
    upstream_ca: Vec<PathBuf>,
    /// Believe every server certificate
    #[arg(long, env = "OVERDUB_UPSTREAM_INSECURE", value_parser = clap::builder::FalseyValueParser::new())]
    upstream_insecure: bool,
    /// Pass on what servers say of HTTP/3; clients that follow it leave the proxy
    #[arg(long, env = "OVERDUB_KEEP_ALT_SVC", value_parser = clap::builder::FalseyValueParser::new())]
    keep_alt_svc: bool,
    #[command(flatten)]
    tls: tls::Flags,
    #[command(flatten)]
    directory: ca::Directory,
    #[command(flatten)]
    companion: invitation::Flags,
    /// Write `host:port` of the proxy to this file once it listens
    #[arg(long, env = "OVERDUB_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    redact: redact::Flags,
    /// Replace an existing capture
    #[arg(long)]
    force: bool,
    /// Record only what fits: a host (`*.shop.test`), a host and path (`shop.test/api/*`) or a content type (`type:text/*`)
    /// (may repeat)
    #[arg(long, env = "OVERDUB_INCLUDE", value_name = "PATTERN", value_delimiter = ' ', long_help = include_help())]
    include: Vec<Pattern>,
    /// Record nothing that fits; wins over --include (may repeat)
    #[arg(long, env = "OVERDUB_EXCLUDE", value_name = "PATTERN", value_delimiter = ' ', long_help = exclude_help())]
    exclude: Vec<Pattern>,
    /// List the exchanges as they end, even where stderr is no terminal
    #[arg(long, env = "OVERDUB_LIST", value_parser = clap::builder::FalseyValueParser::new())]
    list: bool,
    /// Print nothing but errors
    #[arg(short, long, env = "OVERDUB_QUIET", value_parser = clap::builder::FalseyValueParser::new())]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// When the flags do not fit, the proxy cannot start, or the capture cannot be closed.
pub fn run(arguments: Arguments) -> Result<Exit, CliError> {
    let console = Console::new(arguments.quiet);
    let output = arguments.output.clone();
    if !arguments.force && fs::metadata(&output).is_ok_and(|file| file.is_file() && file.len() > 0) {
        let sentence = format!("{} exists; choose another name, or --force to replace it", output.display());
        return Err(CliError::new(Exit::Usage, sentence));
    }
    let modes::Settings { listen, mode, egress, user_by } = arguments.modes.settings()?;
    let guide = modes::Guide::of(&mode);
    let invitation = arguments.companion.invitation()?;
    let place = credentials::Place {
        asks: guide.asks(),
        is_reachable: listen.iter().any(|address| !address.ip().to_canonical().is_loopback()),
        has_companion: !matches!(invitation, Invitation::Nobody),
        is_quiet: arguments.quiet,
    };
    let door = arguments.credentials.door(place)?;
    let authority = arguments.directory.authority()?;
    let root = authority.certificate_path().map(Path::to_owned).unwrap_or_default();
    let mut host = Host::of(&authority, listen[0]);
    let config = Config {
        listen,
        mode,
        egress,
        door: door.door().clone(),
        user_by,
        output: output.clone(),
        authority,
        trust: trust(&arguments)?,
        tls: arguments.tls.options()?,
        hints: if arguments.keep_alt_svc { Http3Hints::Passed } else { Http3Hints::Removed },
        filter: Filter { include: arguments.include.clone(), exclude: arguments.exclude.clone() },
        redactor: arguments.redact.redactor()?,
    };
    let show = match arguments {
        Arguments { quiet: true, .. } => Show::Nothing,
        Arguments { list: true, .. } => Show::Exchanges,
        _ => Show::Usual,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::because(Exit::Broken, "cannot start the event loop", &error))?;
    let ended = runtime.block_on(async {
        let mut signals =
            Signals::listen().map_err(|error| CliError::because(Exit::Broken, "cannot wait for signals", &error))?;
        let mut recording = record::start(config).await.map_err(|error| refused(&error))?;
        host.listening = recording.address();
        greet(console, &recording, &host, (&guide, &door), (&output, &root), &invitation);
        if let Some(file) = &arguments.ready_file {
            announce(file, recording.addresses())?;
        }
        // A command has the keys of its terminal for itself.
        let hears = !matches!(invitation, Invitation::Command(..));
        let mut companion = match Companion::start(invitation, &host) {
            Ok(companion) => companion,
            Err(error) => {
                let _ = recording.stop().await;
                return Err(error);
            }
        };
        let mut operator = Operator::new(console, &root, &recording, show, hears);
        tokio::select! {
            biased;
            received = signals.either() => {
                if let Some(companion) = &mut companion {
                    companion.end(received, &mut signals, console).await;
                }
            }
            () = Companion::ended(&mut companion) => {}
            () = operator.attend(&mut recording) => {}
        }
        drop(operator);
        console.say("stopping …");
        let recorded = tokio::select! {
            recorded = recording.stop() => Some(recorded),
            () = impatience(&mut signals, console) => None,
        };
        let exit = match companion {
            Some(companion) => companion.farewell(console).await,
            None => Exit::Passed,
        };
        Ok::<_, CliError>((recorded, exit))
    });
    // Names that are still looked up, and a disk that takes nothing, do not hold us.
    runtime.shutdown_background();
    let (recorded, exit) = ended?;
    let Some(recorded) = recorded else {
        let sentence = format!(
            "given up on the disk; what was not in the file is lost, `overdub verify {}` says what is",
            output.display()
        );
        return Err(CliError::new(Exit::Broken, sentence));
    };
    match recorded {
        Ok(summary) => {
            sum_up(console, &summary, &output, &root);
            Ok(exit)
        }
        Err(error) => {
            if let RecordError::Finish { summary, .. } = &error {
                sum_up(console, summary, &output, &root);
            }
            let context = format!(
                "the recording did not end well; `overdub verify {}` says what can be read of it",
                output.display()
            );
            Err(CliError::because(Exit::Broken, context, &error))
        }
    }
}

/// The end waits for the disk as long as whoever recorded does. A second signal at once is a nervous finger.
async fn impatience(signals: &mut Signals, console: Console) {
    let patience = tokio::time::sleep(DISK_PATIENCE);
    tokio::pin!(patience);
    loop {
        tokio::select! {
            () = &mut patience => break,
            _ = signals.either() => {}
        }
    }
    console.warn("waiting for the disk to take what was recorded; Ctrl-C again gives up what is not in the file yet");
    signals.either().await;
}

fn trust(arguments: &Arguments) -> Result<UpstreamTrust, CliError> {
    let mut trust = UpstreamTrust { insecure: arguments.upstream_insecure, ..UpstreamTrust::default() };
    for file in &arguments.upstream_ca {
        let pem = fs::read(file)
            .map_err(|error| CliError::because(Exit::Usage, format_args!("cannot read {}", file.display()), &error))?;
        if !matches!(trust.add_pem(&pem), Ok(1..)) {
            return Err(CliError::new(Exit::Usage, format!("{} holds no PEM certificate", file.display())));
        }
    }
    Ok(trust)
}

fn include_help() -> String {
    let rule = "When places are given, only what goes to one of them is recorded; when types are given, only answers of \
                one of them, and answers without a type. The rest passes and is counted.";
    format!("Record only what fits a pattern (may repeat): {}. {rule}", record::PATTERNS)
}

fn exclude_help() -> String {
    let rule = "It passes all the same and is counted. Wins over --include.";
    format!("Record nothing that fits a pattern (may repeat): {}. {rule}", record::PATTERNS)
}

fn refused(error: &RecordError) -> CliError {
    let exit = match error {
        RecordError::Thread(_)
        | RecordError::Writer
        | RecordError::Create { source: CaptureError::DiskFull(_), .. } => Exit::Broken,
        _ => Exit::Usage,
    };
    match error {
        RecordError::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
            CliError::new(exit, format!("cannot record: {error}: the address is in use; choose another with --listen"))
        }
        _ => CliError::because(exit, "cannot record", error),
    }
}

/// Writes the addresses, one a line, so that who waits for the file never reads half of it.
fn announce(file: &Path, addresses: &[SocketAddr]) -> Result<(), CliError> {
    let draft = file.with_extension("partial");
    let lines: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    fs::write(&draft, lines)
        .and_then(|()| fs::rename(&draft, file))
        .map_err(|error| CliError::because(Exit::Usage, format_args!("cannot write {}", file.display()), &error))
}

fn greet(
    console: Console,
    recording: &Recording,
    host: &Host,
    (guide, door): (&modes::Guide, &credentials::Told),
    (output, root): (&Path, &Path),
    invitation: &Invitation,
) {
    let addresses = recording.addresses();
    let near = host.proxy();
    match invitation {
        Invitation::Nobody => {
            guide.lines(addresses, near, output, root).into_iter().for_each(|line| console.say(line));
            if guide.hears_marks() {
                console.say(format_args!("  mark      overdub mark --proxy {near} \"check out\""));
            }
            door.lines(guide.scheme(), addresses, root).into_iter().for_each(|line| console.say(line));
            console.say("  Ctrl-C ends the recording");
            if let Some(reachable) = qr::reachable(addresses[0]).filter(|_| guide.is_forward()) {
                let url = format!("http://{reachable}/");
                let typed = if door.is_guarded() { ", with that user name and password" } else { "" };
                console.say(format_args!("  a phone   opens {url} and is told there how to set it up{typed}"));
                if let Some(code) = qr::for_terminal(&url) {
                    console.say(code);
                }
            }
        }
        Invitation::Browser(program, _) => {
            console.say(format_args!("recording on http://{near} into {}", output.display()));
            console.say(format_args!("  until {} closes, or Ctrl-C", program.display()));
            door.lines(guide.scheme(), addresses, root).into_iter().for_each(|line| console.say(line));
        }
        Invitation::Command(program, _) => {
            console.say(format_args!("recording on http://{near} into {}", output.display()));
            console.say(format_args!("  until {} ends, or Ctrl-C", program.display()));
            door.lines(guide.scheme(), addresses, root).into_iter().for_each(|line| console.say(line));
        }
    }
    let reachable = addresses.iter().filter(|address| !address.ip().to_canonical().is_loopback());
    for address in reachable.filter(|_| !door.is_guarded()) {
        console.warn(format_args!("anyone who can reach {address} can use this proxy and is recorded"));
    }
}

fn tell(console: Console, notice: &Notice, root: &Path) {
    match notice {
        Notice::CertificateRefused { host, client, refusal, then } => {
            console.say(tls::refused(host, *client, refusal, *then, root));
        }
        Notice::KeylogFailed { reason } => console.warn(format_args!(
            "TLS secrets cannot be written to the key log ({}); the recording goes on",
            clean(reason)
        )),
        Notice::Unreachable { origin, reason } => console.say(format_args!("{}: {}", clean(origin), clean(reason))),
        Notice::LedAway { origin, to } => console.say(format_args!(
            "{} sent a client on to {}, which does not come by here and is not recorded",
            clean(origin),
            clean(to)
        )),
        Notice::Astray { reason } => console.say(clean(reason)),
        Notice::NotRecording { reason } => {
            console.warn(format_args!("exchanges are not recorded ({}); the traffic goes on", clean(reason)))
        }
        Notice::Marked(Mark::Begin(label)) => console.say(format_args!("mark: {}", clean(label.as_str()))),
        Notice::Marked(Mark::End) => console.say("mark: the transaction ends"),
        Notice::Exchange(_) | Notice::Unlisted(_) => {}
    }
}

fn sum_up(console: Console, summary: &RecordSummary, output: &Path, root: &Path) {
    let file = &summary.file;
    console.say(format_args!(
        "{}: {} in {}, {} of bodies, {} on disk",
        output.display(),
        count(file.exchanges, "exchange"),
        count(file.sessions, "session"),
        size(file.body_bytes),
        size(file.file_bytes)
    ));
    if !summary.incomplete.is_empty() {
        console.say(format_args!("incomplete: {}", count(summary.incomplete.values().sum(), "exchange")));
        for (reason, times) in &summary.incomplete {
            console.say(format_args!("  {times:>6}  {}", clean(reason)));
        }
    }
    for (what, times) in &summary.left_out {
        console.say(format_args!("left out {}: {}", clean(what), count(*times, "exchange")));
    }
    if summary.noise > 0 {
        console.say(format_args!("tagged as browser noise: {}", count(summary.noise, "exchange")));
    }
    summary.redacted.iter().for_each(|tally| redact::tell(console, tally));
    let trouble = clean(summary.trouble.as_deref().unwrap_or("the disk could not keep up"));
    if summary.lost > 0 {
        console.warn(format_args!("{} missing from the capture: {trouble}", count(summary.lost, "exchange")));
    } else if summary.trouble.is_some() {
        console.warn(format_args!("for a time the capture could not be written: {trouble}"));
    }
    tls::sum_up(console, &summary.remarks, root);
    if !summary.remarks.tunnels.is_empty() {
        console.say("passed as bytes, no HTTP:");
        for HostCount { host, times } in &summary.remarks.tunnels {
            console.say(format_args!("  {times:>6}  {}", clean(host)));
        }
    }
    if !summary.remarks.led_away.is_empty() {
        console.say("redirects that led clients away from the recording:");
        for HostCount { host, times } in &summary.remarks.led_away {
            console.say(format_args!("  {times:>6}  {}", clean(host)));
        }
    }
    if summary.remarks.malformed > 0 {
        console.say(format_args!("refused as no HTTP request: {}", summary.remarks.malformed));
    }
    if summary.remarks.turned_away > 0 {
        console.say(format_args!("turned away for wrong proxy credentials: {}", summary.remarks.turned_away));
    }
    if file.exchanges > 0 {
        let rules = output.with_extension("rules.toml");
        console.say(format_args!("next: overdub correlate {} -o {}", output.display(), rules.display()));
    }
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// Outside text without anything a terminal would act on.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well_and_outside_text_is_harmless() {
        assert_eq!((count(1, "session"), count(2, "session")), ("1 session".into(), "2 sessions".into()));
        assert_eq!(
            (size(9_999), size(25_000), size(31_000_000)),
            ("9999 bytes".into(), "25 kB".into(), "31 MB".into())
        );
        assert_eq!(clean("a\x1b[2Jb\r\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
    }
}
