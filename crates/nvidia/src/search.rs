//! The search itself: the driver, then a compiler with headers, then the cards.

use std::ffi::OsStr;
use std::path::Path;

use crate::choose::{About, Choice, Need, OLDEST, Offer, choose, compiles_for};
use crate::ffi::{Compiler, Driver};
use crate::headers::Headers;
use crate::places::{Places, around};
use crate::sources::Source;
use crate::{Card, Failure, Machine, NvidiaError, Toolkit, Version};

/// Sets an environment variable, if that is possible now.
pub(crate) type Set<'a> = &'a dyn Fn(&str, &Path) -> bool;

/// What is known before the driver is started.
pub(crate) struct Prepared {
    driver: Driver,
    version: Version,
    search: Search,
    toolkit: Result<Toolkit, NvidiaError>,
}

/// Finds the driver and a toolkit for it. If its headers are not where burn's backend looks, the
/// backend is pointed there. The driver is not started, because that may take a second and threads.
pub(crate) fn prepare(places: Places, set: Set) -> Result<Prepared, NvidiaError> {
    let driver = Driver::named(&places.drivers).ok_or(NvidiaError::NoDriver)?;
    let version = driver.version().map_err(NvidiaError::DriverFails)?;
    let mut search = Search::new(places, version);
    let toolkit = if version < OLDEST {
        Err(NvidiaError::DriverTooOld { driver: version, oldest: OLDEST })
    } else {
        search.look();
        search.toolkit(&[]).and_then(|toolkit| publish(&search.places, toolkit, set))
    };
    Ok(Prepared { driver, version, search, toolkit })
}

impl Prepared {
    /// Starts the driver, lists its cards and loads the compiler for them.
    pub(crate) fn finish(mut self, set: Set) -> Result<Machine, NvidiaError> {
        let cards = self.driver.cards();
        self.driver.keep();
        let cards = cards_or_reason(&self.search.places, cards)?;
        let toolkit = self.toolkit.and_then(|toolkit| {
            let about = toolkit.about();
            let suits = |card| compiles_for(&about, card, self.version);
            // Another toolkit may match all cards. If none does, each card reports for itself whether
            // this one does.
            let better = match cards.iter().try_for_each(suits) {
                Ok(()) => None,
                Err(_) => self.search.toolkit(&cards).ok(),
            };
            let toolkit = match better {
                Some(better) => publish(&self.search.places, better, set)?,
                None => toolkit,
            };
            keep(&self.search.places, toolkit)
        });
        Ok(Machine { driver: self.version, cards, toolkit })
    }
}

fn cards_or_reason(
    places: &Places,
    cards: Result<Vec<Card>, Failure>,
) -> Result<Vec<Card>, NvidiaError> {
    let visible = places.variables.get(OsStr::new("CUDA_VISIBLE_DEVICES"));
    let hidden = visible.is_some_and(|list| list.is_empty() || list == "-1");
    match cards {
        Ok(cards) if cards.is_empty() => Err(NvidiaError::NoCard { hidden }),
        Err(failure) if failure.code == Failure::NO_CARD => Err(NvidiaError::NoCard { hidden }),
        Err(failure) => Err(NvidiaError::DriverFails(failure)),
        Ok(cards) => Ok(cards),
    }
}

/// The sources found so far.
struct Search {
    places: Places,
    driver: Version,
    offers: Vec<Offer>,
    sources: Vec<Source>,
    /// Whether Python has been run.
    asked: bool,
}

impl Search {
    fn new(places: Places, driver: Version) -> Search {
        Search { places, driver, offers: Vec::new(), sources: Vec::new(), asked: false }
    }

    /// Searches everywhere except in Python.
    fn look(&mut self) {
        self.add(self.places.sources());
        if let Some(compiler) = Compiler::named(&self.places.compilers) {
            let file = compiler.file();
            self.sources.extend(file.as_deref().map(around).unwrap_or_default());
            self.offers.push(Offer { file, named: true, about: about(&compiler) });
        }
    }

    fn add(&mut self, sources: Vec<Source>) {
        for file in sources.iter().filter_map(|source| source.compiler.clone()) {
            let about = Compiler::at(&file).and_then(|compiler| about(&compiler));
            self.offers.push(Offer { file: Some(file), named: false, about });
        }
        self.sources.extend(sources);
    }

