//! Media: known profiles, and properties that a cable can have.

use super::codes;
use super::context::{Check, suggest};
use crate::source::Span;
use crate::topology::{Duplex, Medium, Network};

/// The profiles of the language.
pub const PROFILES: [&str; 17] = [
    "cat5", "cat5e", "cat6", "cat6a", "fibre-sm", "smf", "fibre-mm", "mmf", "coax", "rg6", "rg11", "wifi-n",
    "wifi-ac", "wifi-ax", "4g", "lte", "5g",
];

/// The medium of a link between two interfaces.
pub(super) fn link(check: &mut Check<'_>, medium: &Medium) {
    properties(check, medium);
}

/// The medium of the cables to a network.
pub(super) fn port(check: &mut Check<'_>, medium: &Medium, span: Span, network: Option<&Network>) {
    properties(check, medium);
    if let Some(duplex) = &medium.duplex
        && duplex.value == Duplex::Simplex
    {
        check.error(
            codes::MEDIUM,
            duplex.span,
            "a cable to a network can't be simplex",
            "which way?",
            "write a link with two ends: the first one sends",
        );
    }
    if network.is_some_and(|network| !super::networks::is_switch(network.mode)) {
        // A network of this mode that names a medium itself is told by its own check.
        let own = network.is_some_and(|network| network.medium.is_some());
        if !own {
            check.error(
                codes::MEDIUM,
                span,
                "macvlan and ipvlan interfaces have no cable of their own",
                "no cable",
                "shape the parent, or use `qos`",
            );
        }
    }
}

fn properties(check: &mut Check<'_>, medium: &Medium) {
    if let Some(profile) = &medium.profile
        && !PROFILES.contains(&profile.as_str())
    {
        let help = match suggest(profile, PROFILES) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None => format!("the profiles are {}", PROFILES.join(", ")),
        };
        check.error(
            codes::UNKNOWN_WORD,
            profile.span,
            format!("there is no medium `{}`", crate::diagnostic::printable(profile)),
            "unknown profile",
            help,
        );
    }
    if let Some(duplex) = &medium.duplex
        && duplex.value == Duplex::Half
        && medium.rate.is_none()
        && medium.profile.is_none()
    {
        check.error(
            codes::MEDIUM,
            duplex.span,
            "a half-duplex cable needs a rate that both ends share",
            "no rate to share",
            "add `rate` or `profile`",
        );
    }
    if let Some(jitter) = &medium.jitter {
        let delay = medium.delay.as_ref().map(|delay| delay.duration());
        if medium.profile.is_none() && delay.is_none_or(|delay| delay < jitter.duration()) {
            check.warning(
                codes::MEDIUM_JITTER,
                jitter.span,
                format!("the jitter {} is larger than the delay", jitter.value),
                "packets can't arrive before they were sent",
                "give a `delay` of at least the jitter",
            );
        }
    }
    if let Some(reorder) = &medium.reorder
        && medium.delay.is_none()
        && medium.profile.is_none()
    {
        check.error(
            codes::MEDIUM,
            reorder.span,
            "packets can only overtake others that wait: `reorder` needs a delay",
            "no delay",
            "add `delay`",
        );
    }
}
