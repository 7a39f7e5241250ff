//! Where the choices of kernels are kept from one run to the next.

use std::sync::Once;

use cubecl_common::config::RuntimeConfig;
use cubecl_runtime::config::CubeClRuntimeConfig;
use cubecl_runtime::config::cache::CacheConfig;

/// Puts the choices for a card into the user's cache folder, `strait/kernels/<card>`.
///
/// By itself cubecl writes them to `target` of a Cargo project around the working folder, and its
/// files name a device's index but not its model. A `cubecl.toml` that names a place has precedence.
pub(crate) fn keep(card: &str) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Some(folder) = dirs::cache_dir() else { return };
        if CubeClRuntimeConfig::storage().lock().is_some() {
            return;
        }
        let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
        if matches!(config.autotune.cache, CacheConfig::Target) {
            let folder = folder.join("strait/kernels").join(file_name(card));
            config.autotune.cache = CacheConfig::File(folder);
        }
        CubeClRuntimeConfig::set(config);
    });
}

/// `NVIDIA H200` becomes `nvidia-h200`.
fn file_name(card: &str) -> String {
    let kept = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    card.chars().map(kept).collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cards_name_becomes_a_folder() {
        assert_eq!(file_name("NVIDIA H200"), "nvidia-h200");
        assert_eq!(file_name("../x"), "---x");
    }
}
