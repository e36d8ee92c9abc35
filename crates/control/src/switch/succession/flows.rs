//! Flows as octets: compact, since there may be a hundred thousand while queues stand still.
//!
//! What: a list of the names of reasons, then for each flow its length and its parts. Numbers are little-endian. A flow
//! that is not understood is left out: it is asked about again.

use netloom_datapath::FlowReport;
use netloom_nf::{Action, Program, Reason, Shape};
use netloom_table::key::WORDS;
use netloom_table::{Key, Mask};

/// What stands first; another one when words of keys or actions mean something else.
const MAGIC: u32 = 0x4e4c_4601;

/// Takes octets apart.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const COUNT: usize>(&mut self) -> Option<[u8; COUNT]> {
        self.take(COUNT)?.try_into().ok()
    }

    fn octet(&mut self) -> Option<u8> {
        self.array().map(|[octet]| octet)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then_some(word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

/// Actions that lead to state of the translation are not handed over: a successor makes those flows anew.
fn write_action(action: &Action, into: &mut Vec<u8>) {
    let (kind, [a, b]) = match *action {
        Action::Output(port) => (0, [port, 0]),
        Action::PushVlan { tpid, tci } => (1, [tpid.into(), tci.into()]),
        Action::PopVlan => (2, [0, 0]),
        Action::SetVlan(tci) => (3, [tci.into(), 0]),
        Action::Brain => (4, [0, 0]),
        Action::Meter(number) => (5, [number, 0]),
        Action::Lose(reason) => (6, [reason as u32, 0]),
        Action::Remote { number, vlan } => (7, [number, vlan.into()]),
        Action::Queue(number) => (8, [number, 0]),
        _ => (u8::MAX, [0, 0]),
    };
    into.push(kind);
    into.extend(a.to_le_bytes());
    into.extend(b.to_le_bytes());
}

fn read_action(reader: &mut Reader<'_>, reasons: &[Option<Reason>]) -> Option<Action> {
    let (kind, a, b) = (reader.octet()?, reader.u32()?, reader.u32()?);
    Some(match kind {
        0 => Action::Output(a),
        1 => Action::PushVlan { tpid: a as u16, tci: b as u16 },
        2 => Action::PopVlan,
        3 => Action::SetVlan(a as u16),
        4 => Action::Brain,
        5 => Action::Meter(a),
        6 => Action::Lose(reason(a, reasons)?),
        7 => Action::Remote { number: a, vlan: b as u16 },
        8 => Action::Queue(a),
        _ => return None,
    })
}

fn reason(number: u32, reasons: &[Option<Reason>]) -> Option<Reason> {
    reasons.get(number as usize).copied().flatten()
}

/// The flows of all workers.
pub(super) fn write(workers: &[Vec<FlowReport>]) -> Vec<u8> {
    let mut into = MAGIC.to_le_bytes().to_vec();
    into.extend((Reason::ALL.len() as u16).to_le_bytes());
    for reason in Reason::ALL {
        let name = reason.name().as_bytes();
        into.push(name.len() as u8);
        into.extend(name);
    }
    for (worker, flows) in workers.iter().enumerate() {
        // What is counted for others is asked about again.
        let plain = |flow: &&FlowReport| !flow.counted && flow.program.actions().iter().all(Action::is_plain);
        for flow in flows.iter().filter(plain) {
            let began = into.len();
            into.extend([0; 4]);
            into.extend((worker as u16).to_le_bytes());
            into.extend(flow.port.to_le_bytes());
            for number in [flow.token, flow.packets, flow.octets, flow.idle, flow.mask.used()] {
                into.extend(number.to_le_bytes());
            }
            for word in bits(flow.mask.used()) {
                into.extend(flow.mask.words()[word].to_le_bytes());
                into.extend(flow.key.word(word).to_le_bytes());
            }
            let lost = if let Shape::Drop(reason) = flow.program.shape() { reason as u32 } else { u32::MAX };
            into.extend(lost.to_le_bytes());
            into.extend((flow.program.actions().len() as u16).to_le_bytes());
            flow.program.actions().iter().for_each(|action| write_action(action, &mut into));
            into.extend((flow.rests.len() as u16).to_le_bytes());
            flow.rests.iter().for_each(|tag| into.extend(tag.to_le_bytes()));
            let length = (into.len() - began - 4) as u32;
            if let Some(place) = into.get_mut(began..began + 4) {
                place.copy_from_slice(&length.to_le_bytes());
            }
        }
    }
    into
}

fn read_flow(octets: &[u8], reasons: &[Option<Reason>]) -> Option<(usize, FlowReport)> {
    let mut reader = Reader(octets);
    let worker = usize::from(reader.u16()?);
    let port = reader.u32()?;
    let (token, packets, octets) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let (idle, used) = (reader.u64()?, reader.u64()?);
    let (mut key, mut mask) = (Key::default(), Mask::default());
    for word in bits(used).filter(|word| *word < WORDS) {
        mask.add_word(word, reader.u64()?);
        key.set_word(word, reader.u64()?);
    }
    let lost = reader.u32()?;
    let count = reader.u16()?;
    let actions: Option<Vec<Action>> = (0..count).map(|_| read_action(&mut reader, reasons)).collect();
    let actions = actions?;
    let program = if lost == u32::MAX {
        Program::new(actions, Reason::NoPorts)
    } else {
        Program::lose(reason(lost, reasons)?)
    };
    let count = reader.u16()?;
    let rests: Option<Vec<u64>> = (0..count).map(|_| reader.u64()).collect();
    let (rests, counted) = (rests?, false);
    let flow =
        FlowReport { key, mask, program, packets, octets, idle, port, rests, token, counted, first: None };
    Some((worker, flow))
}

/// The flows of each worker; what is not understood is left out.
pub(super) fn read(octets: &[u8]) -> Vec<Vec<FlowReport>> {
    let mut workers: Vec<Vec<FlowReport>> = Vec::new();
    let mut reader = Reader(octets);
    if reader.u32() != Some(MAGIC) {
        return workers;
    }
    let mut reasons = Vec::new();
    for _ in 0..reader.u16().unwrap_or(0) {
        let length = usize::from(reader.octet().unwrap_or(0));
        let name = reader.take(length).unwrap_or_default();
        reasons.push(Reason::ALL.iter().find(|reason| reason.name().as_bytes() == name).copied());
    }
    while let Some(flow) = reader.u32().and_then(|length| reader.take(length as usize)) {
        let Some((worker, flow)) = read_flow(flow, &reasons) else { continue };
        if workers.len() <= worker {
            workers.resize_with(worker + 1, Vec::new);
        }
        if let Some(flows) = workers.get_mut(worker) {
            flows.push(flow);
        }
    }
    workers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            any::<u32>().prop_map(Action::Output),
            any::<(u16, u16)>().prop_map(|(tpid, tci)| Action::PushVlan { tpid, tci }),
            Just(Action::PopVlan),
            any::<u16>().prop_map(Action::SetVlan),
            Just(Action::Brain),
            any::<u32>().prop_map(Action::Meter),
            any::<(u32, u16)>().prop_map(|(number, vlan)| Action::Remote { number, vlan }),
            (0..Reason::ALL.len()).prop_map(|number| Action::Lose(Reason::ALL[number])),
        ]
    }

    prop_compose! {
        fn flow()(
            words in proptest::collection::vec((0..WORDS, any::<u64>(), any::<u64>()), 0..8),
            actions in proptest::collection::vec(action(), 0..5), lost in 0..Reason::ALL.len(),
            numbers in any::<[u64; 4]>(), port in any::<u32>(),
            rests in proptest::collection::vec(any::<u64>(), 0..5),
        ) -> FlowReport {
            let (mut key, mut mask) = (Key::default(), Mask::default());
            for (word, bits, value) in words {
                mask.add_word(word, bits);
                key.set_word(word, value);
            }
            let key = key.masked(&mask);
            let program = Program::new(actions, Reason::ALL[lost]);
            let [packets, octets, idle, token] = numbers;
            FlowReport { key, mask, program, packets, octets, idle, port, rests, token, counted: false, first: None }
        }
    }

    fn told(workers: &[Vec<FlowReport>]) -> Vec<String> {
        let of_worker = |(worker, flows): (usize, &Vec<FlowReport>)| {
            flows.iter().map(move |flow| format!("{worker} {flow:?}")).collect::<Vec<_>>()
        };
        workers.iter().enumerate().flat_map(of_worker).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            workers in proptest::collection::vec(proptest::collection::vec(flow(), 0..20), 0..4),
            cut in any::<prop::sample::Index>(), other in any::<u8>(),
        ) {
            let mut octets = write(&workers);
            prop_assert_eq!(told(&read(&octets)), told(&workers));
            // Whatever else comes is no harm.
            let at = cut.index(octets.len());
            read(&octets[..at]);
            octets[at] = other;
            read(&octets);
        }
    }
}
