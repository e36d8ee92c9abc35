//! One module per command; `run` joins the realm that a command needs and calls it.

mod apply;
mod bench;
mod bond;
mod capture;
mod changes;
mod daemon;
mod destroy;
mod doctor;
mod events;
mod exec;
mod flow;
mod follow;
mod graph;
mod history;
mod import;
mod inspect;
mod link;
mod load;
mod ping;
mod plan;
mod rollback;
mod running;
mod select;
mod session;
mod summary;
mod switch;
mod switchd;
mod test;
mod trace;
mod vm;
mod watch;
mod why;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::output::{Printer, put};
use clap::CommandFactory;
use netloom_control::realm::Realm;

/// Runs the command and returns the exit status.
///
/// # Errors
/// What went wrong, with the way out.
pub fn run(cli: &Cli, printer: &Printer) -> Result<u8, Failure> {
    let shows_machine = matches!(&cli.command, Command::Vm { command: crate::cli::VmCommand::Show { .. } });
    if printer.output.is_for_machines() && !shows_machine {
        return Err(Failure::new("this form of output is for `netloom vm show` only")
            .help("others have -o table, wide, json and yaml"));
    }
    if printer.output == crate::cli::Output::Tree && !matches!(cli.command, Command::Why(_)) {
        return Err(Failure::new("this form of output is for `netloom why` only")
            .help("others have -o table, wide, json and yaml"));
    }
    // Nothing of this needs a realm.
    match &cli.command {
        Command::Validate(file) => {
            let loaded = load::read(&file.file, &file.vars)?;
            loaded.print_warnings(printer);
            if printer.is_machine() {
                printer.machine(&serde_json::json!({ "valid": true, "topology": loaded.name() }))?;
            } else {
                put(&format!("{} is right: topology `{}`\n", loaded.source.name(), loaded.name()))?;
            }
            return Ok(0);
        }
        Command::Import { command: crate::cli::ImportCommand::Ovs(arguments) } => {
            return import::ovs(printer, arguments);
        }
        Command::Schema => {
            put(&format!("{:#}\n", netloom_model::load::schema()))?;
            return Ok(0);
        }
        Command::Completion { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "netloom", &mut std::io::stdout());
            return Ok(0);
        }
        Command::Daemon => return daemon::run(),
        Command::Switchd(arguments) => return switchd::run(cli.run.as_deref(), arguments),
        Command::Switch { command } => return switch::switch(cli.run.as_deref(), printer, command),
        Command::Port { command } => return switch::port(cli.run.as_deref(), printer, command),
        Command::Bond { command } => return bond::bond(cli.run.as_deref(), printer, command),
        Command::Link { command } => return link::link(cli.run.as_deref(), printer, command),
        Command::Mirror { command } => return switch::mirror(cli.run.as_deref(), printer, command),
        Command::Fdb { command } => return switch::fdb(cli.run.as_deref(), printer, command),
        Command::Flow { command } => return flow::flow(cli.run.as_deref(), printer, command),
        Command::Group { command } => return flow::group(cli.run.as_deref(), printer, command),
        Command::Meter { command } => return flow::meter(cli.run.as_deref(), printer, command),
        Command::Capture(arguments) => return capture::run(cli.run.as_deref(), printer, arguments),
        Command::Trace(arguments) => return trace::run(cli.run.as_deref(), printer, arguments),
        Command::Flows => return switch::flows(cli.run.as_deref(), printer),
        Command::Bench { command } => return bench::run(printer, command),
        Command::Top { once } => {
            let once = once.as_deref().map(time_span).transpose()?;
            return switch::top(cli.run.as_deref(), printer, once);
        }
        _ => {}
    }
    let realm = Realm::locate_with(cli.rootless);
    let result = in_realm(cli, printer, &realm);
    // A daemon that holds nothing is a leftover, whatever became of the command.
    if !matches!(cli.command, Command::Exec { .. } | Command::Shell { .. }) {
        daemon::stop_if_idle(&realm)?;
    }
    result
}

/// Joins the namespaces of what is up; an error if nothing can be up.
fn join(realm: &Realm) -> Result<(), Failure> {
    if realm.enter(None)? {
        Ok(())
    } else {
        Err(Failure::new("nothing is up").help("netloom apply FILE makes a network"))
    }
}

