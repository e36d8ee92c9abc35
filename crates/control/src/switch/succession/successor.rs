//! The one who comes.

use super::super::doors::Doors;
use super::super::protocol::Request;
use super::super::server::{Server, SwitchSocket};
use super::super::start::Start;
use super::super::state::{Switch, SwitchError};
use super::VERSION;
use super::facts::State;
use super::talk::{Word, hear, receive_files, receive_piece, say};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

/// Why a successor can't begin. The predecessor goes on.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// Nobody is there, or it went away.
    #[error("no daemon to take over from: {0}")]
    Absent(#[from] io::Error),
    /// The predecessor said no.
    #[error("the running daemon refused: {0}")]
    Refused(String),
    /// What was offered is not understood.
    #[error("what the running daemon offers is not understood: {0}")]
    State(#[from] serde_json::Error),
    /// What was offered can't be taken.
    #[error(transparent)]
    Switch(#[from] SwitchError),
}

/// A take-over that has not been decided yet. Dropping it leaves everything to the predecessor.
#[derive(Debug)]
pub struct TakeOver {
    stream: UnixStream,
    switch: Switch,
    server: Server,
}

impl TakeOver {
    /// Asks the daemon behind a socket for everything, and builds it here without beginning.
    ///
    /// # Errors
    /// When there is no daemon, it refuses, or what it offers can't be taken.
    pub fn begin(
        socket: &SwitchSocket,
        start: &Start,
        doors: Box<dyn Doors>,
        mut complain: impl FnMut(&SwitchError),
    ) -> Result<Self, TakeOverError> {
        let stream = UnixStream::connect(socket.path())?;
        let mut request = serde_json::to_string(&Request::TakeOver { version: VERSION })?;
        request.push('\n');
        (&stream).write_all(request.as_bytes())?;
        match hear(&stream)? {
            Word::Here => {}
            Word::Refused { why } => return Err(TakeOverError::Refused(why)),
            other => return Err(TakeOverError::Refused(format!("it said {other:?}"))),
        }
        let build = || {
            let state: State = serde_json::from_slice(&receive_piece(&stream)?)?;
            let flows = receive_piece(&stream)?;
            let mut files = receive_files(&stream)?.into_iter();
            let (Some(listener), Some(lock)) = (files.next(), files.next()) else {
                return Err(TakeOverError::Refused("its socket is missing".to_owned()));
            };
            let server = Server::adopt(socket, listener, lock);
            let switch = Switch::adopt(start, doors, state, &flows, files.collect(), &mut complain)?;
            Ok((switch, server))
        };
        match build() {
            Ok((switch, server)) => Ok(Self { stream, switch, server }),
            Err(error) => {
                let _ = say(&stream, &Word::Refused { why: error.to_string() });
                Err(error)
            }
        }
    }

    /// Says that everything is there and, if the predecessor agrees, begins.
    ///
    /// # Errors
    /// When it does not; then it goes on.
    pub fn finish(self) -> Result<(Switch, Server), TakeOverError> {
        let Self { stream, mut switch, mut server } = self;
        say(&stream, &Word::Ready)?;
        match hear(&stream)? {
            Word::Commit => {}
            Word::Refused { why } => return Err(TakeOverError::Refused(why)),
            other => return Err(TakeOverError::Refused(format!("it said {other:?}"))),
        }
        say(&stream, &Word::Going)?;
        switch.take_back(false);
        server.own();
        // Whoever waits for it goes, one way or the other.
        let _ = say(&stream, &Word::Begun);
        if let Err(error) = switch.inherit_database() {
            tracing::error!(%error, "the database can't be served: changes will be refused");
        }
        Ok((switch, server))
    }
}
