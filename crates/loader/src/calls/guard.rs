//! The guard of a process: a plugin that crashes it or calls `exit` is named, and the run restarts
//! without the cell that caused it.
//!
//! A crash cannot be undone, since the plugin may have written anywhere. A signal handler can still say
//! who caused it, note it, and replace the process by a fresh one (`execve`), which reads the note.
//! Everything that the handlers touch is prepared in advance.

// Signal handlers and the system calls that they need.
#![allow(unsafe_code)]

use std::ffi::{CString, OsString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};
use std::sync::{Once, OnceLock};

use super::callee::{CallKind, Callee};
use super::note::{self, End};
use super::slots::{self, AtWork, SLOTS};

/// Signals that report a fault of the thread itself.
const SIGNALS: [(c_int, &str); 7] = [
    (libc::SIGSEGV, "SIGSEGV, an address that it may not use"),
    (libc::SIGBUS, "SIGBUS, memory that is not there"),
    (libc::SIGILL, "SIGILL, an instruction that ends the program"),
    (libc::SIGFPE, "SIGFPE, an impossible division"),
    (libc::SIGABRT, "SIGABRT, it gave up"),
    (libc::SIGTRAP, "SIGTRAP, a breakpoint"),
    (libc::SIGSYS, "SIGSYS, a forbidden system call"),
];

/// Exit code of a process that a plugin ended or blocked and that did not restart.
const ENDED: c_int = 2;

/// Size in bytes of the stack that handlers run on; the signal frame of a CPU with a tile unit alone
/// takes 11 KiB.
const STACK_BYTES: usize = 64 * 1024;

static INSTALLED: AtomicBool = AtomicBool::new(false);
/// Whether the host itself is ending the process.
static LEAVING: AtomicBool = AtomicBool::new(false);
/// Whether this is a child that plugin code forked, in which no host code may continue.
static FORKED: AtomicBool = AtomicBool::new(false);
static RESTART: AtomicPtr<Restart> = AtomicPtr::new(ptr::null_mut());
/// The previous handlers, in the order of `SIGNALS`.
static BEFORE: OnceLock<[libc::sigaction; SIGNALS.len()]> = OnceLock::new();
/// A stack for the handlers of each slot's thread; made once, then reused.
static STACKS: [AtomicPtr<u8>; SLOTS] = [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS];

/// How a fresh process is started.
struct Restart {
    program: CString,
    /// Pointers to leaked strings, terminated by null.
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// The folder in which the process was started, because plugin code may have changed it.
    folder: Option<RawFd>,
}

/// The guard of this process. While it exists, plugin code that crashes or calls `exit` is named on
/// standard error and in the note, and `exit(0)` does not count as success.
///
/// It is meant for programs, not for a library inside another program, since it handles the signals of
/// the whole process.
#[derive(Debug)]
pub struct Guard(());

