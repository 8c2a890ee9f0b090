//! Flags of commands that write captures: whether and how secrets are redacted; what is said of it in the end.

use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

use super::inspect::count;
use super::{CliError, Console, Exit, config};
use crate::wire::redact::{Key, Redactor, Rules, RulesError, Tally};

/// The flags.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Flags {
    /// Replace secrets and personal data by pseudonyms of the same shape before they reach the capture (section `redact` of
    /// overdub.toml says more of what)
    #[arg(long, env = "OVERDUB_REDACT", value_parser = clap::builder::FalseyValueParser::new())]
    redact: bool,
    /// File with the key of the pseudonyms, 64 hexadecimal digits, to have the same ones in several captures [default: a random
    /// key that is kept nowhere]; implies --redact
    #[arg(long, env = "OVERDUB_REDACT_KEY_FILE", value_name = "FILE")]
    redact_key_file: Option<PathBuf>,
}

impl Flags {
    /// Whether secrets are to be redacted.
    pub(super) fn asked(&self) -> bool {
        self.redact || self.redact_key_file.is_some()
    }

    /// What redacts, when that was asked for.
    ///
    /// # Errors
    /// When there is no key, or `overdub.toml` has mistakes.
    pub(super) fn redactor(&self) -> Result<Option<Redactor>, CliError> {
        if !self.asked() {
            return Ok(None);
        }
        let key = match &self.redact_key_file {
            Some(path) => read_key(path)?,
            None => random_key()?,
        };
        let rules = rules(&config::read()?.redact)
            .map_err(|error| CliError::because(Exit::Usage, "overdub.toml: [redact]", &error))?;
        Ok(Some(Redactor::new(key, rules)))
    }
}

fn read_key(path: &Path) -> Result<Key, CliError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::because(Exit::Usage, format_args!("cannot read {}", path.display()), &error))?;
    Key::from_hex(&text).ok_or_else(|| {
        let sentence = format!(
            "{} holds no key: it takes 64 hexadecimal digits, as `openssl rand -hex 32` prints them",
            path.display()
        );
        CliError::new(Exit::Usage, sentence)
    })
}

fn random_key() -> Result<Key, CliError> {
    let mut bytes = [0; 32];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| CliError::new(Exit::Broken, "the system gives no random numbers for the key of --redact"))?;
    Ok(Key::new(&bytes))
}

fn rules(file: &config::Redact) -> Result<Rules, RulesError> {
    let mut rules = Rules::default();
    file.names.iter().try_for_each(|name| rules.name(name))?;
    file.keep.iter().try_for_each(|name| rules.keep(name))?;
    file.patterns.iter().try_for_each(|pattern| rules.pattern(pattern))?;
    if file.national_ids {
        rules.national_ids();
    }
    Ok(rules)
}

/// Says what was redacted.
pub(super) fn tell(console: Console, tally: &Tally) {
    console.say(format_args!("redacted: pseudonyms stand in {}", count(tally.values, "place")));
    for (number, what) in [
        (tally.left_out, "bodies or messages could not be read to be redacted and were left out"),
        (
            tally.short,
            "secrets too short or too common to be looked for everywhere are hidden where their names stand only",
        ),
        (tally.forgotten, "secrets were no longer looked for everywhere, as there were too many"),
    ] {
        if number > 0 {
            console.say(format_args!("  {number:>6}  {what}"));
        }
    }
    if tally.late > 0 {
        console.warn(format_args!(
            "{} may stand unredacted in what was written before it was known as one",
            count(tally.late, "secret")
        ));
    }
}
