//! The filter at the ingress and its action: police or redirect (linux/pkt_cls.h, linux/tc_act/tc_mirred.h).

use super::piece::Layer;
use super::qdisc::{TCA_KIND, TCA_OPTIONS};
use super::u32::{TCA_U32_ACT, everything, is_everything};
use super::units::{RATESPEC, Ticks, is_wide, rate, rate_table, ratespec, u32_at, words};
use super::wire::{Place, filter_header};
use crate::netlink::{Attribute, Message, Messages};
use netloom_compile::object::shaper::{BitRate, ROOT_MAJOR};

const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TC_ACT_OK: u32 = 0;
const TC_ACT_SHOT: u32 = 2;
const TC_ACT_STOLEN: u32 = 4;

const TCA_POLICE_TBF: u16 = 1;
const TCA_POLICE_RATE: u16 = 2;
const TCA_POLICE_RESULT: u16 = 5;
const TCA_POLICE_RATE64: u16 = 8;
/// The policer drops every packet longer than this. Packets that were received in one piece by segmentation
/// offload are up to 512 KiB long.
const POLICE_MTU: u32 = 1 << 20;

const TCA_MIRRED_PARMS: u16 = 2;
const TCA_EGRESS_REDIR: u32 = 1;

/// What an action does, with interfaces by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Police { rate: BitRate, burst: u32 },
    Redirect { ifindex: u32 },
}

/// The priority of our filter at the ingress, which is also its mark: the ingress discipline itself always
/// has the handle `ffff:`.
pub(super) const PRIORITY: u16 = ROOT_MAJOR;

/// Appends the request that makes the filter.
pub(super) fn encode(messages: &mut Messages, place: Place, action: Action, ticks: Ticks) {
    encode_filter(messages, place, |m| encode_action(m, action, ticks));
}

/// The same with an action that has a name and nothing else, to find out whether the kernel knows it.
pub(super) fn encode_bare(messages: &mut Messages, place: Place, action: &str) {
    encode_filter(messages, place, |m| {
        m.text(TCA_ACT_KIND, action);
    });
}

fn encode_filter(messages: &mut Messages, place: Place, action: impl FnOnce(&mut Message<'_>)) {
    let mut message = messages.add(libc::RTM_NEWTFILTER, (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16);
    message.header(&filter_header(place, 1, PRIORITY, Layer::Any.protocol()));
    message.text(TCA_KIND, "u32").nest_plain(TCA_OPTIONS, |m| {
        everything(m);
        m.nest_plain(TCA_U32_ACT, |m| {
            // Actions are numbered from 1.
            m.nest_plain(1, action);
        });
    });
}

fn encode_action(m: &mut Message<'_>, action: Action, ticks: Ticks) {
    match action {
        Action::Police { rate, burst } => {
            let mut parameters = words(&[0, TC_ACT_SHOT, 0, ticks.sending(rate, burst), POLICE_MTU]);
            parameters.extend_from_slice(&ratespec(rate));
            parameters.extend_from_slice(&[0; RATESPEC]);
            parameters.extend(words(&[0, 0, 0]));
            m.text(TCA_ACT_KIND, "police").nest(TCA_ACT_OPTIONS, |m| {
                m.octets(TCA_POLICE_TBF, &parameters);
                m.octets(TCA_POLICE_RATE, &rate_table(ticks, rate));
                m.u32(TCA_POLICE_RESULT, TC_ACT_OK);
                if is_wide(rate) {
                    m.u64(TCA_POLICE_RATE64, rate.octets());
                }
            });
        }
        Action::Redirect { ifindex } => {
            let parameters = words(&[0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, ifindex]);
            m.text(TCA_ACT_KIND, "mirred").nest(TCA_ACT_OPTIONS, |m| {
                m.octets(TCA_MIRRED_PARMS, &parameters);
            });
        }
    }
}

/// Reads the filter; `None` for one that [`encode`] does not make.
pub(super) fn decode(options: Attribute<'_>, ticks: Ticks) -> Option<Action> {
    if !is_everything(options) {
        return None;
    }
    let mut actions = options.nested().get(TCA_U32_ACT)?.nested();
    let action = actions.next()?.nested();
    if actions.next().is_some() {
        return None;
    }
    let options = action.get(TCA_ACT_OPTIONS)?.nested();
    match action.get(TCA_ACT_KIND)?.text()? {
        "police" => {
            let parameters = options.get(TCA_POLICE_TBF)?.value;
            let wide = options.get(TCA_POLICE_RATE64).and_then(Attribute::u64);
            let police_rate = rate(parameters.get(20..)?, wide)?;
            if u32_at(parameters, 4)? != TC_ACT_SHOT {
                return None;
            }
            Some(Action::Police {
                rate: police_rate,
                burst: ticks.octets(police_rate, u32_at(parameters, 12)?),
            })
        }
        "mirred" => {
            let parameters = options.get(TCA_MIRRED_PARMS)?.value;
            if u32_at(parameters, 8)? != TC_ACT_STOLEN || u32_at(parameters, 20)? != TCA_EGRESS_REDIR {
                return None;
            }
            Some(Action::Redirect { ifindex: u32_at(parameters, 24)? })
        }
        _ => None,
    }
}
