//! What the crates trace, printed and kept: on standard error by `NETLOOM_LOG`, and in the log that `ovs-appctl vlog/...`
//! changes.

use netloom_control::unixctl::vlog::{Level, Log, module};
use std::fmt::{Debug, Write};
use std::sync::{Arc, OnceLock};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

static LOG: OnceLock<Arc<Log>> = OnceLock::new();

/// Begins to print on standard error what `NETLOOM_LOG` says. The log of a switch daemon stays silent until somebody asks
/// for it.
pub fn begin() {
    let filter = EnvFilter::try_from_env("NETLOOM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let print =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_filter(filter);
    let silent = Log::new("ovs-vswitchd");
    let _ = silent.set("OFF");
    let layer = Kept(LOG.get_or_init(|| Arc::new(silent)).clone());
    tracing_subscriber::registry().with(print).with(layer).init();
}

/// Begins to keep a log as Open vSwitch's programs do, and nothing else.
pub fn begin_as(log: Log) -> Arc<Log> {
    let log = LOG.get_or_init(|| Arc::new(log)).clone();
    tracing_subscriber::registry().with(Kept(log.clone())).init();
    log
}

/// The log of this program.
pub fn current() -> Arc<Log> {
    LOG.get_or_init(|| Arc::new(Log::new("netloom"))).clone()
}

/// Gives what is traced to the log.
struct Kept(Arc<Log>);

fn level(of: &Metadata<'_>) -> Level {
    match *of.level() {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Information,
        tracing::Level::DEBUG | tracing::Level::TRACE => Level::Debug,
    }
}

impl<S: Subscriber> Layer<S> for Kept {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let level = level(metadata);
        if !self.0.may_want(level) {
            return;
        }
        let mut words = Words::default();
        event.record(&mut words);
        self.0.write(module(metadata.target()), level, &format!("{}{}", words.message, words.fields));
    }
}

/// The message, and the fields behind it.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // A string takes whatever is written.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, ", {name}={value}"),
        };
    }
}
