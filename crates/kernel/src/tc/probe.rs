//! What the kernel has, found out by trying.

use super::{TcError, apply, delete, observe};
use crate::netlink::Socket;
use netloom_compile::object::Family;
use netloom_compile::object::shaper::{
    BitRate, ClassId, Filter, FilterKind, FqCodel, Htb, HtbClass, Ingress, Match, Netem, Prio, Qdisc, Sfq,
    Shaper, Support, Tbf,
};
use netloom_wire::InterfaceName;
use rustix::io::Errno;
use std::time::Duration;

/// Tries every kind on an interface and takes it away again. The interface must carry no traffic that
/// matters: `lo` of a namespace made for it is best. Kernels load the modules that they have.
///
/// # Errors
/// When the caller may not change queueing there, or the interface has another program's.
pub fn probe(socket: &mut Socket, ifindex: u32, name: &InterfaceName) -> Result<Support, TcError> {
    let mut prober = Prober { socket, ifindex };
    let rate = BitRate::mbit(1);
    let tbf = Tbf::new(rate, 1500, Duration::from_millis(50));
    let htb = |when: Option<Match>| {
        let class = ClassId::try_from(1).ok();
        Shaper::egress(Qdisc::Htb(Htb {
            default: class,
            r2q: None,
            classes: class.map(|id| (id, HtbClass::new(rate, rate, 1500))).into_iter().collect(),
            filters: class.and_then(|class| Some(Filter { when: when?, class })).into_iter().collect(),
        }))
    };
    let ip = Match { family: Some(Family::V4), ..Match::default() };
    let marked = Match { mark: Some((1, 1)), ..Match::default() };
    let mut has = |qdisc: Qdisc| prober.has(&Shaper::egress(qdisc), FilterKind::U32);
    let mut support = Support {
        tbf: has(Qdisc::Tbf(tbf))?,
        netem: has(Qdisc::Netem(Box::new(Netem { delay: Duration::from_millis(1), ..Netem::default() })))?,
        prio: has(Qdisc::Prio(Prio::default()))?,
        fq_codel: has(Qdisc::FqCodel(FqCodel::default()))?,
        sfq: has(Qdisc::Sfq(Sfq::default()))?,
        ..Support::default()
    };
    support.htb = prober.has(&htb(None), FilterKind::U32)?;
    if support.htb {
        support.u32 = prober.has(&htb(Some(ip.clone())), FilterKind::U32)?;
        support.flower = prober.has(&htb(Some(ip)), FilterKind::Flower)?;
        support.u32_mark = support.u32 && prober.has(&htb(Some(marked)), FilterKind::U32)?;
    }
    let arriving = |ingress| Shaper { ingress: Some(ingress), ..Shaper::default() };
    support.police = prober.has(&arriving(Ingress::Police { rate, burst: 10_000 }), FilterKind::U32)?;
    support.mirred = prober.has(&arriving(Ingress::Redirect { device: name.clone() }), FilterKind::U32)?;
    support.ingress = support.police || support.mirred;
    Ok(support)
}

struct Prober<'a> {
    socket: &'a mut Socket,
    ifindex: u32,
}

impl Prober<'_> {
    /// Whether the kernel takes a tree and gives it back: some kernels accept a mark and forget it.
    fn has(&mut self, shaper: &Shaper, filters: FilterKind) -> Result<bool, TcError> {
        let made = apply(self.socket, self.ifindex, None, shaper, filters);
        let there = match made {
            Ok(()) => {
                let found = observe(self.socket, Some(self.ifindex))?;
                found.get(&self.ifindex).is_some_and(|found| found.shaper.satisfies(shaper))
            }
            Err(error) if matches!(error.errno(), Some(Errno::PERM | Errno::ACCESS | Errno::NODEV)) => {
                return Err(error);
            }
            Err(error @ TcError::Foreign { .. }) => return Err(error),
            Err(_) => false,
        };
        delete(self.socket, self.ifindex)?;
        Ok(there)
    }
}
