//! How long many flows take to be added, in one bundle and one by one, and what they weigh.
//!
//! ```text
//! cargo run --release -p netloom-vswitch --example flows [flows]
//! ```

use netloom_proto::openflow::text::{Names, parse_flow};
use netloom_vswitch::openflow::{Change, Command, FlowFilter, FlowMod, Pipeline, PipelineOptions};
use std::time::Instant;

fn requests(count: u32) -> Vec<Change> {
    (0..count)
        .filter_map(|number| {
            let [_, a, b, c] = number.to_be_bytes();
            let text = format!(
                "priority=100,ip,in_port={},nw_dst=10.{a}.{b}.{c},actions=mod_nw_ttl:9,output:{}",
                number % 4,
                number % 7
            );
            parse_flow(&text, None, &Names::default()).ok().map(|flow| Change::Flow(FlowMod::from(&flow.0)))
        })
        .collect()
}

/// Octets of memory that the process holds.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0_usize) * 4096
}

fn main() {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000_u32);
    let requests = requests(count);
    let mut tables = Pipeline::new(1, PipelineOptions::default(), 0);
    let begin = Instant::now();
    let made = tables.apply(&requests, 1);
    let bundle = begin.elapsed();
    println!("{} flows in one bundle: {bundle:?}, {made:?}", requests.len());
    println!("octets for each by count: {}", tables.memory() / requests.len());
    let mut tables = Pipeline::new(1, PipelineOptions::default(), 0);
    let before = resident();
    let begin = Instant::now();
    for request in &requests {
        if let Change::Flow(request) = request {
            let _ = tables.flow_mod(request, 1);
        }
    }
    println!(
        "one by one: {:?}; resident octets for each {}",
        begin.elapsed(),
        (resident() - before) / requests.len()
    );
    let begin = Instant::now();
    let flows = tables.select(&FlowFilter::default()).unwrap_or_default();
    let views = flows.iter().filter_map(|id| tables.view(*id)).count();
    println!("{views} flows listed with their matches: {:?}", begin.elapsed());
    let begin = Instant::now();
    let _ = tables.flow_mod(&FlowMod { table: None, ..FlowMod::new(Command::Delete) }, 2);
    println!("all deleted: {:?}", begin.elapsed());
}
