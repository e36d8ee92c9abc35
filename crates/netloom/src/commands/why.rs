//! `why`: the way of a packet, step by step, with the line that decided each, and the way out for one that is lost.

use super::{join, load, running, select, session};
use crate::cli::{Output, WhyArgs};
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_compile::Compiled;
use netloom_control::check::{addresses, choose};
use netloom_control::realm::Realm;
use netloom_control::why::{
    Change, Question, QuestionError, Report, Scene, Step, Verdict, Wishes, add_machines, explain,
    hexadecimal, packet_of_flow, packet_of_frame, question, question_of, scene_of,
};
use std::fmt::Write;
use std::path::Path;

/// It does not get through.
const LOST: u8 = 4;
/// It can't be told.
const UNSURE: u8 = 5;

/// Explains and prints. The exit status tells the verdict.
///
/// # Errors
/// When nothing is up, or the question means nothing here.
pub fn run(realm: &Realm, printer: &Printer, arguments: &WhyArgs) -> Result<u8, Failure> {
    if arguments.live || arguments.drops {
        return super::follow::run(realm, printer, arguments);
    }
    let (scene, compiled) = match &arguments.file {
        Some(file) => {
            let loaded = load::read(file, &[])?;
            let (compiled, _) = session::compile(realm, &loaded)?;
            (scene_of(&compiled.desired, &compiled.interfaces), compiled)
        }
        None => look(realm, arguments)?,
    };
    let mut question = ask(&scene, &compiled, arguments)?;
    question.back = !arguments.one_way;
    // Before anything runs nobody listens.
    question.listens = !arguments.no_listener && arguments.file.is_none();
    if let Some(size) = arguments.size {
        (question.packet.length, question.packet.may_fragment) = (size, false);
    }
    let report = explain(&scene, Wishes(Some(&compiled.desired)), &question);
    match printer.output {
        Output::Json | Output::Yaml => printer.machine(&report)?,
        Output::Tree => put(&tree(printer, &report))?,
        _ => put(&text(printer, &report))?,
    }
    Ok(match report.verdict {
        Verdict::Answered | Verdict::Delivered => 0,
        Verdict::Unsure => UNSURE,
        Verdict::Refused | Verdict::Lost | Verdict::AnswerLost => LOST,
    })
}

fn look(realm: &Realm, arguments: &WhyArgs) -> Result<(Scene, Compiled), Failure> {
    join(realm)?;
    let name = select::topology(realm, arguments.topology.topology.as_deref())?;
    let running = running::load(realm, &name)?;
    let machine = session::machine(realm, &running.name)?;
    let mut scene = machine.scene().map_err(Failure::new)?;
    add_machines(&mut scene, &running.compiled.interfaces);
    Ok((scene, running.compiled))
}

pub(super) fn ask(scene: &Scene, compiled: &Compiled, arguments: &WhyArgs) -> Result<Question, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    let packet = if let Some(hex) = &arguments.hex {
        let octets = hexadecimal(hex).map_err(|error| failed(&error))?;
        packet_of_frame(&octets).map_err(|error| failed(&error))?
    } else if let Some(flow) = &arguments.flow {
        packet_of_flow(flow).map_err(|error| failed(&error))?
    } else if let Some(file) = &arguments.pcap {
        packet_of_frame(&captured(file)?).map_err(|error| failed(&error))?
    } else {
        let (from, to) =
            (arguments.from.as_deref().unwrap_or_default(), arguments.to.as_deref().unwrap_or_default());
        let ask = |to: &str| question(scene, from, to, &arguments.protocol, arguments.ipv6);
        return match ask(to) {
            // It has lost its address; the one that the file gives it is meant.
            Err(error @ QuestionError::NoAddress(_)) => {
                let all = addresses(compiled);
                let own = all.iter().find(|(node, _)| node.as_str() == to).map(|(_, own)| own.as_slice());
                let address = own.and_then(|own| choose(&[], own, arguments.ipv6));
                let address = address.ok_or_else(|| failed(&error))?;
                let mut question = ask(&address.to_string()).map_err(|error| failed(&error))?;
                question.to_name = format!("{to} ({address})");
                Ok(question)
            }
            answer => answer.map_err(|error| failed(&error)),
        };
    };
    question_of(scene, packet).map_err(|error| failed(&error))
}

/// A frame of a capture file, `FILE:NUMBER`.
fn captured(text: &str) -> Result<Vec<u8>, Failure> {
    let (path, number) = match text.rsplit_once(':') {
        Some((path, number)) if number.parse::<u64>().is_ok() => (path, number.parse().unwrap_or(1)),
        _ => (text, 1_u64),
    };
    netloom_port::pcap::frame(Path::new(path), number)
        .map_err(|error| Failure::new(format!("{path} can't be read: {error}")))?
        .ok_or_else(|| Failure::new(format!("{path} has no packet {number}")))
}

