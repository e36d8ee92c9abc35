//! Two ends over a line that loses what it likes, and one end against whoever.

use super::*;
use proptest::prelude::*;

const MS: u64 = MILLISECOND;
const ADDRESS: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);

fn options(min_tx: u64, min_rx: u64, multiplier: u8) -> BfdOptions {
    BfdOptions { min_tx: min_tx * MS, min_rx: min_rx * MS, multiplier, ..BfdOptions::default() }
}

/// Two ends; what is sent arrives a millisecond later.
struct Line {
    ends: [Session; 2],
    now: u64,
    flying: Vec<(usize, Vec<u8>)>,
    /// What each end sent by itself, and when.
    sent: [Vec<u64>; 2],
    /// What other packets each end's port received.
    traffic: [u64; 2],
}

impl Line {
    fn new(one: BfdOptions, other: BfdOptions) -> Self {
        let ends = [Session::new(one, 7, 3, 0), Session::new(other, 9, 5, 0)];
        Self { ends, now: 0, flying: Vec::new(), sent: [Vec::new(), Vec::new()], traffic: [0; 2] }
    }

    /// A millisecond passes; `loses` says of each packet, by where it goes, whether it is lost.
    fn step(&mut self, loses: &mut dyn FnMut(usize) -> bool) {
        self.now += MS;
        for (to, frame) in std::mem::take(&mut self.flying) {
            self.traffic[to] += 1;
            let heard = self.ends[to].receive(&frame, ADDRESS, self.now);
            assert!(heard.taken);
            self.put(1 - to, heard.send, loses);
        }
        for end in 0..2 {
            if self.ends[end].due() <= self.now {
                let frame = self.ends[end].tick(self.traffic[end], ADDRESS, self.now);
                self.sent[end].extend(frame.is_some().then_some(self.now));
                self.put(1 - end, frame, loses);
            }
            assert!(self.ends[end].due() > self.now, "what was due was done");
        }
    }

    fn put(&mut self, to: usize, frame: Option<Vec<u8>>, loses: &mut dyn FnMut(usize) -> bool) {
        if let Some(frame) = frame
            && !loses(to)
        {
            self.flying.push((to, frame));
        }
    }

    fn run(&mut self, milliseconds: u64, loses: &mut dyn FnMut(usize) -> bool) {
        (0..milliseconds).for_each(|_| self.step(loses));
    }

    fn is_up(&self) -> bool {
        self.ends.iter().all(|end| end.state == State::Up && end.forwarding())
    }
}

