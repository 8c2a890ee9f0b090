//! What the demo found, told to a tester. Decides whether both proofs hold; does no work of its own.

use std::io::{self, Write};
use std::path::Path;

use crate::demo::SiteState;
use crate::measure::{Quantiles, Summary};

use super::directory::Directory;

/// Everything the demo learned.
#[derive(Clone, Debug)]
pub(super) struct Findings {
    /// Recorded people.
    pub(super) visitors: usize,
    /// Recorded exchanges.
    pub(super) exchanges: u64,
    /// Length of the capture in bytes.
    pub(super) capture_bytes: u64,
    /// Rules found.
    pub(super) rules: usize,
    /// What the site's own state says after the replay with the rules.
    pub(super) with_rules: SiteState,
    /// Numbers of that replay.
    pub(super) replayed: Summary,
    /// What the site's own state says after the replay without any rule.
    pub(super) without_rules: SiteState,
    /// Virtual users: as many orders by as many accounts are due.
    pub(super) users: u64,
    /// Service times of the recording.
    pub(super) recorded: Option<Quantiles>,
    /// Outcome of the comparison in plain language, safe for a terminal.
    pub(super) verdict: String,
}

impl Findings {
    /// Whether the replay with the rules did everything it had to do at the site.
    pub(super) fn rules_work(&self) -> bool {
        let site = &self.with_rules;
        let each_once = |counts: &std::collections::BTreeMap<String, u64>| {
            counts.len() as u64 == self.users && counts.values().all(|count| *count == 1)
        };
        site.orders == self.users && each_once(&site.orders_by_account) && site.order_numbers.len() as u64 == self.users
    }

    /// Whether the replay without rules achieved nothing, as it must.
    pub(super) fn rules_are_needed(&self) -> bool {
        self.without_rules.orders == 0
    }

    /// Both proofs.
    pub(super) fn holds(&self) -> bool {
        self.rules_work() && self.rules_are_needed()
    }

    /// What is wrong, in one sentence.
    pub(super) fn complaint(&self) -> String {
        let (users, site) = (self.users, &self.with_rules);
        if self.rules_work() {
            let orders = self.without_rules.orders;
            return format!("the replay without rules made {orders} orders where it should have made none");
        }
        let (orders, accounts) = (site.orders, site.orders_by_account.len());
        format!("the replay made {orders} orders by {accounts} accounts where {users} by {users} were due")
    }

    /// Writes the summary.
    pub(super) fn tell(&self, directory: &Directory, out: &mut impl Write) -> io::Result<()> {
        let mut lines = self.what_happened();
        lines.push(String::new());
        lines.extend(self.how_long());
        write_box(&lines, out)?;
        writeln!(out, "\n{}\n", self.verdict)?;
        for (path, what) in [
            (directory.report(), "the report: open it in a browser"),
            (directory.capture(), "what was recorded"),
            (directory.rules(), "what was found to be dynamic: read it, edit it"),
            (directory.users(), "who was played"),
            (directory.run(), "all numbers of the replay"),
            (directory.naive_run(), "the same without rules"),
        ] {
            writeln!(out, "  {}  {what}", pad(&path.display().to_string(), self.widest(directory)))?;
        }
        writeln!(out, "\nTry next:")?;
        let capture = word(&directory.capture());
        writeln!(out, "  overdub inspect {capture}")?;
        writeln!(out, "  overdub compare {capture} {}", word(&directory.run()))?;
        writeln!(out, "  overdub record -o mine.dub    (and point a browser at the proxy that it names)")
    }

    fn widest(&self, directory: &Directory) -> usize {
        directory.results().iter().map(|path| path.display().to_string().chars().count()).max().unwrap_or(0)
    }

    fn what_happened(&self) -> Vec<String> {
        let site = &self.with_rules;
        let refused: u64 = self.without_rules.refused.values().sum();
        vec![
            row(
                "recorded",
                format!("{} visitors, {} exchanges, {} KiB", self.visitors, self.exchanges, kib(self.capture_bytes)),
            ),
            row(
                "correlated",
                format!("{} rules by themselves, {} unexplained values", self.rules, self.replayed.unexplained),
            ),
            row(
                "replayed",
                format!(
                    "{} users, {} exchanges, {} as recorded",
                    self.users, self.replayed.exchanges.sent, self.replayed.exchanges.ok
                ),
            ),
            row(
                "the site says",
                format!(
                    "{} orders by {} accounts: {}",
                    site.orders,
                    site.orders_by_account.len(),
                    yes(self.rules_work())
                ),
            ),
            row(
                "",
                format!(
                    "{} attachments, {} found again, {} notes right, {} log-outs",
                    site.uploads_by_account.values().sum::<u64>(),
                    site.found_by_account.values().sum::<u64>(),
                    site.orders_with_own_note,
                    site.accounts_logged_out.len()
                ),
            ),
            row(
                "without rules",
                format!(
                    "{} orders, {refused} requests refused: {}",
                    self.without_rules.orders,
                    yes(self.rules_are_needed())
                ),
            ),
        ]
    }

