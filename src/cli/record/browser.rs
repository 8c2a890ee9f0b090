//! A browser that is recorded: Chromium or a relative with a profile of its own, our proxy and our root, and without the
//! traffic that browsers make of their own accord. Switches as in Chromium's `chrome_switches.cc` and `net`'s.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::geteuid;
use serde_json::json;

use crate::cli::{CliError, Exit};

use super::command::{is_program, search};
use super::invitation::Host;

/// What is opened when no URL is given: nothing.
pub(super) const START_PAGE: &str = "about:blank";
/// Names on PATH, best first: what says "stable" is no wrapper of something else.
const NAMES: [&str; 9] = [
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "chrome",
    "microsoft-edge-stable",
    "microsoft-edge",
    "brave-browser",
    "vivaldi-stable",
];
/// Where macOS keeps them.
const APPLICATIONS: [&str; 3] = [
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
];
/// What a browser wrote to stdout and stderr, in its profile.
const LOG: &str = "browser.log";
/// Of which so much may be of interest.
const LAST_WORDS_BYTES: u64 = 2000;
const LAST_WORDS_LINES: usize = 5;

/// No questions, no guests, no background traffic, and an end with us.
const QUIET: [&str; 22] = [
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-search-engine-choice-screen",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-component-extensions-with-background-pages",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-field-trial-config",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-notifications",
    "--disable-quic",
    "--disable-print-preview",
    "--metrics-recording-only",
    "--no-pings",
    "--password-store=basic",
    "--use-mock-keychain",
    "--noerrdialogs",
    "--remote-debugging-pipe",
    "--disable-blink-features=AutomationControlled", // a person drives it: sites must not think otherwise for the pipe
];
/// Features that talk to the browser's maker, guess what comes next, or ask for HTTPS where the user asked for HTTP. A name
/// that only some versions know does no harm in the others.
const FEATURES_OFF: [&str; 17] = [
    "AutofillServerCommunication",
    "CertificateTransparencyComponentUpdater",
    "DialMediaRouteProvider",
    "HttpsFirstBalancedMode",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationGuideModelDownloading",
    "OptimizationHints",
    "OptimizationHintsFetching",
    "PrivacySandboxSettings4",
    "SegmentationPlatform",
    "Translate",
    "msEdgeUpdateLaunchServicesPreferredVersion",
    "msSmartScreenProtection",
];

/// Services of the browser's maker that no switch turns off for good: they are told to be at our own name, which answers
/// "no such page" and records nothing. What web pages ask of the same services is not touched.
const SERVICES: [&str; 16] = [
    "apps-gallery-update-url",
    "autofill-server-url",
    "component-updater=url-source",
    "gaia-url",
    "gcm-checkin-url",
    "gcm-registration-url",
    "google-apis-url",
    "lso-url",
    "oauth-account-manager-url",
    "optimization-guide-service-get-hints-url",
    "optimization-guide-service-get-models-url",
    "sync-url",
    "translate-script-url",
    "uma-insecure-server-url",
    "variations-insecure-server-url",
    "variations-server-url",
];
const NOWHERE: &str = "http://overdub.test"; // some of them take no path

/// What the browser shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    url: String,
    headless: bool,
}

impl Window {
    /// A window that opens a page; without a screen it has to be headless.
    ///
    /// # Errors
    /// When the URL would be taken for a switch, or there is no screen.
    pub(super) fn new(url: &str, headless: bool) -> Result<Self, CliError> {
        if url.starts_with('-') || url.is_empty() {
            return Err(CliError::new(Exit::Usage, format!("--browser {url}: this is no URL")));
        }
        let has = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        if !headless && cfg!(target_os = "linux") && !has("DISPLAY") && !has("WAYLAND_DISPLAY") {
            let sentence = "there is no screen for a browser (DISPLAY is not set); --headless does without";
            return Err(CliError::new(Exit::Usage, sentence));
        }
        Ok(Self { url: url.to_owned(), headless })
    }
}

/// The browser that was named, or the first one that is installed.
///
/// # Errors
/// When there is none.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, CliError> {
    if let Some(path) = named {
        let found = if is_program(path) { Some(path.to_owned()) } else { search(path.as_os_str()) };
        return found
            .ok_or_else(|| CliError::new(Exit::Usage, format!("--browser-path: {} is no program", path.display())));
    }
    let on_path = NAMES.iter().find_map(|name| search(OsStr::new(name)));
    on_path.or_else(|| APPLICATIONS.iter().map(PathBuf::from).find(|path| is_program(path))).ok_or_else(|| {
        let sentence = "no Chromium, Chrome or Edge is found; name one with --browser-path FILE";
        CliError::new(Exit::Usage, sentence)
    })
}

/// Gives the browser the debugging pipe that it reads from descriptor 3: it is never used, but a browser whose pipe closes
/// ends, and so it does not outlive us even when we are killed.
const ON_A_LEASH: &str = r#"exec "$0" "$@" 3<&0 4>/dev/null"#;

