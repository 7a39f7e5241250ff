//! Private copies of what a codec reads.
//!
//! Cells that continue from the same hidden states encode the same bytes at the same time. A codec that wrote
//! to them would change its neighbours' numbers, so none ever gets them. Comparing its private copy with the
//! original afterwards shows whether it wrote.

use std::cell::RefCell;
use std::hint::black_box;

use crate::MatrixRef;

/// The memory of a thread's last copy, kept because a message may be as large as a window of hidden states.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    values: Vec<f32>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// Calls `work` with a copy of the message and of its side information. The flag says whether `work` wrote to
/// the copy.
pub fn with_copy<T>(message: MatrixRef<'_>, work: impl FnOnce(MatrixRef<'_>) -> T) -> (T, bool) {
    let Memory { mut bytes, mut values } = MEMORY.take();
    bytes.clear();
    bytes.extend_from_slice(message.bytes);
    values.clear();
    values.extend(message.side.iter().flat_map(|(_, values)| *values));

    let mut rest = values.as_slice();
    let copied = |(name, original): &(_, &[f32])| {
        let (own, others) = rest.split_at(original.len());
        rest = others;
        (*name, own)
    };
    let side: Vec<(&str, &[f32])> = message.side.iter().map(copied).collect();
    let result = work(MatrixRef { bytes: &bytes, side: &side, ..message });

    // The compiler may assume that borrowed bytes stay unchanged; a plugin need not respect that.
    let same_bytes = black_box(bytes.as_slice()) == message.bytes;
    let originals = message.side.iter().flat_map(|(_, values)| *values);
    let same_side =
        black_box(values.as_slice()).iter().map(|x| x.to_bits()).eq(originals.map(|x| x.to_bits()));
    MEMORY.set(Memory { bytes, values });
    (result, !(same_bytes && same_side))
}

#[cfg(test)]
// Raw pointers play the part of a hostile codec.
#[allow(unsafe_code)]
mod tests {
    use super::*;
    use crate::Dtype;

    #[test]
    fn what_is_written_is_noticed_and_harms_nobody() {
        let (bytes, importances) = ([1_u8, 2, 3, 4], [0.5_f32, f32::NAN]);
        let side = [("importance", &importances[..])];
        let message =
            MatrixRef { rows: 2, channels: 1, dtype: Dtype::F16, bytes: &bytes, side: &side };
        let look = |copy: MatrixRef<'_>| (copy.bytes.to_vec(), copy.side[0].1.len());
        assert_eq!(with_copy(message, look), ((bytes.to_vec(), 2), false));
        // SAFETY: the copy lives in a vector, and only this thread has it.
        let write =
            |copy: MatrixRef<'_>| unsafe { copy.bytes.as_ptr().cast_mut().write_volatile(9) };
        assert!(with_copy(message, write).1);
        // SAFETY: as above.
        let write = |copy: MatrixRef<'_>| unsafe {
            copy.side[0].1.as_ptr().cast_mut().add(1).write_volatile(9.0);
        };
        assert!(with_copy(message, write).1);
        assert_eq!(with_copy(message, look), ((bytes.to_vec(), 2), false));
        assert_eq!((bytes, importances[0]), ([1, 2, 3, 4], 0.5));
    }
}