    fn how_long(&self) -> Vec<String> {
        let quantiles = |q: Option<Quantiles>| {
            q.map_or("none".to_owned(), |q| {
                format!("p50 {}  p90 {}  p99 {}  max {} ms", ms(q.p50), ms(q.p90), ms(q.p99), ms(q.max))
            })
        };
        vec![
            row("recorded times", quantiles(self.recorded)),
            row("response times", quantiles(self.replayed.response_us)),
            row("own lateness", quantiles(self.replayed.lateness_us)),
        ]
    }
}

fn row(name: &str, text: String) -> String {
    format!("{}  {text}", pad(name, 14))
}

fn yes(holds: bool) -> &'static str {
    if holds { "as it should be" } else { "NOT AS IT SHOULD BE" }
}

fn ms(micros: u64) -> String {
    format!("{}.{}", micros / 1_000, micros % 1_000 / 100)
}

fn kib(bytes: u64) -> u64 {
    bytes.div_ceil(1_024)
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.chars().count())))
}

/// A path as a word of a command line.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn write_box(lines: &[String], out: &mut impl Write) -> io::Result<()> {
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let rule = "─".repeat(width + 2);
    writeln!(out, "┌{rule}┐")?;
    for line in lines {
        writeln!(out, "│ {} │", pad(line, width))?;
    }
    writeln!(out, "└{rule}┘")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Aggregate, Load, Run, RunInfo, RunKind};

    fn site(orders: &[(&str, u64)]) -> SiteState {
        let total: u64 = orders.iter().map(|(_, count)| count).sum();
        SiteState {
            orders: total,
            order_numbers: (0..total).collect(),
            orders_by_account: orders.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            ..SiteState::default()
        }
    }

    fn findings(with_rules: SiteState, without_rules: SiteState) -> Findings {
        let info = RunInfo {
            kind: RunKind::Replayed,
            program: String::new(),
            started_unix_ns: 0,
            capture: String::new(),
            rules: None,
            targets: Vec::new(),
            speed: None,
            load: Load::Multiplied(2),
            users: 2,
            iterations: 1,
            seed: 1,
            skipped: Vec::new(),
            unexplained: 0,
        };
        Findings {
            visitors: 1,
            exchanges: 20,
            capture_bytes: 1_000,
            rules: 9,
            with_rules,
            replayed: Run::new(Aggregate::new(0), &[], info).summary(),
            without_rules,
            users: 2,
            recorded: None,
            verdict: "no verdict".to_owned(),
        }
    }

    #[test]
    fn the_demo_holds_only_when_both_proofs_do() {
        let nothing = || site(&[]);
        let each = || site(&[("a", 1), ("b", 1)]);
        for (with, without, holds, complaint) in [
            (each(), nothing(), true, ""),
            (nothing(), nothing(), false, "made 0 orders by 0 accounts where 2 by 2 were due"),
            (site(&[("a", 1)]), nothing(), false, "made 1 orders by 1 accounts"),
            (site(&[("a", 2)]), nothing(), false, "made 2 orders by 1 accounts"),
            (site(&[("a", 2), ("b", 1)]), nothing(), false, "made 3 orders by 2 accounts"),
            (each(), site(&[("a", 1)]), false, "without rules made 1 orders"),
        ] {
            let findings = findings(with, without);
            assert_eq!(findings.holds(), holds, "{findings:?}");
            assert!(holds || findings.complaint().contains(complaint), "{}", findings.complaint());
        }
    }

    #[test]
    fn the_summary_names_every_file_and_what_failed() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::open(&temporary.path().join("it's here")).unwrap();
        let mut out = Vec::new();
        findings(site(&[("a", 1)]), site(&[])).tell(&directory, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("1 orders by 1 accounts: NOT AS IT SHOULD BE"), "{text}");
        assert!(directory.results().iter().all(|path| text.contains(&path.display().to_string())), "{text}");
        assert!(text.contains(r"it'\''s here/shop.dub'"), "a path with a quote is one word of a shell: {text}");
        let widths: Vec<usize> = text.lines().take(6).map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "the box is straight: {text}");
    }
}