/// The steps that are shown to everybody.
fn shown(steps: &[Step]) -> impl Iterator<Item = &Step> {
    steps.iter().filter(|step| !step.detail)
}

fn headline(printer: &Printer, report: &Report) -> String {
    let (mark, tone) = match report.verdict {
        Verdict::Answered | Verdict::Delivered => ("✓", Tone::Good),
        Verdict::Unsure => ("?", Tone::Warn),
        Verdict::Refused | Verdict::Lost | Verdict::AnswerLost => ("✗", Tone::Bad),
    };
    printer.paint(tone, &format!("{mark} {}", report.sentence))
}

fn text(printer: &Printer, report: &Report) -> String {
    let mut out = format!("{}\n", headline(printer, report));
    let width = report.forward.iter().chain(&report.back).map(|step| step.space.len()).max().unwrap_or(0);
    let mut number = 0;
    for (title, steps) in [(&report.packet, &report.forward), (&"the answer".to_owned(), &report.back)] {
        if steps.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n  {}", printer.paint(Tone::Dim, title));
        let mut before = "";
        for step in shown(steps) {
            number += 1;
            let space = if before == step.space { "" } else { step.space.as_str() };
            before = &step.space;
            let sentence = if step.ends { printer.paint(Tone::Bad, &step.text) } else { step.text.clone() };
            let origin =
                step.origin.as_deref().map(|origin| printer.paint(Tone::Dim, &format!("  [{origin}]")));
            let name = printer.paint(Tone::Strong, &format!("{space:width$}"));
            let _ = writeln!(out, "  {number:>2}  {name}  {sentence}{}", origin.unwrap_or_default());
        }
    }
    out.push_str(&ways_out(printer, report));
    out
}

fn ways_out(printer: &Printer, report: &Report) -> String {
    let mut out = String::new();
    for (index, change) in report.changes.iter().enumerate() {
        let title = if index == 0 { "What would let it through:" } else { "or:" };
        let _ = writeln!(out, "\n{}", printer.paint(Tone::Strong, title));
        out.push_str(&proposal(printer, change));
    }
    let lost = matches!(report.verdict, Verdict::Lost | Verdict::AnswerLost);
    if lost && report.changes.is_empty() {
        let _ = writeln!(
            out,
            "\n{}",
            printer.paint(Tone::Dim, "No small change was found that lets it through.")
        );
    }
    for doubt in &report.doubts {
        let _ = writeln!(out, "{} {doubt}", printer.paint(Tone::Warn, "can't be told:"));
    }
    out
}

fn proposal(printer: &Printer, change: &Change) -> String {
    let mut out = String::new();
    for sentence in &change.sentences {
        let _ = writeln!(out, "  {}", printer.paint(Tone::Good, sentence));
    }
    for how in &change.how {
        let _ = writeln!(out, "    {how}");
    }
    if !change.origins.is_empty() {
        let _ =
            writeln!(out, "    {}", printer.paint(Tone::Dim, &format!("[{}]", change.origins.join(", "))));
    }
    out
}

fn tree(printer: &Printer, report: &Report) -> String {
    let mut out = format!("{}\n", headline(printer, report));
    let legs = [(report.packet.as_str(), &report.forward), ("the answer", &report.back)];
    for (title, steps) in legs.iter().filter(|(_, steps)| !steps.is_empty()) {
        let _ = writeln!(out, "{title}");
        branches(printer, steps, "", &mut out);
    }
    out.push_str(&ways_out(printer, report));
    out
}

fn branches(printer: &Printer, steps: &[Step], indent: &str, out: &mut String) {
    for (index, step) in steps.iter().enumerate() {
        let last = index + 1 == steps.len();
        let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let sentence = if step.ends { printer.paint(Tone::Bad, &step.text) } else { step.text.clone() };
        let object = step.object.iter().map(|object| format!("  {object}"));
        let origin = step.origin.iter().map(|origin| format!("  [{origin}]"));
        let beside: String = object.chain(origin).collect();
        let _ = writeln!(
            out,
            "{indent}{branch}{} {}: {sentence}{}",
            printer.paint(Tone::Strong, &step.space),
            step.kind,
            printer.paint(Tone::Dim, &beside)
        );
        let next = format!("{indent}{below}");
        for compared in &step.compared {
            let _ = writeln!(out, "{next}· {}", printer.paint(Tone::Dim, compared));
        }
        branches(printer, &step.inner, &next, out);
    }
}
