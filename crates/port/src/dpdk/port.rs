//! A DPDK port: a device that is made or found by its words, configured, and taken away when it is closed.

use super::environment;
use super::queue::{FromDevice, QueueCounters, ToDevice};
use super::sys::{self, Statistics};
use netloom_mem::{FRAME, PortNumber};
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Most queues of a port.
pub const QUEUES: usize = 64;
/// Octets of a frame's part in a buffer.
const ROOM: u16 = 2048;
/// Octets before each part that DPDK keeps free (`RTE_PKTMBUF_HEADROOM`).
const HEADROOM: u16 = 128;

/// What a port is to be.
#[derive(Debug, Clone)]
pub struct Config {
    /// The device as DPDK names it: `net_tap0,iface=nt0`, `net_null0`, `net_ring0`, `net_virtio_user0,path=FILE`,
    /// `0000:01:00.0`.
    pub words: String,
    /// Queues, 1 to [`QUEUES`].
    pub queues: usize,
    /// Entries of each ring; the driver may have its own mind.
    pub descriptors: u16,
}

impl Config {
    /// One queue of usual size.
    pub fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), queues: 1, descriptors: 1024 }
    }
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The environment does not run.
    #[error("{0}")]
    Environment(String),
    /// There can't be so many queues.
    #[error("{0} queues: a port has 1 to {QUEUES}")]
    Queues(usize),
    /// There is no such device.
    #[error("DPDK finds no device `{words}`: {reason}")]
    Device {
        /// What it was called.
        words: String,
        /// What DPDK said.
        reason: String,
    },
    /// There is no memory for buffers.
    #[error("no memory for {count} buffers: {reason}")]
    Memory {
        /// Buffers.
        count: u32,
        /// What DPDK said.
        reason: String,
    },
    /// The device can't be configured.
    #[error("the device `{words}` can't be configured: {reason}")]
    Configure {
        /// What it is called.
        words: String,
        /// What DPDK said.
        reason: String,
    },
}

/// A pool of buffers. Lives as long as a batch may have parts of frames in it, which may be longer than the device.
#[derive(Debug)]
pub(super) struct Pool(*mut sys::Pool);

// SAFETY: a pool may be used by several threads, which its functions are made for.
#[allow(unsafe_code)]
unsafe impl Send for Pool {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Pool {}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: the device that used the pool is closed, and whoever has pointers into it holds the device.
        #[allow(unsafe_code)]
        unsafe {
            sys::netloom_dpdk_pool_free(self.0);
        }
    }
}

/// A device that runs. Closed with the last of the port and its queues.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) port: u16,
    /// Segments that a frame to be sent may have.
    pub(super) segments: u16,
    longest: AtomicU32,
    pub(super) memory: Arc<Pool>,
}

impl Device {
    pub(super) fn pool(&self) -> *mut sys::Pool {
        self.memory.0
    }

    pub(super) fn longest(&self) -> usize {
        self.longest.load(Ordering::Relaxed) as usize
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: nobody uses its queues any more: they hold the device. Its buffers go back to the pool.
        #[allow(unsafe_code)]
        unsafe {
            sys::netloom_dpdk_close(self.port);
        }
    }
}

/// A queue of each direction, for one worker.
#[derive(Debug)]
pub struct Pair {
    /// Receives what comes in at one queue of the device.
    pub from_device: FromDevice,
    /// Sends by the same queue.
    pub to_device: ToDevice,
    /// What happens at both.
    pub counters: Arc<QueueCounters>,
}

/// How a port is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether its link is up; true for devices that have none.
    pub up: bool,
    /// The driver's name.
    pub driver: String,
    /// Queues of each direction.
    pub queues: usize,
    /// Longest frame that is sent, in octets.
    pub longest: usize,
    /// What the device counted.
    pub statistics: Statistics,
}

/// An open port. The device ends with the last of this and its queues.
#[derive(Debug)]
pub struct Port {
    device: Arc<Device>,
    counters: Vec<Arc<QueueCounters>>,
}

