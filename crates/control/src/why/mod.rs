//! Why a packet goes where it goes, or dies where it dies.
//!
//! ```text
//! live::look (kernel, switch daemon) --> Scene --explain(Question)--> Report: verdict, steps, ways out
//! scene_of (description)             -->   |
//!                                          `-- every proposed change is made in a copy and walked again
//! ```
//!
//! What: [`explain`] walks a packet through a [`Scene`], and its answer back, and says at each step what happened, which object
//! decided and which line of the user's file asked for that. A lost packet comes with the smallest changes after which
//! the same walk arrives.
//!
//! Invariants: explaining changes nothing, neither in the kernel nor in a switch, and sends no packet. A change is proposed only
//! if the walk with it succeeds. What can't be read makes a verdict unsure, never wrong in silence.
//!
//! Costs: looking takes what an observation takes; a walk some milliseconds, each proposed change another.
//!
//! Where it falls short: which of several equal hops a flow takes, and which target a balancer chooses, can't be told; the first
//! is followed and the step says so. Traffic control, multicast and broadcast are not walked. Limits count as not reached.

mod bridge;
mod change;
mod filter;
mod follow;
mod hooks;
mod link;
mod live;
mod neighbour;
mod octets;
mod packet;
mod question;
mod report;
mod routing;
mod scene;
mod station;
mod tunnel;
mod walk;
mod wanted;

pub use follow::{Fate, Follow, Followed, Pattern, Stretch, patterns};
pub use live::look;
pub use octets::{NoPacket, hexadecimal, packet_of_flow, packet_of_frame};
pub use packet::{Packet, Tracked};
pub use question::{Question, QuestionError, question, question_of};
pub use report::{Change, Reason, Report, Step, Verdict};
pub use scene::{BehindPort, PortScene, Scene, SwitchScene, Wishes};
pub use wanted::{add_machines, scene_of};

use change::Edit;
use netloom_compile::object::Space;
use netloom_compile::object::firewall::Protocol;
use netloom_kernel::picture::{Listener, RouteDoes, SpacePicture};
use std::collections::VecDeque;
use walk::{Loss, Walker};

/// Most walks that are tried for changes.
const TRIALS: usize = 80;
/// Most changes that together let a packet through.
const TOGETHER: usize = 3;
/// Most changes that are proposed.
const PROPOSED: usize = 3;

/// A walk there and back.
struct Trial {
    sent: Packet,
    forward: Vec<Step>,
    back: Vec<Step>,
    verdict: Verdict,
    loss: Option<Box<Loss>>,
    arrived: Option<Space>,
    doubts: Vec<String>,
}

fn walk(scene: &Scene, wishes: Wishes<'_>, question: &Question) -> Trial {
    let mut walker = Walker::new(scene, wishes);
    let leg = walker.send(&question.from, question.packet.clone());
    let mut trial = Trial {
        sent: leg.sent,
        forward: leg.steps,
        back: Vec::new(),
        verdict: Verdict::Delivered,
        loss: None,
        arrived: None,
        doubts: Vec::new(),
    };
    match leg.end {
        Err(loss) => {
            trial.verdict = Verdict::Lost;
            trial.loss = Some(loss);
        }
        Ok(arrival) => {
            let space = scene.space(&arrival.space);
            let heard = space.is_none_or(|space| listens(space, &arrival.packet));
            let answer = arrival.packet.answer().filter(|_| question.back);
            let mut text = match (arrival.packet.destination_port, heard) {
                (Some(_), true) => {
                    format!("somebody listens on {}: it is delivered", arrival.packet.carries())
                }
                (Some(_), false) => format!("nobody listens on {}: it is refused", arrival.packet.carries()),
                (None, true) => "it is delivered".to_owned(),
                (None, false) => "it does not answer pings".to_owned(),
            };
            if !question.listens {
                text = "it is delivered".to_owned();
            }
            let refused = question.listens && !heard;
            let mut step = Step::new(&arrival.space, "delivery", text);
            if refused {
                step = step.ending();
            }
            trial.forward.push(step);
            if refused {
                trial.verdict = Verdict::Refused;
            }
            if let Some(answer) = answer {
                trial.doubts.extend(space.and_then(|space| other_source(space, &arrival)));
                let leg = walker.send_bound(&arrival.space, answer, arrival.input.clone());
                trial.back = leg.steps;
                match leg.end {
                    Err(loss) => {
                        trial.verdict = Verdict::AnswerLost;
                        trial.loss = Some(loss);
                    }
                    Ok(end) if end.space == question.from => {
                        trial.back.push(Step::new(&end.space, "delivery", "the answer is delivered"));
                        if !refused {
                            trial.verdict = Verdict::Answered;
                        }
                    }
                    Ok(end) => {
                        let sentence = format!("the answer ends at {}, which did not ask", end.space);
                        trial.back.push(Step::new(&end.space, "lost", sentence.clone()).ending());
                        let loss = Loss::new(&end.space, Reason::Martian, sentence);
                        trial.verdict = Verdict::AnswerLost;
                        trial.loss = Some(Box::new(loss));
                    }
                }
            }
            trial.arrived = Some(arrival.space);
        }
    }
    trial.doubts.extend(walker.doubts);
    for step in trial.forward.iter().chain(&trial.back) {
        let unread = scene.picture.spaces.iter().find(|(space, _)| space.to_string() == step.space);
        for what in unread.into_iter().flat_map(|(_, space)| &space.unread) {
            trial.doubts.push(format!("{}: {what} can't be read", step.space));
        }
    }
    trial.doubts.sort();
    trial.doubts.dedup();
    trial
}

