//! Reports of a device's failure.
//!
//! Kernels are compiled and run on burn's own threads, after their caller has continued. A failure
//! there returns as a text with the kernel's whole source in it, or as a panic of that thread, which
//! the standard library prints, while the caller only learns that there was no answer.

use std::any::Any;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::thread::Thread;

/// Number of compiler lines in a report; the file has the others.
const LINES: usize = 4;
/// Lines around the reason that carry no information.
const NOISE: &[&str] = &[
    "Caused by:",
    "Backtrace",
    "No backtrace available",
    "An error happened during execution",
    "An error caused the compilation to fail",
    "The server is in an invalid state",
    "A compilation error happened during launch",
    "An unknown error happened during launch",
    "A launch error happened during profiling",
    "An execution error happened during profiling",
];

/// How many devices are being opened: during that, a panic of a device's thread serves as the answer.
static OPENING: AtomicUsize = AtomicUsize::new(0);
/// The message of such a panic, until it is reported.
static UNTOLD: Mutex<Option<String>> = Mutex::new(None);

/// Keeps burn's panics off the terminal. A panic of a device's thread explains why the device cannot be
/// opened; later on it ends the program.
pub(crate) fn quiet_threads() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if is_devices(&std::thread::current()) {
                keep(panic);
            } else if is_burns(panic) {
                // Its caller catches and reports it.
                log::debug!("{panic}");
            } else {
                before(panic);
            }
        }));
    });
}

/// Whether a thread is one that CubeCL starts for a device, judged by the names that it gives them.
fn is_devices(thread: &Thread) -> bool {
    let name = thread.name().unwrap_or_default();
    name.starts_with("DSU-") || name.starts_with("DSD-")
}

/// Whether a panic comes from burn or a crate below it.
fn is_burns(panic: &PanicHookInfo<'_>) -> bool {
    let file = panic.location().map(|location| Path::new(location.file()));
    let mut parts = file.into_iter().flat_map(Path::components);
    parts.any(|part| {
        let part = part.as_os_str().to_string_lossy();
        ["burn-", "cubecl", "cubek", "cudarc-"].iter().any(|name| part.starts_with(name))
    })
}

/// Reports a panic of a device's thread.
///
/// burn's callers do not learn of it: what the thread failed to do is missing from their later results,
/// for instance when the device's memory is full, and a run would continue with meaningless numbers. So
/// the program ends before the thread answers anything else. The run continues where it was when it is
/// started again.
fn keep(panic: &PanicHookInfo<'_>) {
    log::debug!("a device's thread: {panic}");
    let said = strait_ops::panic_text(panic.payload());
    if OPENING.load(Ordering::SeqCst) == 0 {
        log::error!("a device failed: {}", told(said));
        let leave = LEAVE.get().copied().unwrap_or(exit);
        leave(2);
    }
    let mut untold = UNTOLD.lock().unwrap_or_else(PoisonError::into_inner);
    untold.get_or_insert_with(|| said.to_owned());
}

/// Sets how the program ends when a device is lost. The argument is the exit code. By default the program just exits.
pub(crate) fn leave_by(leave: fn(i32) -> !) {
    // The first one set stays.
    let _ = LEAVE.set(leave);
}

static LEAVE: OnceLock<fn(i32) -> !> = OnceLock::new();

/// Runs `work`, which opens a device; a panic becomes an error with the reason.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    OPENING.fetch_add(1, Ordering::SeqCst);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    OPENING.fetch_sub(1, Ordering::SeqCst);
    outcome.unwrap_or_else(|panic| Err(panic_text(&*panic)))
}

/// Runs `work` on devices that are open; a panic becomes an error with the reason. A device whose thread is lost
/// meanwhile ends the program, as at any other time.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panic_text(&*panic)))
}

/// The message of a caught panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    reason(strait_ops::panic_text(panic))
}

/// The reason in burn's description of a failure, in a few lines. For a kernel that does not compile:
/// its name, the compiler's first lines, and the file that its whole source is written to. If a
/// device's thread panicked while the device was opened, that panic is the reason.
#[must_use]
pub fn reason(said: &str) -> String {
    let untold = UNTOLD.lock().unwrap_or_else(PoisonError::into_inner).take();
    told(untold.as_deref().unwrap_or(said))
}

fn told(said: &str) -> String {
    let folder = dirs::cache_dir().unwrap_or_else(std::env::temp_dir).join("strait/kernels/failed");
    match Uncompiled::of(said) {
        Some(kernel) => kernel.told(&folder),
        None => brief(said),
    }
}

/// A kernel that did not compile.
struct Uncompiled<'a> {
    name: &'a str,
    compiler: Vec<&'a str>,
    source: &'a str,
}

impl<'a> Uncompiled<'a> {
    /// Finds the first one in a text from CubeCL.
    fn of(said: &'a str) -> Option<Uncompiled<'a>> {
        let (_, rest) = said.split_once("[Compilation Error]")?;
        let (compiler, rest) = rest.split_once("[Source]")?;
        let source = rest.split_once("\nBacktrace").map_or(rest, |(source, _)| source);
        let compiler = compiler.lines().map(str::trim_end).filter(|line| !line.trim().is_empty());
        // `extern "C" __global__ void __launch_bounds__(64)name (`
        let entry = source.split_once("__global__").map_or("", |(_, entry)| entry);
        let entry = entry.trim_start().trim_start_matches("void").trim_start();
        let bounds = entry.strip_prefix("__launch_bounds__(");
        let entry = bounds.and_then(|rest| rest.split_once(')')).map_or(entry, |(_, entry)| entry);
        let name = entry.trim_start().split(|letter: char| !is_name(letter)).next();
        let name = name.filter(|name| !name.is_empty()).unwrap_or("without a name");
        Some(Uncompiled { name, compiler: compiler.collect(), source: source.trim() })
    }

    fn told(&self, folder: &Path) -> String {
        let mut lines = vec![format!("the kernel {} does not compile:", self.name)];
        lines.extend(self.compiler.iter().take(LINES).map(|line| (*line).to_owned()));
        lines.push(match self.write(folder) {
            Ok(file) => format!("its source and all that the compiler says: {}", file.display()),
            Err(error) => format!("its source cannot be written to {}: {error}", folder.display()),
        });
        lines.join("\n")
    }

    /// Writes the source, followed by the compiler's output as a comment.
    fn write(&self, folder: &Path) -> std::io::Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        self.source.hash(&mut hasher);
        // Kernel names can be longer than file names.
        let name: String = self.name.chars().take(100).collect();
        let file = folder.join(format!("{name}-{:08x}.cu", hasher.finish() >> 32));
        std::fs::create_dir_all(folder)?;
        let said = self.compiler.iter().map(|line| format!("// {line}\n")).collect::<String>();
        std::fs::write(&file, format!("{}\n\n{said}", self.source))?;
        Ok(file)
    }
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The first informative lines.
fn brief(said: &str) -> String {
    let mut lines = Vec::new();
    for line in said.lines() {
        let line = line.trim().trim_start_matches('[').trim_start_matches("Launch(");
        let noise = line.is_empty() || NOISE.iter().any(|noise| line.starts_with(noise));
        if noise || lines.len() == LINES {
            continue;
        }
        lines.push(match line.split_once("can't allocate buffer of size: ") {
            Some((_, bytes)) => format!(
                "its memory does not hold another {bytes} bytes: make run.cell_batch or \
                 run.batch_windows smaller, or stream the weights"
            ),
            None => line.to_owned(),
        });
    }
    if lines.is_empty() { "no reason given".to_owned() } else { lines.join("; ") }
}
