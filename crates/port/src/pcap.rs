//! Files of captured frames as ports: what is sent to the port is recorded, what a file holds is replayed.
//!
//! What: the classic pcap format (draft-ietf-opsawg-pcap), read in both octet orders and both resolutions, written with
//! nanoseconds. Replay is as fast as frames are taken, or at the pace of their time stamps.
//!
//! Invariants: a damaged file ends the replay where the damage is; nothing is allocated for a length that it claims.
//!
//! Costs: a buffered write for each frame; a disk that is too slow holds up the worker. For debugging and tests.

use netloom_mem::{Batch, FRAME, Offload, PortError, PortNumber, ReceiveQueue, SendQueue, Wake};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;

/// Writes frames to a file.
#[derive(Debug)]
pub struct Recorder {
    file: BufWriter<Arc<File>>,
    frame: Vec<u8>,
}

impl Recorder {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(Arc::new(File::create(path)?));
        for word in [NANOSECONDS, 2 | 4 << 16, 0, 0, FRAME as u32, ETHERNET] {
            file.write_all(&word.to_ne_bytes())?;
        }
        file.flush()?;
        Ok(Self { file, frame: vec![0; FRAME] })
    }

    /// Goes on with a file that another process [had](Recorder::file).
    #[must_use]
    pub fn adopt(file: File) -> Self {
        Self { file: BufWriter::new(Arc::new(file)), frame: vec![0; FRAME] }
    }

    /// The file; all that was sent before the last flush is in it.
    #[must_use]
    pub fn file(&self) -> Arc<File> {
        self.file.get_ref().clone()
    }

    fn write(&mut self, batch: &Batch, index: usize) -> io::Result<()> {
        let count = batch.copy(index, 0, &mut self.frame);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for word in [now.as_secs() as u32, now.subsec_nanos(), count as u32, batch.length(index) as u32] {
            self.file.write_all(&word.to_ne_bytes())?;
        }
        self.file.write_all(self.frame.get(..count).unwrap_or_default())
    }
}

impl SendQueue for Recorder {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        for index in frames {
            let written = self.write(batch, usize::from(*index));
            written.map_err(|source| PortError::System { doing: "writing the capture", source })?;
        }
        Ok(frames.len())
    }

    fn flush(&mut self) {
        // An error shows at the next write.
        let _ = self.file.flush();
    }

    fn takes_offloads(&self) -> bool {
        // Readers expect the frames that would be on the wire.
        false
    }
}

/// Reads frames from a file.
#[derive(Debug)]
pub struct Replay {
    file: BufReader<File>,
    port: PortNumber,
    swapped: bool,
    /// Nanoseconds of one unit of the fraction.
    unit: u64,
    /// When the replay began, and the first frame's time stamp; none when it goes as fast as it can.
    pace: Option<(Instant, Option<u64>)>,
    /// A frame that was read and whose time has not come.
    next: Option<(u64, Vec<u8>)>,
    /// Where in the file the next frame begins.
    place: Arc<AtomicU64>,
    ended: bool,
}

/// Octets of a file's header, and of what stands before each frame.
const FILE_HEADER: u64 = 24;
const FRAME_HEADER: u64 = 16;

impl Replay {
    /// Opens a file; `paced` keeps the time between frames.
    ///
    /// # Errors
    /// When it can't be read or is no capture of Ethernet frames.
    pub fn open(port: PortNumber, path: &Path, paced: bool) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let mut header = [[0; 4]; 6];
        for word in &mut header {
            file.read_exact(word)?;
        }
        let magic = u32::from_ne_bytes(header[0]);
        let (swapped, unit) = match magic {
            MICROSECONDS => (false, 1000),
            NANOSECONDS => (false, 1),
            other if other.swap_bytes() == MICROSECONDS => (true, 1000),
            other if other.swap_bytes() == NANOSECONDS => (true, 1),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no pcap file")),
        };
        let link = u32::from_ne_bytes(header[5]);
        let link = if swapped { link.swap_bytes() } else { link };
        if link & 0xffff != ETHERNET {
            let text = format!("its frames are of link type {link}, not Ethernet");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let pace = paced.then(|| (Instant::now(), None));
        let place = Arc::new(AtomicU64::new(FILE_HEADER));
        Ok(Self { file, port, swapped, unit, pace, next: None, place, ended: false })
    }

    /// Goes on where another process [was](Replay::place).
    ///
    /// # Errors
    /// When the file is gone.
    pub fn seek(&mut self, place: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(place))?;
        self.place.store(place, Ordering::Relaxed);
        Ok(())
    }

    /// Where in the file the next frame begins, also while it is replayed elsewhere.
    #[must_use]
    pub fn place(&self) -> Arc<AtomicU64> {
        self.place.clone()
    }

    /// The next frame with its time stamp; none at the end or where the file is damaged.
    fn read(&mut self) -> Option<(u64, Vec<u8>)> {
        let mut words = [0; 4];
        for word in &mut words {
            let mut octets = [0; 4];
            self.file.read_exact(&mut octets).ok()?;
            *word = u32::from_ne_bytes(octets);
            if self.swapped {
                *word = word.swap_bytes();
            }
        }
        let [seconds, fraction, length, _] = words;
        let length = usize::try_from(length).ok().filter(|length| *length <= FRAME)?;
        let mut frame = vec![0; length];
        self.file.read_exact(&mut frame).ok()?;
        let time = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit;
        Some((time, frame))
    }

    /// Whether a frame's time has come.
    fn due(&mut self, time: u64) -> bool {
        let Some((began, first)) = &mut self.pace else { return true };
        let first = *first.get_or_insert(time);
        began.elapsed().as_nanos() >= u128::from(time.saturating_sub(first))
    }
}

