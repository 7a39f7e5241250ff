//! Chooses a compiler and headers that match each other, the driver and the cards.

use std::path::PathBuf;

use crate::Card;
use crate::error::NvidiaError;
use crate::headers::Headers;
use crate::packages::{Install, Part, fitting};
use crate::sources::Source;
use crate::version::Version;

/// The first CUDA version whose headers are complete on PyPI, and the oldest that kernels were
/// compiled with.
pub(crate) const OLDEST: Version = Version::new(12, 4);

/// An NVRTC that was found.
pub(crate) struct Offer {
    /// Its file; `None` if the loader found it and does not say where.
    pub(crate) file: Option<PathBuf>,
    /// Whether the loader finds it by name.
    pub(crate) named: bool,
    /// Version and architectures, or why it cannot be used.
    pub(crate) about: Result<About, String>,
}

/// What NVRTC reports about itself.
pub(crate) struct About {
    pub(crate) version: Version,
    /// The architectures that it compiles for; empty if it does not say.
    pub(crate) architectures: Vec<u32>,
}

/// What a compiler has to match.
pub(crate) struct Need<'a> {
    pub(crate) driver: Version,
    /// The cards; empty before the driver has been started.
    pub(crate) cards: &'a [Card],
}

/// A compiler by its index among the offers, and its headers by the index of their source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) offer: usize,
    pub(crate) source: usize,
}

/// Chooses the first offer that matches, with headers of its own version if there are any.
/// `compiles` says whether an offer finds all that it needs in headers that look incomplete.
pub(crate) fn choose(
    offers: &[Offer],
    sources: &[Source],
    need: &Need,
    compiles: &dyn Fn(&Offer, &Headers) -> bool,
) -> Result<Choice, NvidiaError> {
    let mut reasons = Vec::new();
    let mut suiting = Vec::new();
    for (at, offer) in offers.iter().enumerate() {
        match check(offer, need) {
            Ok(about) => suiting.push((at, offer, about)),
            Err(reason) => reasons.push(reason),
        }
    }
    // burn's backend gets the compiler that the loader finds by name, so that one is tried first
    // with any headers.
    let (named, others): (Vec<_>, Vec<_>) = suiting.iter().partition(|(_, offer, _)| offer.named);
    for group in [named, others] {
        for fit in [Fit::Version, Fit::Major, Fit::Compiles] {
            for (at, offer, about) in &group {
                if let Some(source) = headers_for(offer, about, sources, fit, compiles) {
                    return Ok(Choice { offer: *at, source });
                }
            }
        }
    }
    // Installing headers only is less than installing another compiler too.
    if let Some((_, _, about)) = suiting.first() {
        return Err(missing(about.version, sources));
    }
    let nothing = || NvidiaError::NoCompiler { install: whole(need) };
    Err(reasons.into_iter().next().unwrap_or_else(nothing))
}

/// How headers match a compiler.
#[derive(Clone, Copy)]
enum Fit {
    /// They are complete and of the same version.
    Version,
    /// They are complete and of the same major version.
    Major,
    /// They look incomplete, but the compiler works with them. The list of files is a guess, the
    /// compiler's verdict is not.
    Compiles,
}

/// Checks that a compiler matches the driver and all cards.
fn check<'o>(offer: &'o Offer, need: &Need) -> Result<&'o About, NvidiaError> {
    let about = offer.about.as_ref().map_err(|reason| NvidiaError::BrokenCompiler {
        file: offer.file.clone().unwrap_or_default(),
        reason: reason.clone(),
        install: whole(need),
    })?;
    let compiler = about.version;
    if compiler < OLDEST {
        return Err(NvidiaError::CompilerTooOld { compiler, oldest: OLDEST, install: whole(need) });
    }
    if compiler > need.driver {
        let (driver, install) = (need.driver, whole(need));
        return Err(NvidiaError::CompilerTooNew { compiler, driver, install });
    }
    need.cards.iter().try_for_each(|card| compiles_for(about, card, need.driver))?;
    Ok(about)
}

/// Checks that a compiler supports the card's architecture.
pub(crate) fn compiles_for(about: &About, card: &Card, driver: Version) -> Result<(), NvidiaError> {
    let architecture = card.capability.architecture();
    let (first, last) = (about.architectures.iter().min(), about.architectures.iter().max());
    let known = first.is_none_or(|first| architecture >= *first)
        && last.is_none_or(|last| architecture <= *last);
    if known {
        return Ok(());
    }
    Err(NvidiaError::CardNotCompiledFor {
        compiler: about.version,
        card: card.name.clone(),
        capability: card.capability,
        install: Install { parts: Part::ALL.to_vec(), cuda: fitting(driver, Some(architecture)) },
    })
}