fn in_realm(cli: &Cli, printer: &Printer, realm: &Realm) -> Result<u8, Failure> {
    match &cli.command {
        Command::Validate(_)
        | Command::Schema
        | Command::Completion { .. }
        | Command::Daemon
        | Command::Import { .. }
        | Command::Switchd(_)
        | Command::Switch { .. }
        | Command::Port { .. }
        | Command::Bond { .. }
        | Command::Link { .. }
        | Command::Mirror { .. }
        | Command::Fdb { .. }
        | Command::Flow { .. }
        | Command::Group { .. }
        | Command::Meter { .. }
        | Command::Capture(_)
        | Command::Trace(_)
        | Command::Flows
        | Command::Bench { .. }
        | Command::Top { .. } => Ok(0),
        Command::Plan { file, destroy } => {
            let loaded = load::read(&file.file, &file.vars)?;
            loaded.print_warnings(printer);
            realm.enter(Some(&daemon::start))?;
            plan::run(realm, printer, &loaded, *destroy)
        }
        Command::Apply { file, confirm, no_tests, no_daemon, quiet } => {
            let loaded = load::read(&file.file, &file.vars)?;
            loaded.print_warnings(printer);
            let confirm = confirm.as_deref().map(time_span).transpose()?;
            realm.enter(Some(&daemon::start))?;
            let options = apply::Options { confirm, tests: !no_tests, daemon: !no_daemon, show_plan: !quiet };
            apply::run(realm, printer, loaded, &options)
        }
        Command::Confirm(topology) => {
            join(realm)?;
            apply::confirm(realm, &select::topology(realm, topology.topology.as_deref())?)
        }
        Command::Destroy { topology, all } => {
            realm.enter(None)?;
            let up = select::topologies(realm)?;
            let wanted = topology.topology.as_deref();
            let names = match wanted {
                // What is not up is as the user wants it; but a name that is none may be mistyped.
                _ if up.is_empty() => return destroy::nothing(printer),
                Some(file) if select::looks_like_file(file) => {
                    let name = select::name_in_file(std::path::Path::new(file))?;
                    up.into_iter().filter(|known| *known == name).collect()
                }
                _ if *all => up,
                _ => vec![select::topology(realm, wanted)?],
            };
            destroy::run(realm, printer, &names)
        }
        Command::Inspect(topology) => {
            if !realm.enter(None)? {
                return inspect::nothing(printer);
            }
            inspect::run(realm, printer, topology.topology.as_deref())
        }
        Command::Exec { node, topology, command } => {
            join(realm)?;
            exec::exec(realm, node, topology.topology.as_deref(), command)
        }
        Command::Shell { node, topology } => {
            join(realm)?;
            exec::shell(realm, node, topology.topology.as_deref())
        }
        Command::Ping { from, to, topology, count, interval, ipv6 } => {
            join(realm)?;
            let request = ping::Request {
                from,
                to,
                topology: topology.topology.as_deref(),
                count: *count,
                interval: time_span(interval)?,
                ipv6: *ipv6,
            };
            ping::ping(realm, printer, &request)
        }
        Command::Vm { command } => {
            if !realm.enter(None)? && matches!(command, crate::cli::VmCommand::Show { .. }) {
                return Err(Failure::new("nothing is up").help("netloom apply FILE makes a network"));
            }
            vm::run(realm, printer, command)
        }
        Command::Why(arguments) => why::run(realm, printer, arguments),
        Command::Test(topology) => {
            join(realm)?;
            let name = select::topology(realm, topology.topology.as_deref())?;
            let running = running::load(realm, &name)?;
            Ok(u8::from(!test::run(realm, printer, &running)?))
        }
        Command::Graph { topology, format, write } => {
            graph::draw(realm, topology.as_deref(), *format, write.as_deref())
        }
        Command::Events { topology, follow } => {
            let name = select::topology(realm, topology.topology.as_deref())?;
            events::run(realm, printer, &name, *follow)
        }
        Command::History(topology) => {
            let name = select::topology(realm, topology.topology.as_deref())?;
            history::run(realm, printer, &name)
        }
        Command::Rollback { generation, topology } => {
            realm.enter(Some(&daemon::start))?;
            let name = select::topology(realm, topology.topology.as_deref())?;
            rollback::run(realm, printer, &name, *generation)
        }
        Command::Doctor { problems } => {
            let entered = realm.enter(Some(&daemon::start)).map_err(Failure::from);
            doctor::run(realm, entered, printer, *problems)
        }
    }
}

fn time_span(text: &str) -> Result<std::time::Duration, Failure> {
    text.parse::<netloom_model::scalar::TimeSpan>().map(|span| span.duration()).map_err(Failure::new)
}

/// Seconds since 1970.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
