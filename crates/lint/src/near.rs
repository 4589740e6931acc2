//! The word that was probably meant.

/// The candidate that is a slip of the finger away, if one is. Words that differ in digits only are names, not slips.
pub(crate) fn near<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    ranked(word, candidates).into_iter().next().map(|(_, c)| c)
}

/// The candidate that is the only one so near, and one letter away: safe enough to be written.
pub(crate) fn only_slip<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    match ranked(word, candidates).as_slice() {
        [(1, only)] => Some(only),
        _ => None,
    }
}

fn ranked<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Vec<(usize, &'c str)> {
    if word.len() < 3 || word.len() > 63 {
        return Vec::new();
    }
    let most = if word.len() <= 5 { 1 } else { 2 };
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|c| c.len() >= 3 && *c != word && c.len().abs_diff(word.len()) <= most)
        .filter(|c| without_digits(c) != without_digits(word))
        .map(|c| (strsim::osa_distance(word, c), c))
        .filter(|(distance, c)| *distance <= most || c.eq_ignore_ascii_case(word))
        .collect();
    near.sort_unstable();
    near.dedup();
    near
}

fn without_digits(word: &str) -> String {
    word.chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_names_are_not() {
        let check = |word: &str, candidates: &[&'static str], expect: Option<&str>| {
            assert_eq!(near(word, candidates.iter().copied()), expect, "{word}");
        };
        check("postgress", &["postgres", "web"], Some("postgres"));
        check("Postgres", &["postgres"], Some("postgres"));
        check("fronted", &["frontend", "backend"], Some("frontend"));
        check("web1", &["web2"], None);
        check("orders2", &["orders"], None);
        check("db", &["dv"], None);
        check("api", &["app"], Some("app"));
        check("cache", &["catch"], None);
    }
}
