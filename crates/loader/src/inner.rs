//! Codecs inside others: their parameters are resolved like those of the outer codec, and a plugin
//! that is being opened gets them from the plugins of the same folder, for the same side.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Map, Value};
use strait_abi::Outcome;
use strait_abi::abi_stable::std_types::{ROption, RStr};
use strait_abi::inner::{InnerOpened, InnerSpec};
use strait_abi::params::{ParamError, ParamKind, nearest, resolve};

use crate::{CodecEntry, LoaderError, Side};

/// The deepest nesting of codecs, including the outermost.
pub(crate) const MOST_LEVELS: usize = 4;

/// A codec that is being opened on this thread.
struct Opening {
    entry: CodecEntry,
    side: Side,
}

thread_local! {
    /// The codecs that are being opened on this thread, outermost first.
    static OPENING: RefCell<Vec<Opening>> = const { RefCell::new(Vec::new()) };
}

impl CodecEntry {
    /// The codecs that resolved parameters name, including those nested in them, each once.
    ///
    /// # Errors
    /// A codec that does not exist.
    pub fn inner(&self, params: &Map<String, Value>) -> Result<Vec<CodecEntry>, LoaderError> {
        let mut found: Vec<CodecEntry> = Vec::new();
        for (spec, _) in self.inner_specs(params) {
            let entry = self.peer(&spec.id)?;
            let deeper = entry.inner(&spec.params)?;
            for entry in std::iter::once(entry).chain(deeper) {
                if found.iter().all(|known| known.id() != entry.id()) {
                    found.push(entry);
                }
            }
        }
        Ok(found)
    }

    /// Names of the side information that this codec and its inner codecs request.
    ///
    /// # Errors
    /// A codec that does not exist.
    pub fn side_information(
        &self,
        params: &Map<String, Value>,
    ) -> Result<Vec<String>, LoaderError> {
        let mut names = self.descriptor().side_information.clone();
        for entry in self.inner(params)? {
            let more = &entry.descriptor().side_information;
            names.extend(
                more.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>(),
            );
        }
        Ok(names)
    }

    /// Checks the parameters of this codec and its inner codecs; `outside` holds the ids of the
    /// enclosing codecs.
    pub(crate) fn resolve_inside(
        &self,
        params: &Map<String, Value>,
        outside: &[&str],
    ) -> Result<Map<String, Value>, ParamError> {
        let mut resolved = resolve(&self.descriptor().params, params)?;
        let levels: Vec<&str> = outside.iter().copied().chain([self.id()]).collect();
        for (spec, name) in self.inner_specs(&resolved.clone()) {
            let InnerSpec { id, params } = spec;
            let found = self.peer(&id).map_err(|error| not_there(self, &name, &id, error))?;
            let kind = &found.descriptor().kind;
            if kind != "codec" {
                return Err(refused(
                    &name,
                    "a plugin of kind `codec`",
                    format!("`{id}`, a {kind}"),
                ));
            }
            if levels.len() == MOST_LEVELS {
                return Err(refused(
                    &name,
                    &format!("at most {MOST_LEVELS} codecs inside one another"),
                    format!("{} > {id}", levels.join(" > ")),
                ));
            }
            let params = found.resolve_inside(&params, &levels).map_err(|e| e.under(&name))?;
            resolved.insert(name, InnerSpec { id, params }.to_value());
        }
        Ok(resolved)
    }

    /// The inner codecs among the parameters, with the names of those parameters.
    fn inner_specs(&self, params: &Map<String, Value>) -> Vec<(InnerSpec, String)> {
        let specs = self.descriptor().params.iter().filter(|spec| spec.kind == ParamKind::Codec);
        let read = |name: &String| Some((InnerSpec::read(params.get(name)?)?, name.clone()));
        specs.filter_map(|spec| read(&spec.name)).collect()
    }

    /// Runs a call during which the plugin may open inner codecs.
    pub(crate) fn opening<T>(&self, side: Side, call: impl FnOnce() -> T) -> T {
        struct Done;
        impl Drop for Done {
            fn drop(&mut self) {
                OPENING.with_borrow_mut(|opening| opening.pop());
            }
        }
        OPENING.with_borrow_mut(|opening| opening.push(Opening { entry: self.clone(), side }));
        let _done = Done;
        call()
    }
}

/// The host's service that opens an inner codec for the one being opened on this thread.
pub(crate) extern "C" fn open_inner(_token: u64, id: RStr<'_>, params: RStr<'_>) -> InnerOpened {
    let result = catch_unwind(AssertUnwindSafe(|| open(id.as_str(), params.as_str())));
    let result = result.unwrap_or_else(|_| Err("the host panicked".to_owned()));
    result.unwrap_or_else(|message| InnerOpened::failed(Outcome::error(message)))
}

fn open(id: &str, params: &str) -> Result<InnerOpened, String> {
    let outer = OPENING.with_borrow(|opening| {
        let levels: Vec<String> = opening.iter().map(|one| one.entry.id().to_owned()).collect();
        opening.last().map(|outer| (outer.entry.clone(), outer.side, levels))
    });
    let Some((outer, side, levels)) = outer else {
        return Err("expected to be called while a codec is opened, on the same thread, found \
                    another time; open inner codecs in `Codec::open`"
            .to_owned());
    };
    if levels.len() >= MOST_LEVELS {
        return Err(format!(
            "expected at most {MOST_LEVELS} codecs inside one another, found {} > {id}",
            levels.join(" > ")
        ));
    }
    let params = serde_json::from_str(params).map_err(|error| format!("parameters: {error}"))?;
    let entry = outer.peer(id).map_err(|error| error.to_string())?;
    let (module, opened) =
        entry.open_raw(side, &params, None).map_err(|error| error.to_string())?;
    Ok(InnerOpened {
        outcome: opened.outcome,
        module: ROption::RSome(module),
        handle: opened.handle,
    })
}

fn not_there(outer: &CodecEntry, name: &str, id: &str, error: LoaderError) -> ParamError {
    let LoaderError::UnknownCodec { known, folder, .. } = error else {
        return refused(name, "one plugin to offer the codec", error.to_string());
    };
    // A codec is rarely meant to contain itself, so it is not suggested.
    let others: Vec<&str> =
        known.iter().map(String::as_str).filter(|known| *known != outer.id()).collect();
    ParamError {
        key: format!("{name}.codec"),
        expected: format!("one of {} (from {})", others.join(", "), folder.display()),
        found: format!("`{id}`"),
        nearest: nearest(id, others.iter().copied()).map(str::to_owned),
    }
}

fn refused(name: &str, expected: &str, found: String) -> ParamError {
    let key = format!("{name}.codec");
    ParamError { key, expected: expected.to_owned(), found, nearest: None }
}
