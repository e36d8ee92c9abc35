//! A socket that plays the switch for `ovs-ofctl`.

use netloom_proto::openflow::Version;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("netloom-octets-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn is_missing() -> bool {
    let found =
        Command::new("ovs-ofctl").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let missing = !found.is_ok_and(|status| status.success());
    if missing {
        netloom_testkit::skip!("ovs-ofctl is not installed");
    }
    missing
}

/// Answers as a switch that has no tables worth telling of, and keeps what changes flows.
fn serve(mut peer: UnixStream, version: u8) -> Vec<Vec<u8>> {
    let mut kept = Vec::new();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    peer.write_all(&[version, 0, 0, 8, 0, 0, 0, 1]).unwrap();
    loop {
        let mut header = [0; 8];
        if peer.read_exact(&mut header).is_err() {
            return kept;
        }
        let mut body = vec![0; usize::from(u16::from_be_bytes([header[2], header[3]])) - 8];
        peer.read_exact(&mut body).unwrap();
        let (barrier, statistics) = if version == 1 { (18, 16) } else { (20, 18) };
        let mut answer = vec![version, header[1] + 1, 0, 0, header[4], header[5], header[6], header[7]];
        match header[1] {
            14 => kept.push([&header[..], &body].concat()),
            4 if body.starts_with(&[0, 0, 0x23, 0x20, 0, 0, 0, 13]) => {
                kept.push([&header[..], &body].concat())
            }
            kind if kind == statistics => {
                answer.extend_from_slice(&body[..2]);
                answer.resize(if version == 1 { 12 } else { 16 }, 0);
            }
            kind if kind != barrier && kind != 2 => continue,
            _ => {}
        }
        if header[1] != 14 && header[1] != 4 {
            answer[3] = answer.len() as u8;
            peer.write_all(&answer).unwrap();
        }
    }
}

/// The messages that `ovs-ofctl` sends for flows in a version.
pub(crate) fn sent(version: Version, format: Option<&str>, flows: &[&str]) -> Vec<Vec<u8>> {
    let folder = Folder::new(&format!("{}{}", version.name(), format.unwrap_or_default()));
    let socket = folder.0.join("switch");
    let file = folder.0.join("flows");
    std::fs::write(&file, flows.join("\n") + "\n").unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let mut command = Command::new("ovs-ofctl");
    command.args(["-O", version.name(), "--no-names"]);
    if let Some(format) = format {
        command.args(["-F", format]);
    }
    let child = command
        .arg("add-flows")
        .arg(format!("unix:{}", socket.display()))
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let switch = std::thread::spawn(move || {
        // A tool that gives up before it connects leaves nobody to wait for.
        listener.set_nonblocking(true).unwrap();
        for _ in 0..2000 {
            if let Ok((peer, _)) = listener.accept() {
                peer.set_nonblocking(false).unwrap();
                return serve(peer, version.wire());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Vec::new()
    });
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{version}: {complaint}");
    switch.join().unwrap()
}
