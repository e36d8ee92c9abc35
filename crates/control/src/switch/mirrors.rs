//! Mirrors: they name ports, and follow when these come and go.

use super::configuration::{self, Options};
use super::protocol::{MirrorStatus, Reply};
use super::state::{Switch, SwitchError, is_name, merge};
use super::words::{macs, vlan};
use netloom_nf::remote::{Form, Remote, RemoteSettings};
use netloom_wire::{Dscp, MacAddr};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// Options that only a mirror with a collector has.
const REMOTE: [&str; 13] = [
    "local", "via", "mac", "from-mac", "tag", "form", "session", "index", "hardware", "key", "ttl", "dscp",
    "mtu",
];
/// Forms of copies, with the options that each has of its own.
const FORMS: [(&str, &[&str]); 4] = [
    ("erspan2", &["session", "index"]),
    ("erspan3", &["session", "hardware"]),
    ("erspan1", &[]),
    ("gre", &["key"]),
];
/// The smallest packet that has room for the longest headers and some of the frame.
const LEAST_MTU: usize = 128;

/// Streams of copies: their numbers and the number of the next copy, by switch and mirror.
pub(super) type Streams = BTreeMap<(String, String), (u32, Arc<AtomicU32>)>;

fn number<T: TryFrom<u64>>(
    options: &Options,
    name: &str,
    otherwise: u64,
    least: u64,
    most: u64,
) -> Result<T, String> {
    let wrong = || format!("`{name}` is a number from {least} to {most}");
    let value = options.get(name).map_or(Ok(otherwise), |text| text.parse().map_err(|_| wrong()))?;
    if !(least..=most).contains(&value) {
        return Err(wrong());
    }
    T::try_from(value).map_err(|_| wrong())
}

/// Where copies go that are for a collector; none for a mirror without one. `own` is the switch's address.
fn remote(
    options: &Options,
    port: impl Fn(&str) -> Result<u32, String>,
    own: MacAddr,
) -> Result<Option<RemoteSettings>, String> {
    let get = |name: &str| options.get(name).map(String::as_str);
    let Some(to) = get("remote") else {
        return match REMOTE.iter().find(|name| get(name).is_some()) {
            Some(name) => Err(format!("`{name}` needs `remote`: the collector's address")),
            None => Ok(None),
        };
    };
    let need = |name: &str, what: &str| get(name).ok_or_else(|| format!("`{name}` is missing: {what}"));
    let address = |name: &str, text: &str| {
        text.parse::<IpAddr>().map_err(|_| format!("`{name}={text}`: an address like 192.0.2.1 or fd00::1"))
    };
    let one =
        |name: &str, text: &str| macs(text)?.first().copied().ok_or(format!("`{name}`: one MAC address"));
    let (to, from) =
        (address("remote", to)?, address("local", need("local", "the address that copies come from")?)?);
    if to.is_ipv4() != from.is_ipv4() {
        return Err("`remote` and `local` are both IPv4 or both IPv6".to_owned());
    }
    let form = get("form").unwrap_or("erspan2");
    let Some((_, own_options)) = FORMS.iter().find(|(name, _)| *name == form) else {
        return Err(format!("`form={form}`: one of {}", FORMS.map(|(name, _)| name).join(", ")));
    };
    let others = FORMS.iter().flat_map(|(_, options)| options.iter());
    if let Some(name) = others.copied().find(|name| get(name).is_some() && !own_options.contains(name)) {
        return Err(format!("form={form} has no `{name}`"));
    }
    let form = match form {
        "gre" => Form::Gre {
            key: get("key").map(|_| number(options, "key", 0, 0, u64::from(u32::MAX))).transpose()?,
        },
        "erspan1" => Form::ErspanI,
        "erspan3" => Form::ErspanIII {
            session: number(options, "session", 1, 0, 1023)?,
            hardware: number(options, "hardware", 0, 0, 63)?,
            // Copies of what only goes out of ports are so marked.
            egress: get("to").is_some() && get("from").is_none() && get("ports").is_none(),
        },
        _ => Form::ErspanII {
            session: number(options, "session", 1, 0, 1023)?,
            index: number(options, "index", 0, 0, (1 << 20) - 1)?,
        },
    };
    let dscp: u64 = number(options, "dscp", 0, 0, 63)?;
    Ok(Some(RemoteSettings {
        port: port(need("via", "the port that leads to the collector")?)?,
        to_mac: one("mac", need("mac", "the collector's MAC address, or that of the router on the way")?)?,
        from_mac: get("from-mac").map_or(Ok(own), |text| one("from-mac", text))?,
        tag: get("tag").map(vlan).transpose()?,
        to,
        from,
        ttl: number(options, "ttl", 64, 1, 255)?,
        dscp: Dscp::try_from(dscp).map_err(|error| error.to_string())?,
        mtu: number(options, "mtu", 1500, LEAST_MTU as u64, 65_535)?,
        form,
    }))
}