/// A server of datagrams that listens on all addresses answers from the address that its routing chooses, which may be another
/// than the one that was asked.
fn other_source(space: &SpacePicture, arrival: &walk::Arrival) -> Option<String> {
    let packet = &arrival.packet;
    let exact = |listener: &Listener| {
        listener.protocol == packet.protocol.0
            && Some(listener.port) == packet.destination_port
            && listener.address == packet.destination
    };
    if packet.protocol != Protocol::UDP || arrival.input.is_none() || space.listeners.iter().any(exact) {
        return None;
    }
    let query = routing::Query {
        destination: packet.source,
        source: None,
        mark: 0,
        input: None,
        bound: arrival.input.as_ref(),
    };
    let routing::Found::Route(route) = routing::look_up(space, &query).found else { return None };
    let hop = match &route.action {
        RouteDoes::Forward(hops) => routing::living(space, hops).first().copied(),
        _ => None,
    };
    let source = routing::source(space, route, hop, packet.source)?;
    (source != packet.destination).then(|| {
        format!(
            "{}: a server that listens on all addresses answers datagrams from {source}, and {} was asked",
            arrival.space, packet.destination
        )
    })
}

/// Whether somebody takes a packet that was delivered.
fn listens(space: &SpacePicture, packet: &Packet) -> bool {
    if matches!(packet.protocol, Protocol::ICMP) && packet.icmp.is_some_and(|(kind, _)| kind == 8) {
        return !space.is_set("net/ipv4/icmp_echo_ignore_all");
    }
    if !matches!(packet.protocol, Protocol::TCP | Protocol::UDP) || packet.answers {
        return true;
    }
    let inside_machine = space.unread.iter().any(|what| what.contains("virtual machine"));
    inside_machine
        || space.listeners.iter().any(|listener| {
            let same = listener.address == packet.destination
                || listener.address.is_unspecified()
                    && (listener.address.is_ipv6() || packet.destination.is_ipv4());
            listener.protocol == packet.protocol.0 && Some(listener.port) == packet.destination_port && same
        })
}

