//! The program in the kernel: hands each frame to the socket of its queue, and to the host where there is none.
//!
//! What: two programs, put together here and loaded by `bpf(2)`. The simple one is `return
//! bpf_redirect_map(&sockets, queue, XDP_PASS)`. The other first writes the VLAN tag that the device or the sender left
//! beside the frame into four octets before it, by the kernel's function `bpf_xdp_metadata_rx_vlan_tag`: without that
//! a tagged frame would look untagged here.
//!
//! Invariants: the program hangs on a link (`BPF_LINK_CREATE`), whose descriptor is the only thing that keeps it there:
//! when this process ends, however it ends, the interface is as it was.
//!
//! Deliberately absent: libbpf, object files, any choice of frames: what comes in belongs to the port.

use super::btf;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::io;

/// Octets before a frame in which the program leaves the tag: EtherType and tag as they are in a frame, or zeroes.
pub(super) const TAG: u32 = 4;

/// The kernel's function that tells the tag; since Linux 6.8, for drivers that know it.
const TELLS_TAG: &str = "bpf_xdp_metadata_rx_vlan_tag";

// linux/bpf.h
const MAP_CREATE: u32 = 0;
const MAP_UPDATE: u32 = 2;
const PROGRAM_LOAD: u32 = 5;
const LINK_CREATE: u32 = 28;
const LINK_DETACH: u32 = 34;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROGRAM_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const HAS_FRAGMENTS: u32 = 1 << 5;
const DEVICE_BOUND: u32 = 1 << 6;
const HELPER_REDIRECT_MAP: i32 = 51;
const HELPER_ADJUST_META: i32 = 54;
const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
// linux/if_link.h
const FLAG_GENERIC: u32 = 1 << 1;
const FLAG_DRIVER: u32 = 1 << 2;

/// One instruction (`struct bpf_insn`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// Destination in the lower four bits, source in the upper.
    registers: u8,
    offset: i16,
    value: i32,
}

/// An instruction's parts in the order in which assemblers name them.
const fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
    // Bit fields begin at the other end on big-endian machines.
    let registers = if cfg!(target_endian = "little") { to | from << 4 } else { to << 4 | from };
    Instruction { code, registers, offset, value }
}

// Codes of the instructions that occur (linux/bpf_common.h).
const LOAD_32: u8 = 0x61;
const LOAD_16: u8 = 0x69;
const STORE_16: u8 = 0x6b;
const STORE_VALUE_32: u8 = 0x62;
const LOAD_WIDE: u8 = 0x18;
const MOVE: u8 = 0xbf;
const MOVE_VALUE: u8 = 0xb7;
const ADD_VALUE: u8 = 0x07;
const JUMP_IF_NOT: u8 = 0x55;
const JUMP_IF: u8 = 0x15;
const JUMP_IF_GREATER: u8 = 0x2d;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const FROM_MAP: u8 = 1;
const KERNEL_FUNCTION: u8 = 2;
// `struct xdp_md`.
const CONTEXT_DATA: i16 = 0;
const CONTEXT_META: i16 = 8;
const CONTEXT_QUEUE: i16 = 16;

