//! Control protocols as byte machines: bytes in, messages out.
//!
//! What: [`openflow`] is OpenFlow 1.0 to 1.5 with the extensions of Nicira and Open vSwitch, and the language of
//! `ovs-ofctl`; [`ovsdb`] is the Open vSwitch database (RFC 7047); [`export`] is what exporters of flows send to collectors:
//! NetFlow 5, sFlow 5 and IPFIX.
//!
//! Invariants: nothing here does I/O, reads a clock or starts a thread; no octets and no text panic, and what a peer can
//! make grow is bounded.
//!
//! Deliberately absent: connections and their timers (`control`), and what the messages bring about (`vswitch`).
#![forbid(unsafe_code)]

pub mod export;
pub mod openflow;
pub mod ovsdb;
