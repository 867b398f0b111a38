//! Colours of the targets, and the style that page and charts share, light and dark.

use crate::model::Run;

/// Told apart also by the colour-blind; the first is our own product's.
const COLOURS: [&str; 10] = [
    "#0072b2", "#8a8a8a", "#b8b8b8", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9",
    "#a6761d", "#7570b3",
];
/// Our own product in several ways, one after the other.
const VARIANTS: [&str; 4] = ["#0072b2", "#5b3fa8", "#56b4e9", "#a6761d"];
const KNOWN: [&str; 10] = [
    "oxcrypt",
    "plain",
    "passthrough",
    "gocryptfs",
    "securefs",
    "cryptomator",
    "encfs",
    "cryfs",
    "rclone",
    "",
];

/// The same target has the same colour in every report.
pub(crate) fn colour(run: &Run, target: &str) -> &'static str {
    if let Some(i) = KNOWN.iter().position(|k| *k == target) {
        return COLOURS[i];
    }
    let names = run.targets.iter().map(|t| t.name.as_str());
    let before = names.take_while(|name| *name != target);
    if is_variant_of_ours(target) {
        let nth = before.filter(|name| is_variant_of_ours(name)).count();
        return VARIANTS[nth % VARIANTS.len()];
    }
    COLOURS[(before.count() * 3 + 9) % COLOURS.len()]
}

fn is_variant_of_ours(target: &str) -> bool {
    target.starts_with("oxcrypt[")
}

/// What a reader sees: of a target with an environment of its own only the values, as far as that
/// tells it from the others.
pub(crate) fn label(run: &Run, target: &str) -> String {
    let short = shortened(target);
    let alike = run.targets.iter().filter(|t| shortened(&t.name) == short);
    if alike.count() > 1 {
        return target.to_owned();
    }
    short
}

fn shortened(target: &str) -> String {
    let parts = target.strip_suffix(']').and_then(|t| t.split_once('['));
    let Some((name, variables)) = parts else {
        return target.to_owned();
    };
    let values: Vec<&str> = variables
        .split(',')
        .map(|v| v.split_once('=').map_or(v, |(_, value)| value))
        .collect();
    format!("{name} ({})", values.join(", "))
}

pub(crate) const VARIABLES: &str = "\
:root{--bg:#ffffff;--fg:#1b1f24;--dim:#5c6570;--line:#d8dee4;--soft:#f4f6f8;--bad:#b42318}\
@media (prefers-color-scheme:dark){:root{--bg:#12161b;--fg:#e6e9ec;--dim:#9aa4ae;--line:#313a44;--soft:#1a2027;--bad:#ff8a7a}}";

/// For text inside XML and HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_told_by_their_values() {
        assert_eq!(
            shortened("oxcrypt[OXCRYPT_TRANSPORT=ring]"),
            "oxcrypt (ring)"
        );
        assert_eq!(shortened("oxcrypt[A=1,B=x y]"), "oxcrypt (1, x y)");
        assert_eq!(shortened("path:a[b"), "path:a[b");
        assert_eq!(shortened("gocryptfs"), "gocryptfs");
    }

    #[test]
    fn nothing_escapes_from_text() {
        assert_eq!(
            escape("<a href=\"x\">&'\u{7}"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;"
        );
    }
}
