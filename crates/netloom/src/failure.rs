//! What went wrong, for people: a sentence, what caused it, and the way out.

use crate::output::{Printer, Tone};
use netloom_control::realm::RealmError;
use std::fmt::Display;

/// An error on its way to the user.
#[derive(Debug)]
pub struct Failure {
    /// One sentence with the values.
    message: String,
    /// The way out.
    help: Option<String>,
    /// Already rendered text (located diagnostics), printed as it is.
    rendered: Option<String>,
}

impl Failure {
    /// From a sentence.
    pub fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), help: None, rendered: None }
    }

    /// With the way out.
    #[must_use]
    pub fn help(mut self, help: impl Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// Located diagnostics that were rendered already, and a closing sentence.
    pub fn rendered(text: String, message: impl Display) -> Self {
        Self { message: message.to_string(), help: None, rendered: Some(text) }
    }

    /// Prints it to standard error.
    pub fn print(&self, printer: &Printer) {
        let printer = Printer { color: printer.color && printer.live, ..*printer };
        if let Some(text) = &self.rendered {
            eprint!("{text}");
        }
        eprintln!("{} {}", printer.paint(Tone::Bad, "error:"), self.message);
        if let Some(help) = &self.help {
            eprintln!("{} {}", printer.paint(Tone::Good, "help:"), help.replace('\n', "\n      "));
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}

impl From<RealmError> for Failure {
    fn from(error: RealmError) -> Self {
        let help = error.help();
        Self { help, ..Self::new(error) }
    }
}

impl Failure {
    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The way out, if there is one.
    #[must_use]
    pub fn way_out(&self) -> Option<&str> {
        self.help.as_deref()
    }
}
