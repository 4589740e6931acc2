//! The syntax of names, labels and ports as the API server checks it, and the name that was probably meant.
//!
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>

/// Whether a name is a DNS subdomain: what most objects may be called.
pub(crate) fn subdomain(name: &str) -> Result<(), &'static str> {
    if name.len() > 253 {
        return Err("longer than 253 characters");
    }
    if name.split('.').all(dns_word) {
        Ok(())
    } else {
        Err("only lower case letters, digits, `-` and `.`, with a letter or digit at each end of a part")
    }
}

/// Whether a name is a DNS label: what namespaces may be called.
pub(crate) fn dns_label(name: &str) -> Result<(), &'static str> {
    if name.len() > 63 {
        return Err("longer than 63 characters");
    }
    if dns_word(name) {
        Ok(())
    } else {
        Err("only lower case letters, digits and `-`, with a letter or digit at each end")
    }
}

/// Whether this may be a label's key: an optional DNS subdomain and a slash, and a name.
pub(crate) fn label_key(key: &str) -> Result<(), &'static str> {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            if prefix.is_empty() {
                return Err("nothing before the slash");
            }
            subdomain(prefix).map_err(|_| "what stands before the slash is no DNS name")?;
            name
        }
        None => key,
    };
    match name {
        "" => Err("it is empty"),
        name if name.len() > 63 => Err("longer than 63 characters"),
        name if name.contains('/') => Err("more than one slash"),
        name if label_word(name) => Ok(()),
        _ => Err("only letters, digits, `-`, `_` and `.`, with a letter or digit at each end"),
    }
}

/// Whether this may be a label's value.
pub(crate) fn label_value(value: &str) -> Result<(), &'static str> {
    match value {
        "" => Ok(()),
        value if value.len() > 63 => Err("longer than 63 characters"),
        value if label_word(value) => Ok(()),
        _ => Err("only letters, digits, `-`, `_` and `.`, with a letter or digit at each end"),
    }
}

/// Whether this may name a port (`IANA_SVC_NAME`).
pub(crate) fn port_name(name: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    match name {
        "" => Err("it is empty"),
        name if name.len() > 15 => Err("longer than 15 characters"),
        name if !name.bytes().all(allowed) => Err("only lower case letters, digits and `-`"),
        name if !name.bytes().any(|b| b.is_ascii_lowercase()) => Err("it needs a letter"),
        name if name.contains("--") => Err("no two dashes in a row"),
        name if name.starts_with('-') || name.ends_with('-') => Err("no dash at either end"),
        _ => Ok(()),
    }
}

fn dns_word(word: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    edge(word.bytes().next())
        && edge(word.bytes().last())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn label_word(word: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    edge(word.bytes().next())
        && edge(word.bytes().last())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// The candidate that was probably meant: the same in another case or in the plural, or a slip of the finger away.
pub(crate) fn near_miss<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // A longer word is no slip, and the distance is quadratic.
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (distance(&lower, &c.to_lowercase()), c))
        .filter(|(d, c)| *d <= if c.len() <= 5 { 1 } else { 2 })
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// How many letters must be put in, left out, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let at = |row: &[usize], i: usize| row.get(i).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let change = at(&last, j) + usize::from(x != y);
            let mut best = change.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}

/// The words as a list to read: `` `a`, `b` and `c` ``.
pub(crate) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => "nothing".to_owned(),
    }
}

/// Where a field of a NetworkPolicy belongs, for one that was found elsewhere: mostly wrong indentation.
pub(crate) fn belongs(field: &str) -> Option<&'static str> {
    Some(match field {
        "podSelector" => "in `spec`, or in an item of `from` or `to`",
        "policyTypes" | "ingress" | "egress" => "in `spec`",
        "from" => "in an item of `ingress`",
        "to" => "in an item of `egress`",
        "ports" => "in an item of `ingress` or `egress`, beside `from` or `to`",
        "namespaceSelector" | "ipBlock" => "in an item of `from` or `to`",
        "cidr" | "except" => "in `ipBlock`",
        "port" | "endPort" | "protocol" => "in an item of `ports`",
        "matchLabels" | "matchExpressions" => "in a `podSelector` or `namespaceSelector`",
        "name" | "namespace" | "labels" | "annotations" => "in `metadata`",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_api_server() {
        let long = "a".repeat(64);
        type Check = fn(&str) -> Result<(), &'static str>;
        let check = |name: &str, f: Check, good: &[&str], bad: &[&str]| {
            for word in good {
                assert_eq!(f(word), Ok(()), "{name} {word:?}");
            }
            for word in bad {
                assert!(f(word).is_err(), "{name} {word:?}");
            }
        };
        check(
            "subdomain",
            subdomain,
            &["a", "a.b-c", "0", &long],
            &["", "A", "a.", ".a", "a..b", "-a", "a_b"],
        );
        check("dns label", dns_label, &["a", "a-b", "0"], &["", "a.b", "A", &long, "a-"]);
        check(
            "key",
            label_key,
            &["a", "A_b.c", "x.io/a"],
            &["", "/a", "a/", "a/b/c", "X/a", "-a", "a b", &long],
        );
        check("value", label_value, &["", "a", "A.b_c-d", "1"], &["-a", "a-", "a/b", "a b", &long]);
        check(
            "port",
            port_name,
            &["http", "a1", "8a"],
            &["", "80", "HTTP", "a--b", "-a", "a-", "a_b", "abcdefghijklmnop"],
        );
    }

    #[test]
    fn near_misses_are_slips_only() {
        let check = |word: &str, candidates: &[&'static str], expect: Option<&str>| {
            assert_eq!(near_miss(word, candidates.iter().copied()), expect, "{word:?}");
        };
        let fields = ["podSelector", "namespaceSelector", "ipBlock", "from", "to", "ports"];
        check("podselector", &fields, Some("podSelector"));
        check("podSelctor", &fields, Some("podSelector"));
        check("podSelectors", &fields, Some("podSelector"));
        check("ipblock", &fields, Some("ipBlock"));
        check("form", &fields, Some("from"));
        check("port", &fields, Some("ports"));
        check("egress", &fields, None);
        check("", &fields, None);
        check("Node", &["Pod", "Job"], None);
    }
}