impl Switch {
    pub(super) fn set_mirror(
        &mut self,
        switch: &str,
        name: String,
        options: Options,
    ) -> Result<Reply, SwitchError> {
        self.known_switch(switch)?;
        if !is_name(&name) {
            return Err(SwitchError::Name(name));
        }
        let mirrors = self.configuration.mirrors.get(switch);
        let mut whole = mirrors.and_then(|mirrors| mirrors.get(&name)).cloned().unwrap_or_default();
        merge(&mut whole, options);
        let port = |port: &str| match self.configured(port) {
            Ok(known) if known.switch == switch => Ok(known.number),
            Ok(known) => Err(format!("port `{port}` is one of {}", known.switch)),
            Err(error) => Err(error.to_string()),
        };
        let wrong = |text| SwitchError::Mirror(name.clone(), text);
        configuration::mirror(&whole, port, 0).map_err(wrong)?;
        remote(&whole, port, MacAddr::new([0; 6])).map_err(wrong)?;
        self.configuration.mirrors.entry(switch.to_owned()).or_default().insert(name, whole);
        self.apply_mirrors(switch);
        self.keep()?;
        Ok(Reply::Done)
    }

    pub(super) fn delete_mirror(&mut self, switch: &str, name: &str) -> Result<Reply, SwitchError> {
        self.known_switch(switch)?;
        let mirrors = self.configuration.mirrors.entry(switch.to_owned()).or_default();
        if mirrors.remove(name).is_none() {
            let known: Vec<&str> = mirrors.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
            return Err(SwitchError::Missing("mirror", name.to_owned(), format!("mirrors: {known}")));
        }
        if let Some(bridge) = self.bridges.lock().by_name.get_mut(switch) {
            bridge.set_mirror(name.to_owned(), None);
        }
        self.crew.changed_all();
        self.end_stream(switch, name);
        self.keep()?;
        Ok(Reply::Done)
    }

    pub(super) fn mirrors(&self) -> Vec<MirrorStatus> {
        let all = self.configuration.mirrors.iter();
        all.flat_map(|(switch, mirrors)| {
            mirrors.iter().map(|(name, options)| MirrorStatus {
                switch: switch.clone(),
                name: name.clone(),
                options: options.clone(),
            })
        })
        .collect()
    }

    /// Gives a bridge its mirrors as they are configured. Ports that are gone are left out; a mirror whose output is
    /// gone rests.
    pub(super) fn apply_mirrors(&mut self, switch: &str) {
        let Some(mirrors) = self.configuration.mirrors.get(switch) else { return };
        let mut streams = Vec::new();
        {
            let mut bridges = self.bridges.lock();
            let Some(bridge) = bridges.by_name.get_mut(switch) else { return };
            for (name, options) in mirrors {
                // Number 0 is nobody's.
                let number =
                    |port: &str| Ok(self.configuration.ports.get(port).map_or(0, |port| port.number));
                let key = (switch.to_owned(), name.clone());
                let settings = remote(options, number, bridge.options.address).ok().flatten();
                let free =
                    (1..).find(|free| !self.streams.values().any(|(taken, _)| taken == free)).unwrap_or(0);
                let stream = match &settings {
                    Some(settings) => {
                        let (stream, sequence) =
                            self.streams.entry(key).or_insert_with(|| (free, Arc::default()));
                        streams.push((*stream, Some(Remote::new(*settings, sequence.clone()))));
                        *stream
                    }
                    None => {
                        streams.extend(self.streams.remove(&key).map(|(stream, _)| (stream, None)));
                        0
                    }
                };
                bridge.set_mirror(name.clone(), configuration::mirror(options, number, stream).ok());
            }
        }
        for (stream, remote) in streams {
            if let Err(error) = self.crew.remote(stream, remote) {
                tracing::error!(%error, "a mirror's collector can't be set");
            }
        }
        self.crew.changed_all();
    }

