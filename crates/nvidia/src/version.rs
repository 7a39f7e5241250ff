//! Versions of CUDA, and of a card's instructions.

use std::fmt;

/// A version of CUDA or a compute capability: 12.8 is major 12, minor 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The number before the point.
    pub major: u32,
    /// The number after the point.
    pub minor: u32,
}

impl Version {
    /// A version from its two numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Version {
        Version { major, minor }
    }

    /// Parses CUDA's numeric form of a version, 12080 for 12.8.
    pub(crate) fn from_number(number: u32) -> Version {
        Version::new(number / 1000, number % 1000 / 10)
    }

    /// A compute capability in the compilers' notation: 9.0 is 90.
    pub(crate) fn architecture(self) -> u32 {
        self.major * 10 + self.minor
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cudas_numbers_are_read() {
        assert_eq!(Version::from_number(12080), Version::new(12, 8));
        assert_eq!(Version::from_number(13000).to_string(), "13.0");
        assert!(Version::new(12, 9) < Version::new(13, 0));
        assert_eq!(Version::new(12, 0).architecture(), 120);
    }
}
