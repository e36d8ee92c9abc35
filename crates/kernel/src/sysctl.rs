//! Kernel parameters below `/proc/sys`, of the calling thread's network namespace.

use crate::error::KernelError;
use crate::namespace::Namespace;
use crate::sys;
use rustix::io::Errno;
use std::path::PathBuf;

fn file(path: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(path)
}

/// The value with single blanks; `None` if there is no such parameter (or it cannot be read).
pub(crate) fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(file(path)).ok()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Sets a value. A path that climbs out of `/proc/sys` is refused.
pub(crate) fn write(path: &str, value: &str) -> Result<(), KernelError> {
    let target = file(path);
    if path.split('/').any(|part| part == "..") || path.starts_with('/') {
        return Err(KernelError::Io { doing: "writing", path: target, errno: Errno::INVAL });
    }
    std::fs::OpenOptions::new()
        .write(true)
        .open(&target)
        .and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(|error| KernelError::io("writing", target, error))
}

/// The value that a parameter of `inside` would have if nobody had set it: that of the namespace's
/// `default` for an interface's parameter, that of a new namespace for all others.
pub(crate) fn fresh(inside: &Namespace, path: &str) -> Result<Option<String>, KernelError> {
    let mut parts: Vec<&str> = path.split('/').collect();
    if let ["net", "ipv4" | "ipv6", "conf" | "neigh", interface, _] = parts.as_mut_slice()
        && !matches!(*interface, "all" | "default")
    {
        *interface = "default";
        let path = parts.join("/");
        return inside.run(|| read(&path));
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::unshare_network()
                .map_err(|error| KernelError::io("making", "a scratch namespace", error))?;
            Ok(read(path))
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
