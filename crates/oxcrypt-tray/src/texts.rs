//! Sentences and sizes for people.

/// With a capital first letter.
pub(crate) fn capital(text: &str) -> String {
    change_first(text, |c| c.to_ascii_uppercase())
}

/// To go on with in the middle of a sentence.
pub(crate) fn small(text: &str) -> String {
    change_first(text, |c| c.to_ascii_lowercase())
}

fn change_first(text: &str, change: impl Fn(char) -> char) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(change);
    first.into_iter().chain(chars).collect()
}

/// A number of bytes.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value < 9.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        assert_eq!(
            (capital("äh"), capital("so"), small("So")),
            ("äh".into(), "So".into(), "so".into())
        );
        assert_eq!(capital(""), "");
    }

    #[test]
    fn sizes() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1 << 20), "1.0 MiB");
        assert_eq!(size(1023 << 20), "1.0 GiB");
        assert_eq!(size(u64::MAX), "16384 PiB");
    }
}
