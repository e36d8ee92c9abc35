//! What a guest writes into its rings, step by step; `port`'s tests say what must hold.
#![no_main]

#[path = "../../crates/port/tests/guest/mod.rs"]
mod guest;

use guest::driver::descriptor;
use guest::front::{MRG_RXBUF, OFFLOADS, PACKED, VERSION_1};
use guest::victim::{BEHIND, CANARY, SIZE, START, Step, hostile_ends, run};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

/// Values near those that mean something, so that a chain gets further than its first descriptor.
fn octets(input: &mut Unstructured<'_>) -> Result<[u8; 16]> {
    let ((start, end), _) = hostile_ends();
    let address = match input.int_in_range(0..=7_u8)? {
        0 => input.arbitrary()?,
        1 => end.wrapping_sub(input.int_in_range(0..=3000)?),
        2 => start.wrapping_add(input.int_in_range(0..=128)?).wrapping_sub(64),
        _ => input.int_in_range(start..=end)?,
    };
    let length = match input.int_in_range(0..=7_u8)? {
        0 => input.arbitrary()?,
        1..=3 => 16 * input.int_in_range(0..=8_u32)?,
        _ => input.int_in_range(0..=3000)?,
    };
    Ok(descriptor(address, length, input.arbitrary()?, input.arbitrary()?))
}

fn step(input: &mut Unstructured<'_>) -> Result<Step> {
    let (_, file) = hostile_ends();
    let ring = usize::from(input.arbitrary::<bool>()?);
    Ok(match input.int_in_range(0..=15_u8)? {
        0..=3 => Step::Descriptor { ring, index: input.int_in_range(0..=SIZE - 1)?, octets: octets(input)? },
        4..=5 => Step::Table { ring, place: input.int_in_range(0..=1023)?, octets: octets(input)? },
        6..=7 => Step::Head { ring, slot: input.int_in_range(0..=SIZE - 1)?, head: input.arbitrary()? },
        8..=9 => Step::Forward { ring, by: input.arbitrary()? },
        10 => {
            let at = input.int_in_range(START..=file - BEHIND - 64)?;
            let count = input.int_in_range(1..=64)?;
            // The marks around the memory are not to be found in it.
            Step::Scribble { at, octets: input.bytes(count)?.iter().map(|octet| octet % CANARY).collect() }
        }
        11 => Step::Restart,
        _ => Step::Turn,
    })
}

fuzz_target!(|octets: &[u8]| {
    let mut input = Unstructured::new(octets);
    let Ok(bits) = input.arbitrary::<u8>() else { return };
    let features = [(1, PACKED), (2, MRG_RXBUF), (4, OFFLOADS)];
    let features = features.iter().filter(|(bit, _)| bits & bit != 0).fold(VERSION_1, |all, (_, one)| all | one);
    let mut steps = Vec::new();
    while steps.len() < 150 && !input.is_empty() {
        match step(&mut input) {
            Ok(step) => steps.push(step),
            Err(_) => break,
        }
    }
    run(features, &steps);
});
