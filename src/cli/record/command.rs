//! A command that is recorded: what its environment must say so that the common runtimes use the proxy and trust it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{CliError, Exit};
use crate::record::TrustBundle;

use super::invitation::Host;

/// Exit code of shells when there is no such command.
const NOT_FOUND: u8 = 127;
/// Exit code of shells when a command cannot be run.
pub(super) const NOT_RUNNABLE: u8 = 126;

/// Name the proxy. curl reads only the lower case of the first.
const PROXY: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Name hosts that do without it: none.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Name a file that takes the place of the usual roots.
const BUNDLES: [&str; 15] = [
    "SSL_CERT_FILE",                      // OpenSSL and what is linked to it, Go, rustls, .NET, Ruby, uv
    "NIX_SSL_CERT_FILE",                  // programs of Nix
    "CURL_CA_BUNDLE",                     // curl
    "GIT_SSL_CAINFO",                     // git
    "REQUESTS_CA_BUNDLE",                 // Python: requests, and the Azure command line
    "PIP_CERT",                           // Python: pip
    "HTTPLIB2_CA_CERTS",                  // Python: httplib2
    "WEBSOCKET_CLIENT_CA_BUNDLE",         // Python: websocket-client
    "AWS_CA_BUNDLE",                      // AWS command line and SDKs
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", // Google Cloud command line
    "CARGO_HTTP_CAINFO",                  // Cargo
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",   // gRPC for C, Python, Ruby, PHP
    "PERL_LWP_SSL_CA_FILE",               // Perl: LWP
    "BUNDLE_SSL_CA_CERT",                 // Ruby: Bundler
    "HEX_CACERTS_PATH",                   // Elixir: Hex
];
/// Name a file that is trusted beside the usual roots.
const ADDITIONS: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];
/// Makes Node read the variables above.
const NODE: (&str, &str) = ("NODE_USE_ENV_PROXY", "1");
/// Names wget's file of settings, which is where a wget of GnuTLS looks for other roots.
const WGET: &str = "WGETRC";
const WGET_FILE: &str = ".wgetrc";
/// Every Java reads it, and says so on stderr.
const JAVA: &str = "JAVA_TOOL_OPTIONS";

/// The command's file.
///
/// # Errors
/// With the exit codes of a shell, when there is none or it cannot be run.
pub(super) fn find(program: &OsStr) -> Result<PathBuf, CliError> {
    let path = match Path::new(program).components().count() {
        1 if !program.as_encoded_bytes().contains(&b'/') => search(program),
        _ => Some(PathBuf::from(program)).filter(|path| path.exists()),
    };
    let name = program.to_string_lossy();
    match path {
        None => Err(CliError::new(Exit::Command(NOT_FOUND), format!("there is no command {name}"))),
        Some(path) if !is_program(&path) => {
            Err(CliError::new(Exit::Command(NOT_RUNNABLE), format!("{name} is no program that can be run")))
        }
        Some(path) => Ok(path),
    }
}

/// The first program of that name in PATH.
pub(super) fn search(name: &OsStr) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_program(file))
}

/// A file that may be executed.
pub(super) fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The command, by its file and its words, with its environment; its trust stores are written to `dir`.
pub(super) fn prepare(program: &Path, words: &[OsString], host: &Host, dir: &Path) -> io::Result<Command> {
    let bundle = TrustBundle::with_system(&host.root_der);
    let (keystore, password) = bundle.keystore();
    let stores = Stores {
        root: dir.join("root.pem"),
        bundle: dir.join("bundle.pem"),
        keystore: dir.join("bundle.jks"),
        wget: dir.join("wgetrc"),
        password,
    };
    fs::write(&stores.wget, wget_settings(&stores.bundle))?;
    fs::write(&stores.root, &host.root_pem)?;
    fs::write(&stores.bundle, bundle.pem())?;
    fs::write(&stores.keystore, keystore)?;
    let mut command = Command::new(program);
    let java = env::var_os(JAVA);
    if let Some((name, arguments)) = words.split_first() {
        command.arg0(name).args(arguments);
    }
    command.envs(environment(host.proxy(), &stores, java.as_deref()));
    Ok(command)
}

/// Files with roots.
struct Stores {
    /// Ours alone.
    root: PathBuf,
    /// The system's and ours.
    bundle: PathBuf,
    /// The same for Java.
    keystore: PathBuf,
    /// The user's settings of wget, and the bundle.
    wget: PathBuf,
    password: &'static str,
}

