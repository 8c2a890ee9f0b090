//! What is to be redacted: names of fields, patterns, shapes; and what is kept whatever its name.

use regex::bytes::Regex;

/// What people ask for. The default is what [`Rules::default`] knows by itself.
#[derive(Clone, Debug)]
pub struct Rules {
    names: Vec<Glob>,
    keep: Vec<Glob>,
    patterns: Vec<Regex>,
    national_ids: bool,
}

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RulesError {
    /// No regular expression.
    #[error("`{pattern}` is no pattern")]
    Pattern {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: regex::Error,
    },
    /// A name without a letter or digit names everything or nothing.
    #[error("`{0}` names no field")]
    Name(String),
}

/// Names of secrets: without case, dashes and the like; `*` stands for anything.
const NAMES: &[&str] = &[
    // Secrets.
    "*password*",
    "*passwd*",
    "*passphrase*",
    "*passcode*",
    "pwd",
    "pass",
    "*secret*",
    "*token",
    "*csrf*",
    "*xsrf*",
    "*apikey*",
    "*accesskey*",
    "*privatekey*",
    "*authkey*",
    "*credential",
    "*credentials",
    "auth",
    "*authorization",
    "bearer",
    "jwt",
    "pin",
    "otp",
    "totp",
    "sid",
    "*sessionid",
    "*sessid",
    "sessionkey",
    "sessiontoken",
    "*signature",
    "*ticket",
    "samlresponse",
    "samlrequest",
    "assertion",
    "clientassertion",
    "codeverifier",
    // Personal data.
    "username",
    "loginname",
    "firstname",
    "lastname",
    "givenname",
    "familyname",
    "surname",
    "fullname",
    "birthdate",
    "birthday",
    "dateofbirth",
    "dob",
    "ssn",
    "*socialsecurity*",
    "taxid",
    "*passportnumber",
    "email",
    "*emailaddress",
    "phone",
    "*phonenumber",
    "mobile",
    "iban",
    "accountnumber",
    "*cardnumber",
    "ccnumber",
    "cardholder*",
    "cvv*",
    "cvc*",
    "streetaddress",
];

/// Names that look like those of secrets and are none.
const KEEP: &[&str] = &["*tokentype", "*expires*", "*expiry*", "*passwordless*", "csrfparam*", "*username*label"];

impl Default for Rules {
    fn default() -> Self {
        let globs = |all: &[&str]| all.iter().filter_map(|text| Glob::new(text)).collect();
        Self { names: globs(NAMES), keep: globs(KEEP), patterns: Vec::new(), national_ids: false }
    }
}

impl Rules {
    /// Fields of these names too, as in `order_key` or `*-pin`.
    ///
    /// # Errors
    /// When there is no letter or digit in a name.
    pub fn name(&mut self, glob: &str) -> Result<(), RulesError> {
        self.names.push(Glob::new(glob).ok_or_else(|| RulesError::Name(glob.to_owned()))?);
        Ok(())
    }

    /// Fields of these names not, whatever else is said of them. Values known to be secret from elsewhere are not kept.
    ///
    /// # Errors
    /// When there is no letter or digit in a name.
    pub fn keep(&mut self, glob: &str) -> Result<(), RulesError> {
        self.keep.push(Glob::new(glob).ok_or_else(|| RulesError::Name(glob.to_owned()))?);
        Ok(())
    }

    /// Whatever this regular expression finds is secret: its first group, or all of it.
    ///
    /// # Errors
    /// When it is none.
    pub fn pattern(&mut self, pattern: &str) -> Result<(), RulesError> {
        let compiled = regex::bytes::RegexBuilder::new(pattern).size_limit(1 << 20).build();
        self.patterns.push(compiled.map_err(|source| RulesError::Pattern { pattern: pattern.to_owned(), source })?);
        Ok(())
    }

    /// Numbers that look like national ids are personal data too.
    pub fn national_ids(&mut self) {
        self.national_ids = true;
    }

    pub(super) fn has_national_ids(&self) -> bool {
        self.national_ids
    }

    pub(super) fn patterns(&self) -> &[Regex] {
        &self.patterns
    }

    /// Whether a field of this name is kept whatever it looks like.
    pub(super) fn keeps(&self, name: &[u8]) -> bool {
        let plain = plain(name);
        self.keep.iter().any(|glob| glob.matches(&plain))
    }

    /// Whether a field of this name holds a secret. Of `user[password]` or `user.password` the last part counts too.
    pub(super) fn is_secret(&self, name: &[u8]) -> bool {
        let whole = plain(name);
        let last = name.rsplit(|byte| b".[:$".contains(byte)).map(plain).find(|part| !part.is_empty());
        let last = last.unwrap_or_default();
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(&whole) || glob.matches(&last));
        !whole.is_empty() && matches(&self.names) && !matches(&self.keep)
    }
}

/// Small letters and digits alone.
fn plain(name: &[u8]) -> Vec<u8> {
    name.iter().filter(|byte| byte.is_ascii_alphanumeric() || **byte >= 0x80).map(u8::to_ascii_lowercase).collect()
}

/// A name with `*` for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    /// What stands between the stars.
    pieces: Vec<Vec<u8>>,
}

impl Glob {
    fn new(text: &str) -> Option<Self> {
        let pieces: Vec<Vec<u8>> = text.split('*').map(|piece| plain(piece.as_bytes())).collect();
        pieces.iter().any(|piece| !piece.is_empty()).then_some(Self { pieces })
    }

    fn matches(&self, name: &[u8]) -> bool {
        let [first, middle @ .., last] = self.pieces.as_slice() else {
            return self.pieces.first().is_some_and(|only| only == name);
        };
        let Some(mut rest) = name.strip_prefix(first.as_slice()).and_then(|rest| rest.strip_suffix(last.as_slice()))
        else {
            return false;
        };
        for piece in middle {
            let Some(at) = memchr::memmem::find(rest, piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_however_they_are_written() {
        let mut rules = Rules::default();
        for (name, secret) in [
            ("password", true),
            ("user[password]", true),
            ("newPassword2", true),
            ("X-CSRF-Token", true),
            ("csrfmiddlewaretoken", true),
            ("__RequestVerificationToken", true),
            ("PHPSESSID", true),
            ("login.pin", true),
            ("spin", false),
            ("pinned", false),
            ("token_type", false),
            ("max_tokens", false),
            ("note", false),
            ("", false),
            ("[]", false),
        ] {
            assert_eq!(rules.is_secret(name.as_bytes()), secret, "{name}");
        }
        rules.name("order-*_key").unwrap();
        rules.keep("api*token").unwrap();
        assert!(rules.is_secret(b"orderBigKey") && rules.is_secret(b"order_key") && !rules.is_secret(b"orderkeys"));
        assert!(!rules.is_secret(b"api_csrf_token"));
        assert!(rules.name("*-*").is_err() && rules.pattern("(").is_err());
    }
}