impl Guard {
    /// Handles crashes and `exit` from now on.
    pub fn install() -> Guard {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: the functions live as long as the program, which stays loaded.
            unsafe {
                libc::atexit(leaving);
                libc::pthread_atfork(None, None, Some(forked));
            }
            let _ = BEFORE.set(SIGNALS.map(|(signal, _)| handle(signal)));
            INSTALLED.store(true, Relaxed);
        });
        LEAVING.store(false, Relaxed);
        Guard(())
    }

    /// From now on, a process that plugin code ends while working for a cell is replaced by a fresh one
    /// with these arguments (the first is the program's name), in the same folder and environment.
    pub fn start_again_with(&self, arguments: Vec<OsString>) {
        let program = std::env::current_exe().ok();
        // The link leads to the program even after its file has been replaced.
        let link = std::path::Path::new("/proc/self/exe");
        let program = if link.exists() { Some(link.to_owned()) } else { program };
        let Some(program) = program.and_then(|path| text(path.into_os_string())) else { return };
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let mut variable = name;
            variable.push("=");
            variable.push(value);
            text(variable)
        });
        let restart = Restart {
            program,
            arguments: pointers(arguments.into_iter().filter_map(text)),
            environment: pointers(variables),
            folder: std::fs::File::open(".").ok().map(IntoRawFd::into_raw_fd),
        };
        RESTART.store(Box::leak(Box::new(restart)), Relaxed);
    }

    /// Ends the process because a call has been in progress for `limit_s` seconds; does nothing if the
    /// call has just returned. A thread cannot be ended from outside: it may hold locks or be in the
    /// middle of a write.
    pub fn give_up(&self, call: &AtWork, limit_s: u64) {
        let Some((callee, kind)) = call.now() else { return };
        note::end(call.slot, End::Deadline(limit_s));
        say(&["\nstrait: ", &callee.words, ": ", kind.name(), " did not return in time"]);
        end_the_process(callee);
    }

    /// Ends the process with this exit code although a call is in progress, and names the call; does
    /// nothing if it has just returned. The call's cell is not blamed.
    pub fn leave_behind(&self, call: &AtWork, code: i32) {
        let Some((callee, kind)) = call.now() else { return };
        say(&["\nstrait: stopped while ", &callee.words, ": ", kind.name(), " was at work\n"]);
        Guard::leave(code)
    }

    /// Ends the process with this exit code, whether calls are in progress or not.
    pub fn leave(code: i32) -> ! {
        LEAVING.store(true, Relaxed);
        std::process::exit(code)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        LEAVING.store(true, Relaxed);
    }
}

/// Describes a signal for a message.
pub(super) fn signal_words(signal: c_int) -> String {
    let known = SIGNALS.iter().find(|(known, _)| *known == signal);
    known.map_or_else(|| format!("signal {signal}"), |(_, words)| (*words).to_owned())
}

/// Ends a process that plugin code forked: its copy of the host has no other threads and would keep
/// writing to the files of the original.
pub(super) fn end_if_forked(callee: &Callee, kind: CallKind) {
    if FORKED.load(Relaxed) {
        say(&["\nstrait: ", &callee.words, ": ", kind.name(), " forked; the copy ends\n"]);
        // SAFETY: ends the process.
        unsafe { libc::_exit(ENDED) }
    }
}

/// Gives this thread a stack for handlers, so that a stack overflow can be reported too, and its own
/// current folder, so that a plugin that changes it does not affect the host's files.
pub(super) fn prepare_thread(slot: usize) {
    if !INSTALLED.load(Relaxed) {
        return;
    }
    #[cfg(target_os = "linux")]
    // SAFETY: unshares the thread's folder and file mode mask; the main thread, whose id is that of the
    // process, keeps those of the process.
    unsafe {
        if libc::getpid() != libc::gettid() {
            libc::unshare(libc::CLONE_FS);
        }
    }
    let mut stack = STACKS[slot].load(Relaxed);
    if stack.is_null() {
        stack = Box::leak(vec![0; STACK_BYTES].into_boxed_slice()).as_mut_ptr();
        STACKS[slot].store(stack, Relaxed);
    }
    let stack = libc::stack_t { ss_sp: stack.cast(), ss_flags: 0, ss_size: STACK_BYTES };
    // SAFETY: the stack is leaked, and only the thread that holds the slot uses it.
    unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) };
}

/// Takes the stack away from this thread, whose slot another thread will reuse.
pub(super) fn release_stack() {
    if !INSTALLED.load(Relaxed) {
        return;
    }
    let none =
        libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: STACK_BYTES };
    // SAFETY: no handler runs on the stack while this runs on another.
    unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) };
}

/// Makes `crashed` the handler of a signal; returns the previous one.
fn handle(signal: c_int) -> libc::sigaction {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a zeroed sigaction is a valid one; both live through the calls.
    unsafe {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = crashed;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(signal, &raw const action, before.as_mut_ptr());
        before.assume_init()
    }
}

