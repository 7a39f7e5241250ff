//! Enums whose values have a name in experiment files, records and fingerprints.

/// Gives a field-less enum `ALL`, `name()`, `Display` and `FromStr` from one list of names. The
/// names equal serde's `kebab-case`.
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
            type Err = $crate::DataError;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::DataError::UnknownName {
                        what: $what,
                        found: name.to_owned(),
                        known: &[$($name),+],
                    }),
                }
            }
        }
    };
}

pub(crate) use named;