impl Port {
    /// Opens a port; `number` is the one its frames carry. The first one of a process starts DPDK.
    ///
    /// # Errors
    /// When DPDK does not start, or finds no such device, or the device can't be used like that.
    pub fn open(number: PortNumber, config: &Config) -> Result<(Self, Vec<Pair>), OpenError> {
        if !(1..=QUEUES).contains(&config.queues) {
            return Err(OpenError::Queues(config.queues));
        }
        environment::start().map_err(OpenError::Environment)?;
        let words = || config.words.clone();
        let named = CString::new(config.words.as_str())
            .map_err(|error| OpenError::Device { words: words(), reason: error.to_string() })?;
        let (queues, mut descriptors) = (config.queues as u16, config.descriptors.max(64));
        // As many as rings hold, and as many again for batches, caches and drivers that keep some.
        let count = 4 * u32::from(queues) * u32::from(descriptors) + 1024;
        static POOLS: AtomicU32 = AtomicU32::new(0);
        let name = format!("netloom{}\0", POOLS.fetch_add(1, Ordering::Relaxed));
        let mut port = 0;
        // SAFETY: the environment runs; the names end with zeroes and live during the calls.
        #[allow(unsafe_code)]
        let (pool, error, probed) = unsafe {
            let pool = sys::netloom_dpdk_pool(name.as_ptr().cast(), count, ROOM + HEADROOM);
            let error = sys::netloom_dpdk_error();
            let probed =
                if pool.is_null() { 0 } else { sys::netloom_dpdk_probe(named.as_ptr(), &raw mut port) };
            (pool, error, probed)
        };
        if pool.is_null() {
            return Err(OpenError::Memory { count, reason: sys::words(error) });
        }
        let memory = Arc::new(Pool(pool));
        if probed < 0 {
            return Err(OpenError::Device { words: words(), reason: sys::words(probed) });
        }
        // From here on the device is closed when something fails.
        let mut device = Device { port, segments: 1, longest: AtomicU32::new(0), memory };
        // SAFETY: the port was just found, and nobody else uses it.
        #[allow(unsafe_code)]
        let (done, segments) = unsafe {
            let done = sys::netloom_dpdk_configure(port, queues, &raw mut descriptors, device.pool());
            (done, sys::netloom_dpdk_segments(port))
        };
        if done < 0 {
            let reason = match -done {
                libc::ERANGE => format!("it has fewer than {queues} queues"),
                error => sys::words(error),
            };
            return Err(OpenError::Configure { words: words(), reason });
        }
        device.segments = segments.max(1);
        let longest = usize::from(ROOM) * usize::from(device.segments);
        device.longest.store(longest.min(FRAME) as u32, Ordering::Relaxed);
        let device = Arc::new(device);
        let pairs: Vec<Pair> = (0..queues)
            .map(|queue| {
                let counters = Arc::new(QueueCounters::default());
                Pair {
                    from_device: FromDevice::new(device.clone(), queue, number, counters.clone()),
                    to_device: ToDevice::new(device.clone(), queue, counters.clone()),
                    counters,
                }
            })
            .collect();
        let counters = pairs.iter().map(|pair| pair.counters.clone()).collect();
        Ok((Self { device, counters }, pairs))
    }

    /// How the port is.
    #[must_use]
    pub fn status(&self) -> Status {
        let (mut name, mut statistics) = ([0_u8; 64], Statistics::default());
        let port = self.device.port;
        // SAFETY: the port is open; the places live during the calls and have the sizes that are told.
        #[allow(unsafe_code)]
        let up = unsafe {
            sys::netloom_dpdk_driver(port, name.as_mut_ptr().cast(), name.len() as u32);
            sys::netloom_dpdk_statistics(port, &raw mut statistics);
            sys::netloom_dpdk_is_up(port) != 0
        };
        let end = name.iter().position(|octet| *octet == 0).unwrap_or(0);
        Status {
            up,
            driver: String::from_utf8_lossy(&name[..end]).into_owned(),
            queues: self.counters.len(),
            longest: self.device.longest(),
            statistics,
        }
    }

    /// Counters by queue.
    #[must_use]
    pub fn counters(&self) -> &[Arc<QueueCounters>] {
        &self.counters
    }
}
