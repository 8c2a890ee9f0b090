//! What browsers and systems fetch for themselves: told by host and path, tagged on the exchange, never thrown away.
//!
//! The tables name vendors' services that no site under test is served from. When in doubt a row is left out: a request of the
//! site that is taken for noise would be missing in a replay.

use crate::model::Request;

use super::filter::path_of;
use super::glob::matches;

/// Host, path, what it is. `*` stands for anything.
type Row = (&'static str, &'static str, &'static str);

const CHROMIUM: &[Row] = &[
    ("safebrowsing.googleapis.com", "*", "safe browsing"),
    ("safebrowsingohttpgateway.googleapis.com", "*", "safe browsing"),
    ("safebrowsing.google.com", "*", "safe browsing"),
    ("sb-ssl.google.com", "*", "safe browsing"),
    ("update.googleapis.com", "*", "updates"),
    ("clients2.google.com", "/service/update2*", "updates"),
    ("clients2.googleusercontent.com", "/crx/*", "extensions"),
    ("chromewebstore.googleapis.com", "*", "extensions"),
    ("redirector.gvt1.com", "/edgedl/*", "components"),
    ("edgedl.me.gvt1.com", "/edgedl/*", "components"),
    ("*.gvt1.com", "/edgedl/*", "components"),
    ("dl.google.com", "/release2/*", "components"),
    ("www.google.com", "/dl/release2/*", "components"),
    ("clientservices.googleapis.com", "/chrome-variations/*", "variations"),
    ("clientservices.googleapis.com", "/uma/*", "usage statistics"),
    ("clients4.google.com", "/uma/*", "usage statistics"),
    ("clients4.google.com", "/chrome-sync/*", "sync"),
    ("clients4.google.com", "/chrome-variations/*", "variations"),
    ("chromesyncpasswords-pa.googleapis.com", "*", "sync"),
    ("optimizationguide-pa.googleapis.com", "*", "optimization guide"),
    ("content-autofill.googleapis.com", "*", "autofill"),
    ("passwordsleakcheck-pa.googleapis.com", "*", "password check"),
    ("chromefeedcontentsuggestions-pa.googleapis.com", "*", "new tab"),
    ("www.google.com", "/async/ddljson", "new tab"),
    ("www.google.com", "/async/newtab*", "new tab"),
    ("www.google.com", "/async/folae", "new tab"),
    ("accounts.google.com", "/ListAccounts", "account check"),
    ("mtalk.google.com", "*", "push"),
    ("android.clients.google.com", "/c2dm/*", "push"),
    ("android.clients.google.com", "/checkin", "push"),
    ("beacons*.gvt2.com", "/domainreliability/*", "network error reports"),
    ("beacons.gcp.gvt2.com", "/domainreliability/*", "network error reports"),
    ("clients2.google.com", "/domainreliability/*", "network error reports"),
    ("clients2.google.com", "/cr/report", "crash reports"),
    ("clients2.google.com", "/time/1/current", "clock check"),
    ("www.gstatic.com", "/generate_204", "captive portal check"),
    ("*", "/.well-known/appspecific/com.chrome.devtools.json", "developer tools"),
];

const FIREFOX: &[Row] = &[
    ("detectportal.firefox.com", "*", "captive portal check"),
    ("*.push.services.mozilla.com", "*", "push"),
    ("push.services.mozilla.com", "*", "push"),
    ("incoming.telemetry.mozilla.org", "*", "telemetry"),
    ("crash-reports.mozilla.com", "*", "crash reports"),
    ("firefox.settings.services.mozilla.com", "*", "remote settings"),
    ("firefox-settings-attachments.cdn.mozilla.net", "*", "remote settings"),
    ("content-signature*.cdn.mozilla.net", "*", "remote settings"),
    ("normandy.cdn.mozilla.net", "*", "experiments"),
    ("classify-client.services.mozilla.com", "*", "experiments"),
    ("aus*.mozilla.org", "/update/*", "updates"),
    ("download*.cdn.mozilla.net", "*", "updates"),
    ("archive.mozilla.org", "/pub/firefox/*", "updates"),
    ("ciscobinary.openh264.org", "*", "components"),
    ("services.addons.mozilla.org", "/api/*", "extensions"),
    ("versioncheck*.addons.mozilla.org", "*", "extensions"),
    ("shavar.services.mozilla.com", "*", "safe browsing"),
    ("tracking-protection.cdn.mozilla.net", "*", "tracking protection"),
    ("location.services.mozilla.com", "*", "location"),
    ("contile*.services.mozilla.com", "*", "new tab"),
    ("ads.mozilla.org", "*", "new tab"),
    ("merino.services.mozilla.com", "*", "suggestions"),
    ("*getpocket.cdn.mozilla.net", "*", "new tab"),
    ("firefox-api-proxy.cdn.mozilla.net", "*", "new tab"),
    ("spocs.getpocket.com", "*", "new tab"),
    ("snippets.cdn.mozilla.net", "*", "new tab"),
    ("tiles.services.mozilla.com", "*", "new tab"),
    ("mozilla-ohttp.fastly-edge.net", "*", "telemetry"),
    ("sync-*.services.mozilla.com", "*", "sync"),
    ("token.services.mozilla.com", "*", "sync"),
    ("mozilla.cloudflare-dns.com", "/dns-query", "name look-up"),
    ("firefox.dns.nextdns.io", "*", "name look-up"),
];

const EDGE: &[Row] = &[
    ("edge.microsoft.com", "*", "services"),
    ("config.edge.skype.com", "*", "experiments"),
    ("msedge.api.cdp.microsoft.com", "*", "updates"),
    ("msedge*.dl.delivery.mp.microsoft.com", "*", "updates"),
    ("*.smartscreen.microsoft.com", "*", "safe browsing"),
    ("*.smartscreen-prod.microsoft.com", "*", "safe browsing"),
    ("functional.events.data.microsoft.com", "*", "telemetry"),
    ("browser.events.data.msn.com", "*", "new tab"),
    ("ntp.msn.com", "*", "new tab"),
    ("edgeservices.bing.com", "/edgesvc/*", "services"),
];

const SAFARI: &[Row] = &[
    ("*.safebrowsing.apple", "*", "safe browsing"),
    ("api*.smoot.apple.com", "*", "suggestions"),
    ("*.smoot.apple.com", "*", "suggestions"),
];

const OTHER_BROWSERS: &[Row] = &[
    ("variations.brave.com", "*", "Brave variations"),
    ("componentupdater.brave.com", "*", "Brave components"),
    ("go-updater.brave.com", "*", "Brave updates"),
    ("redirector.brave.com", "*", "Brave components"),
    ("laptop-updates.brave.com", "*", "Brave usage statistics"),
    ("*.p3a.brave.com", "*", "Brave usage statistics"),
    ("p3a*.brave.com", "*", "Brave usage statistics"),
    ("safebrowsing*.brave.com", "*", "Brave safe browsing"),
    ("autoupdate.geo.opera.com", "*", "Opera updates"),
    ("features.opera-api*.com", "*", "Opera experiments"),
    ("sitecheck*.opera.com", "*", "Opera safe browsing"),
    ("update.vivaldi.com", "*", "Vivaldi updates"),
];

const SYSTEMS: &[Row] = &[
    ("*.msftconnecttest.com", "*", "Windows connectivity check"),
    ("*.msftncsi.com", "*", "Windows connectivity check"),
    ("*.windowsupdate.com", "*", "Windows updates"),
    ("*.update.microsoft.com", "*", "Windows updates"),
    ("*.delivery.mp.microsoft.com", "*", "Windows updates"),
    ("settings-win.data.microsoft.com", "*", "Windows settings"),
    ("v*.events.data.microsoft.com", "*", "Windows telemetry"),
    ("*.wns.windows.com", "*", "Windows push"),
    ("captive.apple.com", "*", "Apple connectivity check"),
    ("www.apple.com", "/library/test/success.html", "Apple connectivity check"),
    ("configuration.apple.com", "*", "Apple settings"),
    ("configuration.ls.apple.com", "*", "Apple settings"),
    ("gs*.ls.apple.com", "*", "Apple location"),
    ("*.push.apple.com", "*", "Apple push"),
    ("mesu.apple.com", "*", "Apple updates"),
    ("gdmf.apple.com", "*", "Apple updates"),
    ("swscan.apple.com", "*", "Apple updates"),
    ("xp.apple.com", "*", "Apple telemetry"),
    ("bag.itunes.apple.com", "*", "Apple settings"),
    ("init.itunes.apple.com", "*", "Apple settings"),
    ("connectivitycheck.gstatic.com", "*", "Android connectivity check"),
    ("connectivitycheck.android.com", "*", "Android connectivity check"),
    ("clients*.google.com", "/generate_204", "Android connectivity check"),
    ("play.googleapis.com", "/generate_204", "Android connectivity check"),
    ("www.google.com", "/generate_204", "Android connectivity check"),
    ("android.googleapis.com", "/checkin", "Android check-in"),
    ("play.googleapis.com", "/log*", "Android telemetry"),
    ("connectivity-check.ubuntu.com", "*", "Linux connectivity check"),
    ("nmcheck.gnome.org", "*", "Linux connectivity check"),
    ("network-test.debian.org", "/nm", "Linux connectivity check"),
    ("fedoraproject.org", "/static/hotspot.txt", "Linux connectivity check"),
    ("ping.archlinux.org", "*", "Linux connectivity check"),
];

/// All tables with the name that comes before their rows.
const TABLES: &[(&str, &[Row])] = &[
    ("Chromium ", CHROMIUM),
    ("Firefox ", FIREFOX),
    ("Edge ", EDGE),
    ("Safari ", SAFARI),
    ("", OTHER_BROWSERS),
    ("", SYSTEMS),
];

/// What noise a request is, such as `Chromium safe browsing`; none when it is traffic of a site.
pub(super) fn of(request: &Request) -> Option<String> {
    if request.headers.text("content-type") == Some("application/ocsp-request") {
        return Some("certificate status".to_owned());
    }
    if is_interception_probe(request) {
        return Some("Chromium DNS probe".to_owned());
    }
    let (host, path) = (request.origin.host.as_bytes(), path_of(&request.target));
    TABLES.iter().find_map(|(whose, rows)| {
        let row = rows.iter().find(|(h, p, _)| matches(h.as_bytes(), host) && matches(p.as_bytes(), path));
        row.map(|(_, _, what)| format!("{whose}{what}"))
    })
}

/// Chromium asks for three random names at its start, to find out whether the network answers for names that do not exist
/// (`intranet_redirect_detector.cc`): HEAD of the root of a host of 7 to 15 letters without a dot.
fn is_interception_probe(request: &Request) -> bool {
    let host = request.origin.host.as_bytes();
    request.method == "HEAD"
        && request.target == b"/"
        && request.origin.port == 80
        && (7..=15).contains(&host.len())
        && host.iter().all(u8::is_ascii_lowercase)
        && host != b"localhost"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Body, Headers, Version};

    fn request(method: &str, url: &str) -> Request {
        let rest = url.split_once("://").unwrap().1;
        Request {
            origin: url.parse().unwrap(),
            method: method.into(),
            target: rest.find('/').map_or("/", |at| &rest[at..]).as_bytes().to_vec(),
            version: Version::Http11,
            headers: Headers::default(),
            body: Body::default(),
            trailers: Headers::default(),
        }
    }

    #[test]
    fn noise_is_told_from_traffic() {
        for (method, url, noise) in [
            ("GET", "https://safebrowsing.googleapis.com/v4/threatListUpdates:fetch?a", "Chromium safe browsing"),
            ("POST", "https://update.googleapis.com/service/update2/json?cup2key=x", "Chromium updates"),
            ("GET", "http://edgedl.me.gvt1.com/edgedl/release2/x/y.crx3", "Chromium components"),
            ("GET", "https://r3---sn-4g5.gvt1.com/edgedl/diffgen/x", "Chromium components"),
            ("POST", "https://accounts.google.com/ListAccounts?gpsia=1", "Chromium account check"),
            ("GET", "https://accounts.google.com/signin", ""),
            ("GET", "https://www.google.com/search?q=x", ""),
            ("GET", "https://fonts.gstatic.com/s/x.woff2", ""),
            ("GET", "https://shop.test/.well-known/appspecific/com.chrome.devtools.json", "Chromium developer tools"),
            ("HEAD", "http://qkzvtaplrw/", "Chromium DNS probe"),
            ("GET", "http://qkzvtaplrw/", ""),
            ("HEAD", "http://localhost/", ""),
            ("HEAD", "http://webshop:8080/", ""),
            ("GET", "http://detectportal.firefox.com/success.txt?ipv4", "Firefox captive portal check"),
            ("POST", "https://incoming.telemetry.mozilla.org/submit/x", "Firefox telemetry"),
            ("GET", "https://www.mozilla.org/", ""),
            ("GET", "http://www.msftconnecttest.com/connecttest.txt", "Windows connectivity check"),
            ("GET", "http://connectivitycheck.gstatic.com/generate_204", "Android connectivity check"),
            ("GET", "http://captive.apple.com/hotspot-detect.html", "Apple connectivity check"),
            ("GET", "https://www.apple.com/", ""),
            ("GET", "https://shop.test/generate_204", ""),
            ("GET", "http://127.0.0.1:8080/", ""),
        ] {
            assert_eq!(of(&request(method, url)).unwrap_or_default(), noise, "{method} {url}");
        }
    }

    #[test]
    fn certificate_status_is_told_by_its_type() {
        let mut asked = request("POST", "http://r3.o.lencr.org/");
        asked.headers.push("Content-Type", "application/ocsp-request");
        assert_eq!(of(&asked).as_deref(), Some("certificate status"));
    }

    #[test]
    fn rows_are_lower_case_hosts_with_rooted_paths() {
        for (host, path, what) in TABLES.iter().flat_map(|(_, rows)| rows.iter()) {
            assert!(!host.is_empty() && host.bytes().all(|b| !b.is_ascii_uppercase() && b != b'/'), "{host}");
            assert!((path.starts_with('/') || *path == "*") && !what.is_empty(), "{host}{path}");
            assert!(*host != "*" || *path != "*", "everything is noise");
        }
    }
}