/// The browser with its profile, which is made in `dir`. It leads a process group of its own, and ends when its stdin is
/// closed.
pub(super) fn prepare(program: &Path, window: &Window, host: &Host, dir: &Path) -> io::Result<Command> {
    let profile = dir.join("profile");
    fs::create_dir_all(profile.join("Default"))?;
    fs::write(profile.join("Default/Preferences"), preferences().to_string())?;
    fs::write(profile.join("Local State"), local_state().to_string())?;
    let log = File::create(dir.join(LOG))?;
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", ON_A_LEASH])
        .arg(program)
        .args(switches(window, host.proxy(), &host.pin, &profile, geteuid().is_root()))
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    Ok(command)
}

/// The end of what it wrote.
pub(super) fn last_words(dir: &Path) -> Vec<String> {
    let mut text = Vec::new();
    let _ = File::open(dir.join(LOG)).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))?;
        file.take(LAST_WORDS_BYTES).read_to_end(&mut text)
    });
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_WORDS_LINES)..].iter().map(|&line| line.to_owned()).collect()
}

fn switches(window: &Window, proxy: SocketAddr, pin: &str, profile: &Path, root: bool) -> Vec<OsString> {
    let mut directory = OsString::from("--user-data-dir=");
    directory.push(profile);
    let mut switches: Vec<OsString> = QUIET.iter().map(OsString::from).collect();
    switches.extend(SERVICES.iter().map(|service| format!("--{service}={NOWHERE}").into()));
    switches.extend([
        directory,
        format!("--proxy-server=http://{proxy}").into(),
        "--proxy-bypass-list=<-loopback>".into(),
        format!("--ignore-certificate-errors-spki-list={pin}").into(),
        format!("--disable-features={}", FEATURES_OFF.join(",")).into(),
    ]);
    if root {
        // Chromium's sandbox refuses to work for root, which is who one is in a container.
        switches.push("--no-sandbox".into());
    }
    if window.headless {
        switches.push("--headless=new".into());
    } else {
        switches.push("--new-window".into());
    }
    switches.push((&window.url).into());
    switches
}

/// What has no switch.
fn preferences() -> serde_json::Value {
    json!({
        "alternate_error_pages": { "enabled": false },
        "autofill": { "credit_card_enabled": false, "profile_enabled": false },
        "browser": { "check_default_browser": false, "has_seen_welcome_page": true },
        "credentials_enable_service": false,
        "https_only_mode_enabled": false,
        "net": { "network_prediction_options": 2 },
        "profile": { "password_manager_enabled": false, "password_manager_leak_detection": false },
        "safebrowsing": { "enabled": false, "enhanced": false, "scout_reporting_enabled": false },
        "search": { "suggest_enabled": false },
        "signin": { "allowed": false, "allowed_on_next_startup": false },
        "spellcheck": { "use_spelling_service": false },
        "translate": { "enabled": false },
        "url_keyed_anonymized_data_collection": { "enabled": false },
    })
}

/// What is the browser's and not the profile's.
fn local_state() -> serde_json::Value {
    json!({
        "background_mode": { "enabled": false },
        "dns_over_https": { "mode": "off" },
        "user_experience_metrics": { "reporting_enabled": false },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switches_of(headless: bool, root: bool) -> Vec<String> {
        let window = Window { url: "http://shop.test/".into(), headless };
        let switches = switches(&window, "127.0.0.1:8080".parse().unwrap(), "pin=", Path::new("/t/profile"), root);
        switches.into_iter().map(|switch| switch.into_string().unwrap()).collect()
    }

    #[test]
    fn the_browser_uses_the_proxy_for_everything_and_believes_our_root_alone() {
        let switches = switches_of(false, false);
        for switch in [
            "--proxy-server=http://127.0.0.1:8080",
            "--proxy-bypass-list=<-loopback>",
            "--ignore-certificate-errors-spki-list=pin=",
            "--user-data-dir=/t/profile",
            "--no-first-run",
        ] {
            assert!(switches.iter().any(|found| found == switch), "{switch}");
        }
        assert!(!switches.iter().any(|switch| switch == "--ignore-certificate-errors"));
        assert_eq!(switches.last().unwrap(), "http://shop.test/");
    }

    #[test]
    fn the_sandbox_and_the_window_go_only_when_they_must() {
        let has = |headless, root, switch: &str| switches_of(headless, root).iter().any(|found| found == switch);
        assert!(!has(false, false, "--no-sandbox") && has(false, true, "--no-sandbox"));
        assert!(!has(false, false, "--headless=new") && has(true, false, "--headless=new"));
    }

    #[test]
    fn what_is_no_url_or_no_browser_is_refused() {
        assert!(Window::new("--remote-debugging-port=1", true).is_err());
        assert!(Window::new("", true).is_err());
        assert!(Window::new("shop.test", true).is_ok());
        let dir = tempfile::tempdir().unwrap();
        assert!(find(Some(&dir.path().join("none"))).is_err());
        assert!(find(Some(dir.path())).is_err());
        assert!(find(Some(Path::new("sh"))).unwrap().is_absolute());
    }

    #[test]
    fn the_last_words_are_few_and_need_not_be_there() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last_words(dir.path()), Vec::<String>::new());
        let lines: Vec<String> = (0..1000).map(|number| format!("line {number}\n\n")).collect();
        fs::write(dir.path().join(LOG), lines.concat()).unwrap();
        assert_eq!(last_words(dir.path()), ["line 995", "line 996", "line 997", "line 998", "line 999"]);
    }
}