    /// Ends the stream of a mirror that is gone, if it had one.
    pub(super) fn end_stream(&mut self, switch: &str, name: &str) {
        if let Some((stream, _)) = self.streams.remove(&(switch.to_owned(), name.to_owned()))
            && let Err(error) = self.crew.remote(stream, None)
        {
            tracing::error!(%error, "a mirror's collector can't be taken away");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<RemoteSettings>, String> {
        let options = text.split_whitespace().filter_map(|word| word.split_once('='));
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let port = |name: &str| if name == "p9" { Ok(9) } else { Err(format!("there is no port `{name}`")) };
        remote(&options, port, MacAddr::new([2, 0, 0, 0, 0, 7]))
    }

    const WHERE: &str = "remote=192.0.2.9 local=192.0.2.1 via=p9 mac=02:00:00:00:00:09";

    #[test]
    fn collectors() {
        assert_eq!(of("output=p9"), Ok(None));
        let usual = of(WHERE).unwrap().unwrap();
        assert_eq!((usual.port, usual.ttl, usual.mtu, usual.tag), (9, 64, 1500, None));
        assert_eq!(usual.from_mac, MacAddr::new([2, 0, 0, 0, 0, 7]));
        assert_eq!(usual.form, Form::ErspanII { session: 1, index: 0 });
        let form = |text: &str| of(&format!("{WHERE} {text}")).map(|settings| settings.unwrap().form);
        assert_eq!(form("form=gre key=5"), Ok(Form::Gre { key: Some(5) }));
        assert_eq!(form("form=gre"), Ok(Form::Gre { key: None }));
        assert_eq!(form("form=erspan1"), Ok(Form::ErspanI));
        assert_eq!(form("session=1023 index=9"), Ok(Form::ErspanII { session: 1023, index: 9 }));
        let third = |egress| Ok(Form::ErspanIII { session: 2, hardware: 3, egress });
        assert_eq!(form("form=erspan3 session=2 hardware=3 to=p1"), third(true));
        assert_eq!(form("form=erspan3 session=2 hardware=3 ports=p1"), third(false));
        let all =
            of(&format!("{WHERE} tag=7 ttl=3 dscp=46 mtu=9000 from-mac=02:00:00:00:00:05")).unwrap().unwrap();
        assert_eq!((all.tag, all.ttl, all.dscp.get(), all.mtu), (Some(7), 3, 46, 9000));
        for (wrong, why) in [
            ("mtu=1500".to_owned(), "needs `remote`"),
            ("remote=there".to_owned(), "an address like"),
            ("remote=192.0.2.9".to_owned(), "`local` is missing"),
            (WHERE.replace("local=192.0.2.1", "local=fd00::1"), "both IPv4"),
            (WHERE.replace("via=p9", ""), "`via` is missing"),
            (WHERE.replace("via=p9", "via=p8"), "no port `p8`"),
            (WHERE.replace("mac=02", "mac=01"), "address of a group"),
            (format!("{WHERE} form=erspan4"), "erspan2, erspan3"),
            (format!("{WHERE} form=gre session=4"), "form=gre has no `session`"),
            (format!("{WHERE} session=1024"), "from 0 to 1023"),
            (format!("{WHERE} mtu=60"), "from 128"),
            (format!("{WHERE} ttl=0"), "from 1 to 255"),
        ] {
            let told = of(&wrong).unwrap_err();
            assert!(told.contains(why), "{wrong}: {told}");
        }
    }
}