/// One frame of a file, counted from 1; none if it has fewer.
///
/// # Errors
/// When the file can't be read or is no capture of Ethernet frames.
pub fn frame(path: &Path, number: u64) -> io::Result<Option<Vec<u8>>> {
    let mut replay = Replay::open(0, path, false)?;
    for _ in 1..number {
        if replay.read().is_none() {
            return Ok(None);
        }
    }
    Ok(replay.read().filter(|_| number > 0).map(|(_, frame)| frame))
}

impl ReceiveQueue for Replay {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        while batch.room() > 0 && !self.ended {
            let Some((time, frame)) = self.next.take().or_else(|| self.read()) else {
                self.ended = true;
                break;
            };
            if !self.due(time) {
                self.next = Some((time, frame));
                break;
            }
            batch.push(self.port, &frame, Offload::NONE);
            self.place.fetch_add(FRAME_HEADER + frame.len() as u64, Ordering::Relaxed);
        }
        Ok(batch.len())
    }

    fn wake(&mut self, _wanted: bool) -> Wake<'_> {
        if self.ended { Wake::Never } else { Wake::Poll }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(name: &str) -> std::path::PathBuf {
        let unique = std::thread::current().id();
        std::env::temp_dir().join(format!("netloom-{}-{unique:?}-{name}.pcap", std::process::id()))
    }

    fn replay(path: &Path) -> Vec<Vec<u8>> {
        let mut replay = Replay::open(4, path, false).unwrap();
        let (mut batch, mut frames) = (Batch::new(), Vec::new());
        while replay.receive(&mut batch).unwrap() > 0 {
            frames.extend((0..batch.len()).map(|index| batch.octets(index)));
            batch.clear();
        }
        frames
    }

    #[test]
    fn another_one_goes_on_with_both_ends() {
        let path = file("on");
        let (mut batch, mut all) = (Batch::new(), Vec::new());
        let mut recorder = Recorder::create(&path).unwrap();
        for half in 0..2 {
            for number in 0..netloom_mem::BATCH as u8 {
                let frame = vec![half, number, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7];
                batch.push(1, &frame, Offload::NONE);
                all.push(frame);
            }
            recorder.send(&batch, &(0..netloom_mem::BATCH as u8).collect::<Vec<_>>()).unwrap();
            recorder.flush();
            batch.clear();
            let file = recorder.file().try_clone().unwrap();
            recorder = Recorder::adopt(file);
        }
        let mut one = Replay::open(4, &path, false).unwrap();
        one.receive(&mut batch).unwrap();
        let mut other = Replay::open(4, &path, false).unwrap();
        other.seek(one.place().load(Ordering::Relaxed)).unwrap();
        let mut frames: Vec<Vec<u8>> = (0..batch.len()).map(|index| batch.octets(index)).collect();
        batch.clear();
        other.receive(&mut batch).unwrap();
        frames.extend((0..batch.len()).map(|index| batch.octets(index)));
        assert_eq!(frames, all);
        std::fs::remove_file(path).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn what_is_recorded_is_replayed(frames in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 14..3000), 0..70,
        )) {
            let path = file("whole");
            let mut recorder = Recorder::create(&path).unwrap();
            let mut batch = Batch::new();
            for part in frames.chunks(netloom_mem::BATCH) {
                for frame in part {
                    batch.push(1, frame, Offload::NONE);
                }
                let all: Vec<u8> = (0..part.len() as u8).collect();
                prop_assert_eq!(recorder.send(&batch, &all).unwrap(), part.len());
                batch.clear();
            }
            recorder.flush();
            prop_assert_eq!(replay(&path), frames);
            std::fs::remove_file(&path).unwrap();
        }

        #[test]
        fn damage_ends_the_replay(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            let path = file("damaged");
            drop(Recorder::create(&path).unwrap());
            let mut all = std::fs::read(&path).unwrap();
            all.extend(octets);
            std::fs::write(&path, &all).unwrap();
            replay(&path);
            std::fs::write(&path, &all[24..]).unwrap();
            prop_assert!(all.len() > 48 || Replay::open(1, &path, false).is_err());
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_paced_replay_keeps_the_time_between_frames() {
        let path = file("paced");
        let mut octets: Vec<u8> = Vec::new();
        // Big-endian, microseconds: two frames, 30 ms apart.
        for word in [MICROSECONDS, 2 << 16 | 4, 0, 0, 65535, 1, 5, 990_000, 14, 14] {
            octets.extend(word.to_be_bytes());
        }
        octets.extend([1; 14]);
        for word in [6_u32, 20_000, 14, 14] {
            octets.extend(word.to_be_bytes());
        }
        octets.extend([2; 14]);
        std::fs::write(&path, &octets).unwrap();
        let (mut replay, mut batch) = (Replay::open(1, &path, true).unwrap(), Batch::new());
        let began = Instant::now();
        while batch.len() < 2 {
            replay.receive(&mut batch).unwrap();
        }
        assert!(began.elapsed().as_millis() >= 29);
        assert_eq!((batch.octets(0), batch.octets(1)), (vec![1; 14], vec![2; 14]));
        std::fs::remove_file(&path).unwrap();
    }
}
