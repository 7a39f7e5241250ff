//! The guide shows the template that `cargo xtask new-plugin` writes.

#[test]
fn the_guide_shows_the_template() {
    let guide = include_str!("../../../../docs/adding-a-plugin.md");
    let files = [
        include_str!("../../../../xtask/templates/plugin/src/lib.rs"),
        include_str!("../../../../xtask/templates/plugin/Cargo.toml"),
    ];
    for file in files {
        let shown = file
            .replace("{{id}}", "my-codec")
            .replace("{{Type}}", "MyCodec")
            .replace("{{crate}}", "strait-my-codec");
        assert!(
            guide.contains(&shown),
            "docs/adding-a-plugin.md: expected this text as it is in xtask/templates/plugin:\n{shown}"
        );
    }
}

#[test]
fn the_guide_names_every_check() {
    let guide = include_str!("../../../../docs/adding-a-plugin.md");
    for check in strait_conformance::CHECKS {
        assert!(guide.contains(&format!("`{}`", check.name)), "{} is not in the guide", check.name);
    }
}

#[test]
fn the_guide_shows_the_press() {
    let guide = include_str!("../../../../docs/adding-a-plugin.md");
    let press = include_str!("shortest.rs");
    assert!(guide.contains(press), "docs/adding-a-plugin.md: expected this text:\n{press}");
}

#[test]
fn the_guide_names_every_check_of_a_press() {
    let guide = include_str!("../../../../docs/adding-a-plugin.md");
    for check in strait_conformance::PRESS_CHECKS {
        assert!(guide.contains(&format!("`{}`", check.name)), "{} is not in the guide", check.name);
    }
}