/// The first source whose headers match a compiler.
fn headers_for(
    offer: &Offer,
    about: &About,
    sources: &[Source],
    fit: Fit,
    compiles: &dyn Fn(&Offer, &Headers) -> bool,
) -> Option<usize> {
    let fits = |headers: &Headers| {
        let version = headers.version();
        match fit {
            Fit::Version => headers.missing().is_empty() && version == Some(about.version),
            Fit::Major => headers.missing().is_empty() && akin(version, about.version),
            Fit::Compiles => akin(version, about.version) && compiles(offer, headers),
        }
    };
    sources.iter().position(|source| source.headers.as_ref().is_some_and(fits))
}

/// Whether headers belong to a compiler's CUDA version, as far as they say.
fn akin(headers: Option<Version>, compiler: Version) -> bool {
    headers.is_none_or(|headers| headers.major == compiler.major)
}

/// What is missing for a compiler, measured from the source that lacks the least.
fn missing(compiler: Version, sources: &[Source]) -> NvidiaError {
    let beside = sources.iter().filter_map(|source| Some((source, source.headers.as_ref()?)));
    let near = beside.filter(|(_, headers)| akin(headers.version(), compiler));
    let nearest = near.min_by_key(|(_, headers)| headers.missing().len());
    let nothing = Headers::Parts { runtime: None, crt: None, cccl: None };
    let missing = nearest.map_or(&nothing, |(_, headers)| headers).missing();
    // Packages are completed. What another installer left incomplete is replaced by packages.
    let mut parts = Part::HEADERS.to_vec();
    if nearest.is_some_and(|(source, _)| source.packages) {
        parts.retain(|part| missing.iter().any(|(_, lost)| lost == part));
    }
    NvidiaError::NoHeaders {
        compiler,
        place: nearest.map(|(source, _)| source.place.clone()),
        missing: missing.into_iter().map(|(file, _)| file).collect(),
        install: Install { parts, cuda: compiler },
    }
}

