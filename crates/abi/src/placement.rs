//! Where the matrices of an instance lie.
//!
//! Matrices cross by value, so within a major version they cannot grow by what device memory takes
//! beside its tag. An instance is told that once, by `place`, before it is given such a matrix.

use abi_stable::StableAbi;

use crate::DEVICE_HOST;

/// Where the matrices of an instance's following calls lie, and when their contents are there.
///
/// Every word is 0 for host memory, which is where they lie until the instance is placed. Other
/// values are given a meaning by a later minor; a side that does not know a value refuses it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, StableAbi)]
pub struct Placement {
    /// Kind of memory: the tag that the matrices carry, [`DEVICE_HOST`] today.
    pub device: u32,
    /// Which device of this kind.
    pub ordinal: u32,
    /// Stream of the device: what was queued in it before a call is done before the contents are read or
    /// overwritten, and what the call queues is queued in it.
    pub stream: u64,
    /// Event of the device after which the contents are there.
    pub event: u64,
    /// Without a meaning yet.
    pub reserved: [u64; 4],
}

/// Why an instance cannot be placed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "placement: expected {word} 0, as in host memory, found {found}; rebuild the plugin with a newer strait-sdk"
)]
pub struct PlacementError {
    /// The word that has another value.
    pub word: &'static str,
    /// Its value.
    pub found: u64,
}

impl Placement {
    /// Host memory.
    pub const HOST: Placement =
        Placement { device: DEVICE_HOST, ordinal: 0, stream: 0, event: 0, reserved: [0; 4] };

    /// Checks that this is host memory.
    ///
    /// # Errors
    /// The first word that is not 0.
    pub fn check_host(&self) -> Result<(), PlacementError> {
        let Placement { device, ordinal, stream, event, reserved } = *self;
        let words = [
            ("device tag", device.into()),
            ("ordinal", ordinal.into()),
            ("stream", stream),
            ("event", event),
        ];
        let reserved = reserved.map(|found| ("reserved word", found));
        match words.into_iter().chain(reserved).find(|(_, found)| *found != 0) {
            None => Ok(()),
            Some((word, found)) => Err(PlacementError { word, found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_frozen() {
        assert_eq!(size_of::<Placement>(), 56);
        assert_eq!(std::mem::offset_of!(Placement, ordinal), 4);
        assert_eq!(std::mem::offset_of!(Placement, stream), 8);
        assert_eq!(std::mem::offset_of!(Placement, event), 16);
        assert_eq!(std::mem::offset_of!(Placement, reserved), 24);
    }

    #[test]
    fn every_word_that_is_not_0_is_refused_by_name() {
        assert_eq!(Placement::HOST.check_host(), Ok(()));
        let host = Placement::HOST;
        let cases = [
            (Placement { device: 1, ..host }, "device tag"),
            (Placement { ordinal: 1, ..host }, "ordinal"),
            (Placement { stream: 1, ..host }, "stream"),
            (Placement { event: 1, ..host }, "event"),
            (Placement { reserved: [0, 0, 0, 1], ..host }, "reserved word"),
        ];
        for (placement, word) in cases {
            let error = placement.check_host().unwrap_err();
            assert_eq!(error, PlacementError { word, found: 1 });
            assert!(error.to_string().contains(&format!("expected {word} 0")), "{error}");
        }
    }
}
