//! veth pairs in a test's own namespace, and frames that can be told from the host's own.
#![allow(dead_code, reason = "not every test uses everything")]

use netloom_port::packet::{PacketSocket, open_packet};
use netloom_testkit::rig::Rig;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for what shall become true.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// A pair of interfaces.
pub(crate) struct Veth {
    pub(crate) ours: String,
    pub(crate) theirs: String,
    index: u32,
}

impl Veth {
    /// A packet socket at the other end.
    pub(crate) fn peer(&self) -> PacketSocket {
        open_packet(1, self.index).unwrap()
    }
}

impl Veth {
    /// The number of our end.
    pub(crate) fn index_of_ours(&self, rig: &Rig) -> u32 {
        index(rig, &self.ours)
    }
}

fn index(rig: &Rig, name: &str) -> u32 {
    let shown = rig.run("ip", &["-o", "link", "show", name]).unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    text.split(':').next().unwrap().trim().parse().unwrap()
}

/// Makes a pair, up and with this MTU; says why it can't.
pub(crate) fn veth(rig: &Rig, queues: &str, mtu: u32) -> Option<Veth> {
    let (ours, theirs) = ("nxa".to_owned(), "nxb".to_owned());
    if rig.run("ip", &["-V"]).is_none() {
        netloom_testkit::skip!("no ip");
        return None;
    }
    let ip = |words: &str| {
        let words: Vec<&str> = words.split_whitespace().collect();
        let done = rig.run("ip", &words).unwrap();
        done.status.success()
    };
    if !ip(&format!("link add {ours} {queues} type veth peer name {theirs} {queues}")) {
        netloom_testkit::skip!("this kernel has no veth");
        return None;
    }
    for name in [&ours, &theirs] {
        // Without addresses of its own the host is silent.
        assert!(ip(&format!("link set {name} mtu {mtu} addrgenmode none up")));
    }
    let index = index(rig, &theirs);
    Some(Veth { ours, theirs, index })
}

/// A frame of an experimental kind, whose source tells its number.
pub(crate) fn frame(number: usize, length: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 0x99, 2, 0, 0, 7, (number >> 8) as u8, number as u8, 0x88, 0xb5];
    frame.extend((14..length.max(14)).map(|octet| (octet * 7 + number) as u8));
    frame.truncate(length);
    frame
}

/// Whether a frame is one of [`frame`]'s.
pub(crate) fn octets_of(frame: &[u8]) -> bool {
    frame.starts_with(&[2, 0, 0, 0, 0, 0x99, 2, 0, 0, 7])
}

/// Has the kernel put a tag beside every frame that leaves an interface, as a VLAN device would: by a program of two steps
/// at its exit. Ends when dropped.
pub(crate) fn tag_on_the_way_out(name: &str, tag: u32) -> Option<OwnedFd> {
    const LOAD: u32 = 5;
    const LINK: u32 = 28;
    // r2 = EtherType in network order; r3 = tag; bpf_skb_vlan_push(); return "go on".
    let instruction =
        |code: u8, to: u8, value: u32| u64::from(code) | u64::from(to) << 8 | u64::from(value) << 32;
    let program: [u64; 5] = [
        instruction(0xb7, 2, u32::from(0x8100_u16.to_be())),
        instruction(0xb7, 3, tag),
        instruction(0x85, 0, 18),
        instruction(0xb7, 0, u32::MAX),
        instruction(0x95, 0, 0),
    ];
    let bpf = |command: u32, attributes: &[u64]| {
        // SAFETY: the attributes are of the command's form and live during the call, as does what they point to.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes)) };
        // SAFETY: the descriptor was just made.
        (result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result as i32) })
    };
    let license = c"GPL";
    // Kind 3 (SCHED_CLS), five instructions.
    let loaded = bpf(LOAD, &[3 | 5 << 32, program.as_ptr() as u64, license.as_ptr() as u64]);
    let text = std::ffi::CString::new(name).unwrap();
    // SAFETY: the name ends with a zero.
    let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
    // Attached as BPF_TCX_EGRESS (47), since Linux 6.6.
    let link = loaded
        .and_then(|program| bpf(LINK, &[program.as_raw_fd() as u64 | u64::from(index) << 32, 47, 0, 0]));
    if link.is_none() {
        netloom_testkit::skip!(
            "no program can be put at the exit of {name}: {}",
            std::io::Error::last_os_error()
        );
    }
    link
}
