//! Points that hear each other or do not, and messages of Open vSwitch.

use super::*;
use proptest::prelude::*;

const MS: u64 = MILLISECOND;
const ADDRESS: MacAddr = MacAddr::new([0xaa, 0x55, 0xaa, 0x55, 0, 5]);

fn extended(mpid: u64, interval: u64) -> CfmOptions {
    CfmOptions { extended: true, interval: interval * MS, ..CfmOptions::new(mpid) }
}

/// Points on one wire.
struct Wire {
    points: Vec<Monitor>,
    now: u64,
    traffic: Vec<u64>,
}

impl Wire {
    fn new(options: &[CfmOptions]) -> Self {
        let points: Vec<Monitor> = options.iter().map(|options| Monitor::new(*options, 0)).collect();
        Self { traffic: vec![0; points.len()], points, now: 0 }
    }

    fn run(&mut self, milliseconds: u64, loses: impl Fn(usize, usize) -> bool) {
        for _ in 0..milliseconds / 10 {
            self.now += 10 * MS;
            for from in 0..self.points.len() {
                let Some(frame) = self.points[from].tick(self.traffic[from], ADDRESS, self.now) else {
                    continue;
                };
                assert!(self.points[from].due() > self.now);
                for to in (0..self.points.len()).filter(|to| *to != from && !loses(from, *to)) {
                    self.traffic[to] += 1;
                    assert!(self.points[to].receive(&frame, self.now));
                }
            }
        }
    }

    fn faults(&self, point: usize) -> Vec<&'static str> {
        self.points[point].status().faults.names().collect()
    }
}

#[test]
fn points_hear_each_other_or_say_so() {
    for options in [[extended(1, 300), extended(2, 300)], [CfmOptions::new(1), CfmOptions::new(2)]] {
        let mut wire = Wire::new(&options);
        wire.run(60_000, |_, _| false);
        let status = wire.points[0].status();
        assert!(!status.fault && wire.points[0].works() && status.health == Some(100), "{status:?}");
        assert_eq!(status.points, [(2, status.points[0].1, true)]);
        // One direction is cut: who hears nothing knows, and the other is told.
        wire.run(60_000, |_, to| to == 0);
        assert_eq!((wire.faults(0), wire.faults(1)), (vec!["recv"], vec!["rdi"]));
        assert!(wire.points[0].status().points.is_empty());
        wire.run(60_000, |_, _| false);
        assert!(wire.faults(0).is_empty() && wire.faults(1).is_empty());
        assert_eq!(wire.points[1].status().flaps, 2);
    }
}

#[test]
fn a_fault_is_known_after_three_and_a_half_intervals() {
    let mut wire = Wire::new(&[extended(1, 100), extended(2, 100)]);
    wire.run(5000, |_, _| false);
    wire.run(710, |_, _| true);
    assert_eq!(wire.faults(0), ["recv"]);
}

#[test]
fn what_stands_behind_the_others() {
    let down = CfmOptions { works: false, ..extended(2, 100) };
    let mut wire = Wire::new(&[extended(1, 100), down]);
    wire.run(3000, |_, _| false);
    let status = wire.points[0].status();
    assert!(!status.fault && !status.remote_works && !wire.points[0].works() && wire.points[1].works());
    wire.points[1].force(Some(true));
    assert_eq!(wire.faults(1), ["override"]);
    wire.points[1].force(None);
    assert!(wire.faults(1).is_empty());
}

#[test]
fn other_packets_are_a_sign_of_life_on_demand() {
    let demand = |mpid| CfmOptions { demand: true, ..extended(mpid, 300) };
    let mut wire = Wire::new(&[demand(1), demand(2)]);
    wire.run(20_000, |_, _| false);
    assert_eq!(wire.points[0].status().health, Some(100));
    let chat = |wire: &mut Wire, milliseconds: u64| {
        for _ in 0..milliseconds / 100 {
            wire.traffic[0] += 1;
            wire.run(100, |_, _| true);
        }
    };
    chat(&mut wire, 20_000);
    let status = wire.points[0].status();
    assert!(!status.fault && status.health == Some(0), "{status:?}");
    chat(&mut wire, 20_000);
    assert_eq!(wire.faults(0), ["recv"]);
}