    /// The toolkit for these cards. Python is run only if nothing else will do.
    fn toolkit(&mut self, cards: &[Card]) -> Result<Toolkit, NvidiaError> {
        let need = Need { driver: self.driver, cards };
        let mut choice = self.choose(&need);
        if choice.is_err() && !self.asked {
            self.asked = true;
            self.add(self.places.of_python());
            choice = self.choose(&need);
        }
        self.take(choice?)
    }

    fn choose(&self, need: &Need) -> Result<Choice, NvidiaError> {
        let last_word = |offer: &Offer, headers: &Headers| compiles(&self.places, offer, headers);
        choose(&self.offers, &self.sources, need, &last_word)
    }

    fn take(&self, choice: Choice) -> Result<Toolkit, NvidiaError> {
        let offer = &self.offers[choice.offer];
        let nothing = Headers::Parts { runtime: None, crt: None, cccl: None };
        let headers = self.sources[choice.source].headers.as_ref().unwrap_or(&nothing);
        let root = headers.root(&self.places.cache)?;
        let (version, architectures) = match &offer.about {
            Ok(about) => (about.version, about.architectures.clone()),
            Err(_) => (Version::new(0, 0), Vec::new()),
        };
        Ok(Toolkit { compiler: version, file: offer.file.clone(), root, architectures })
    }
}

/// Sets `CUDA_PATH` unless burn's backend finds the toolkit's headers anyway.
fn publish(places: &Places, toolkit: Toolkit, set: Set) -> Result<Toolkit, NvidiaError> {
    let real = |folder: &Path| folder.canonicalize().ok();
    if places.assumed().is_some_and(|assumed| real(&assumed) == real(&toolkit.root)) {
        return Ok(toolkit);
    }
    if let Some(set) = places.variable("CUDA_PATH") {
        log::warn!(
            "CUDA_PATH is {}, which has no headers for NVRTC {}: {} is used",
            Path::new(set).display(),
            toolkit.compiler,
            toolkit.root.display()
        );
    }
    if set("CUDA_PATH", &toolkit.root) {
        Ok(toolkit)
    } else {
        Err(NvidiaError::NotSet { root: toolkit.root })
    }
}

/// Keeps the compiler loaded for good, so that burn's backend finds it by its name.
fn keep(places: &Places, toolkit: Toolkit) -> Result<Toolkit, NvidiaError> {
    let Some(file) = &toolkit.file else { return Ok(toolkit) };
    let shadowed = || NvidiaError::Shadowed { wanted: toolkit.compiler, file: file.clone() };
    let compiler = Compiler::at(file).map_err(|_| shadowed())?;
    let found = Compiler::named(&places.compilers).is_some_and(|other| other.is(&compiler));
    compiler.keep();
    if found { Ok(toolkit) } else { Err(shadowed()) }
}

fn about(compiler: &Compiler) -> Result<About, String> {
    Ok(About { version: compiler.version()?, architectures: compiler.architectures() })
}

/// A kernel like those that CubeCL generates, with everything that they include.
const KERNEL: &str = "#include <cuda_runtime.h>
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <mma.h>
#include <cooperative_groups/memcpy_async.h>
#include <cuda/barrier>
extern \"C\" __global__ void __launch_bounds__(32)nothing (
    float* buffer_0
) {
}
";
/// The oldest architecture that every version of NVRTC knows. NVRTC's default is one for which barriers
/// are an error.
const ARCHITECTURE: &str = "--gpu-architecture=sm_75";

/// Whether a compiler finds what it needs in headers, according to a test compilation.
fn compiles(places: &Places, offer: &Offer, headers: &Headers) -> bool {
    let Headers::Root(root) = headers else { return false };
    let include = root.join("include");
    let folders = [include.clone(), include.join("cccl")];
    let mut options = vec![ARCHITECTURE.to_owned()];
    options.extend(folders.map(|folder| format!("--include-path={}", folder.display())));
    let compiler = match &offer.file {
        Some(file) => Compiler::at(file).ok(),
        None => Compiler::named(&places.compilers),
    };
    compiler.is_some_and(|compiler| compiler.compile(KERNEL, &options).is_ok())
}
