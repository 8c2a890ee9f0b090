//! The root as a configuration profile, which is how iOS, iPadOS and macOS install a certificate (Apple, "Configuration
//! Profile Reference", payload `com.apple.security.root`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::wire::text::html_escape;

/// A profile that holds the certificate alone. Its identifiers come from the fingerprint, so that installing it again
/// replaces it.
pub(super) fn of(der: &[u8], name: &str, fingerprint: &str) -> String {
    let digits: String = fingerprint.chars().filter(char::is_ascii_hexdigit).collect();
    let (profile, payload) = (uuid(&digits, 0), uuid(&digits, 32));
    let short = digits.get(..8).unwrap_or(&digits).to_ascii_lowercase();
    let (name, content) = (html_escape(name), STANDARD.encode(der));
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>PayloadContent</key>
  <array>
    <dict>
      <key>PayloadCertificateFileName</key>
      <string>overdub-ca.crt</string>
      <key>PayloadContent</key>
      <data>{content}</data>
      <key>PayloadDisplayName</key>
      <string>{name}</string>
      <key>PayloadIdentifier</key>
      <string>test.overdub.root.{short}.certificate</string>
      <key>PayloadType</key>
      <string>com.apple.security.root</string>
      <key>PayloadUUID</key>
      <string>{payload}</string>
      <key>PayloadVersion</key>
      <integer>1</integer>
    </dict>
  </array>
  <key>PayloadDescription</key>
  <string>Lets the overdub proxy that you set up record this device's HTTPS traffic. Remove it when you are done.</string>
  <key>PayloadDisplayName</key>
  <string>{name}</string>
  <key>PayloadIdentifier</key>
  <string>test.overdub.root.{short}</string>
  <key>PayloadRemovalDisallowed</key>
  <false/>
  <key>PayloadType</key>
  <string>Configuration</string>
  <key>PayloadUUID</key>
  <string>{profile}</string>
  <key>PayloadVersion</key>
  <integer>1</integer>
</dict>
</plist>
"#
    )
}

/// 32 hexadecimal digits from `at` on as a UUID of version 8 (RFC 9562 §5.8).
fn uuid(digits: &str, at: usize) -> String {
    let mut digits: Vec<char> = digits.chars().skip(at).chain(std::iter::repeat('0')).take(32).collect();
    digits[12] = '8';
    digits[16] = '8';
    let part = |from: usize, to: usize| digits[from..to].iter().collect::<String>();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
