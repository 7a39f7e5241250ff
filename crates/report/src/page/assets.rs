//! What the page carries inside: style, scripts, and the two libraries of `assets/`.

/// d3, ISC licence.
pub(super) const D3: &str = include_str!("../../assets/d3.min.js");
/// Observable Plot, ISC licence.
pub(super) const PLOT: &str = include_str!("../../assets/plot.umd.min.js");
pub(super) const D3_LICENCE: &str = include_str!("../../assets/LICENSE-d3");
pub(super) const PLOT_LICENCE: &str = include_str!("../../assets/LICENSE-plot");
pub(super) const STYLE: &str = include_str!("page.css");
/// Figures without a document: what the charts compute.
pub(super) const MODEL: &str = include_str!("model.js");
pub(super) const CHARTS: &str = include_str!("charts.js");
pub(super) const TABLE: &str = include_str!("table.js");
pub(super) const MAIN: &str = include_str!("main.js");

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_libraries_are_those_that_the_readme_names() {
        let readme = include_str!("../../assets/README.md");
        for (file, text) in [("d3.min.js", D3), ("plot.umd.min.js", PLOT)] {
            let sha256: String =
                Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
            let row = readme.lines().find(|line| line.starts_with(&format!("| `{file}`")));
            assert!(row.is_some_and(|row| row.contains(&sha256)), "{file} is {sha256}");
        }
    }

    #[test]
    fn no_script_ends_its_own_element() {
        for text in [D3, PLOT, MODEL, CHARTS, TABLE, MAIN] {
            assert!(!text.to_ascii_lowercase().contains("</script"));
        }
    }
}