/// Runs in the thread that crashed. If the crash is not due to a plugin's call, the signal is passed on
/// to the previous handler.
extern "C" fn crashed(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let at = SIGNALS.iter().position(|(known, _)| *known == signal);
    if let (Some(at), false) = (at, FORKED.load(Relaxed))
        && let Some((slot, callee, kind)) = slots::mine()
    {
        note::end(slot, End::Signal(signal));
        wait_for_the_first();
        say(&["\nstrait: ", &callee.words, ": ", kind.name(), " crashed with ", SIGNALS[at].1]);
        start_again(callee);
        say(&["\n"]);
    }
    // SAFETY: `BEFORE` was filled before this could run for the first time, or is empty; `info` comes
    // from the kernel.
    unsafe {
        match (BEFORE.get(), at) {
            (Some(before), Some(at)) => {
                libc::sigaction(signal, &raw const before[at], ptr::null_mut());
            }
            _ => {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
        // A fault recurs when this returns; a signal that was sent does not.
        if info.is_null() || (*info).si_code <= 0 {
            libc::raise(signal);
        }
    }
}

/// Whether a thread is ending the process.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Blocks every thread but the first that ends the process: messages of two that crash at the same time
/// would interleave. What the others did is already in the note.
fn wait_for_the_first() {
    if ENDING.swap(true, Relaxed) {
        loop {
            // SAFETY: waits until the process ends or is replaced.
            unsafe { libc::pause() };
        }
    }
}

/// Runs when anything calls `exit`, including the end of `main`.
extern "C" fn leaving() {
    if FORKED.load(Relaxed) || LEAVING.load(Relaxed) {
        return;
    }
    // A thread without a call was started by a plugin; the plugin is known if exactly one call is in
    // progress.
    match slots::mine().or_else(slots::only) {
        Some((slot, callee, kind)) => {
            note::end(slot, End::Exit);
            say(&["\nstrait: ", &callee.words, ": ", kind.name(), " ended the process"]);
            end_the_process(callee);
        }
        None => {
            say(&["\nstrait: a thread of a plugin ended the process\n"]);
            // SAFETY: ends the process.
            unsafe { libc::_exit(ENDED) }
        }
    }
}

extern "C" fn forked() {
    FORKED.store(true, Relaxed);
}

fn end_the_process(callee: &Callee) {
    start_again(callee);
    say(&["\n"]);
    // SAFETY: ends the process.
    unsafe { libc::_exit(ENDED) }
}

/// Replaces the process by a fresh one, if there is a cell that it can continue without. Returns if
/// there is none, or if the system refuses. Safe in a signal handler.
fn start_again(callee: &Callee) {
    let restart = RESTART.load(Relaxed);
    if restart.is_null() || callee.cell.is_none() {
        return;
    }
    say(&["; starting again without this cell\n"]);
    // SAFETY: `restart` is leaked and complete; everything called here may be called in a handler.
    unsafe {
        let restart = &*restart;
        #[cfg(target_os = "linux")]
        {
            // Files that are not closed on exec would stay open, and stay locked.
            const CLOSE_ON_EXEC: libc::c_uint = 4;
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_ON_EXEC);
        }
        if let Some(folder) = restart.folder {
            libc::fchdir(folder);
        }
        let mut none = MaybeUninit::<libc::sigset_t>::zeroed();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::execve(
            restart.program.as_ptr(),
            restart.arguments.as_ptr(),
            restart.environment.as_ptr(),
        );
    }
}

/// Writes to standard error without buffers or locks.
fn say(parts: &[&str]) {
    for part in parts {
        // SAFETY: the bytes are valid; what cannot be written is lost.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
}

/// The text as a C string; `None` if it contains a zero byte.
fn text(text: OsString) -> Option<CString> {
    CString::new(text.into_vec()).ok()
}

/// Pointers to strings that are never freed, terminated by null.
fn pointers(texts: impl Iterator<Item = CString>) -> Vec<*const c_char> {
    texts.map(|text| text.into_raw().cast_const()).chain([ptr::null()]).collect()
}
