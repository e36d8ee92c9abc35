//! Ports of the types `dummy`, `dummy-internal` and `dummy-pmd`: for tests, where the program was told so.

use super::{Change, Drivers, Given};
use netloom_control::switch::{DummyPort, OpenPort};
use netloom_port::dummy::stream::Remote;
use netloom_port::dummy::{Dummy, DummyReceive, DummySend, Settings};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Which ports are dummies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dummies {
    /// None: the types are not there.
    #[default]
    Off,
    /// Those of the types.
    Own,
    /// Those that stand for interfaces of the system as well.
    System,
    /// All but patches.
    All,
}

/// An address that can be changed.
type Address = Arc<Mutex<[u8; 6]>>;

/// Those that are open, by the names of their ports.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) which: Dummies,
    ports: BTreeMap<String, (Weak<Dummy>, Address)>,
    /// Addresses by the numbers of ports.
    addresses: BTreeMap<u32, Address>,
    /// How many were made.
    made: u32,
}

impl Open {
    /// Whether ports of this type are dummies.
    pub(super) fn has(&self, kind: &str) -> bool {
        match kind {
            "dummy" | "dummy-internal" | "dummy-pmd" => self.which != Dummies::Off,
            "system" | "internal" | "afpacket" => matches!(self.which, Dummies::System | Dummies::All),
            "patch" => false,
            _ => self.which == Dummies::All,
        }
    }

    /// Those that are there.
    pub(super) fn ports(&self) -> BTreeMap<String, Arc<dyn DummyPort>> {
        let port = |(name, (dummy, mac)): (&String, &(Weak<Dummy>, Address))| {
            let port: Arc<dyn DummyPort> = Arc::new(Handle(dummy.upgrade()?, read(mac)));
            Some((name.clone(), port))
        };
        self.ports.iter().filter_map(port).collect()
    }

    /// Gives a port another address.
    pub(super) fn set_address(&mut self, number: u32, address: [u8; 6]) {
        if let Some(known) = self.addresses.get(&number) {
            *known.lock().unwrap_or_else(PoisonError::into_inner) = address;
        }
    }

    /// The address of the next: as those of Open vSwitch's.
    fn address(&mut self) -> [u8; 6] {
        let number = 0xaa55_0000_u32.wrapping_add(self.made);
        self.made += 1;
        let [a, b, c, d] = number.to_be_bytes();
        [0xaa, 0x55, a, b, c, d]
    }
}

fn read(mac: &Mutex<[u8; 6]>) -> [u8; 6] {
    *mac.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Handle(Arc<Dummy>, [u8; 6]);

impl DummyPort for Handle {
    fn put(&self, frame: Vec<u8>) -> bool {
        self.0.put(frame)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn set_up(&self, up: bool) {
        self.0.set_up(up);
    }

    fn connected(&self) -> Option<bool> {
        self.0.connected()
    }

    fn answer_for(&self, address: Ipv4Addr) {
        self.0.answer_for(address, self.1);
    }
}

/// Opens one. Options of the type that it stands for, and those that concern a machine's processors, mean nothing to it.
pub(super) fn open(
    drivers: &mut Drivers,
    number: u32,
    name: &str,
    given: &mut Given<'_>,
) -> Result<OpenPort, String> {
    let remote = |text: Option<&str>, read: fn(&str) -> Option<Remote>| match text {
        None => Ok(None),
        Some(text) => {
            read(text).map(Some).ok_or_else(|| format!("`{text}` is no socket: unix:FILE, tcp:ADDRESS:PORT"))
        }
    };
    let active = remote(given.get("stream"), Remote::active)?;
    let passive = remote(given.get("pstream"), Remote::passive)?;
    if active.is_some() && passive.is_some() {
        return Err("a port has `stream` or `pstream`, not both".to_owned());
    }
    let both = given.get("pcap");
    let settings = Settings {
        received: both.or(given.get("rxq_pcap")).map(Into::into),
        sent: both.or(given.get("tx_pcap")).map(Into::into),
        remote: active.or(passive),
        mtu: 0,
    };
    let dummy = Dummy::open(&settings).map_err(|error| format!("{name}: {error}"))?;
    let mac = Arc::new(Mutex::new(drivers.dummies.address()));
    drivers.dummies.ports.retain(|_, (dummy, _)| dummy.strong_count() > 0);
    drivers.dummies.addresses.insert(number, mac.clone());
    drivers.dummies.ports.insert(name.to_owned(), (Arc::downgrade(&dummy), mac.clone()));
    drivers.changed.insert(number, Change::Dummy(Arc::downgrade(&dummy)));
    let weak = Arc::downgrade(&dummy);
    drivers.tell(number, move || {
        let dummy = weak.upgrade()?;
        let word = if dummy.is_up() { "up" } else { "down" };
        Some(BTreeMap::from([
            ("admin".to_owned(), word.to_owned()),
            ("mac".to_owned(), netloom_wire::MacAddr::new(read(&mac)).to_string()),
            ("mtu".to_owned(), dummy.mtu().to_string()),
        ]))
    });
    let (status, senders) = (dummy.clone(), drivers.workers.max(1));
    Ok(OpenPort {
        receive: vec![Box::new(DummyReceive::new(dummy.clone(), number))],
        send: (0..senders).map(|_| Box::new(DummySend::new(dummy.clone())) as _).collect(),
        state: Box::new(move || if status.is_up() { "up".to_owned() } else { "down".to_owned() }),
        keep: Box::new(dummy),
    })
}
