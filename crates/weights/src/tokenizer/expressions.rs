//! Regular expressions that split texts into the pieces within which byte-level BPE merges, taken from
//! llama.cpp and the models' own `tokenizer.json`.

/// GPT-2's expression, which keeps the white space before a word apart.
pub(super) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Matches numbers one digit at a time.
pub(super) const DIGIT: &str = r"\p{N}";

/// Matches numbers up to three digits at a time.
pub(super) const DIGITS_3: &str = r"\p{N}{1,3}";

/// Matches English contractions, in either case.
const CONTRACTION: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";

/// Matches an optional contraction after a word.
pub(super) const CONTRACTION_IF: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?";

/// Matches letters with an optional mark or space before them.
const WORD: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+";

/// Matches marks with the line breaks after them.
const MARKS: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*";

/// Matches white space up to line breaks, then all but the last of it, then the rest.
const SPACE: &str = r"\s*[\r\n]+|\s+(?!\S)|\s+";

/// Matches a word directly after an ASCII mark.
const MARKED_WORD: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##;

/// Matches letters and combining marks, with an optional other character before them.
const MARKED_LETTERS: &str = r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+";

pub(super) const DEFAULT_MARKS: &str = r"[\p{P}\$\+<=>\^~\|]+";
pub(super) const FALCON_MARKS: &str = r"[\p{P}\$\+<=>\^~\|`]+";
pub(super) const LINES: &str = r"[^\n]+|[\n]+";
pub(super) const AFMOE_DIGITS: &str = r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))";
pub(super) const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";

/// Matches Han, Hiragana and Katakana.
pub(super) const CJK: &str = r"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+";
pub(super) const BLOOM: &str =
    r" ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+";
pub(super) const YOUTU_SCRIPTS: &str = concat!(
    r"[\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}",
    r"\x{FF1A}\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+|[\x{4E00}-",
    r"\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+",
);
pub(super) const AFMOE_SCRIPTS: &str = concat!(
    r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{8C48}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF}\x{FF65}-",
    r"\x{FF9F}\x{2F00}-\x{2FDF}\x{E40}-\x{E7F}\x{E80}-\x{EFF}\x{1780}-\x{17FF}\x{1000}-\x{109F}",
    r"\x{AA60}-\x{AA7F}\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+",
);
const DEEPSEEK_LETTERS: &str = concat!(
    r"\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-",
    r"\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-",
    r"\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-",
    r"\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}",
    r"\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-",
    r"\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}",
    r"\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-",
    r"\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}",
    r"\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}",
    r"\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}",
    r"\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-",
    r"\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}",
    r"\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}",
    r"\x{1E900}-\x{1E943}]+",
);
const DEEPSEEK_MARKS: &str =
    r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+";
const DEEPSEEK_SCRIPTS: &str = r"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+";

pub(super) const DEEPSEEK_CODER: [&str; 5] =
    [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_SCRIPTS, DIGIT];

pub(super) const CHAMELEON: [&str; 6] = [
    "<sentinel:[0-9]+>",
    "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
    r"([\t\n]|    |  )",
    DIGIT,
    r"[\p{P}!-/:-@\[-`{-~]",
    GPT2,
];

pub(super) fn deepseek_llm() -> [&'static str; 6] {
    [r"[\r\n]", DEEPSEEK_LETTERS, DEEPSEEK_MARKS, r"\s+$", DEEPSEEK_SCRIPTS, r"\p{N}+"]
}

/// The expression of Llama 3, Qwen 2 and many others, which differ in `numbers`.
pub(super) fn words(numbers: &str) -> String {
    any(&[CONTRACTION, WORD, numbers, MARKS, SPACE])
}

/// The expression of GPT-4o and Tekken: words are split where a lower-case letter meets an upper-case one.
pub(super) fn cased(contraction: &str, numbers: &str) -> String {
    let lead = r"[^\r\n\p{L}\p{N}]?";
    let (upper, lower) = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]");
    let marks = r" ?[^\s\p{L}\p{N}]+[\r\n/]*";
    any(&[
        &format!("{lead}{upper}*{lower}+{contraction}"),
        &format!("{lead}{upper}+{lower}*{contraction}"),
        numbers,
        marks,
        SPACE,
    ])
}

/// Like [`cased`], with Han apart.
pub(super) fn kimi_k2() -> String {
    let lead = r"[^\r\n\p{L}\p{N}]?";
    let upper = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]";
    let lower = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]";
    any(&[
        r"[\p{Han}]+",
        &format!("{lead}{upper}*{lower}+{CONTRACTION_IF}"),
        &format!("{lead}{upper}+{lower}*{CONTRACTION_IF}"),
        DIGITS_3,
        MARKS,
        SPACE,
    ])
}

pub(super) fn deepseek_v3() -> String {
    any(&[MARKED_WORD, MARKED_LETTERS, r" ?[\p{P}\p{S}]+[\r\n]*", SPACE])
}

pub(super) fn spark() -> String {
    any(&[MARKED_WORD, MARKED_LETTERS, r" ?[\p{P}\p{S}]+", r"[\r\n]", r"\s+(?!\S)|\s+"])
}

pub(super) fn qwen35() -> String {
    let (word, marks) = (r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+", r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*");
    any(&[CONTRACTION, word, DIGIT, marks, SPACE])
}

/// An expression without contractions, so that the suffixes of Turkish names stay whole.
pub(super) fn ufakzeka() -> String {
    any(&[WORD, DIGIT, MARKS, SPACE])
}

pub(super) fn seed_coder() -> String {
    any(&[CONTRACTION, WORD, DIGIT, r" ?[^\s\p{L}\p{N}\r\n]+", SPACE])
}

pub(super) fn exaone_moe() -> String {
    let word = r"[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+";
    let (marks, space) = (r" ?[^\s\p{L}\p{N}]+[\r\n/]?", r"\s*[\r\n]|\s+(?!\S)|\s+");
    any(&[CONTRACTION, word, DIGIT, marks, space])
}

/// An expression with white space in runs of powers of two.
pub(super) fn jais_2() -> String {
    let runs = [512, 256, 128, 64, 32, 16, 8, 4].map(|run| format!(r"\s{{{run}}}(?!\S)")).join("|");
    let space = format!(r"\s*[\r\n]+|{runs}|\s{{1,2}}(?!\S)|\s{{1}}");
    any(&[CONTRACTION, WORD, DIGITS_3, MARKS, &space])
}

/// Matches the first of `expressions` that applies.
fn any(expressions: &[&str]) -> String {
    expressions.join("|")
}
