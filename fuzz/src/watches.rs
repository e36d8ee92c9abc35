//! Machines that watch links, against whoever is at the other end: what comes is cut into frames and pauses.
//!
//! The laws: nothing panics; a frame is answered with one frame at most, and only one that was the machine's; what was due was
//! done; other points are bounded; silence ends every session.

use netloom_vswitch::bfd::{BfdOptions, Session};
use netloom_vswitch::cfm::{CfmOptions, MOST, Monitor};
use netloom_wire::MacAddr;

const MILLISECOND: u64 = 1_000_000;
const ADDRESS: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);

/// Frames with the milliseconds before each: two octets of pause, one of length, the frame.
fn frames(mut octets: &[u8]) -> Vec<(u64, &[u8])> {
    let mut frames = Vec::new();
    while let [high, low, length, rest @ ..] = octets {
        let (frame, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        frames.push((u64::from(u16::from_be_bytes([*high, *low])) * MILLISECOND, frame));
        octets = rest;
    }
    frames
}

/// One end of BFD.
pub fn bfd(octets: &[u8]) {
    let slow = Some(3000 * MILLISECOND);
    let options = BfdOptions { decay_min_rx: slow, forwarding_if_rx: true, ..BfdOptions::default() };
    let mut session = Session::new(options.clone(), 5, 1, 0);
    // Our own packets are the best beginning for what a peer might say.
    let own = session.tick(0, ADDRESS, 0).unwrap_or_default();
    let mut now = 0;
    for (count, (later, unit)) in (0_u64..).zip(frames(octets)) {
        now += later;
        let mut frame = own.get(..42).unwrap_or_default().to_vec();
        frame.extend(unit);
        let heard = session.receive(&frame, ADDRESS, now);
        assert!(heard.taken || heard.send.is_none());
        session.receive(unit, ADDRESS, now);
        session.tick(count, ADDRESS, now);
        assert!(session.due() > now);
        if unit.len() % 7 == 0 {
            let min_rx = (1 + later % (2000 * MILLISECOND)).max(MILLISECOND);
            session.set(BfdOptions { min_rx, ..options.clone() }, now);
        }
        let _ = session.status();
    }
    // The longest silence that a peer can ask for.
    now += 256 * 4_294_967_296_000;
    session.tick(u64::MAX, ADDRESS, now);
    now += 3_600_000 * MILLISECOND;
    session.tick(u64::MAX, ADDRESS, now);
    assert!(!session.forwarding());
}

/// One point of connectivity fault management.
pub fn cfm(octets: &[u8]) {
    let extended = CfmOptions { extended: true, demand: true, ..CfmOptions::new(7) };
    for options in [extended, CfmOptions::new(7)] {
        let mut monitor = Monitor::new(options, 0);
        let own = monitor.tick(0, ADDRESS, 0).unwrap_or_default();
        let mut now = 0;
        for (count, (later, unit)) in (0_u64..).zip(frames(octets)) {
            now += later;
            let mut frame = own.get(..16).unwrap_or_default().to_vec();
            frame.extend(unit);
            monitor.receive(&frame, now);
            // One that is ours but for the end.
            let mut frame = own.clone();
            let end = frame.len().saturating_sub(unit.len());
            frame.truncate(end);
            frame.extend(unit);
            monitor.receive(&frame, now);
            monitor.tick(count, ADDRESS, now);
            assert!(monitor.due() > now);
            assert!(monitor.status().points.len() <= MOST);
        }
        for _ in 0..2 {
            now += 3_600_000 * MILLISECOND;
            monitor.tick(0, ADDRESS, now);
        }
        assert!(monitor.status().fault && monitor.status().points.is_empty());
    }
}
