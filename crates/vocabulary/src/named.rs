//! Enums whose values have a name in experiment files, records and fingerprints.

/// A name that an enum does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {found:?}: expected one of {}", known.join(", "))]
pub struct UnknownName {
    /// What was named.
    pub what: &'static str,
    /// The name.
    pub found: String,
    /// The names that there are.
    pub known: &'static [&'static str],
}

/// Gives a field-less enum `ALL`, `name()`, `Display` and `FromStr` from one list of names. The
/// names equal those that serde has for it.
#[macro_export]
macro_rules! named {
    ($type:ident, $what:literal, $($variant:ident = $name:literal),+ $(,)?) => {
        impl $type {
            /// Every value, in the order of its documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in experiment files and records.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::UnknownName {
                        what: $what,
                        found: name.to_owned(),
                        known: &[$($name),+],
                    }),
                }
            }
        }
    };
}