#[test]
fn a_line_that_is_cut_is_down_in_time() {
    let mut line = Line::new(options(100, 100, 3), options(100, 100, 3));
    line.run(3000, &mut |_| false);
    assert!(line.is_up() && line.ends.iter().all(|end| !end.polling), "{:?}", line.ends);
    let cut = line.now;
    line.flying.clear();
    line.run(300, &mut |_| true);
    assert!(!line.ends.iter().any(Session::forwarding), "{} ms after the cut", (line.now - cut) / MS);
    let status = line.ends[0].status();
    assert_eq!(status.local.diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
    assert_eq!((status.remote.state, status.remote.min_tx, status.flaps), (State::Down, 0, 2));
    line.run(3000, &mut |_| false);
    assert!(line.is_up());
}

#[test]
fn who_hears_nothing_tells_the_other() {
    let mut line = Line::new(options(100, 100, 3), options(100, 100, 3));
    line.run(3000, &mut |_| false);
    // Nothing arrives at the second end any more.
    line.run(2000, &mut |to| to == 1);
    assert_eq!((line.ends[0].state, line.ends[1].state), (State::Init, State::Down));
    assert_eq!(line.ends[0].status().local.diagnostic, Diagnostic::NEIGHBOR_DOWN);
    assert_eq!(line.ends[1].status().local.diagnostic, Diagnostic::DETECTION_TIME_EXPIRED);
}

#[test]
fn intervals_change_without_a_flap() {
    let mut line = Line::new(options(100, 100, 3), options(100, 100, 3));
    line.run(3000, &mut |_| false);
    for (min_tx, min_rx) in [(500, 100), (100, 700), (50, 20), (1000, 1000), (100, 100)] {
        line.ends[0].set(options(min_tx, min_rx, 3), line.now);
        line.run(4000, &mut |_| false);
        assert!(line.is_up() && line.ends.iter().all(|end| end.flaps == 1));
        let status = line.ends[1].status();
        assert_eq!((status.remote.min_tx, status.remote.min_rx), (min_tx * MS, min_rx * MS));
        assert!(!line.ends[0].polling, "the other end said that it knows");
    }
}

#[test]
fn it_hears_less_often_while_nothing_else_comes() {
    let slow = BfdOptions { decay_min_rx: Some(3000 * MS), ..options(300, 300, 3) };
    let mut line = Line::new(slow, options(500, 500, 3));
    line.run(12_000, &mut |_| false);
    assert!(line.is_up());
    assert_eq!(line.ends[0].status().rx_interval, 3000 * MS);
    for _ in 0..70 {
        line.traffic[0] += 1;
        line.run(100, &mut |_| false);
    }
    assert_eq!(line.ends[0].status().rx_interval, 500 * MS);
    line.run(12_000, &mut |_| false);
    assert_eq!(line.ends[0].status().rx_interval, 3000 * MS);
    assert!(line.ends.iter().all(|end| end.flaps == 1));
}

#[test]
fn other_packets_are_a_sign_of_life_for_a_time() {
    let alive = BfdOptions { forwarding_if_rx: true, ..options(100, 100, 3) };
    let mut line = Line::new(alive, options(100, 100, 3));
    line.run(3000, &mut |_| false);
    // BFD is lost, the rest is not.
    for _ in 0..50 {
        line.traffic[0] += 1;
        line.run(100, &mut |_| true);
    }
    assert!(line.ends[0].state == State::Down && line.ends[0].forwarding() && !line.ends[1].forwarding());
    // A hundred intervals later that counts no more.
    for _ in 0..60 {
        line.traffic[0] += 1;
        line.run(100, &mut |_| true);
    }
    assert!(!line.ends[0].forwarding());
    assert_eq!(line.ends[0].flaps, 2);
}

#[test]
fn a_path_that_is_down_behind_the_other_end() {
    let mut line = Line::new(options(100, 100, 3), options(100, 100, 3));
    line.run(3000, &mut |_| false);
    line.ends[0].set(BfdOptions { path_down: true, ..options(100, 100, 3) }, line.now);
    line.run(500, &mut |_| false);
    assert!(line.ends[1].state == State::Up && !line.ends[1].forwarding() && line.ends[0].forwarding());
    line.ends[0].set(options(100, 100, 3), line.now);
    line.run(500, &mut |_| false);
    assert!(line.is_up());
    line.ends[1].force(Some(false), line.now);
    assert!(!line.ends[1].forwarding());
}

/// A packet that Open vSwitch 3.1 sent.
const OPEN_VSWITCH: &str = "002320000001aa55aa550005080045c0003400000000ff1164fba9fe0101a9fe0100c0020ec800200000204003180a78dab7\
                            00000000000f4240000f424000000000";

fn octets(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn packets_are_those_of_open_vswitch() {
    let theirs = octets(OPEN_VSWITCH);
    let mut session = Session::new(BfdOptions::default(), 0x0a78_dab7, 1, 0);
    let address = MacAddr::new([0xaa, 0x55, 0xaa, 0x55, 0, 5]);
    let mut ours = session.tick(0, address, 0).unwrap();
    // Each chooses a port.
    ours[34..36].copy_from_slice(&theirs[34..36]);
    assert_eq!(ours, theirs);
    assert!(Session::new(BfdOptions::default(), 5, 1, 0).receive(&theirs, address, 1).taken);
}

#[test]
fn what_is_not_the_sessions_changes_nothing() {
    let theirs = octets(OPEN_VSWITCH);
    let fresh = || Session::new(BfdOptions::default(), 5, 1, 0);
    // Version, multiplier, discriminator, authentication, TTL, port, a fragment.
    for (at, value) in [(42, 0x60), (44, 0), (50, 1), (43, 0x44), (22, 254), (37, 1), (20, 0x20)] {
        let mut frame = theirs.clone();
        frame[at] = value;
        let mut session = fresh();
        assert_eq!(session.receive(&frame, ADDRESS, 1), Heard::default(), "octet {at}");
        assert_eq!(session.state, State::Down);
    }
    let own = BfdOptions { source: Some(Ipv4Addr::new(10, 0, 0, 1)), ..BfdOptions::default() };
    assert!(!Session::new(own, 5, 1, 0).receive(&theirs, ADDRESS, 1).taken);
    let mut session = fresh();
    for length in 0..theirs.len() {
        assert!(!session.receive(&theirs[..length], ADDRESS, 1).taken);
    }
}

proptest! {
    /// Whatever was lost and changed: it is up when the line is quiet, and never sends faster than it may.
    #[test]
    fn ends_agree_when_the_line_is_quiet(
        one in (20u64..400, 20u64..400, 1u8..5),
        other in (20u64..400, 20u64..400, 1u8..5),
        changes in proptest::collection::vec((20u64..400, 20u64..400, 1u8..5), 0..4),
        losses in proptest::collection::vec(any::<u8>(), 64),
        share in 0u8..200,
    ) {
        let mut line = Line::new(options(one.0, one.1, one.2), options(other.0, other.1, other.2));
        let mut at = 0;
        let mut loses = |_: usize| {
            at += 1;
            losses[at % losses.len()] < share
        };
        for (place, change) in changes.iter().enumerate() {
            line.run(1500, &mut loses);
            let now = line.now;
            line.ends[place % 2].set(options(change.0, change.1, change.2), now);
        }
        line.run(1500, &mut loses);
        let quiet = line.now;
        line.run(8000, &mut |_| false);
        prop_assert!(line.is_up(), "{:?}", line.ends);
        let flaps = [line.ends[0].flaps, line.ends[1].flaps];
        line.run(4000, &mut |_| false);
        prop_assert_eq!(flaps, [line.ends[0].flaps, line.ends[1].flaps]);
        for end in 0..2 {
            let status = line.ends[end].status();
            let least = status.tx_interval * 3 / 4;
            let times: Vec<u64> = line.sent[end].iter().copied().filter(|time| *time > quiet + 8000 * MS).collect();
            prop_assert!(times.windows(2).all(|pair| pair[1] - pair[0] + MS >= least));
            prop_assert!(!times.is_empty());
        }
    }

    /// No frame panics, makes it send more than one packet, or keeps it from being given up in time.
    #[test]
    fn no_frame_harms(frames in proptest::collection::vec(
        (proptest::collection::vec((0usize..66, any::<u8>()), 0..6), 0u64..500), 0..40)
    ) {
        let mut session = Session::new(options(100, 100, 3), 5, 1, 0);
        let mut now = 0;
        for (edits, later) in frames {
            now += later * MS;
            let mut frame = octets(OPEN_VSWITCH);
            edits.iter().for_each(|(at, value)| frame[*at] = *value);
            let heard = session.receive(&frame, ADDRESS, now);
            prop_assert!(heard.taken || heard.send.is_none());
            session.tick(0, ADDRESS, now);
            prop_assert!(session.due() > now);
        }
        // The longest time that a packet can ask for: 255 intervals of 2^32 microseconds.
        now += 255 * 4_294_967_295_000 + 1;
        session.tick(0, ADDRESS, now);
        prop_assert_eq!(session.state, State::Down);
        prop_assert_eq!(session.remote, Remote::NOBODY);
    }
}