/// Explains.
#[must_use]
pub fn explain(scene: &Scene, wishes: Wishes<'_>, question: &Question) -> Report {
    let trial = walk(scene, wishes, question);
    let carries = question.packet.carries();
    let (from, to) = (&question.from_name, &question.to_name);
    let mut verdict = trial.verdict;
    let mut sentence = match (&trial.loss, trial.verdict) {
        (Some(loss), Verdict::Lost) => format!("{from} does not reach {to} by {carries}: {}", loss.sentence),
        (Some(loss), _) => {
            format!("{from} reaches {to} by {carries}, but no answer comes back: {}", loss.sentence)
        }
        (None, Verdict::Refused) if question.packet.icmp.is_some() => {
            format!("{from} reaches {to} by {carries}, but {to} answers no pings")
        }
        (None, Verdict::Refused) => format!("{from} reaches {to} by {carries}, but nobody listens there"),
        (None, Verdict::Answered) => format!("{from} reaches {to} by {carries}, and the answer comes back"),
        (None, _) => format!("{from} reaches {to} by {carries}"),
    };
    if let Some(told) = trial.loss.as_ref().and_then(|loss| loss.told.as_ref()) {
        sentence.push_str(&format!(" (the sender is told: {told})"));
    }
    if matches!(verdict, Verdict::Answered | Verdict::Delivered) && !trial.doubts.is_empty() {
        verdict = Verdict::Unsure;
        sentence.push_str(", as far as can be told");
    }
    let changes = match &trial.loss {
        Some(_) => changes(scene, wishes, question, &trial),
        None => Vec::new(),
    };
    Report {
        from: from.clone(),
        to: to.clone(),
        packet: trial.sent.to_string(),
        verdict,
        sentence,
        reason: trial.loss.as_ref().map(|loss| loss.reason),
        origin: trial.loss.as_ref().and_then(|loss| loss.origin.clone()),
        forward: trial.forward,
        back: trial.back,
        changes,
        doubts: trial.doubts,
    }
}

/// The smallest changes with which the walk arrives: fewest first, and those first that only put back what the file says.
fn changes(scene: &Scene, wishes: Wishes<'_>, question: &Question, trial: &Trial) -> Vec<Change> {
    let Some(loss) = &trial.loss else { return Vec::new() };
    let mut queue: VecDeque<(Scene, Vec<Edit>, Vec<Edit>)> =
        VecDeque::from([(scene.clone(), Vec::new(), loss.edits.clone())]);
    let mut found: Vec<Vec<Edit>> = Vec::new();
    let mut trials = 0;
    while let Some((scene, made, edits)) = queue.pop_front() {
        if found.iter().any(|list| list.len() <= made.len()) {
            break;
        }
        for edit in edits {
            if trials >= TRIALS {
                break;
            }
            let mut scene = scene.clone();
            if made.contains(&edit) || !edit.apply(&mut scene, &wishes) {
                continue;
            }
            trials += 1;
            let next = walk(&scene, wishes, question);
            let mut together = made.clone();
            together.push(edit);
            match next.loss {
                None => found.push(together),
                Some(loss) if together.len() < TOGETHER => queue.push_back((scene, together, loss.edits)),
                Some(_) => {}
            }
        }
    }
    let fewest = found.iter().map(Vec::len).min().unwrap_or(0);
    found.retain(|list| list.len() == fewest);
    found.sort_by_key(|list| list.iter().filter(|edit| !edit.restores(&wishes)).count());
    // Where the file says it already, nothing else needs to be said.
    if found.first().is_some_and(|list| list.iter().all(|edit| edit.restores(&wishes))) {
        found.retain(|list| list.iter().all(|edit| edit.restores(&wishes)));
    } else if found.iter().any(|list| list.iter().any(|edit| matches!(edit, Edit::Policy { .. }))) {
        // A rule put in by hand would be taken away again: the file is the place.
        found.retain(|list| !list.iter().any(|edit| matches!(edit, Edit::Accept { .. })));
    }
    found.truncate(PROPOSED);
    found.iter().map(|list| proposal(list, &wishes)).collect()
}

fn proposal(edits: &[Edit], wishes: &Wishes<'_>) -> Change {
    let mut change = Change { sentences: Vec::new(), how: Vec::new(), origins: Vec::new() };
    for edit in edits {
        let (sentence, how, origin) = edit.words(wishes);
        let restored = edit.restores(wishes);
        change.sentences.push(if restored { format!("{sentence}, as the file says") } else { sentence });
        change.how.extend(how);
        change.origins.extend(origin);
    }
    if edits.iter().all(|edit| edit.restores(wishes)) && !edits.is_empty() {
        let file = wishes
            .0
            .and_then(|desired| desired.objects.values().next())
            .map(|object| object.origin.file.clone());
        change.how.insert(
            0,
            format!("netloom apply {}   (puts back all that differs)", file.as_deref().unwrap_or("FILE")),
        );
    }
    change.origins.dedup();
    change
}
