//! `ping`: echo requests from one node to another, by name.

use super::{running, select};
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_control::check::{addresses, choose};
use netloom_control::probe::{Place, human, icmp};
use netloom_control::realm::Realm;
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

/// What is asked for.
pub struct Request<'a> {
    /// From this node.
    pub from: &'a str,
    /// To this node or address.
    pub to: &'a str,
    /// Which topology.
    pub topology: Option<&'a str>,
    /// How many.
    pub count: u32,
    /// Time between two.
    pub interval: Duration,
    /// Use IPv6.
    pub ipv6: bool,
}

#[derive(Serialize)]
struct Report {
    from: String,
    to: String,
    address: IpAddr,
    sent: u32,
    answered: u32,
    /// Microseconds.
    times: Vec<u64>,
}

/// Pings and prints. The exit status is 1 when nothing answered.
///
/// # Errors
/// When the nodes are not up or have no addresses.
pub fn ping(realm: &Realm, printer: &Printer, request: &Request<'_>) -> Result<u8, Failure> {
    let (topology, from, path) = select::node(realm, request.from, request.topology)?;
    let target = match request.to.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => {
            let running = running::load(realm, &topology)?;
            let all = addresses(&running.compiled);
            let of = |name: &str| {
                all.iter().find(|(node, _)| node.as_str() == name).map_or(&[][..], |(_, own)| own.as_slice())
            };
            choose(of(&from), of(request.to), request.ipv6).ok_or_else(|| {
                Failure::new(format!(
                    "`{}` is no node of `{topology}` with an {} address",
                    request.to,
                    if request.ipv6 { "IPv6" } else { "IPv4" }
                ))
                .help({
                    let names: Vec<String> = all.keys().map(ToString::to_string).collect();
                    select::near(&names, request.to)
                })
            })?
        }
    };
    let place = Place::at(path);
    let mut report =
        Report { from, to: request.to.to_owned(), address: target, sent: 0, answered: 0, times: Vec::new() };
    for number in 1..=request.count {
        if number > 1 {
            std::thread::sleep(request.interval);
        }
        report.sent += 1;
        let answer = place.run(|| icmp::echo(target, Duration::from_secs(1), None))?;
        let text = match answer {
            Ok(icmp::Echo::Answer { time }) => {
                report.answered += 1;
                report.times.push(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
                printer.paint(Tone::Good, &human(time))
            }
            Ok(icmp::Echo::Unreachable { by } | icmp::Echo::Exceeded { by }) => {
                printer.paint(Tone::Bad, &format!("{by} says it can't be delivered"))
            }
            Ok(icmp::Echo::Silence) => printer.paint(Tone::Bad, "no answer"),
            Err(error) if icmp::is_network_error(&error) => printer.paint(Tone::Bad, &error.to_string()),
            Err(error) => return Err(error.into()),
        };
        if !printer.is_machine() {
            put(&format!("{} -> {} ({target})  {number}: {text}\n", report.from, report.to))?;
        }
    }
    if printer.is_machine() {
        printer.machine(&report)?;
    } else {
        let lost = report.sent - report.answered;
        put(&format!(
            "{} sent, {} answered, {lost} lost{}\n",
            report.sent,
            report.answered,
            spread(&report.times)
        ))?;
    }
    Ok(u8::from(report.answered == 0))
}

fn spread(times: &[u64]) -> String {
    let (Some(low), Some(high)) = (times.iter().min(), times.iter().max()) else { return String::new() };
    let mean = times.iter().sum::<u64>() / times.len() as u64;
    format!(
        "; min {} mean {} max {}",
        human(Duration::from_micros(*low)),
        human(Duration::from_micros(mean)),
        human(Duration::from_micros(*high))
    )
}
