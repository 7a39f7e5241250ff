//! The checks with the two sides of a codec in separate processes, because a property that holds in one
//! process may rely on a message that the encoder left for the decoder.
//!
//! Each process has a folder for temporary files that is unknown to the other, and is started from a
//! program of the caller's, which calls [`work`]. A process that crashes, exits or hangs fails the
//! current check; the next check gets a fresh one.

mod frame;
mod process;
mod subject;
mod work;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::battery::{self, CHECKS};
use crate::press::PRESS_CHECKS;
use crate::{Case, Outcome, Report};

use frame::{Reply, Request};
use process::Process;
use subject::{Apart, Place};

pub use work::work;

/// Why the checks could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApartError {
    /// A process could not be started or did not answer.
    #[error("expected to start a process for one side of the plugin, found {0}")]
    Start(#[from] std::io::Error),
    /// The file cannot be loaded as a plugin.
    #[error("{0}")]
    Refused(String),
    /// Loading the file ended the process.
    #[error("plugin {}: expected it to load and to describe itself, found that {how}", .file.display())]
    Ended {
        /// The file.
        file: PathBuf,
        /// How the process ended.
        how: String,
    },
}

/// Creates the command for a program that calls [`work`] with the two arguments that are appended to
/// it.
pub type Program = Arc<dyn Fn() -> Command + Send + Sync>;

/// Runs every check on each codec and press of a built plugin, with its default parameters, with
/// encoders in one process and decoders in another. Inner codecs come from the files of the same
/// folder.
///
/// # Errors
/// A file that cannot be loaded as a plugin; a process that cannot be started.
pub fn check_library_apart(file: &Path, program: &Program) -> Result<Report, ApartError> {
    let file = std::path::absolute(file)?;
    let mut first = Process::start(&file, program)?;
    let reply = first.ask(&Request::Describe, &[]);
    let (codecs, presses) = match reply {
        Ok((Reply::Described { codecs, presses }, _)) => (codecs, presses),
        Ok((Reply::Refused(text) | Reply::Panicked(text), _)) => {
            return Err(ApartError::Refused(text));
        }
        Ok(_) => return Err(ApartError::Refused("an answer to another question".to_owned())),
        Err(how) => return Err(ApartError::Ended { file, how }),
    };
    let place = || {
        let (file, program) = (file.clone(), Arc::clone(program));
        Arc::new(Mutex::new(Place { file, program, process: None, starts: 0 }))
    };
    let (encoding, decoding) = (place(), place());
    let mut report = Report::default();
    for codec in codecs {
        let (encoding, decoding) = (Arc::clone(&encoding), Arc::clone(&decoding));
        let subject = Apart { codec, encoding, decoding };
        let checked = battery::run(Arc::new(subject), &[Case::default()], CHECKS);
        report.outcomes.extend(checked.outcomes);
    }
    for press in presses {
        report.outcomes.extend(check_press(&file, program, press)?);
    }
    Ok(report)
}

/// Runs the checks of a press in a process of its own, since a press has only one side.
fn check_press(file: &Path, program: &Program, press: String) -> Result<Vec<Outcome>, ApartError> {
    let mut process = Process::start(file, program)?;
    let outcome = |check: &'static str, failure: Option<String>| Outcome {
        codec: press.clone(),
        case: Case::default().to_string(),
        check,
        failure,
    };
    Ok(match process.ask(&Request::CheckPress { press: press.clone() }, &[]) {
        Ok((Reply::Checked(failures), _)) => {
            let checks = PRESS_CHECKS.iter().map(|check| check.name);
            checks.zip(failures).map(|(check, failure)| outcome(check, failure)).collect()
        }
        Ok((Reply::Refused(text) | Reply::Panicked(text), _)) | Err(text) => {
            vec![outcome("survives_its_checks", Some(text))]
        }
        Ok(_) => vec![outcome("survives_its_checks", Some("an answer to another question".into()))],
    })
}
