//! The word that was probably meant.

/// The candidate that is a slip of the finger away, if one is. Siblings are names, not slips.
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
        .filter(|c| !are_siblings(c, word))
        .map(|c| (strsim::osa_distance(word, c), c))
        .filter(|(distance, c)| *distance <= most || c.eq_ignore_ascii_case(word))
        .collect();
    near.sort_unstable();
    near.dedup();
    near
}

/// Whether two words may well both be names: they differ in digits only, such as `web1` and `web2`, or in one short word,
/// such as `team-a` and `team-b`, or `app` and `api`. Letters that changed places are a slip all the same.
fn are_siblings(a: &str, b: &str) -> bool {
    if without_digits(a) == without_digits(b) {
        return true;
    }
    let split = |word| str::split(word, ['-', '_', '.', '/']).collect::<Vec<&str>>();
    let (a, b) = (split(a), split(b));
    if a.len() != b.len() {
        return false;
    }
    let mut differing = a.iter().zip(&b).filter(|(a, b)| !a.eq_ignore_ascii_case(b));
    match (differing.next(), differing.next()) {
        (Some((a, b)), None) => {
            a.len() <= SHORT && b.len() <= SHORT && !a.is_empty() && !b.is_empty() && sorted(a) != sorted(b)
        }
        _ => false,
    }
}

/// Words of so few letters are mostly one letter from another.
const SHORT: usize = 3;

fn sorted(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
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
        check("api", &["app"], None);
        check("wbe", &["web"], Some("web"));
        check("team-a", &["team-b"], None);
        check("prod-eu", &["prod-us"], None);
        check("kube-dsn", &["kube-dns"], Some("kube-dns"));
        check("my-appp", &["my-app"], Some("my-app"));
        check("red-cache", &["red-catche"], Some("red-catche"));
        check("cache", &["catch"], None);
    }
}
