//! "Did you mean": the nearest of a few known words.

/// The known word that `text` was most probably meant to be; `None` if none is near.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer texts are no slips of the keyboard, and the distance costs the product of both lengths.
    const LONGEST: usize = 64;
    if text.is_empty() || text.len() > LONGEST {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', ' ', '.'], "");
    let wanted = plain(text);
    let mut best: Option<(usize, &str)> = None;
    for word in known.into_iter().filter(|word| word.len() <= LONGEST) {
        let candidate = plain(word);
        let shorter = wanted.chars().count().min(candidate.chars().count());
        let mut distance = strsim::osa_distance(&wanted, &candidate);
        // One word being the beginning of the other ("addr", "addresses") is near as well.
        if shorter >= 3 && (candidate.starts_with(&wanted) || wanted.starts_with(&candidate)) {
            distance = distance.min(1);
        }
        if distance <= (shorter / 3).max(1)
            && distance < shorter
            && best.is_none_or(|(least, _)| distance < least)
        {
            best = Some((distance, word));
        }
    }
    best.map(|(_, word)| word)
}

/// The nearest known word as a sentence, else the known words themselves if they are few.
pub(crate) fn help(text: &str, known: &[&str], what: &str) -> Option<String> {
    const FEW: usize = 12;
    if let Some(word) = nearest(text, known.iter().copied()) {
        return Some(format!("did you mean `{word}`?"));
    }
    (!known.is_empty() && known.len() <= FEW).then(|| format!("{what}: {}", list(known)))
}

/// Words in a row, in backquotes.
pub(crate) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["networks", "endpoints", "host-only", "nat", "address", "l2", "l3"];
        let near = |text| nearest(text, known);
        assert_eq!(near("netwroks"), Some("networks"));
        assert_eq!(near("hostonly"), Some("host-only"));
        assert_eq!(near("host_only"), Some("host-only"));
        assert_eq!(near("addr"), Some("address"));
        assert_eq!(near("addresses"), Some("address"));
        assert_eq!(near("NAT"), Some("nat"));
        assert_eq!(near("banana"), None);
        assert_eq!(near(""), None);
        assert_eq!(near("x"), None);
        assert_eq!(near(&"n".repeat(100_000)), None);
    }
}
