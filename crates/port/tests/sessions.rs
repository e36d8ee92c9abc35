//! What front ends do over the life of a guest: stop, move, grow, migrate, die, come back, and talk nonsense.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod guest;

use guest::driver::{Layout, Ring};
use guest::front::{
    EVENT_IDX, Front, Guest, LOG_ALL, MQ, MRG_RXBUF, Options, P_INFLIGHT, P_LOG, P_MQ, P_SLOTS, PACKED,
    PROTOCOL, Place, VERSION_1, event, signalled, wait,
};
use guest::{GUEST, Memory};
use netloom_mem::{Batch, Offload, PortError, ReceiveQueue, SendQueue, Wake};
use netloom_port::vhost::{Config, Mode, OpenError, Pair, Port};
use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

const BASIC: u64 = VERSION_1 | MRG_RXBUF | PROTOCOL;

/// Receives what there is, and gives it as octets.
fn receive(pair: &mut Pair, batch: &mut Batch) -> Vec<Vec<u8>> {
    let count = pair.from_guest.receive(batch).unwrap();
    let frames = (0..count).map(|index| batch.octets(index)).collect();
    pair.from_guest.complete();
    batch.clear();
    batch.release();
    frames
}

/// Sends one frame; false without room or without a guest.
fn send(pair: &mut Pair, batch: &mut Batch, octets: &[u8]) -> bool {
    assert!(batch.push(1, octets, Offload::NONE));
    let sent = pair.to_guest.send(batch, &[0]);
    pair.to_guest.flush();
    batch.clear();
    matches!(sent, Ok(1))
}

/// How often a file is mapped in this process.
fn mappings(name: &str) -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| line.contains(name)).count()
}

