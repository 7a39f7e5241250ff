//! Each codec here breaks one rule; the kit must name the check that finds it, and no other.

use std::sync::atomic::{AtomicU8, Ordering};

use strait_conformance::{Case, check_codec};
use strait_sdk::prelude::*;
use strait_sdk::serde_json::json;

/// Ways to break the rules. `None` breaks none.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Keeps every rule.
    None,
    /// Panics at a payload of the wrong length.
    Panics,
    /// Reads past the end of what it was given as zeros.
    AcceptsShort,
    /// Ignores what follows.
    AcceptsLong,
    /// Believes a length that the payload states.
    Allocates,
    /// Passes the message through a static variable.
    Smuggles,
    /// Leaves the last element unwritten.
    LeavesOut,
    /// Changes one bit.
    Loses,
    /// Writes a counter into the payload.
    Counts,
    /// Keeps a counter beyond `reset`.
    Remembers,
    /// States one byte less than it writes.
    Understates,
}

#[derive(Params)]
struct BrokenParams {
    /// What is broken.
    #[param(default = "none")]
    fault: Fault,
}

/// Stores the bytes behind a header of 16 bytes: their number, a counter, and zeros.
struct Broken {
    fault: Fault,
    count: u8,
}

static OPENED: AtomicU8 = AtomicU8::new(0);
static SMUGGLED: std::sync::Mutex<Vec<u8>> = std::sync::Mutex::new(Vec::new());

impl Codec for Broken {
    const INFO: CodecInfo = CodecInfo {
        id: "broken",
        summary: "breaks the rule it is told to break",
        lossless: true,
        ..CodecInfo::DEFAULT
    };
    type Params = BrokenParams;

    fn open(params: BrokenParams) -> Result<Self> {
        let counts = params.fault == Fault::Counts;
        let count = if counts { OPENED.fetch_add(1, Ordering::Relaxed) } else { 0 };
        Ok(Broken { fault: params.fault, count })
    }

    fn encode(&mut self, message: Message<'_>, payload: &mut Vec<u8>) -> Result<()> {
        payload.extend_from_slice(&(message.bytes().len() as u64).to_le_bytes());
        payload.extend_from_slice(&[self.count, 0, 0, 0, 0, 0, 0, 0]);
        payload.extend_from_slice(message.bytes());
        if self.fault == Fault::Remembers {
            self.count = self.count.wrapping_add(1);
        }
        if self.fault == Fault::Loses && message.rows() > 2 {
            payload[20] ^= 1;
        }
        if self.fault == Fault::Smuggles {
            *SMUGGLED.lock().unwrap() = payload.split_off(16);
        }
        Ok(())
    }

    fn decode(&mut self, payload: &[u8], message: &mut MessageMut<'_>) -> Result<()> {
        let expected = message.shape().bytes() + 16;
        let smuggled = SMUGGLED.lock().unwrap().clone();
        let body = match self.fault {
            Fault::Panics => {
                assert_eq!(payload.len(), expected);
                &payload[16..]
            }
            Fault::AcceptsShort if payload.len() < expected => {
                message.bytes_mut().fill(0);
                return Ok(());
            }
            Fault::AcceptsLong if payload.len() > expected => &payload[16..expected],
            Fault::Smuggles => {
                Error::check_payload_length(16, payload.len())?;
                message.bytes_mut().fill(0);
                let length = smuggled.len().min(message.shape().bytes());
                message.bytes_mut()[..length].copy_from_slice(&smuggled[..length]);
                return Ok(());
            }
            _ => {
                if self.fault == Fault::Allocates && payload.len() >= 8 {
                    let stated = u64::from_le_bytes(payload[..8].try_into().unwrap());
                    // Address space that exists, so that the test does not end the process.
                    let stated = usize::try_from(stated.min(1 << 33)).unwrap();
                    std::hint::black_box(Vec::<u8>::with_capacity(stated));
                }
                Error::check_payload_length(expected, payload.len())?;
                &payload[16..]
            }
        };
        let written = match self.fault {
            Fault::LeavesOut => body.len() - body.len().min(message.shape().dtype.size()),
            _ => body.len(),
        };
        message.bytes_mut()[..written].copy_from_slice(&body[..written]);
        Ok(())
    }

    fn payload_bytes(&self, shape: Shape) -> PayloadBytes {
        let header = match self.fault {
            Fault::Understates => 15,
            Fault::Smuggles => return PayloadBytes::Exact(16),
            _ => 16,
        };
        PayloadBytes::Exact(shape.bytes() + header)
    }

    fn reset(&mut self) {}
}

/// The checks that fail with this fault.
fn failing(fault: Fault) -> Vec<&'static str> {
    let report = check_codec::<Broken>(&[Case::new(json!({ "fault": fault.name() }))]);
    report.failures().map(|outcome| outcome.check).collect()
}

#[test]
fn a_codec_that_keeps_the_rules_passes() {
    assert_eq!(failing(Fault::None), [""; 0]);
}

#[test]
fn each_fault_is_found() {
    let cases: &[(Fault, &[&str])] = &[
        (Fault::Panics, &["survives_truncated_payloads", "survives_extended_payloads"]),
        (Fault::AcceptsShort, &["survives_truncated_payloads"]),
        (Fault::AcceptsLong, &["survives_extended_payloads"]),
        (Fault::Smuggles, &["decodes_in_a_second_instance", "pays_for_what_it_decodes"]),
        (Fault::LeavesOut, &["decodes_in_a_second_instance"]),
        (Fault::Loses, &["decodes_in_a_second_instance"]),
        (Fault::Counts, &["gives_the_same_bytes_for_the_same_input"]),
        (Fault::Remembers, &["forgets_at_reset"]),
        (Fault::Understates, &["keeps_its_payload_size", "survives_altered_payloads"]),
    ];
    for (fault, expected) in cases {
        assert_eq!(failing(*fault), *expected, "{fault:?}");
    }
}

#[test]
fn an_allocation_that_the_payload_asks_for_is_found() {
    let found = failing(Fault::Allocates);
    if cfg!(target_os = "linux") {
        assert!(found.iter().all(|check| check.starts_with("survives_")) && !found.is_empty());
    }
}

#[test]
fn a_failure_names_codec_check_case_and_sample() {
    let report = check_codec::<Broken>(&[Case::new(json!({ "fault": "loses" }))]);
    let failure = report.failures().next().unwrap().to_string();
    assert_eq!(
        failure,
        "broken: decodes_in_a_second_instance with {\"fault\":\"loses\"}: \
         sample `ordinary` f32 [3, 7]: lossless, but the bytes differ"
    );
}