/// The settings that wget would have, and our bundle for its roots.
fn wget_settings(bundle: &Path) -> Vec<u8> {
    let usual = || env::var_os("HOME").map(|home| PathBuf::from(home).join(WGET_FILE));
    let file = env::var_os(WGET).map(PathBuf::from).or_else(usual);
    let mut settings = file.and_then(|file| fs::read(file).ok()).unwrap_or_default();
    settings.extend_from_slice(b"\nca_certificate = ");
    settings.extend_from_slice(bundle.as_os_str().as_encoded_bytes());
    settings.push(b'\n');
    settings
}

/// What is set, whatever it was before; Java's options come after those there are.
fn environment(proxy: SocketAddr, stores: &Stores, java: Option<&OsStr>) -> Vec<(&'static str, OsString)> {
    let url = format!("http://{proxy}");
    let mut set: Vec<(&str, OsString)> = vec![(NODE.0, NODE.1.into()), (JAVA, java_options(proxy, stores, java))];
    set.push((WGET, stores.wget.clone().into_os_string()));
    set.extend(PROXY.map(|name| (name, url.clone().into())));
    set.extend(EXCEPTIONS.map(|name| (name, OsString::new())));
    set.extend(BUNDLES.map(|name| (name, stores.bundle.clone().into_os_string())));
    set.extend(ADDITIONS.map(|name| (name, stores.root.clone().into_os_string())));
    set
}

fn java_options(proxy: SocketAddr, stores: &Stores, inherited: Option<&OsStr>) -> OsString {
    let mut options = inherited.map(OsStr::to_owned).unwrap_or_default();
    if !options.is_empty() {
        options.push(" ");
    }
    let (ip, port) = (proxy.ip(), proxy.port());
    for scheme in ["http", "https"] {
        options.push(format!("-D{scheme}.proxyHost={ip} -D{scheme}.proxyPort={port} "));
    }
    options.push("-Dhttp.nonProxyHosts= -Djavax.net.ssl.trustStore=");
    // The JVM takes the options apart at spaces outside quotes.
    options.push("\"");
    options.push(&stores.keystore);
    options.push("\"");
    let password = stores.password;
    options.push(format!(" -Djavax.net.ssl.trustStoreType=JKS -Djavax.net.ssl.trustStorePassword={password}"));
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stores() -> Stores {
        Stores {
            root: "/t/root.pem".into(),
            bundle: "/t/b.pem".into(),
            keystore: "/t/b.jks".into(),
            wget: "/t/wgetrc".into(),
            password: "pw",
        }
    }

    #[test]
    fn every_runtime_is_told_the_proxy_and_the_roots() {
        let set = environment("127.0.0.1:8080".parse().unwrap(), &stores(), None);
        for (name, value) in [
            ("http_proxy", "http://127.0.0.1:8080"),
            ("HTTPS_PROXY", "http://127.0.0.1:8080"),
            ("NO_PROXY", ""),
            ("no_proxy", ""),
            ("SSL_CERT_FILE", "/t/b.pem"),
            ("REQUESTS_CA_BUNDLE", "/t/b.pem"),
            ("WGETRC", "/t/wgetrc"),
            ("NODE_EXTRA_CA_CERTS", "/t/root.pem"),
            ("NODE_USE_ENV_PROXY", "1"),
        ] {
            let found: Vec<_> = set.iter().filter(|(known, _)| *known == name).collect();
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(found[0].1, value, "{name}");
        }
        assert!(set.iter().all(|(name, _)| *name != "SSL_CERT_DIR" && *name != "PATH"));
    }

    #[test]
    fn java_keeps_the_options_it_had() {
        let java = |proxy: &str, had: Option<&str>| {
            java_options(proxy.parse().unwrap(), &stores(), had.map(OsStr::new)).into_string().unwrap()
        };
        let alone = java("127.0.0.1:8080", None);
        assert!(alone.starts_with("-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=8080 -Dhttps.proxyHost"), "{alone}");
        assert!(alone.contains("-Djavax.net.ssl.trustStore=\"/t/b.jks\""), "{alone}");
        assert_eq!(java("127.0.0.1:8080", Some("-Xmx1g")), format!("-Xmx1g {alone}"));
        assert_eq!(java("127.0.0.1:8080", Some("")), alone);
    }

    #[test]
    fn a_command_is_found_as_a_shell_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, tool) = (dir.path().join("plain"), dir.path().join("tool"));
        fs::write(&plain, "").unwrap();
        fs::write(&tool, "").unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(find(tool.as_os_str()).unwrap(), tool);
        for (program, code) in [(plain.as_path(), 126), (dir.path(), 126), (&dir.path().join("none"), 127)] {
            assert_eq!(find(program.as_os_str()).unwrap_err().exit.code(), code, "{program:?}");
        }
        assert_eq!(find(OsStr::new("no-command-has-this-name")).unwrap_err().exit.code(), 127);
        assert!(find(OsStr::new("sh")).unwrap().is_absolute());
    }
}