/// `return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS)`, with the context in `context`.
fn redirect(map: i32, context: u8) -> [Instruction; 6] {
    [
        instruction(LOAD_32, 2, context, CONTEXT_QUEUE, 0),
        instruction(LOAD_WIDE, 1, FROM_MAP, 0, map),
        instruction(0, 0, 0, 0, 0),
        instruction(MOVE_VALUE, 3, 0, 0, XDP_PASS),
        instruction(CALL, 0, 0, 0, HELPER_REDIRECT_MAP),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

/// The program that writes the tag before the frame, by the function with this number.
fn with_tag(map: i32, function: i32) -> Vec<Instruction> {
    let mut program = vec![
        // Room before the frame.
        instruction(MOVE, 6, 1, 0, 0),
        instruction(MOVE_VALUE, 2, 0, 0, -(TAG as i32)),
        instruction(CALL, 0, 0, 0, HELPER_ADJUST_META),
        instruction(JUMP_IF_NOT, 0, 0, 17, 0),
        // The function writes EtherType (as in the frame) and tag (a number) on the stack.
        instruction(STORE_VALUE_32, 10, 0, -8, 0),
        instruction(MOVE, 1, 6, 0, 0),
        instruction(MOVE, 2, 10, 0, 0),
        instruction(ADD_VALUE, 2, 0, 0, -8),
        instruction(MOVE, 3, 10, 0, 0),
        instruction(ADD_VALUE, 3, 0, 0, -6),
        instruction(CALL, 0, KERNEL_FUNCTION, 0, function),
        instruction(JUMP_IF, 0, 0, 1, 0),
        instruction(STORE_VALUE_32, 10, 0, -8, 0),
        instruction(LOAD_32, 2, 6, CONTEXT_META, 0),
        instruction(LOAD_32, 3, 6, CONTEXT_DATA, 0),
        instruction(MOVE, 4, 2, 0, 0),
        instruction(ADD_VALUE, 4, 0, 0, TAG as i32),
        instruction(JUMP_IF_GREATER, 4, 3, 3, 0),
        instruction(LOAD_16, 5, 10, -8, 0),
        instruction(STORE_16, 2, 5, 0, 0),
        instruction(0x05, 0, 0, 2, 0),
        // Without room the tag would be lost, and with it the frame's VLAN: rather the frame.
        instruction(MOVE_VALUE, 0, 0, 0, XDP_DROP),
        instruction(EXIT, 0, 0, 0, 0),
        instruction(LOAD_16, 5, 10, -6, 0),
        instruction(STORE_16, 2, 5, 2, 0),
    ];
    program.extend(redirect(map, 6));
    program
}

/// Calls `bpf(2)`.
fn bpf<T>(command: u32, attributes: &mut T) -> io::Result<i64> {
    // SAFETY: the attributes are of the command's form, live during the call, and their size is told; pointers inside
    // lead to memory that the caller keeps.
    #[allow(unsafe_code)]
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for commands that give a descriptor.
fn bpf_descriptor<T>(command: u32, attributes: &mut T) -> io::Result<OwnedFd> {
    let descriptor = i32::try_from(bpf(command, attributes)?).map_err(io::Error::other)?;
    // SAFETY: the descriptor was just made (closed on exec, as all of bpf's are) and is nobody else's.
    #[allow(unsafe_code)]
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The sockets by queue (`BPF_MAP_TYPE_XSKMAP`).
#[derive(Debug)]
pub(super) struct Sockets(OwnedFd);

impl Sockets {
    /// Room for the sockets of so many queues.
    ///
    /// # Errors
    /// Without the right to (`CAP_BPF` in the first user namespace).
    pub(super) fn new(queues: u32) -> io::Result<Self> {
        #[repr(C)]
        struct Attributes {
            kind: u32,
            key: u32,
            value: u32,
            entries: u32,
            rest: [u32; 3],
            name: [u8; 16],
        }
        let mut attributes = Attributes {
            kind: MAP_TYPE_XSKMAP,
            key: 4,
            value: 4,
            entries: queues,
            rest: [0; 3],
            name: *b"netloom_sockets\0",
        };
        bpf_descriptor(MAP_CREATE, &mut attributes).map(Self)
    }

    /// Gives a queue its socket.
    pub(super) fn set(&self, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        #[repr(C)]
        struct Attributes {
            map: u32,
            pad: u32,
            key: u64,
            value: u64,
            flags: u64,
        }
        let value = socket.as_raw_fd();
        let mut attributes = Attributes {
            map: self.0.as_raw_fd() as u32,
            pad: 0,
            key: &raw const queue as u64,
            value: &raw const value as u64,
            flags: 0,
        };
        bpf(MAP_UPDATE, &mut attributes).map(drop)
    }
}

/// What a program is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The interface's index.
    pub(super) interface: u32,
    /// Run by the driver, or by the kernel for any device.
    pub(super) driver: bool,
    /// Frames may come in several pieces.
    pub(super) fragments: bool,
}

/// A program on an interface; goes away when dropped.
#[derive(Debug)]
pub(super) struct Attached {
    link: OwnedFd,
    /// Whether [`TAG`] octets before each frame tell its tag.
    pub(super) tags: bool,
}

impl Attached {
    /// Loads the program and puts it on the interface: the one that tells tags where the kernel can.
    ///
    /// # Errors
    /// Without the right to, when another program is there, or when the driver can't.
    pub(super) fn new(sockets: &Sockets, wanted: Wanted) -> io::Result<Self> {
        if wanted.driver
            && let Some(function) = btf::function(TELLS_TAG)
            && let Ok(program) = load(&with_tag(sockets.0.as_raw_fd(), function), wanted, true)
            && let Ok(link) = attach(program.as_fd(), wanted)
        {
            return Ok(Self { link, tags: true });
        }
        let program = load(&redirect(sockets.0.as_raw_fd(), 1), wanted, false)?;
        Ok(Self { link: attach(program.as_fd(), wanted)?, tags: false })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // At once: a child of ours that has not started its program yet may hold the descriptor too. A kernel before 5.9
        // does it when the descriptor is closed.
        let mut attributes = self.link.as_raw_fd() as u32;
        let _ = bpf(LINK_DETACH, &mut attributes);
    }
}

fn load(instructions: &[Instruction], wanted: Wanted, bound: bool) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel: u32,
        flags: u32,
        name: [u8; 16],
        interface: u32,
        attach: u32,
    }
    let license = c"Dual MIT/GPL";
    let mut attributes = Attributes {
        kind: PROGRAM_TYPE_XDP,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel: 0,
        flags: if wanted.fragments { HAS_FRAGMENTS } else { 0 } | if bound { DEVICE_BOUND } else { 0 },
        name: *b"netloom_port\0\0\0\0",
        interface: if bound { wanted.interface } else { 0 },
        attach: ATTACH_XDP,
    };
    bpf_descriptor(PROGRAM_LOAD, &mut attributes)
}

fn attach(program: BorrowedFd<'_>, wanted: Wanted) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        program: u32,
        interface: u32,
        attach: u32,
        flags: u32,
    }
    let mut attributes = Attributes {
        program: program.as_raw_fd() as u32,
        interface: wanted.interface,
        attach: ATTACH_XDP,
        flags: if wanted.driver { FLAG_DRIVER } else { FLAG_GENERIC },
    };
    bpf_descriptor(LINK_CREATE, &mut attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_lead_to_instructions() {
        for program in [redirect(5, 1).to_vec(), with_tag(5, 1000)] {
            for (at, step) in program.iter().enumerate() {
                if [JUMP_IF_NOT, JUMP_IF, JUMP_IF_GREATER, 0x05].contains(&step.code) {
                    let target = at + 1 + step.offset as usize;
                    assert!(target < program.len() && program[target].code != 0, "{at}");
                }
            }
            assert_eq!(program.last().unwrap().code, EXIT);
        }
        let program = with_tag(5, 1000);
        // Both ways to fail end in a drop, and only they.
        let drop = program
            .iter()
            .position(|step| step.code == MOVE_VALUE && step.value == XDP_DROP && step.registers == 0);
        for failure in [JUMP_IF_NOT, JUMP_IF_GREATER] {
            let at = program.iter().position(|step| step.code == failure).unwrap();
            assert_eq!(Some(at + 1 + program[at].offset as usize), drop);
        }
    }

    #[test]
    fn the_simple_program_is_what_an_assembler_writes() {
        // bpf_asm's octets of: r2 = *(u32 *)(r1 + 16); r1 = map 7; r3 = 2; call 51; exit.
        let wanted: [u64; 6] =
            [0x0010_1261, 0x0000_0007_0000_1118, 0, 0x0000_0002_0000_03b7, 0x0000_0033_0000_0085, 0x95];
        if cfg!(target_endian = "little") {
            let octets = |step: Instruction| {
                u64::from(step.code)
                    | u64::from(step.registers) << 8
                    | u64::from(step.offset as u16) << 16
                    | u64::from(step.value as u32) << 32
            };
            assert_eq!(redirect(7, 1).map(octets), wanted);
        }
    }
}
