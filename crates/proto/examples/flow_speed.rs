//! What a flow costs on its way: read from text, written as a message, read from it, told in a dump, printed.
//!
//! ```text
//! cargo run --release -p netloom-proto --example flow_speed            # nanoseconds for each flow, the best of 7 runs
//! ```
#![allow(clippy::unwrap_used, reason = "an example")]

use netloom_proto::openflow::Version;
use netloom_proto::openflow::message::multipart::FlowReplyWriter;
use netloom_proto::openflow::message::{
    Age, Context, Dialect, FlowState, GREATEST_LENGTH, Header, Message, decode_with, encode_with,
};
use netloom_proto::openflow::text::{Names, parse_flow, print_message};
use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

const FLOWS: u32 = 20_000;

fn best(name: &str, mut work: impl FnMut()) {
    let once = |work: &mut dyn FnMut()| {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    let least = (0..7).map(|_| once(&mut work)).min().unwrap();
    println!("{name:<8} {:>6} ns", least.as_nanos() / u128::from(FLOWS));
}

fn main() {
    let mut text = String::new();
    for number in 0..FLOWS {
        let [_, a, b, c] = (number << 8).to_be_bytes();
        let (table, priority, bits, port) =
            (number % 4, 1000 + number % 10, 24 + number % 8, number % 60_000);
        let terms =
            format!("table={table},priority={priority},cookie={number},tcp,nw_src=10.{a}.{b}.{c}/{bits}");
        writeln!(text, "{terms},tp_dst={port},actions=output:1").unwrap();
    }
    let names = Names::new();
    let read = || text.lines().map(|line| parse_flow(line, None, &names).unwrap().0).collect::<Vec<_>>();
    best("read", || drop(black_box(read())));
    let messages: Vec<_> = read().into_iter().map(Message::FlowMod).collect();
    for (version, which) in [(Version::V10, "1.0"), (Version::V14, "1.4")] {
        println!("OpenFlow {which}");
        let mut context = Context::new(version);
        context.table_ids = true;
        let encode =
            || messages.iter().map(|flow| encode_with(context, 1, flow).unwrap()).collect::<Vec<_>>();
        best("encode", || drop(black_box(encode())));
        let octets = encode();
        best("decode", || {
            for octets in &octets {
                black_box(decode_with(context, octets).unwrap());
            }
        });
        let dialect = if version == Version::V10 { Dialect::Nicira } else { Dialect::Standard };
        let tell = || {
            let mut writer = FlowReplyWriter::new(context, 1, dialect).unwrap();
            for message in &messages {
                let Message::FlowMod(flow) = message else { continue };
                let age = Some(Age { seconds: 3, nanoseconds: 123_000_000 });
                let state = FlowState { priority: flow.priority, cookie: 7, age, ..FlowState::default() };
                writer.flow(&state, &flow.matching, &flow.actions).unwrap();
            }
            writer.finish()
        };
        best("tell", || drop(black_box(tell())));
        let told = tell();
        let mut parts = Vec::new();
        let mut rest = told.as_slice();
        while let Some(header) = Header::parse(rest) {
            let (part, behind) = rest.split_at(usize::from(header.length).min(GREATEST_LENGTH));
            parts.push(part);
            rest = behind;
        }
        best("heard", || {
            for part in &parts {
                black_box(decode_with(context, part).unwrap());
            }
        });
        best("print", || {
            for part in &parts {
                black_box(print_message(part, &names, 1));
            }
        });
    }
}
