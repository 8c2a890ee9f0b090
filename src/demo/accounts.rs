//! The people who may log in at the sample site: `user001` to `user999`, each with a password and a word of their own.

use std::ops::RangeInclusive;

/// How many accounts the site has; they are numbered from 1.
pub const ACCOUNTS: u32 = 999;

/// One person known to the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// From 1 to [`ACCOUNTS`].
    pub number: u32,
    /// Such as `user007`.
    pub username: String,
    /// Such as `pw-007-5c1f0a`.
    pub password: String,
    /// A word that no other account has; it goes into the note of an order and is searched for.
    pub tag: String,
}

/// The account with this number; `None` when there is no such account.
pub fn account(number: u32) -> Option<Account> {
    if !(1..=ACCOUNTS).contains(&number) {
        return None;
    }
    let username = format!("user{number:03}");
    let secret = blake3::hash(format!("overdub sample shop {username}").as_bytes()).to_hex();
    let (row, column) = ((number % 32) as usize, ((number / 32 + number) % 32) as usize);
    Some(Account {
        number,
        password: format!("pw-{number:03}-{}", &secret[..6]),
        tag: format!("{}{}", FIRST[row], SECOND[column]),
        username,
    })
}

/// The accounts with these numbers, in order; numbers that no account has are left out.
pub fn accounts(numbers: RangeInclusive<u32>) -> Vec<Account> {
    numbers.filter_map(account).collect()
}

/// The account with this name, if there is one.
pub(super) fn by_name(username: &str) -> Option<Account> {
    let number = username.strip_prefix("user").filter(|digits| digits.len() == 3)?.parse().ok()?;
    account(number).filter(|account| account.username == username)
}

const FIRST: [&str; 32] = [
    "amber", "birch", "cobalt", "dusty", "ember", "fallow", "gentle", "hazel", "indigo", "jolly", "kindly", "lunar",
    "mellow", "nimble", "opal", "poplar", "quiet", "rustic", "silver", "tawny", "umber", "velvet", "willow", "yonder",
    "zesty", "autumn", "bright", "copper", "dapper", "frosty", "golden", "humble",
];

const SECOND: [&str; 32] = [
    "otter", "falcon", "meadow", "harbor", "lantern", "thicket", "pebble", "orchard", "sparrow", "canyon", "brook",
    "glacier", "heron", "island", "juniper", "kestrel", "lagoon", "marten", "nettle", "osprey", "prairie", "quarry",
    "raven", "saddle", "tundra", "valley", "walnut", "badger", "cedar", "dolphin", "feather", "garnet",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_account_has_its_own_name_password_and_word() {
        let all = accounts(1..=2000);
        assert_eq!(all.len(), ACCOUNTS as usize);
        for field in [|a: &Account| a.username.clone(), |a: &Account| a.password.clone(), |a: &Account| a.tag.clone()] {
            assert_eq!(all.iter().map(field).collect::<BTreeSet<_>>().len(), all.len());
        }
    }

    #[test]
    fn accounts_are_found_by_exact_name_alone() {
        assert_eq!(by_name("user042").map(|a| a.number), Some(42));
        for wrong in ["user42", "user000", "user+42", "user0042", "User042", "admin", ""] {
            assert_eq!(by_name(wrong), None, "{wrong}");
        }
    }
}
