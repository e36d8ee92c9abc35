//! For packets of known flows a worker allocates nothing: shown by counting every allocation of the process.

#![allow(clippy::unwrap_used, reason = "a test")]

use netloom_datapath::{Answer, Brain, FlowBounds, PortQueues, Question, Worker, crew};
use netloom_mem::{Batch, Offload, PortError, PortNumber, ReceiveQueue, SendQueue};
use netloom_nf::tunnel::{Encapsulation, Outer, Shim};
use netloom_nf::{Action, Program, Rate, Reason, Rewrite, Unit};
use netloom_table::{Field, Mask};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;

thread_local! {
    /// Allocations of this thread: the test harness has others.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator as it came; counting touches a plain number of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// Frames of 64 and 1514 octets of many flows.
struct Frames {
    port: PortNumber,
    flows: u16,
    next: u16,
    frame: Vec<u8>,
}

impl ReceiveQueue for Frames {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        while batch.room() > 0 {
            self.next = (self.next + 1) % self.flows;
            self.frame[6..8].copy_from_slice(&[2, 0]);
            self.frame[10..12].copy_from_slice(&self.next.to_be_bytes());
            let length = if self.next.is_multiple_of(4) { 1514 } else { 64 };
            assert!(batch.push(self.port, &self.frame[..length], Offload::NONE));
        }
        Ok(batch.len())
    }
}

struct Count(Arc<AtomicU64>);

impl SendQueue for Count {
    fn send(&mut self, _: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        self.0.fetch_add(frames.len() as u64, Ordering::Relaxed);
        Ok(frames.len())
    }
}

/// Programs of every shape, by the source address; masks of three kinds.
struct Shapes(Arc<AtomicU64>);

impl Brain for Shapes {
    fn translate(&mut self, question: &Question<'_>) -> Answer {
        self.0.fetch_add(1, Ordering::Relaxed);
        let source = question.key.get(Field::ETH_SRC) & 0xffff;
        let again = question.key.get(Field::RECIRCULATION);
        let set = |field: Field| Action::Set(Arc::new(Rewrite::new([(field, 5, u64::MAX)]).unwrap()));
        let actions = match source % 9 {
            _ if again != 0 => vec![Action::Encapsulate(Arc::new(vxlan())), Action::Output(2)],
            6 => vec![set(Field::ETH_DST), Action::Output(2)],
            7 => {
                let copy = vec![Action::PushMpls { ethertype: 0x8847, entry: 0x1ff }, Action::Output(2)];
                let copy = Action::Clone(Arc::new(Program::new(copy, Reason::Rule)));
                vec![copy, set(Field::PKT_MARK), Action::Recirculate(1)]
            }
            8 => vec![Action::Recirculate(2), Action::Truncate(20), Action::Output(2)],
            0 | 1 => vec![Action::Output(2)],
            2 => vec![Action::PushVlan { tpid: 0x8100, tci: 7 }, Action::Output(2)],
            3 => vec![Action::Meter(1), Action::Output(2), Action::Output(3)],
            4 => vec![Action::Output(2), Action::PushVlan { tpid: 0x88a8, tci: 7 }, Action::Output(3)],
            _ => Vec::new(),
        };
        let mut mask = Mask::default();
        mask.add(Field::ETH_SRC);
        mask.add(Field::RECIRCULATION);
        if source % 3 == 1 {
            mask.add(Field::ETH_DST);
        }
        if source % 5 == 1 {
            mask.add(Field::ETH_TYPE);
        }
        let program = Program::new(actions, Reason::Rule);
        Answer {
            program,
            mask,
            rests: vec![1],
            changed: Vec::new(),
            token: source,
            counted: false,
            keep: true,
        }
    }
}

fn vxlan() -> Encapsulation {
    let mac = netloom_wire::MacAddr::new([2, 0, 0, 0, 0, 9]);
    let outer = Outer {
        to_mac: mac,
        from_mac: mac,
        tag: None,
        to: "192.0.2.1".parse().unwrap(),
        from: "192.0.2.2".parse().unwrap(),
        tos: 0,
        ttl: 64,
        dont_fragment: true,
        label: 0,
    };
    Encapsulation::new(outer, Shim::Vxlan { port: 4789, vni: 7, gbp: None, checksum: true }).unwrap()
}

#[test]
fn known_flows_cost_no_allocation_whatever_their_programs() {
    let (asked, sent) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let time = Arc::new(AtomicU64::new(1));
    let (mut crew, mut sides) = crew(1).unwrap();
    let clock = time.clone();
    let clock = Box::new(move || clock.load(Ordering::Relaxed));
    let mut worker =
        Worker::new(sides.remove(0), Box::new(Shapes(asked.clone())), FlowBounds::default(), 3, clock);
    for number in 1..=3 {
        let mut receive: Vec<Box<dyn ReceiveQueue>> = Vec::new();
        if number != 3 {
            receive.push(Box::new(Frames { port: number, flows: 1000, next: 0, frame: vec![0; 1514] }));
        }
        let send: Vec<Box<dyn SendQueue>> = vec![Box::new(Count(sent.clone()))];
        crew.add(PortQueues::new(number, receive, send)).unwrap();
    }
    let rate = Rate { unit: Unit::Packets, per_second: 1_000_000, burst: 1000 };
    crew.meter(1, Some((rate, Reason::Rate))).unwrap();
    crew.limit(3, Some(rate)).unwrap();
    let mut turn = |turns: u32| {
        for _ in 0..turns {
            // A millisecond each: ageing, reports of use and all that happens once a second happen too.
            time.fetch_add(1_000_000, Ordering::Relaxed);
            worker.turn();
        }
    };
    // The caches fill, lists reach their lengths.
    turn(4000);
    let (flows, before, packets) =
        (asked.load(Ordering::Relaxed), allocations(), sent.load(Ordering::Relaxed));
    turn(4000);
    let (allocated, packets) = (allocations() - before, sent.load(Ordering::Relaxed) - packets);
    assert_eq!(asked.load(Ordering::Relaxed), flows, "all flows are known");
    assert!(flows >= 1000 && packets > 200_000, "{flows} flows, {packets} packets");
    assert_eq!(allocated, 0, "for {packets} packets");
    // The counting counts.
    let before = allocations();
    drop(std::hint::black_box(vec![1_u8]));
    assert_eq!(allocations() - before, 1);
}
