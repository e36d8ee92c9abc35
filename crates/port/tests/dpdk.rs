//! DPDK ports on its virtual devices. Only in builds with the feature `dpdk`; others say so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[cfg(not(feature = "dpdk"))]
#[test]
fn virtual_devices() {
    netloom_testkit::skip!("built without the feature dpdk (cargo test -p netloom-port --features dpdk)");
}

#[cfg(feature = "dpdk")]
mod interfaces;

#[cfg(feature = "dpdk")]
mod with {
    use crate::interfaces::{frame, octets_of, until};
    use netloom_mem::{BATCH, Batch, Offload, ReceiveQueue, SendQueue};
    use netloom_port::dpdk::{Config, OpenError, Pair, Port};
    use netloom_port::packet::open_packet;
    use netloom_port::vhost;
    use netloom_testkit::rig;

    fn open(words: &str) -> Option<(Port, Vec<Pair>)> {
        match Port::open(5, &Config::new(words)) {
            Ok(opened) => Some(opened),
            Err(OpenError::Environment(why)) => {
                netloom_testkit::skip!("{why}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn send(queue: &mut dyn SendQueue, frames: &[Vec<u8>]) -> usize {
        let (mut batch, mut sent) = (Batch::new(), 0);
        for part in frames.chunks(BATCH) {
            batch.clear();
            for frame in part {
                assert!(batch.push(1, frame, Offload::NONE));
            }
            let all: Vec<u8> = (0..part.len() as u8).collect();
            sent += queue.send(&batch, &all).unwrap();
            queue.flush();
        }
        sent
    }

    fn take(queue: &mut dyn ReceiveQueue, batch: &mut Batch, came: &mut Vec<Vec<u8>>) {
        batch.clear();
        let count = queue.receive(batch).unwrap();
        came.extend((0..count).map(|index| batch.octets(index)).filter(|frame| octets_of(frame)));
        queue.complete();
    }

    /// One after the other: a process has one environment.
    #[test]
    fn virtual_devices() {
        let Some((port, mut pairs)) = open("net_null0") else { return };
        // It gives empty frames for ever, and takes all.
        let mut batch = Batch::new();
        assert_eq!(pairs[0].from_device.receive(&mut batch).unwrap(), BATCH);
        assert!((0..BATCH).all(|index| batch.length(index) == 64 && batch.port(index) == 5));
        pairs[0].from_device.complete();
        let frames: Vec<Vec<u8>> = (0..320).map(|number| frame(number, 60 + number * 4)).collect();
        assert_eq!(send(&mut pairs[0].to_device, &frames), frames.len());
        let status = port.status();
        assert_eq!((status.driver.as_str(), status.queues), ("net_null", 1));
        assert!(status.statistics.sent >= 320 && status.statistics.received >= 32, "{status:?}");
        drop((port, pairs));

        for wrong in ["net_no_such0", ""] {
            match Port::open(5, &Config::new(wrong)) {
                Err(OpenError::Device { words, .. }) => assert_eq!(words, wrong),
                other => panic!("{wrong}: {other:?}"),
            }
        }
        match Port::open(5, &Config { queues: 50, descriptors: 64, ..Config::new("net_ring0") }) {
            Err(error @ OpenError::Configure { .. }) => {
                assert!(error.to_string().contains("fewer than 50"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        ring();
        tap();
        guest();
    }

    /// A ring gives back what it gets.
    fn ring() {
        for _ in 0..2 {
            let Some((port, mut pairs)) = open("net_ring0") else { return };
            let pair = &mut pairs[0];
            let (mut batch, mut came) = (Batch::new(), Vec::new());
            // Frames that are longer than a buffer go in several, if the device takes that.
            let longest = port.status().longest;
            let lengths =
                (14..40).chain(250..260).chain((60..9000).step_by(97)).filter(|length| *length <= longest);
            let frames: Vec<Vec<u8>> =
                lengths.enumerate().map(|(number, length)| frame(number, length)).collect();
            for part in frames.chunks(50) {
                came.clear();
                assert_eq!(send(&mut pair.to_device, part), part.len());
                until("all frames came back", || {
                    take(&mut pair.from_device, &mut batch, &mut came);
                    came.len() >= part.len()
                });
                assert!(came == part, "what came back differs");
            }
            let odd = [frame(1, 13), frame(3, 60)];
            assert_eq!(send(&mut pair.to_device, &odd), 2);
            assert_eq!(pair.counters.unsendable.get(), 1);
            // It is full at some time, and says how many it took.
            let many: Vec<Vec<u8>> = (0..3000).map(|number| frame(number, 100)).collect();
            let taken = send(&mut pair.to_device, &many);
            assert!(taken > 0 && taken < many.len(), "{taken}");
            came.clear();
            until("all that was taken came back", || {
                take(&mut pair.from_device, &mut batch, &mut came);
                came.len() > taken
            });
            assert!(came[0] == odd[1]);
            // Opened again by the same name: it is really gone.
        }
    }

    /// A TAP interface, whose other end is a packet socket.
    fn tap() {
        rig::isolated(|rig| {
            if rig.run("ip", &["-V"]).is_none() || !std::path::Path::new("/dev/net/tun").exists() {
                return netloom_testkit::skip!("no ip or no /dev/net/tun");
            }
            let (port, mut pairs) = match Port::open(5, &Config::new("net_tap0,iface=nxt")) {
                Ok(opened) => opened,
                Err(error) => return netloom_testkit::skip!("{error}"),
            };
            for words in
                [["link", "set", "nxt", "addrgenmode", "none"], ["link", "set", "nxt", "mtu", "1500"]]
            {
                rig.run("ip", &words).unwrap();
            }
            rig.run("ip", &["link", "set", "nxt", "up"]).unwrap();
            let shown = rig.run("ip", &["-o", "link", "show", "nxt"]).unwrap();
            let text = String::from_utf8(shown.stdout).unwrap();
            let index = text.split(':').next().unwrap().trim().parse().unwrap();
            let mut peer = open_packet(1, index).unwrap();
            let frames: Vec<Vec<u8>> = (0..100).map(|number| frame(number, 60 + number * 14)).collect();
            let (mut batch, mut came) = (Batch::new(), Vec::new());
            assert_eq!(send(&mut pairs[0].to_device, &frames), frames.len());
            until("all frames went out", || {
                take(&mut *peer.receive, &mut batch, &mut came);
                came.len() >= frames.len()
            });
            assert!(came == frames, "what went out differs");
            came.clear();
            assert_eq!(send(&mut *peer.send, &frames), frames.len());
            until("all frames came in", || {
                take(&mut pairs[0].from_device, &mut batch, &mut came);
                came.len() >= frames.len()
            });
            assert!(came == frames, "what came in differs");
            assert_eq!(port.status().driver, "net_tap");
            drop((port, pairs));
            let gone = rig.run("ip", &["link", "show", "nxt"]).unwrap();
            assert!(!gone.status.success(), "the interface is still there");
        });
    }

    /// virtio-user is a guest's side of vhost-user: our own port is the other one.
    fn guest() {
        let path = std::env::temp_dir().join(format!("netloom-dpdk-{}.sock", std::process::id()));
        let config = vhost::Config::new(&path, vhost::Mode::Server);
        let (host, mut queues) = vhost::Port::open(1, config).unwrap();
        let words = format!("net_virtio_user0,path={},queues=1,queue_size=256", path.display());
        let (port, mut pairs) = match Port::open(5, &Config::new(words)) {
            Ok(opened) => opened,
            Err(error) => return netloom_testkit::skip!("{error}"),
        };
        until("the rings are started", || {
            // The worker's side takes part in that.
            let mut batch = Batch::new();
            let _ = queues[0].from_guest.receive(&mut batch);
            queues[0].from_guest.complete();
            host.status().rings.iter().all(|ring| *ring) && queues[0].from_guest.is_ready()
        });
        let frames: Vec<Vec<u8>> = (0..100).map(|number| frame(number, 60 + number * 14)).collect();
        let (mut batch, mut came) = (Batch::new(), Vec::new());
        assert_eq!(send(&mut pairs[0].to_device, &frames), frames.len());
        until("all frames came to the host", || {
            take(&mut queues[0].from_guest, &mut batch, &mut came);
            came.len() >= frames.len()
        });
        assert!(came == frames, "what came to the host differs");
        came.clear();
        assert_eq!(send(&mut queues[0].to_guest, &frames), frames.len());
        until("all frames came to the guest", || {
            take(&mut pairs[0].from_device, &mut batch, &mut came);
            came.len() >= frames.len()
        });
        assert!(came == frames, "what came to the guest differs");
        assert!(port.status().up);
    }
}
