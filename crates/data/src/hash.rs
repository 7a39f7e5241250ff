//! SHA-256 of texts, files and token streams, in lower-case hexadecimal.

use sha2::{Digest, Sha256};

/// SHA-256 of bytes as 64 lower-case hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of token ids, each as four little-endian bytes.
#[must_use]
pub fn token_stream_sha256(tokens: &[u32]) -> String {
    let mut hasher = Sha256::new();
    for tokens in tokens.chunks(4096) {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    hex(&hasher.finalize())
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), abc);
        assert_eq!(token_stream_sha256(&[1, 256]), sha256_hex(&[1, 0, 0, 0, 0, 1, 0, 0]));
        let long: Vec<u32> = (0..10_000).collect();
        let bytes: Vec<u8> = long.iter().flat_map(|t| t.to_le_bytes()).collect();
        assert_eq!(token_stream_sha256(&long), sha256_hex(&bytes));
    }
}
