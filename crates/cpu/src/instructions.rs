//! Which of the CPU's vector instructions compute: the most that it has, or fewer where the environment says so, to find
//! out what another machine would compute.

use std::sync::LazyLock;

use pulp::Arch;

/// The environment variable that names the instructions to use.
const VARIABLE: &str = "STRAIT_CPU";

/// The instructions in use: `amx`, which is `avx512` with the tile unit for products of bf16, `avx512`, `avx2`, `neon` or
/// `scalar`.
///
/// # Errors
/// When `STRAIT_CPU` names others than this CPU has; kernels then use the most that it has.
pub fn instructions() -> Result<&'static str, String> {
    let choice = CHOICE.as_ref().map_err(Clone::clone)?;
    if crate::amx::available() {
        Ok("amx")
    } else if choice.needs_tiles {
        Err(expected("amx"))
    } else {
        Ok(name(choice.arch))
    }
}

/// What kernels are dispatched to.
pub(crate) fn arch() -> Arch {
    match &*CHOICE {
        Ok(choice) => choice.arch,
        Err(_) => Arch::new(),
    }
}

/// Whether the tile unit may be used, where there is one.
pub(crate) fn tiles() -> bool {
    CHOICE.as_ref().is_ok_and(|choice| choice.tiles)
}

static CHOICE: LazyLock<Result<Choice, String>> =
    LazyLock::new(|| Choice::of(std::env::var(VARIABLE).ok().as_deref()));

struct Choice {
    arch: Arch,
    /// Whether the tile unit may be used, and whether it was asked for.
    tiles: bool,
    needs_tiles: bool,
}

impl Choice {
    fn of(wanted: Option<&str>) -> Result<Self, String> {
        let widest = Arch::new();
        let wanted = match wanted {
            None => return Ok(Self { arch: widest, tiles: true, needs_tiles: false }),
            Some("amx") => return Ok(Self { arch: widest, tiles: true, needs_tiles: true }),
            Some(wanted) => wanted,
        };
        let found = all().into_iter().find(|&arch| name(arch) == wanted);
        let arch = found.ok_or_else(|| expected(wanted))?;
        Ok(Self { arch, tiles: false, needs_tiles: false })
    }
}

/// The message for instructions that are not there.
fn expected(wanted: &str) -> String {
    let known: Vec<&str> = all().into_iter().map(name).collect();
    format!("{VARIABLE}: expected one of {}, found {wanted:?}", known.join(", "))
}

/// What this CPU has, the most first.
fn all() -> Vec<Arch> {
    let mut all = vec![Arch::new()];
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        all.push(Arch::V3(simd));
    }
    all.push(Arch::Scalar);
    all.dedup_by_key(|arch| name(*arch));
    all
}

fn name(arch: Arch) -> &'static str {
    match arch {
        Arch::Scalar => "scalar",
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => "avx512",
        #[cfg(target_arch = "x86_64")]
        Arch::V3(_) => "avx2",
        #[cfg(target_arch = "aarch64")]
        Arch::Neon(_) => "neon",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_can_be_asked_for_and_more_cannot() {
        assert!(Choice::of(None).unwrap().tiles);
        let scalar = Choice::of(Some("scalar")).unwrap();
        assert_eq!((name(scalar.arch), scalar.tiles), ("scalar", false));
        let Err(error) = Choice::of(Some("avx1024")) else { panic!("accepted") };
        assert!(error.starts_with("STRAIT_CPU: expected one of "), "{error}");
        assert!(error.ends_with("scalar, found \"avx1024\""), "{error}");
    }
}