/// Messages that Open vSwitch 3.1 sent: an extended one of point 7 each 300 ms, and one of the standard of point 9.
const EXTENDED: &str = "012320000030aa55aa55000589020001004600000001544304036f767302036f7673";
const STANDARD: &str = "0180c2000030aa55aa55000589020001044600000001000904036f767302036f7673";

fn octets(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn theirs(long: bool) -> Vec<u8> {
    let mut frame = octets(if long { EXTENDED } else { STANDARD });
    frame.resize(89, 0);
    if long {
        frame[72..82].copy_from_slice(&[0x01, 0x2c, 0, 0, 0, 0, 0, 0, 0, 7]);
    }
    frame
}

#[test]
fn messages_are_those_of_open_vswitch() {
    let mut ours = Monitor::new(extended(7, 300), 0).tick(0, ADDRESS, 0).unwrap();
    // The short name of a long one is each side's own matter.
    ours[22..24].copy_from_slice(&[0x54, 0x43]);
    assert_eq!(ours, theirs(true));
    assert_eq!(Monitor::new(CfmOptions::new(9), 0).tick(0, ADDRESS, 0).unwrap(), theirs(false));
    for (options, long) in [(extended(1, 300), true), (CfmOptions::new(1), false)] {
        let mut monitor = Monitor::new(options, 0);
        assert!(monitor.receive(&theirs(long), 1) && !monitor.receive(&theirs(!long), 1));
        assert_eq!(monitor.status().points, [(if long { 7 } else { 9 }, true, true)]);
    }
}

#[test]
fn what_should_not_come() {
    let mut monitor = Monitor::new(extended(7, 300), 0);
    assert!(monitor.receive(&theirs(true), 1));
    let mut other = theirs(true);
    other[27] = b'x';
    monitor.receive(&other, 1);
    monitor.tick(0, ADDRESS, 2000 * MS);
    let faults: Vec<&str> = monitor.status().faults.names().collect();
    assert_eq!(faults, ["recv", "maid", "loopback"]);
    for name in 0..2 * MOST as u64 {
        let mut other = theirs(true);
        other[74..82].copy_from_slice(&(100 + name).to_be_bytes());
        monitor.receive(&other, 1);
    }
    assert_eq!(monitor.points.len(), MOST);
    monitor.tick(0, ADDRESS, 4000 * MS);
    assert!(monitor.status().faults.names().any(|name| name == "overflow"));
}

proptest! {
    #[test]
    fn no_message_harms(messages in proptest::collection::vec(
        (any::<bool>(), proptest::collection::vec((0usize..89, any::<u8>()), 0..5), 0usize..90), 0..60)
    ) {
        for options in [extended(7, 300), CfmOptions { demand: true, ..extended(1, 1) }, CfmOptions::new(5)] {
            let mut monitor = Monitor::new(options, 0);
            let mut now = 0;
            for (long, edits, length) in &messages {
                now += 100 * MS;
                let mut frame = theirs(*long);
                edits.iter().for_each(|(at, value)| frame[*at] = *value);
                frame.truncate((*length).max(20));
                monitor.receive(&frame, now);
                monitor.tick(0, ADDRESS, now);
                prop_assert!(monitor.points.len() <= MOST && monitor.due() > now);
            }
        }
    }

    /// Nobody is missed who is heard, however long the interval.
    #[test]
    fn no_false_alarm(interval in 10u64..700, count in 2usize..5) {
        let options: Vec<CfmOptions> = (1..=count as u64).map(|mpid| extended(mpid, interval)).collect();
        let mut wire = Wire::new(&options);
        wire.run(interval * 5 + 100, |_, _| false);
        for _ in 0..10 {
            wire.run(interval, |_, _| false);
            prop_assert!((0..count).all(|point| wire.faults(point).is_empty()));
        }
    }
}
