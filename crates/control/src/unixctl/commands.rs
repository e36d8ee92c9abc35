//! Commands by name, and their answers.

use super::server::Replies;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a client asks for.
#[derive(Debug)]
pub struct Call {
    /// The command's name.
    pub command: String,
    /// What follows it.
    pub arguments: Vec<String>,
    /// Takes the answer.
    pub answer: Answer,
}

/// Takes the answer to one request; whoever drops it without one answers that there is none.
#[derive(Debug)]
pub struct Answer {
    replies: Option<Replies>,
    connection: u64,
    id: serde_json::Value,
}

impl Answer {
    pub(super) const fn new(replies: Replies, connection: u64, id: serde_json::Value) -> Self {
        Self { replies: Some(replies), connection, id }
    }

    /// Answers with a text, or with what went wrong. A line that is not ended is.
    pub fn give(mut self, result: Result<String, String>) {
        self.send(result);
    }

    fn send(&mut self, result: Result<String, String>) {
        if let Some(replies) = self.replies.take() {
            replies.send(self.connection, std::mem::take(&mut self.id), result);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.send(Err("the command ended without an answer".to_owned()));
    }
}

type Handler<C> = Box<dyn FnMut(&mut C, &[String], Answer) + Send>;

struct Command<C> {
    usage: &'static str,
    least: usize,
    most: usize,
    handler: Handler<C>,
}

/// Commands by name, for a daemon whose state is `C`.
pub struct Commands<C> {
    by_name: BTreeMap<&'static str, Command<C>>,
}

impl<C> std::fmt::Debug for Commands<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

impl<C> Default for Commands<C> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new() }
    }
}

impl<C> Commands<C> {
    /// Adds a command, or replaces the one of this name: `usage` is what `list-commands` prints behind it, then how many
    /// arguments it takes at least and at most. The handler answers at once: with a text, or with what went wrong.
    pub fn add(
        &mut self,
        name: &'static str,
        usage: &'static str,
        least: usize,
        most: usize,
        mut handler: impl FnMut(&mut C, &[String]) -> Result<String, String> + Send + 'static,
    ) {
        self.add_slow(name, usage, least, most, move |context, arguments, answer| {
            answer.give(handler(context, arguments));
        });
    }

    /// As [`Commands::add`], for a handler that may keep the answer and give it later.
    pub fn add_slow(
        &mut self,
        name: &'static str,
        usage: &'static str,
        least: usize,
        most: usize,
        handler: impl FnMut(&mut C, &[String], Answer) + Send + 'static,
    ) {
        self.by_name.insert(name, Command { usage, least, most, handler: Box::new(handler) });
    }

    /// Whether there is a command of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name) || name == "list-commands"
    }

    /// What `list-commands` answers.
    #[must_use]
    pub fn list(&self) -> String {
        let mut text = "The available commands are:\n".to_owned();
        let mut all: Vec<(&str, &str)> =
            self.by_name.iter().map(|(name, command)| (*name, command.usage)).collect();
        all.push(("list-commands", ""));
        all.sort_unstable();
        for (name, usage) in all {
            // A string takes whatever is written.
            let _ = writeln!(text, "  {name:<23} {usage}");
        }
        text
    }

    /// Carries a call out, or says why not, in the words of Open vSwitch.
    pub fn carry_out(&mut self, context: &mut C, call: Call) {
        let Call { command: name, arguments, answer } = call;
        let count = arguments.len();
        if name == "list-commands" && count == 0 {
            return answer.give(Ok(self.list()));
        }
        let list = if name == "list-commands" { Some((0, 0)) } else { None };
        let known = self.by_name.get_mut(name.as_str());
        let bounds = list.or(known.as_ref().map(|command| (command.least, command.most)));
        match (bounds, known) {
            (Some((least, _)), _) if count < least => {
                answer.give(Err(format!("\"{name}\" command requires at least {least} arguments")));
            }
            (Some((_, most)), _) if count > most => {
                answer.give(Err(format!("\"{name}\" command takes at most {most} arguments")));
            }
            (_, Some(command)) => (command.handler)(context, &arguments, answer),
            (_, None) => answer.give(Err(format!(
                "\"{name}\" is not a valid command (use \"list-commands\" to see a list of valid commands)"
            ))),
        }
    }
}