#[test]
fn a_stopped_ring_goes_on_where_it_was() {
    for packed in [0, PACKED] {
        let mut guest = Guest::new(Options { features: BASIC | packed, ..Options::plain() });
        let mut batch = Batch::new();
        for round in 0_u8..40 {
            for frame in 0..5 {
                assert!(guest.transmit(
                    0,
                    &[],
                    &[round, frame, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                    2000,
                    false
                ));
                assert!(guest.give(0, &[500], false));
            }
            // More is available than one receive looks at only in the first rounds; three of five are dealt with here.
            let got = receive(&mut guest.pairs[0], &mut batch);
            assert_eq!(got.iter().map(|frame| frame[1]).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
            for frame in &got[..3] {
                assert!(send(&mut guest.pairs[0], &mut batch, frame));
            }
            let bases = [guest.front.stop(0), guest.front.stop(1)];
            assert!(!send(&mut guest.pairs[0], &mut batch, &[0; 60]));
            assert!(receive(&mut guest.pairs[0], &mut batch).is_empty());
            for (index, base) in bases.into_iter().enumerate() {
                let (kick, call) = (&guest.kicks[index], &guest.calls[index]);
                guest.front.start(index as u32, &guest.rings[index].layout, base, kick, call);
            }
            for frame in &got[3..] {
                assert!(send(&mut guest.pairs[0], &mut batch, frame));
            }
            assert_eq!(guest.reclaim(0), 5);
            for frame in 0..5 {
                assert_eq!(guest.received(0).unwrap().1[..2], [round, frame]);
            }
        }
    }
}

#[test]
fn workers_let_go_at_once_whether_they_poll_or_sleep() {
    let guest = Guest::new(Options { features: BASIC, ..Options::plain() });
    let Guest { front, mut pairs, rings, kicks, calls, memory, port, place, .. } = guest;
    let mut pair = pairs.remove(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A busy worker.
        let worker = scope.spawn(|| {
            let mut batch = Batch::new();
            while !done.load(Ordering::Relaxed) {
                receive(&mut pair, &mut batch);
                send(&mut pair, &mut batch, &[1; 60]);
            }
            pair
        });
        for _ in 0..200 {
            for index in 0..2 {
                let base = front.stop(index as u32);
                front.start(index as u32, &rings[index].layout, base, &kicks[index], &calls[index]);
            }
        }
        done.store(true, Ordering::Relaxed);
        let _pair = worker.join().unwrap();
        // Nobody polls now; all the same the answers come and the memory is let go.
        front.stop(0);
        front.stop(1);
        drop(front);
        wait("the front end is gone", || !port.status().connected);
        // What is left are the test's own mapping and no other.
        wait("the guest's memory is let go", || mappings_of(&memory) == 1);
    });
    drop(place);
}

/// How often a guest's memory is mapped here.
fn mappings_of(memory: &Memory) -> usize {
    let inode = rustix::fs::fstat(&memory.file).unwrap().st_ino;
    mappings(&format!(" {inode} "))
}

#[test]
fn a_new_memory_table_takes_over_under_traffic() {
    let mut guest = Guest::new(Options { features: BASIC, protocol: P_SLOTS, ..Options::plain() });
    let mut batch = Batch::new();
    let one = guest.memory.size;
    for round in 0_u8..20 {
        while guest.give(0, &[500], false) {}
        assert!(guest.transmit(0, &[], &vec![round; 1000], 2000, false));
        let count = guest.pairs[0].from_guest.receive(&mut batch).unwrap();
        assert_eq!(count, 1);
        guest.pairs[0].from_guest.complete();
        // The batch still refers to the guest's memory: it stays mapped, and the frame stays whole.
        assert!(guest.front.memory(&guest.memory, &[(GUEST, 0, one)]));
        assert!(batch.octets(0) == vec![round; 1000]);
        assert!(guest.pairs[0].to_guest.send(&batch, &[0]).is_ok());
        guest.pairs[0].to_guest.flush();
        batch.clear();
        batch.release();
        assert_eq!(guest.received(0).unwrap().1, vec![round; 1000]);
        assert_eq!(guest.reclaim(0), 1);
    }
    assert_eq!(mappings_of(&guest.memory), 2);
    // A region that is added is used, one that is removed is not.
    let more = Memory::new(8192);
    let place = GUEST + 0x1000_0000;
    let body = |size: u64| {
        [0, place, size, guest::USER + 0x1000_0000, 0]
            .iter()
            .flat_map(|value: &u64| value.to_ne_bytes())
            .collect::<Vec<_>>()
    };
    assert!(!guest.front.tell(38, &body(8192), &[]));
    assert!(guest.front.tell(37, &body(8192), &[&more.file]));
    assert!(!guest.front.tell(37, &body(8192), &[&more.file]));
    assert_eq!(mappings_of(&more), 2);
    more.write(100, &[7; 112]);
    let layout = guest.rings[1].layout;
    let available = guest.rings[1].available_index();
    let head = available & (layout.size - 1);
    let octets = guest::driver::descriptor(place + 100, 112, 0, 0);
    guest.memory.write(layout.descriptors + 16 * usize::from(head), &octets);
    guest.memory.set(layout.driver + 4 + 2 * usize::from(head), head);
    guest.memory.set(layout.driver + 2, available.wrapping_add(1));
    assert_eq!(receive(&mut guest.pairs[0], &mut batch), [vec![7; 100]]);
    assert!(guest.front.tell(38, &body(8192), &[]));
    assert_eq!(mappings_of(&more), 1);
    assert_eq!(guest.front.ask(36), 64);
}

#[test]
fn clients_come_back_and_lose_nothing_that_was_not_given_back() {
    for packed in [false, true] {
        come_back(packed);
    }
}

fn come_back(packed: bool) {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let (port, mut pairs) = Port::open(1, Config::new(place.socket(), Mode::Client)).unwrap();
    let options = Options { features: BASIC, protocol: P_INFLIGHT, ..Options::plain() };
    let (size, layouts) = Guest::layouts(&options);
    let memory = Memory::new(size);
    let mut rings: Vec<_> = layouts.iter().map(|layout| Ring::new(*layout, packed)).collect();
    let mut batch = Batch::new();
    let mut region: Option<(Vec<u8>, std::os::fd::OwnedFd)> = None;
    let (kick, call) = (event(), event());
    for round in 0_u8..3 {
        let front = Front::accept(&listener);
        front.negotiate(BASIC | if packed { PACKED } else { 0 }, P_INFLIGHT);
        assert!(front.memory(&memory, &[(GUEST, 0, size)]));
        if let Some((body, file)) = &region {
            assert!(front.tell(32, body, &[file]));
        } else {
            let mut body = vec![0; 16];
            body.extend(2_u16.to_ne_bytes());
            body.extend(options.size.to_ne_bytes());
            body.extend([0; 4]);
            front.send(31, 0, &body, &[]);
            let (body, file) = front.answer(31).unwrap();
            region = Some((body, file.unwrap()));
        }
        for (index, layout) in layouts.iter().enumerate() {
            // What the front end believes to be the base is what it made available: chains that were lost lie before it.
            let base = u32::from(rings[index].available_index());
            front.start(index as u32, layout, if packed { base | 0x8000 } else { base }, &kick, &call);
        }
        let frame = |number: u8| [vec![0; 12], vec![number; 60]].concat();
        if round > 0 {
            // The frame that was taken and not given back comes again.
            assert_eq!(receive(&mut pairs[0], &mut batch), [vec![round - 1; 60]]);
            assert!(rings[1].take(&memory).is_some());
        }
        assert!(rings[1].add(&memory, &[guest::driver::Buffer::Out(frame(round))], false));
        let slot = layouts[1].descriptors + 16 * usize::from(round);
        let before = (memory.read(slot, 16), memory.get(layouts[1].device + 2));
        let (body, file) = region.as_ref().unwrap();
        let size = u64::from_ne_bytes(body[..8].try_into().unwrap()) as usize;
        let marks = Memory::over(rustix::io::dup(file).unwrap(), size);
        // The worker has taken it when the front end dies, and gives it back too late.
        assert_eq!(pairs[0].from_guest.receive(&mut batch).unwrap(), 1);
        let kept = marks.read(0, size);
        if !packed {
            let inflight = (0..64).filter(|head| kept[16 + 16 * 64 + 32 + 16 + 16 * head] == 1).count();
            assert_eq!(inflight, 1);
        }
        // A back end that dies leaves all as it is: it is put back to before the frame.
        drop(front);
        pairs[0].from_guest.complete();
        batch.clear();
        marks.write(0, &kept);
        if packed && round == 1 {
            // It died between saying that it publishes and publishing.
            marks.set(size / 2 + 16, u16::from(round) + 1);
        }
        if packed {
            memory.write(slot, &before.0);
        } else {
            memory.set(layouts[1].device + 2, before.1);
        }
        wait("the port notices", || !port.status().connected);
    }
}

#[test]
fn dirty_pages_are_logged() {
    for packed in [0, PACKED] {
        let features = BASIC | packed;
        let options = Options { features, protocol: P_LOG, ..Options::plain() };
        let mut guest = Guest::new(options);
        let mut batch = Batch::new();
        while guest.give(0, &[500], false) {}
        assert!(send(&mut guest.pairs[0], &mut batch, &[1; 60]));
        assert!(guest.received(0).is_some());
        // The migration begins.
        let pages = (GUEST as usize + guest.memory.size).div_ceil(4096);
        let log = Memory::new(pages.div_ceil(8));
        let body = [(log.size as u64).to_ne_bytes(), [0; 8]].concat();
        guest.front.send(6, 0, &body, &[&log.file]);
        assert!(guest.front.answer(6).is_some());
        assert!(guest.front.tell_number(2, features | LOG_ALL, &[]));
        for (index, ring) in guest.rings.iter().enumerate() {
            let place = if packed == 0 { ring.layout.device } else { ring.layout.descriptors };
            assert!(guest.front.addresses(index as u32, &ring.layout, 1, GUEST + place as u64));
        }
        let before = guest.memory.read(0, guest.memory.size);
        let mut frames = Vec::new();
        for length in [60, 600, 3000] {
            frames.push(vec![length as u8; length]);
            assert!(send(&mut guest.pairs[0], &mut batch, frames.last().unwrap()));
        }
        // Just taking a frame writes the ring only.
        let after = guest.memory.read(0, guest.memory.size);
        let mut changed = 0;
        for page in 0..guest.memory.size / 4096 {
            let range = page * 4096..(page + 1) * 4096;
            let number = GUEST as usize / 4096 + page;
            let marked = log.read(number / 8, 1)[0] & 1 << (number % 8) != 0;
            if before[range.clone()] != after[range] {
                assert!(marked, "page {page} changed");
                changed += 1;
            }
        }
        assert!(changed >= 3, "{changed}");
        let marked: u32 = log.read(0, log.size).iter().map(|octet| octet.count_ones()).sum();
        assert!(marked < 12, "{marked} pages are marked");
        for frame in frames {
            assert_eq!(guest.received(0).unwrap().1, frame);
        }
    }
}

#[test]
fn queue_pairs_are_apart() {
    let options = Options { features: BASIC | MQ, protocol: P_MQ, pairs: 4, size: 32 };
    let mut guest = Guest::new(options);
    assert_eq!(guest.front.ask(17), 4);
    let mut batch = Batch::new();
    for pair in 0..4 {
        assert!(guest.give(pair, &[500], false));
        assert!(guest.transmit(pair, &[], &[pair as u8; 60], 2000, false));
    }
    // The third pair is disabled.
    assert!(guest.front.tell_two(18, 4, 0) && guest.front.tell_two(18, 5, 0));
    for pair in 0..4 {
        let expected = if pair == 2 { vec![] } else { vec![vec![pair as u8; 60]] };
        assert_eq!(receive(&mut guest.pairs[pair], &mut batch), expected);
        assert_eq!(send(&mut guest.pairs[pair], &mut batch, &[9; 60]), pair != 2);
        assert_eq!(guest.pairs[pair].to_guest.is_ready(), pair != 2);
        assert_eq!(guest.received(pair).is_some(), pair != 2);
    }
    assert!(guest.front.tell_two(18, 4, 1) && guest.front.tell_two(18, 5, 1));
    assert_eq!(receive(&mut guest.pairs[2], &mut batch), [vec![2; 60]]);
    assert_eq!(guest.port.status().rings, [true; 8]);
    // There is no fifth pair.
    assert!(!guest.front.tell_two(18, 8, 1));
}

/// Whether a descriptor is readable within a time.
fn readable(wake: &Wake<'_>, milliseconds: i64) -> bool {
    let Wake::Readable(descriptor) = wake else { panic!("{wake:?}") };
    let timeout = Timespec { tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000 };
    let mut one = [PollFd::new(descriptor, PollFlags::IN)];
    poll(&mut one, Some(&timeout)).unwrap() == 1
}

#[test]
fn kicks_and_interrupts_come_when_they_are_wanted() {
    for features in [BASIC, BASIC | EVENT_IDX, BASIC | PACKED, BASIC | PACKED | EVENT_IDX] {
        let (packed, events) = (features & PACKED != 0, features & EVENT_IDX != 0);
        let mut guest = Guest::new(Options { features, ..Options::plain() });
        let mut batch = Batch::new();
        let (to, from) = (guest.rings[0].layout, guest.rings[1].layout);
        assert!(receive(&mut guest.pairs[0], &mut batch).is_empty());
        // While it polls, the port wants no kicks. Telling so also forgets that a guest came.
        guest.pairs[0].from_guest.wake(false);
        if packed {
            assert_eq!(guest.memory.get(from.device + 2), 1);
        } else if !events {
            assert_eq!(guest.memory.get(from.device), 1);
        }
        for round in 0..3 {
            guest.pairs[0].from_guest.wake(true);
            assert!(receive(&mut guest.pairs[0], &mut batch).is_empty());
            if packed {
                assert_eq!(guest.memory.get(from.device + 2), if events { 2 } else { 0 });
            } else if !events {
                assert_eq!(guest.memory.get(from.device), 0);
            }
            if events {
                // The next chain is the one to kick for.
                let at = if packed { from.device } else { from.device + 4 + 8 * usize::from(from.size) };
                assert_eq!(guest.memory.get(at) & 0x7fff, round);
            }
            assert!(!readable(&guest.pairs[0].from_guest.wake(true), 0));
            rustix::io::write(&guest.kicks[1], &1_u64.to_ne_bytes()).unwrap();
            assert!(readable(&guest.pairs[0].from_guest.wake(true), 5000));
            // A frame that came just before kicks were asked for was not kicked for: nobody may sleep over it.
            assert!(guest.transmit(0, &[], &[1; 60], 2000, false));
            assert!(matches!(guest.pairs[0].from_guest.wake(true), Wake::Poll));
            guest.pairs[0].from_guest.wake(false);
            assert_eq!(receive(&mut guest.pairs[0], &mut batch).len(), 1);
            assert!(!readable(&guest.pairs[0].from_guest.wake(false), 0));
        }
        // Interrupts: wanted, then not.
        signalled(&guest.calls[0]);
        for _ in 0..10 {
            assert!(guest.give(0, &[500], false));
        }
        let want = |guest: &Guest, wanted: bool, at: u16| {
            if packed {
                guest.memory.set(to.driver, at | 1 << 15);
                guest.memory.set(
                    to.driver + 2,
                    if !wanted {
                        1
                    } else if events {
                        2
                    } else {
                        0
                    },
                );
            } else if events {
                guest.memory.set(
                    to.driver + 4 + 2 * usize::from(to.size),
                    if wanted { at } else { at.wrapping_sub(1) },
                );
            } else {
                guest.memory.set(to.driver, u16::from(!wanted));
            }
        };
        // The first one may always interrupt.
        want(&guest, true, 0);
        assert!(send(&mut guest.pairs[0], &mut batch, &[1; 60]));
        assert_eq!(signalled(&guest.calls[0]), 1);
        want(&guest, false, 1);
        assert!(send(&mut guest.pairs[0], &mut batch, &[1; 60]));
        assert_eq!(signalled(&guest.calls[0]), 0, "{features:#x}");
        want(&guest, true, 2);
        assert!(send(&mut guest.pairs[0], &mut batch, &[1; 60]));
        assert_eq!(signalled(&guest.calls[0]), 1);
        if events {
            // For the fifth, not for the fourth.
            want(&guest, true, 4);
            assert!(send(&mut guest.pairs[0], &mut batch, &[1; 60]));
            assert_eq!(signalled(&guest.calls[0]), 0);
            assert!(send(&mut guest.pairs[0], &mut batch, &[1; 60]));
            assert_eq!(signalled(&guest.calls[0]), 1);
        }
        let counters = guest.port.to_guest(0).unwrap();
        assert_eq!(counters.interrupts.get(), if events { 3 } else { 2 });
    }
}

#[test]
fn a_sleeping_worker_learns_of_a_new_guest() {
    let place = Place::new();
    let (_port, mut pairs) = Port::open(1, Config::new(place.socket(), Mode::Server)).unwrap();
    let mut batch = Batch::new();
    assert!(!readable(&pairs[0].from_guest.wake(true), 0));
    let front = Front::connect(&place.socket());
    front.negotiate(BASIC, 0);
    let (size, layouts) = Guest::layouts(&Options::plain());
    let memory = Memory::new(size);
    assert!(front.memory(&memory, &[(GUEST, 0, size)]));
    assert!(matches!(pairs[0].to_guest.send(&batch, &[]), Err(PortError::Gone)));
    for (index, layout) in layouts.iter().enumerate() {
        front.start(index as u32, layout, 0, &event(), &event());
    }
    assert!(readable(&pairs[0].from_guest.wake(true), 5000));
    let mut ring = Ring::new(layouts[1], false);
    assert!(ring.add(&memory, &[guest::driver::Buffer::Out(vec![0; 72])], false));
    assert_eq!(receive(&mut pairs[0], &mut batch).len(), 1);
}

#[test]
fn sockets_are_made_and_removed_with_care() {
    let place = Place::new();
    let path = place.socket();
    std::fs::write(&path, "data").unwrap();
    let server = || Port::open(1, Config::new(&path, Mode::Server));
    assert!(matches!(server(), Err(OpenError::InTheWay(_))));
    std::fs::remove_file(&path).unwrap();
    // What a dead program left is replaced, a living one is respected.
    let listener = UnixListener::bind(&path).unwrap();
    assert!(matches!(server(), Err(OpenError::Taken(_))));
    drop(listener);
    let (port, _) = server().unwrap();
    assert!(matches!(server(), Err(OpenError::Taken(_))));
    drop(port);
    assert!(!path.exists());
    assert!(matches!(
        Port::open(1, Config { pairs: 0, ..Config::new(&path, Mode::Client) }),
        Err(OpenError::Pairs(0))
    ));
    let long = place.socket().join("x".repeat(200));
    assert!(matches!(Port::open(1, Config::new(long, Mode::Client)), Err(OpenError::Path { .. })));
}

#[derive(Debug, Clone)]
struct Nonsense {
    number: u32,
    flags: u32,
    body: Vec<u8>,
    files: usize,
}

fn nonsense() -> impl Strategy<Value = Nonsense> {
    let number = prop_oneof![8 => 1..45_u32, 1 => any::<u32>()];
    let flags = prop_oneof![8 => Just(8_u32), 4 => Just(0), 1 => any::<u32>()];
    // Small numbers are indexes, sizes and counts; others are addresses.
    let word = prop_oneof![
        4 => 0..4_u64,
        2 => (0..4_u64, 0..300_u64).prop_map(|(low, high)| low | high << 32),
        2 => (0..16_u64).prop_map(|page| GUEST + page * 4096),
        2 => (0..16_u64).prop_map(|page| guest::USER + page * 4096),
        1 => any::<u64>(),
        1 => Just(BASIC),
    ];
    let body = proptest::collection::vec(word, 0..12)
        .prop_map(|words| words.iter().flat_map(|word| word.to_ne_bytes()).collect());
    (number, flags, body, 0..4_usize).prop_map(|(number, flags, body, files)| Nonsense {
        number,
        flags,
        body,
        files,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn no_message_ends_the_port(messages in proptest::collection::vec(nonsense(), 1..60)) {
        let place = Place::new();
        let (port, mut pairs) = Port::open(1, Config { pairs: 2, ..Config::new(place.socket(), Mode::Server) }).unwrap();
        let file = memfd_create("nonsense", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 65_536).unwrap();
        let front = Front::connect(&place.socket());
        front.negotiate(BASIC, P_MQ);
        let mut batch = Batch::new();
        for message in &messages {
            front.send(message.number, message.flags, &message.body, &vec![&file; message.files]);
            receive(&mut pairs[0], &mut batch);
            send(&mut pairs[0], &mut batch, &[0; 60]);
        }
        // The port has read all, or has hung up; then it meets the next front end.
        drop(front);
        wait("the port is free", || !port.status().connected);
        let front = Front::connect(&place.socket());
        prop_assert!(front.ask(1) & BASIC == BASIC);
        prop_assert_eq!(port.status().connections, 2);
    }
}

#[test]
fn layouts_outside_memory_start_no_ring() {
    let mut guest = Guest::new(Options::plain());
    guest.front.stop(1);
    let mut layout = guest.rings[1].layout;
    layout.device = guest.memory.size - 8;
    let layouts = [
        layout,
        Layout { descriptors: guest.rings[1].layout.descriptors + 8, ..guest.rings[1].layout },
        Layout { driver: usize::MAX / 2, ..guest.rings[1].layout },
    ];
    let mut batch = Batch::new();
    for layout in layouts {
        guest.front.start(1, &layout, 0, &event(), &event());
        assert!(receive(&mut guest.pairs[0], &mut batch).is_empty());
        assert!(!guest.port.status().rings[1]);
        guest.front.stop(1);
    }
    let layout = guest.rings[1].layout;
    guest.front.start(1, &layout, 0, &event(), &event());
    assert!(guest.port.status().rings[1]);
}
