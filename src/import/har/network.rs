//! Which entries went over the network, and why one got no answer.
//!
//! Browsers list what they took from their caches like the rest; only what the file itself says makes an entry one of
//! those. Main functions: [`came_from_cache`], [`failure`].

use super::json::Value;
use super::timing::Phases;
use crate::model::Incomplete;

/// What kind of program wrote the file, as far as its habits matter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Writer {
    /// Firefox and its kin: names itself as creator and as browser.
    pub(super) gecko: bool,
    /// Counts the TLS handshake beside `connect`.
    pub(super) tls_behind: bool,
    /// A page is a tab, named after the last thing that was seen in it.
    pub(super) page_is_tab: bool,
}

impl Writer {
    /// From what the log says of creator and browser.
    pub(super) fn of(creator: &str, browser: &str) -> Self {
        let name = creator.to_ascii_lowercase();
        Self {
            gecko: name.contains("firefox") || (!creator.is_empty() && creator == browser),
            tls_behind: name.starts_with("mitmproxy"),
            page_is_tab: name.starts_with("playwright"),
        }
    }
}

/// Whether the answer came from the browser (a cache, a service worker, the script that drove it, its own redirect to
/// https) and nothing went over the network.
pub(super) fn came_from_cache(entry: Value<'_>, response: Value<'_>, status: u16, writer: Writer) -> bool {
    if status == 304 || status == 101 || entry.has("_webSocketMessages") {
        return false;
    }
    let said = |value: Option<Value<'_>>| {
        value.and_then(Value::text).is_some_and(|text| !matches!(&*text, "" | "false" | "0" | "none"))
    };
    let kinds = ["Memory Cache", "Disk Cache", "Service Worker"];
    if said(entry.any(&["_fromCache", "fromCache"]))
        || said(response.any(&["_fromCache", "fromCache", "_fromDiskCache"]))
        || entry.get("_fetchType").and_then(Value::text).is_some_and(|kind| kinds.contains(&&*kind))
        || entry.get("_wasFulfilled").is_some_and(Value::is_true)
    {
        return true;
    }
    let moved = response.get("_transferSize").and_then(Value::number);
    if response.get("_fetchedViaServiceWorker").is_some_and(Value::is_true) && moved.is_none_or(|bytes| bytes <= 0.0) {
        return true;
    }
    let names = response.get("headers").into_iter().flat_map(Value::items);
    let mut names = names.filter_map(|field| field.get("name").and_then(Value::text));
    if names.any(|name| name.eq_ignore_ascii_case("non-authoritative-reason")) {
        return true;
    }
    let redirects = (300..400).contains(&status) || response.get("redirectURL").and_then(Value::words).is_some();
    if moved == Some(0.0) && !redirects {
        return true;
    }
    let no_server = entry.get("serverIPAddress").and_then(Value::words).is_none();
    if writer.gecko && no_server && Phases::of(entry).are_nothing() {
        return true;
    }
    let cached = entry.get("cache").and_then(|cache| cache.get("beforeRequest"));
    let held = response.get("content").and_then(|content| content.get("size")?.number()).unwrap_or(0.0) > 0.0;
    let body = response.get("bodySize").and_then(Value::number);
    cached.is_some_and(|cached| cached.fields().next().is_some()) && held && body == Some(0.0) && !redirects
}

/// What the entry says of a failure.
pub(super) fn failure(entry: Value<'_>, response: Option<Value<'_>>) -> Option<Incomplete> {
    let keys = ["_error", "_failureText", "_errorText"];
    let told = response.and_then(|response| response.any(&keys)).or_else(|| entry.any(&keys));
    let told = told.and_then(Value::words).map(|text| text.trim().to_owned());
    let charles = response.and_then(|response| response.get("_charlesStatus")).and_then(Value::words);
    let charles = charles.filter(|status| !status.eq_ignore_ascii_case("complete")).map(|status| status.into_owned());
    told.or(charles).filter(|text| text != "null" && text != "false").map(|text| incomplete(&text))
}

