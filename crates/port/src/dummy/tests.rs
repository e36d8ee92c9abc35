//! Ports without anything behind them, alone and as each other's other side.

use super::*;
use std::time::{Duration, Instant};

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("netloom-dummy-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn receive(port: &mut DummyReceive) -> Vec<Vec<u8>> {
    let mut batch = Batch::new();
    port.receive(&mut batch).unwrap();
    (0..batch.len()).map(|index| batch.octets(index)).collect()
}

fn send(port: &Arc<Dummy>, frame: &[u8]) {
    let mut batch = Batch::new();
    batch.push(1, frame, Offload::NONE);
    assert_eq!(DummySend::new(port.clone()).send(&batch, &[0]).unwrap(), 1);
}

#[test]
fn what_passes_is_written_down() {
    let directory = directory("files");
    let (received, sent) = (directory.join("rx"), directory.join("tx"));
    let settings =
        Settings { received: Some(received.clone()), sent: Some(sent.clone()), ..Settings::default() };
    let dummy = Dummy::open(&settings).unwrap();
    assert!(dummy.put(vec![1; 60]));
    assert_eq!(receive(&mut DummyReceive::new(dummy.clone(), 3)), [vec![1; 60]]);
    send(&dummy, &[2; 100]);
    send(&dummy, &[2; 2000]);
    drop(dummy);
    // Opened again it goes on behind what is there.
    Dummy::open(&settings).unwrap().put(vec![3; 14]);
    assert_eq!(std::fs::metadata(&received).unwrap().len(), 24 + (16 + 60) + (16 + 14));
    assert_eq!(std::fs::metadata(&sent).unwrap().len(), 24 + 16 + 100);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn it_is_bounded_and_wakes_its_receiver() {
    let dummy = Dummy::open(&Settings::default()).unwrap();
    let mut port = DummyReceive::new(dummy.clone(), 3);
    assert!(matches!(port.wake(true), Wake::Readable(_)));
    assert!((0..ROOM).all(|_| dummy.put(vec![0; 60])) && !dummy.put(vec![0; 60]));
    assert_eq!(rustix::io::read(&dummy.bell, &mut [0_u8; 8]), Ok(8));
}

#[test]
fn two_are_each_others_other_side() {
    let directory = directory("stream");
    let path = directory.join("p0.sock");
    let remote = |text: String, passive: bool| {
        let remote = if passive { Remote::passive(&text) } else { Remote::active(&text) };
        Settings { remote: Some(remote.unwrap()), ..Settings::default() }
    };
    let there = Dummy::open(&remote(format!("unix:{}", path.display()), false)).unwrap();
    assert_eq!(there.connected(), Some(false));
    let here = Dummy::open(&remote(format!("punix:{}", path.display()), true)).unwrap();
    assert_eq!(here.connected(), None);
    until("connected", || there.connected() == Some(true));
    send(&there, &[7; 1000]);
    until("received", || !here.is_empty());
    send(&here, &[8; 64]);
    until("answered", || !there.is_empty());
    assert_eq!(receive(&mut DummyReceive::new(here.clone(), 1)), [vec![7; 1000]]);
    assert_eq!(receive(&mut DummyReceive::new(there.clone(), 1)), [vec![8; 64]]);
    drop(here);
    until("noticed", || there.connected() == Some(false));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn who_asks_for_its_address_is_answered() {
    let dummy = Dummy::open(&Settings::default()).unwrap();
    dummy.answer_for(Ipv4Addr::new(10, 0, 0, 1), [2, 0, 0, 0, 0, 1]);
    let mut request = vec![0xff; 6];
    request.extend([2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    request.extend([2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
    send(&dummy, &request);
    let answers = receive(&mut DummyReceive::new(dummy.clone(), 1));
    assert_eq!(answers.len(), 1);
    assert_eq!(&answers[0][..12], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    assert_eq!(&answers[0][20..32], [0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
    request[41] = 9;
    send(&dummy, &request);
    assert!(dummy.is_empty());
}
