//! DPDK's environment (EAL): once for each process, when the first port is opened.
//!
//! What: memory from huge pages if the system has free ones, ordinary memory else; no files, no telemetry, and no device
//! but those that are asked for. The environment binds the thread that starts it to a processor, so that a thread of its
//! own does.

use super::sys;
use std::ffi::{CString, c_char};
use std::sync::OnceLock;

static STARTED: OnceLock<Result<(), String>> = OnceLock::new();

/// Octets of ordinary memory, in MiB.
const MEBIBYTES: &str = "256";

/// Starts the environment if this was not done yet; the error is a sentence.
pub(super) fn start() -> Result<(), String> {
    STARTED
        .get_or_init(|| {
            let thread = std::thread::Builder::new().name("dpdk".to_owned()).spawn(initialize);
            match thread.map(std::thread::JoinHandle::join) {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err("the thread that starts DPDK panicked".to_owned()),
                Err(error) => Err(format!("a thread for DPDK: {error}")),
            }
        })
        .clone()
}

/// Whether there are 64 free huge pages of 2 MiB.
fn huge_pages() -> bool {
    let free = std::fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    free.ok().and_then(|text| text.trim().parse().ok()).is_some_and(|free: u32| free >= 64)
}

fn initialize() -> Result<(), String> {
    let processor = rustix::thread::sched_getaffinity(None)
        .ok()
        .and_then(|set| (0..rustix::thread::CpuSet::MAX_CPU).find(|processor| set.is_set(*processor)))
        .unwrap_or(0);
    let processor = processor.to_string();
    let mut words = vec!["netloom", "--no-telemetry", "--log-level=error", "-l", &processor];
    if huge_pages() {
        words.extend(["--in-memory", "--single-file-segments"]);
    } else {
        words.extend(["--no-huge", "--no-shconf", "-m", MEBIBYTES]);
    }
    // A list of allowed devices keeps it from all others; this one is none, and those that are asked for are added.
    words.extend(["-a", "ffff:ff:1f.7"]);
    let words: Vec<CString> =
        words.into_iter().map(CString::new).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    // The environment keeps pointers to its words and may exchange them: they stay for ever.
    let mut pointers: Vec<*mut c_char> = words.into_iter().map(CString::into_raw).collect();
    pointers.push(std::ptr::null_mut());
    let pointers: &'static mut [*mut c_char] = pointers.leak();
    let count = pointers.len() as i32 - 1;
    // SAFETY: the words end with zeroes and live for ever, as does the list, which ends with a null. This is the only call.
    #[allow(unsafe_code)]
    let (done, error) =
        unsafe { (sys::netloom_dpdk_start(count, pointers.as_mut_ptr()), sys::netloom_dpdk_error()) };
    if done < 0 { Err(format!("DPDK does not start: {}", sys::words(error))) } else { Ok(()) }
}

/// As long as it lives the thread counts as one of DPDK's, with a cache of buffers of its own.
struct Registered(bool);

impl Drop for Registered {
    fn drop(&mut self) {
        if self.0 {
            // SAFETY: this thread was registered.
            #[allow(unsafe_code)]
            unsafe {
                sys::netloom_dpdk_unregister();
            }
        }
    }
}

/// Makes this thread one of DPDK's, once. When there are too many it does without.
#[inline]
pub(super) fn register() {
    thread_local! {
        // SAFETY: the environment runs: only queues of open ports come here.
        #[allow(unsafe_code)]
        static REGISTERED: Registered = Registered(unsafe { sys::netloom_dpdk_register() } == 0);
    }
    REGISTERED.with(|_| {});
}
