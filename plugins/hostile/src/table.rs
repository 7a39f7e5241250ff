//! The table of hostile modes: what each does, and what becomes of its cell.

/// One thing that a plugin does wrong.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// The codec, or the press where it is `hostile.press`.
    pub id: &'static str,
    /// Its parameters, as TOML writes them inside a table.
    pub params: &'static str,
    /// What becomes of a cell that uses it. The other cells finish in any case, with the numbers that
    /// they have without it.
    pub outcome: Outcome,
}

/// What becomes of a cell with a hostile plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It fails with a reason that has these words.
    Fails(&'static str),
    /// It ends the process; started again, the run fails the cell with a reason that has these words.
    Ends(&'static str),
    /// It finishes, with a warning that has these words.
    Warns(&'static str),
    /// It finishes: no harm was done, or none that a run can see.
    Finishes,
}

use Outcome::{Ends, Fails, Finishes, Warns};

const fn mode(id: &'static str, params: &'static str, outcome: Outcome) -> Mode {
    Mode { id, params, outcome }
}

/// Every mode.
#[rustfmt::skip]
pub const MODES: &[Mode] = &[
    mode("hostile.panic", r#"at = "open""#, Fails("open panicked: hostile panic in open")),
    mode("hostile.panic", r#"at = "payload_bytes""#, Fails("payload_bytes panicked: hostile panic")),
    mode("hostile.panic", r#"at = "encode""#, Fails("encode panicked: hostile panic in encode")),
    mode("hostile.panic", r#"at = "decode""#, Fails("decode panicked: hostile panic in decode")),
    mode("hostile.panic", r#"at = "reset""#, Fails("reset panicked: hostile panic in reset")),
    mode("hostile.panic", r#"at = "drop""#, Finishes),
    mode("hostile.panic", r#"at = "fit""#, Finishes),
    mode("hostile.error", r#"at = "open""#, Fails("open failed: hostile error in open")),
    mode("hostile.error", r#"at = "encode""#, Fails("encode failed: hostile error in encode")),
    mode("hostile.error", r#"at = "decode""#, Fails("decode failed: hostile error in decode")),

    mode("hostile.length", "factor = 100", Fails("encode wrote too much")),
    mode("hostile.length", "missing = 1", Fails("decode failed: payload: expected")),
    mode("hostile.length", "extra = 1", Fails("decode failed: payload: expected")),
    mode("hostile.length", "announced = 1000000000", Finishes),
    mode("hostile.half-filled", "", Fails("not finite")),

    mode("hostile.static-cheat", "", Fails("the encoder's message is not here")),
    mode("hostile.instance-cheat", "", Fails("the encoder's message is not here")),
    mode("hostile.file-cheat", "", Warns("cannot carry")),
    mode("hostile.address-cheat", "", Warns("cannot carry")),

    mode("hostile.self", r#"inner = "hostile.panic""#, Fails("at most 4 codecs inside one another")),
    mode("hostile.outer", "late = true", Fails("open inner codecs in `Codec::open`")),
    mode("hostile.outer", r#"inner = { codec = "hostile.panic", at = "encode" }"#, Fails("panicked: hostile panic in encode")),
    mode("hostile.outer", r#"inner = { codec = "hostile.ends", how = "abort" }"#, Ends("SIGABRT")),

    mode("hostile.ends", r#"how = "exit""#, Ends("encode ended the process")),
    mode("hostile.ends", r#"how = "exit", at = "open""#, Ends("open ended the process")),
    mode("hostile.ends", r#"how = "exit", at = "decode""#, Ends("decode ended the process")),
    mode("hostile.ends", r#"how = "exit", at = "reset""#, Ends("reset ended the process")),
    mode("hostile.ends", r#"how = "exit_with_an_error""#, Ends("encode ended the process")),
    mode("hostile.ends", r#"how = "abort""#, Ends("encode crashed with SIGABRT")),
    mode("hostile.ends", r#"how = "abort", at = "drop""#, Ends("drop crashed with SIGABRT")),
    mode("hostile.ends", r#"how = "read""#, Ends("encode crashed with SIGSEGV")),
    mode("hostile.ends", r#"how = "write", at = "decode""#, Ends("decode crashed with SIGSEGV")),
    mode("hostile.ends", r#"how = "map""#, Ends("encode crashed with SIGBUS")),
    mode("hostile.ends", r#"how = "instruction""#, Ends("encode crashed with SIGILL")),
    mode("hostile.ends", r#"how = "divide""#, Ends("encode crashed with SIGFPE")),
    mode("hostile.ends", r#"how = "breakpoint""#, Ends("encode crashed with SIGTRAP")),
    mode("hostile.ends", r#"how = "recurse""#, Ends("encode crashed with SIGSEGV")),
    mode("hostile.ends", r#"how = "panic_twice""#, Ends("encode crashed with SIG")),
    mode("hostile.ends", r#"how = "memory""#, Ends("encode crashed with SIGABRT")),
    mode("hostile.ends", r#"how = "loop""#, Ends("encode did not return within")),
    mode("hostile.ends", r#"how = "sleep", at = "decode""#, Ends("decode did not return within")),
    mode("hostile.ends", r#"how = "deadlock", at = "reset""#, Ends("reset did not return within")),
    mode("hostile.ends", r#"how = "fork""#, Finishes),

    mode("hostile.floats", r#"change = "flush_to_zero""#, Fails("encode left the arithmetic changed")),
    mode("hostile.floats", r#"change = "denormals_are_zero""#, Fails("encode left the arithmetic changed")),
    mode("hostile.floats", r#"change = "down", at = "decode""#, Fails("decode left the arithmetic changed")),
    mode("hostile.floats", r#"change = "up", at = "open""#, Fails("open left the arithmetic changed")),
    mode("hostile.floats", r#"change = "towards_zero", at = "reset""#, Fails("reset left the arithmetic changed")),
    mode("hostile.floats", r#"change = "trap""#, Fails("encode left the arithmetic changed")),
    mode("hostile.floats", r#"change = "old_unit""#, Fails("encode left the arithmetic changed")),

    mode("hostile.writes", r#"place = "first""#, Fails("the codec wrote to the message")),
    mode("hostile.writes", r#"place = "last""#, Fails("the codec wrote to the message")),
    mode("hostile.writes", r#"place = "middle""#, Fails("the codec wrote to the message")),
    mode("hostile.writes", r#"place = "all""#, Fails("the codec wrote to the message")),
    mode("hostile.writes", r#"place = "payload""#, Finishes),

    mode("hostile.says", r#"what = "nan""#, Fails("not finite")),
    mode("hostile.says", r#"what = "infinity""#, Fails("not finite")),
    mode("hostile.says", r#"what = "long_error""#, Fails("letters in all)")),
    mode("hostile.says", r#"what = "long_panic""#, Fails("letters in all)")),
    mode("hostile.says", r#"what = "control_error""#, Fails(r"\u{1b}[2J\u{202e}hidden")),
    mode("hostile.says", r#"what = "bomb""#, Fails("decode panicked: a panic without a text")),

    mode("hostile.changes", r#"what = "folder""#, Finishes),
    mode("hostile.changes", r#"what = "thread""#, Finishes),
    mode("hostile.changes", r#"what = "thread_panic""#, Finishes),
    mode("hostile.changes", r#"what = "random""#, Finishes),
    mode("hostile.changes", r#"what = "leak""#, Finishes),

    mode("hostile.press", r#"fault = "panic_in_open""#, Fails("open panicked: hostile panic_in_open")),
    mode("hostile.press", r#"fault = "panic_in_needs""#, Fails("needs panicked: hostile panic_in_needs")),
    mode("hostile.press", r#"fault = "panic_in_press""#, Fails("press panicked: hostile panic_in_press")),
    mode("hostile.press", r#"fault = "panic_in_reset""#, Fails("reset panicked: hostile panic_in_reset")),
    mode("hostile.press", r#"fault = "panic_in_drop""#, Finishes),
    mode("hostile.press", r#"fault = "error""#, Fails("press failed: hostile error")),
    mode("hostile.press", r#"fault = "heads""#, Fails("kv heads, found")),
    mode("hostile.press", r#"fault = "order""#, Fails("ascending indices")),
    mode("hostile.press", r#"fault = "twice""#, Fails("ascending indices")),
    mode("hostile.press", r#"fault = "beyond""#, Fails("ascending indices")),
    mode("hostile.press", r#"fault = "huge""#, Fails("beyond u32")),
    mode("hostile.press", r#"fault = "values""#, Fails("numbers in the values")),
    mode("hostile.press", r#"fault = "nan""#, Fails("finite keys")),
    mode("hostile.press", r#"fault = "some_channels""#, Fails("key channels for every kv head")),
    // Two of the many key channels that the tests' models have.
    mode("hostile.press", r#"fault = "channel""#, Finishes),
];
