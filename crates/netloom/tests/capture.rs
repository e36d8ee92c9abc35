//! `netloom capture` as a user meets it: what is seen at a port, what became of it, and which rule decided.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::{Daemon, PATIENCE, sockets};
use netloom_mem::{Batch, Offload};
use netloom_port::packet::PacketSocket;
use netloom_testkit::rig;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

fn frame(destination: u8, source: u8, kind: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 1, destination, 2, 0, 0, 0, 1, source];
    frame.extend(kind.to_be_bytes());
    frame.extend([7; 46]);
    frame
}

fn send(socket: &mut PacketSocket, frame: &[u8]) {
    let mut batch = Batch::new();
    assert!(batch.push(1, frame, Offload::NONE));
    assert_eq!(socket.send.send(&batch, &[0]).unwrap(), 1);
    socket.send.flush();
}

/// A capture, and the lines of its text.
struct Capture {
    child: Child,
    lines: Receiver<String>,
}

impl Capture {
    /// Begins; returns when the switch says that it captures.
    fn begin(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netloom"));
        command.arg("--run").arg(directory).arg("capture").args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (to, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                let Ok(line) = line else { return };
                let _ = to.send(line);
            }
        });
        let mut said = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert!(said.starts_with("capturing at "), "{said}");
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    fn ends(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn packets_are_seen_with_what_became_of_them() {
    rig::isolated(|rig| {
        if !Path::new("/dev/net/tun").exists() || rig.run("ip", &["-V"]).is_none() {
            netloom_testkit::skip!("no /dev/net/tun or no ip");
            return;
        }
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        daemon.ask(&["switch", "add", "br0"]).unwrap();
        let names = ["ca1", "ca2", "ca3"];
        for (name, option) in names.iter().zip(["vlan=10", "vlan=10", "trunk=10,20"]) {
            if daemon.ask(&["port", "add", "br0", name, "type=tap", option]).is_none() {
                netloom_testkit::skip!("this user can't make TAP interfaces");
                return;
            }
        }
        daemon.ask(&["port", "set", "ca1", "mac=02:00:00:00:01:01"]).unwrap();
        let mut sockets = sockets(rig, &names);
        for wrong in [
            &["capture", "br1"][..],
            &["capture", "br0/ca9"],
            &["capture", "ca1", "tcp", "and"],
            &["capture", "ca1", "--within", "soon"],
        ] {
            assert_eq!(daemon.ask(wrong), None, "{wrong:?}");
        }

        // Unknown first, then learned; the tag of the trunk is told.
        let capture =
            Capture::begin(&directory, &["br0", "--in", "--count", "3", "ether", "proto", "0x88b5"]);
        let waited = |capture: &Capture| (capture.line(), capture.line());
        send(&mut sockets[0], &frame(2, 1, 0x88b6));
        send(&mut sockets[0], &frame(9, 1, 0x88b5));
        let (packet, verdict) = waited(&capture);
        assert!(
            packet.contains("> ca1  02:00:00:00:01:01 > 02:00:00:00:01:09, type 0x88b5, 60 octets"),
            "{packet}"
        );
        assert!(verdict.contains("to ca2") && verdict.contains("to ca3"), "{verdict}");
        assert!(verdict.contains("tagged with VLAN 10"), "{verdict}");
        assert!(verdict.ends_with("nobody knows where 02:00:00:00:01:09 is"), "{verdict}");
        send(&mut sockets[1], &frame(1, 2, 0x88b5));
        let (_, verdict) = waited(&capture);
        assert!(verdict.trim_start().starts_with("to ca1: 02:00:00:00:01:01 was heard there"), "{verdict}");
        // A sender that the port does not allow; the option that says so is named.
        send(&mut sockets[0], &frame(2, 66, 0x88b5));
        let (_, verdict) = waited(&capture);
        assert!(
            verdict.contains("dropped (spoofed): it has a sender that its port does not allow"),
            "{verdict}"
        );
        assert!(verdict.ends_with("[port ca1 of br0: mac=02:00:00:00:01:01]"), "{verdict}");
        capture.ends();

        // What goes out, as it goes out.
        let capture = Capture::begin(&directory, &["ca3", "--out", "--count", "1", "vlan", "10"]);
        send(&mut sockets[0], &frame(255, 1, 0x88b5));
        let packet = capture.line();
        assert!(packet.contains("< ca3") && packet.contains("VLAN 10, type 0x88b5, 64 octets"), "{packet}");
        capture.ends();

        // As a file, with the verdict as a comment.
        let mut child = Command::new(env!("CARGO_BIN_EXE_netloom"))
            .arg("--run")
            .arg(&directory)
            .args(["capture", "br0/ca1", "-w", "-", "-c", "1", "--in", "ether", "proto", "0x88b5"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
        let sent = frame(2, 66, 0x88b5);
        send(&mut sockets[0], &sent);
        let mut file = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut file).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(file.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
        assert!(file.windows(sent.len()).any(|window| window == sent));
        let comment = b"dropped (spoofed)";
        assert!(file.windows(comment.len()).any(|window| window == comment));

        // Without a client nothing is watched, and the switch goes on.
        let mut capture = Capture::begin(&directory, &["br0"]);
        capture.child.kill().unwrap();
        capture.child.wait().unwrap();
        send(&mut sockets[0], &frame(255, 1, 0x88b5));
        daemon.ask(&["port", "list"]).unwrap();
    });
}
