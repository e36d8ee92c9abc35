//! What happens at the queues of an AF_XDP port.

use netloom_mem::Counter;

/// Counters of one queue; each is written by one of its two sides.
#[derive(Debug, Default)]
pub struct QueueCounters {
    /// Frames received.
    pub received: Counter,
    /// Frames that were put together from several parts.
    pub joined: Counter,
    /// Frames whose checksum the sender had left open.
    pub open_checksums: Counter,
    /// Frames received and dropped because they were shorter than an Ethernet header or longer than any frame.
    pub unfit: Counter,
    /// Descriptors that named memory which was not the kernel's to name, or no frame. Should stay zero.
    pub invalid: Counter,
    /// Frames given to the kernel to be sent.
    pub sent: Counter,
    /// Frames that were too long or too short to be sent.
    pub unsendable: Counter,
    /// System calls made to have frames sent.
    pub wakeups: Counter,
    /// Times that the kernel would not take frames for now.
    pub stalls: Counter,
    /// Completions of chunks that the kernel did not have. Should stay zero.
    pub invalid_completions: Counter,
}
