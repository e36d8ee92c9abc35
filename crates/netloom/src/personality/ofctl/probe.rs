//! Whether a switch is there, and how fast it answers.

use super::super::client::{Done, say, words};
use super::connection::number_of;
use super::show::lenient;
use super::tool::Tool;
use netloom_proto::openflow::message::{GREATEST_LENGTH, HEADER_LENGTH, Message};
use netloom_proto::openflow::text::{Names, print_message};
use std::time::Instant;

/// Echos that one ping sends.
const PINGS: usize = 10;

fn payload(text: Option<&str>, otherwise: u32) -> Done<usize> {
    let most = GREATEST_LENGTH - HEADER_LENGTH;
    let size = text.map_or(otherwise, lenient) as usize;
    if size > most {
        return Err(format!("payload must be between 0 and {most} bytes").into());
    }
    Ok(size)
}

pub(super) fn probe(tool: &mut Tool) -> Done {
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let mut connection = tool.open(&name)?;
    let sent = connection.encode(0, &Message::EchoRequest(Vec::new())).map_err(|error| error.to_string())?;
    let reply = connection.send(&sent).and_then(|()| connection.answer(0));
    let reply = reply.map_err(|error| format!("talking to {name} ({})", words(&error)))?;
    if reply.len() != HEADER_LENGTH {
        return Err("reply does not match request".into());
    }
    Ok(())
}

pub(super) fn ping(tool: &mut Tool) -> Done {
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let size = payload(tool.options.word(2), 64)?;
    let mut connection = tool.open(&name)?;
    for _ in 0..PINGS {
        // Octets that differ from one another are enough: nobody is to guess them.
        let octets: Vec<u8> = (0..size).map(|at| ((at * 167) >> 3) as u8).collect();
        let request = tool.write(&connection, Message::EchoRequest(octets))?;
        let begin = Instant::now();
        let reply = connection.send(&request.octets).and_then(|()| connection.answer(request.number));
        let reply = reply.map_err(|error| format!("transact ({})", words(&error)))?;
        let time = begin.elapsed().as_secs_f64() * 1000.0;
        if reply.get(HEADER_LENGTH..) != request.octets.get(HEADER_LENGTH..) {
            let detail = tool.options.detail + 2;
            let (asked, said) = (&request.octets, &reply);
            say("Reply does not match request.  Request:\n");
            say(&print_message(asked, &Names::new(), detail));
            say("Reply:\n");
            say(&print_message(said, &Names::new(), detail));
        }
        let length = reply.len() - HEADER_LENGTH;
        say(&format!("{length} bytes from {name}: xid={:08x} time={time:.1} ms\n", number_of(&reply)));
    }
    Ok(())
}

pub(super) fn benchmark(tool: &mut Tool) -> Done {
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let size = payload(tool.options.word(2), 0)?;
    let count = tool.options.word(3).map_or(0, lenient) as i32;
    let length = size + HEADER_LENGTH;
    let total = (count as u32).wrapping_mul(length as u32);
    say(&format!("Sending {count} packets * {length} bytes (with header) = {total} bytes total\n"));
    let mut connection = tool.open(&name)?;
    let begin = Instant::now();
    for _ in 0..count {
        let request = tool.write(&connection, Message::EchoRequest(vec![0; size]))?;
        let reply = connection.send(&request.octets).and_then(|()| connection.answer(request.number));
        reply.map_err(|error| format!("transact ({})", words(&error)))?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    say(&format!(
        "Finished in {:.1} ms ({:.0} packets/s) ({:.0} bytes/s)\n",
        seconds * 1000.0,
        f64::from(count) / seconds,
        f64::from(total) / seconds
    ));
    Ok(())
}
