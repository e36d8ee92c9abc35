//! The action set (OpenFlow 1.5.1, 5.6): what is carried out at the end, in an order of its own.

use super::context::Context;
use netloom_proto::openflow::Action;

/// The actions of a set in the order in which they are carried out. What can't be in a set (outputs that cut, that name a
/// field, that tell more to a controller) is left out, as in Open vSwitch: a bucket may have it.
pub(super) fn order(set: &[Action]) -> Vec<Action> {
    let last = |is: fn(&Action) -> bool| set.iter().rev().find(|action| is(action)).cloned();
    let mut ordered = Vec::new();
    let firsts: [fn(&Action) -> bool; 9] = [
        |action| matches!(action, Action::StripVlan | Action::PopVlan),
        |action| matches!(action, Action::PopMpls(_)),
        |action| matches!(action, Action::Decap { .. }),
        |action| matches!(action, Action::Encap(_)),
        |action| matches!(action, Action::PushMpls(_)),
        |action| matches!(action, Action::PushVlan(_)),
        |action| matches!(action, Action::DecTtl | Action::DecTtlIds(_)),
        |action| matches!(action, Action::DecMplsTtl),
        |action| matches!(action, Action::DecNshTtl),
    ];
    ordered.extend(firsts.into_iter().filter_map(last));
    ordered.extend(set.iter().filter(|action| sets(action)).cloned());
    ordered.extend(last(|action| matches!(action, Action::SetQueue(_))));
    let ends: [fn(&Action) -> bool; 4] = [
        |action| matches!(action, Action::Group(_)),
        |action| matches!(action, Action::Output { .. }),
        |action| matches!(action, Action::Resubmit { .. }),
        |action| matches!(action, Action::Ct(_)),
    ];
    match ends.into_iter().find_map(last) {
        // What is sent nowhere need not be changed.
        None => ordered.clear(),
        Some(end) => ordered.push(end),
    }
    ordered
}

fn sets(action: &Action) -> bool {
    matches!(
        action,
        Action::SetField(_)
            | Action::Load { .. }
            | Action::Move { .. }
            | Action::SetVlanVid { .. }
            | Action::SetVlanPcp { .. }
            | Action::SetEthSrc(_)
            | Action::SetEthDst(_)
            | Action::SetIpv4Src(_)
            | Action::SetIpv4Dst(_)
            | Action::SetIpTos(_)
            | Action::SetIpEcn(_)
            | Action::SetIpTtl(_)
            | Action::SetTpSrc(_)
            | Action::SetTpDst(_)
            | Action::SetMplsLabel(_)
            | Action::SetMplsTc(_)
            | Action::SetMplsTtl(_)
            | Action::SetTunnel(_)
            | Action::SetTunnel64(_)
    )
}

impl Context<'_> {
    /// Carries the action set out, and empties it.
    pub(super) fn run_action_set(&mut self) {
        // An `exit` keeps the set from being carried out, as in Open vSwitch.
        if self.problem.is_some() || self.exit || self.action_set.is_empty() {
            return;
        }
        let actions = order(&std::mem::take(&mut self.action_set));
        let before = std::mem::replace(&mut self.in_action_set, true);
        self.run(&actions, true);
        self.in_action_set = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netloom_proto::openflow::OfPort;

    #[test]
    fn order_of_the_standard() {
        let output = |port| Action::Output { port: OfPort(port), max_len: 0 };
        let set = [
            output(1),
            Action::SetIpTtl(3),
            Action::DecTtl,
            Action::PushVlan(0x8100),
            output(2),
            Action::PopVlan,
        ];
        let wanted =
            [Action::PopVlan, Action::PushVlan(0x8100), Action::DecTtl, Action::SetIpTtl(3), output(2)];
        assert_eq!(order(&set), wanted);
        assert_eq!(order(&[output(1), Action::Group(7)]), [Action::Group(7)]);
        assert_eq!(order(&[Action::DecTtl]), []);
        let cut = Action::OutputTruncated { port: OfPort(3), max_len: 64 };
        assert_eq!(order(&[output(1), cut.clone()]), [output(1)]);
        assert_eq!(order(&[cut]), []);
    }
}