/// The command that installs everything.
fn whole(need: &Need) -> Install {
    let architecture = need.cards.first().map(|card| card.capability.architecture());
    Install { parts: Part::ALL.to_vec(), cuda: fitting(need.driver, architecture) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Remedy;
    use crate::sources::{packages, toolkit};
    use crate::tree;

    const H200: Version = Version::new(9, 0);
    const V100: Version = Version::new(7, 0);

    fn offer(major: u32, minor: u32) -> Offer {
        let architectures = if major < 13 { vec![50, 90, 120] } else { vec![75, 90, 121] };
        let about = About { version: Version::new(major, minor), architectures };
        Offer { file: Some(format!("/{major}").into()), named: false, about: Ok(about) }
    }

    fn card(capability: Version) -> Card {
        Card { index: 0, name: "NVIDIA X".to_owned(), capability, memory_bytes: 1 }
    }

    fn driver(major: u32, minor: u32) -> Need<'static> {
        Need { driver: Version::new(major, minor), cards: &[] }
    }

    fn complete(numbers: &[u32]) -> (tempfile::TempDir, Vec<Source>) {
        let folder = tempfile::tempdir().unwrap();
        let sources = numbers.iter().map(|number| {
            let root = folder.path().join(number.to_string());
            tree::toolkit(&root, "lib64", *number);
            toolkit(&root).unwrap()
        });
        let sources = sources.collect();
        (folder, sources)
    }

    fn never(_: &Offer, _: &Headers) -> bool {
        false
    }

    #[test]
    fn the_first_pair_of_one_version_is_taken() {
        let (_folder, sources) = complete(&[13000, 12060, 12080]);
        let offers = [offer(12, 8), offer(13, 0)];
        let choice = choose(&offers, &sources, &driver(13, 0), &never).unwrap();
        assert_eq!(choice, Choice { offer: 0, source: 2 });
        // Headers of another minor version will do, of another major version they will not.
        let choice = choose(&offers, &sources[..2], &driver(12, 9), &never).unwrap();
        assert_eq!(choice, Choice { offer: 0, source: 1 });
        let error = choose(&offers[..1], &sources[..1], &driver(13, 0), &never).unwrap_err();
        assert!(matches!(&error, NvidiaError::NoHeaders { missing, .. } if missing.len() == 8));
        assert!(error.line().contains(" nvidia-cuda-runtime-cu12~=12.8.0 "), "{}", error.remedy());
        assert!(!error.line().contains("nvrtc"), "{}", error.line());
    }

    #[test]
    fn what_the_loader_finds_goes_before_a_better_pair() {
        let (_folder, sources) = complete(&[12080, 12060]);
        let offers = [offer(12, 8), Offer { named: true, ..offer(12, 4) }];
        let choice = choose(&offers, &sources, &driver(13, 0), &never).unwrap();
        assert_eq!(choice, Choice { offer: 1, source: 0 });
        // But it does not precede one that runs on the driver.
        let offers = [offer(12, 8), Offer { named: true, ..offer(13, 0) }];
        let choice = choose(&offers, &sources, &driver(12, 8), &never).unwrap();
        assert_eq!(choice, Choice { offer: 0, source: 0 });
    }

    #[test]
    fn a_compiler_suits_driver_and_cards() {
        let (_folder, sources) = complete(&[13000, 12080]);
        let offers = [offer(13, 0), offer(12, 8)];
        let cards = [card(V100)];
        let need = Need { driver: Version::new(13, 0), cards: &cards };
        assert_eq!(
            choose(&offers, &sources, &need, &never).unwrap(),
            Choice { offer: 1, source: 1 }
        );
        let error = choose(&offers[..1], &sources, &need, &never).unwrap_err();
        assert_eq!(
            error.to_string(),
            "NVRTC of CUDA 13.0 does not compile for NVIDIA X, whose compute capability is 7.0"
        );
        assert!(error.line().contains("nvidia-cuda-nvrtc-cu12~=12.8.0"), "{}", error.line());
        let error = choose(&offers[..1], &sources, &driver(12, 6), &never).unwrap_err();
        assert!(error.to_string().contains("13.0, and the driver runs CUDA up to 12.6"), "{error}");
        assert!(error.line().contains("nvidia-cuda-nvrtc-cu12~=12.6.0"), "{}", error.line());
        let error = choose(&[offer(11, 8)], &sources, &driver(12, 8), &never).unwrap_err();
        assert!(
            error.to_string().starts_with("NVRTC is that of CUDA 11.8: expected 12.4"),
            "{error}"
        );
        let cards = [card(H200)];
        let need = Need { driver: Version::new(13, 0), cards: &cards };
        assert_eq!(choose(&offers, &sources, &need, &never).unwrap().offer, 0);
    }

    #[test]
    fn nothing_at_all_is_everything_to_install() {
        let error = choose(&[], &[], &driver(12, 9), &never).unwrap_err();
        assert_eq!(error.to_string(), "NVRTC, which compiles kernels, is missing");
        assert_eq!(error.line().matches("-cu12~=12.8.0").count(), 4);
    }

    #[test]
    fn packages_are_completed() {
        let site = tempfile::tempdir().unwrap();
        tree::wheels_12(site.path(), 12060);
        for part in ["cuda_nvcc", "cuda_cccl"] {
            std::fs::remove_dir_all(site.path().join("nvidia").join(part)).unwrap();
        }
        let sources = packages(&[site.path().to_owned()]);
        let error = choose(&[offer(12, 6)], &sources, &driver(12, 8), &never).unwrap_err();
        assert_eq!(
            error.remedy(),
            Remedy::Command(
                "python3 -m pip install nvidia-cuda-nvcc-cu12~=12.6.0 nvidia-cuda-cccl-cu12~=12.6.0"
                    .to_owned()
            )
        );
        assert!(
            error
                .to_string()
                .contains("headers for NVRTC 12.6 are missing: crt/mma.h, nv/target, ")
        );
    }

    #[test]
    fn the_compiler_has_the_last_word_on_headers() {
        let folder = tempfile::tempdir().unwrap();
        tree::put(&folder.path().join("include/own.h"), "");
        tree::put(&folder.path().join("libnvrtc.so.12"), "");
        let sources = [toolkit(folder.path()).unwrap()];
        let offers = [offer(12, 8)];
        let always = |_: &Offer, _: &Headers| true;
        let choice = choose(&offers, &sources, &driver(12, 8), &always).unwrap();
        assert_eq!(choice, Choice { offer: 0, source: 0 });
        assert!(choose(&offers, &sources, &driver(12, 8), &never).is_err());
    }

    #[test]
    fn a_compiler_that_does_not_load_is_named_with_its_reason() {
        let broken = Offer {
            file: Some("/x/libnvrtc.so.12".into()),
            named: false,
            about: Err("not an ELF file".to_owned()),
        };
        let error = choose(&[broken], &[], &driver(12, 8), &never).unwrap_err();
        let expected = "NVRTC is in /x/libnvrtc.so.12 but cannot be used: not an ELF file";
        assert_eq!(error.to_string(), expected);
    }
}