/// Who failed, by the words that browsers use for it.
fn incomplete(text: &str) -> Incomplete {
    const CLIENT: [&str; 6] = ["ABORT", "CANCEL", "BLOCKED", "CSP", "CORS", "NS_ERROR_DOM"];
    const CONNECT: [&str; 15] = [
        "NAME_NOT_RESOLVED",
        "NAME_RESOLUTION",
        "UNKNOWN_HOST",
        "CONNECTION_REFUSED",
        "CONNECTION_TIMED_OUT",
        "CERT_",
        "SSL_",
        "_SSL",
        "INTERNET_DISCONNECTED",
        "ADDRESS_",
        "CONNECTION_FAILED",
        "PROXY",
        "ECONNREFUSED",
        "ENOTFOUND",
        "CONNECT CALL FAILED",
    ];
    let upper = text.to_ascii_uppercase();
    if CONNECT.iter().any(|word| upper.contains(word)) {
        Incomplete::Connect(text.to_owned())
    } else if CLIENT.iter().any(|word| upper.contains(word)) {
        Incomplete::Client(text.to_owned())
    } else {
        Incomplete::Upstream(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(json: &str, status: u16, creator: &str, browser: &str) -> bool {
        let entry = Value::first(json.as_bytes()).unwrap();
        came_from_cache(entry, entry.get("response").unwrap(), status, Writer::of(creator, browser))
    }

    #[test]
    fn what_the_file_says_to_be_cached_is_cached_and_nothing_else() {
        for (json, status, is_cached) in [
            (r#"{"_fromCache":"memory","response":{}}"#, 200, true),
            (r#"{"_fromCache":"disk","response":{"_transferSize":0}}"#, 304, false),
            (r#"{"response":{"_transferSize":0}}"#, 200, true),
            (r#"{"response":{"_transferSize":0,"redirectURL":"/x"}}"#, 302, false),
            (r#"{"response":{"_transferSize":0}}"#, 101, false),
            (r#"{"response":{"_transferSize":-1}}"#, 200, false),
            (r#"{"response":{"_transferSize":9}}"#, 200, false),
            (r#"{"response":{"_transferSize":0,"_fetchedViaServiceWorker":true}}"#, 200, true),
            (r#"{"response":{"_transferSize":9,"_fetchedViaServiceWorker":true}}"#, 200, false),
            (r#"{"_fetchType":"Memory Cache","response":{}}"#, 200, true),
            (r#"{"_fetchType":"Network Load","response":{}}"#, 200, false),
            (r#"{"_wasFulfilled":true,"response":{}}"#, 200, true),
            (r#"{"response":{"headers":[{"name":"Non-Authoritative-Reason","value":"HSTS"}]}}"#, 307, true),
            (r#"{"time":0,"timings":{},"response":{}}"#, 200, false),
            (r#"{"cache":{"beforeRequest":{"hitCount":1}},"response":{"bodySize":0,"content":{"size":5}}}"#, 200, true),
            (r#"{"cache":{"beforeRequest":null},"response":{"bodySize":0,"content":{"size":5}}}"#, 200, false),
        ] {
            assert_eq!(cached(json, status, "WebInspector 537", ""), is_cached, "{json}");
        }
        let image = r#"{"cache":{},"timings":{},"time":0,"response":{}}"#;
        assert!(cached(image, 200, "Firefox 111", "Firefox 111"));
        assert!(!cached(
            r#"{"serverIPAddress":"1.2.3.4","timings":{},"response":{}}"#,
            200,
            "Firefox 111",
            "Firefox 111"
        ));
    }

    #[test]
    fn failures_are_told_apart_by_who_failed() {
        for (text, who) in [
            ("net::ERR_ABORTED", Incomplete::Client("net::ERR_ABORTED".into())),
            ("net::ERR_NAME_NOT_RESOLVED", Incomplete::Connect("net::ERR_NAME_NOT_RESOLVED".into())),
            ("net::ERR_CERT_AUTHORITY_INVALID", Incomplete::Connect("net::ERR_CERT_AUTHORITY_INVALID".into())),
            ("net::ERR_EMPTY_RESPONSE", Incomplete::Upstream("net::ERR_EMPTY_RESPONSE".into())),
        ] {
            let json = format!(r#"{{"response":{{"_error":"{text}"}}}}"#);
            let entry = Value::first(json.as_bytes()).unwrap();
            assert_eq!(failure(entry, entry.get("response")), Some(who));
        }
        for none in [r#"{"_error":null}"#, r#"{"_error":""}"#, r#"{"_charlesStatus":"COMPLETE"}"#] {
            assert_eq!(failure(Value::first(b"{}").unwrap(), Value::first(none.as_bytes())), None);
        }
    }
}
