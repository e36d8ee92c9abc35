//! `switchd`: the user-space switch, alone and in the foreground.

use crate::cli::SwitchdArgs;
use crate::doors::Drivers;
use crate::failure::Failure;
use netloom_control::realm::Realm;
use netloom_control::switch::{Server, Start, Switch, SwitchSocket};
use netloom_datapath::Pace;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The directory of the daemon: the one that was named, or the realm's.
pub fn directory(named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| Realm::locate_with(false).run_dir.join("switch"), Path::to_owned)
}

/// Runs until a client or a signal ends it.
///
/// # Errors
/// When another daemon runs there, or the directory can't be used.
pub fn run(named: Option<&Path>, arguments: &SwitchdArgs) -> Result<u8, Failure> {
    let directory = directory(named);
    std::fs::create_dir_all(&directory)
        .map_err(|error| Failure::new(format!("can't make {}: {error}", directory.display())))?;
    let core = arguments.cores.as_deref().map(core).transpose()?;
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, ended.clone())?;
    }
    let socket = SwitchSocket::within(&directory);
    let server = Server::bind(&socket)
        .map_err(|error| Failure::new(format!("can't listen on {}: {error}", socket.path().display())))?;
    let mut seed = [0; 8];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(std::io::Error::from)?;
    let start = Start {
        directory,
        core,
        pace: Pace { busy: arguments.busy, ..Pace::default() },
        seed: u64::from_ne_bytes(seed),
    };
    let switch = Switch::start(&start, Box::new(Drivers::new()?), |error| tracing::error!("{error}"))
        .map_err(Failure::new)?;
    tracing::info!(socket = %socket.path().display(), "the switch is ready");
    server.serve(switch, &ended)?;
    Ok(0)
}

/// The one processor of a list.
fn core(text: &str) -> Result<usize, Failure> {
    text.parse().map_err(|_| {
        Failure::new(format!("`--cores {text}`: the number of one processor")).help("for example --cores 1")
    })
}
