//! Time and size of a large topology. Times are printed; the limit is generous, since the build may be
//! unoptimised. `cargo test --release -p netloom-compile --test scale -- --nocapture`
//! shows what counts: a thousand endpoints with five thousand links in less than 50 ms.

#![allow(clippy::unwrap_used, reason = "test code, though not in a test function")]

mod common;

use common::{check_laws, validated};
use netloom_compile::{Context, compile};
use std::fmt::Write as _;
use std::time::Duration;

fn large(endpoints: usize, links: usize) -> String {
    let mut text = "netloom: 1\nname: large\nnetworks:\n".to_owned();
    for network in 0..10 {
        let _ = writeln!(text, "  n{network}: {{ subnet: 10.{network}.0.0/16 }}");
    }
    text.push_str("endpoints:\n");
    for endpoint in 0..endpoints {
        let _ = writeln!(text, "  e{endpoint}: {{ networks: n{} }}", endpoint % 10);
    }
    text.push_str("links:\n");
    for link in endpoints..links {
        let (a, b) = (link % endpoints, (link * 7 + 1 + link / endpoints) % endpoints);
        if a == b {
            continue;
        }
        let (high, low) = (link / 64, link % 64 * 4);
        let _ = writeln!(
            text,
            "  - {{ link: \"e{a}:a{link} -- e{b}:b{link}\", addresses: [172.{}.{}.{}/30, 172.{}.{}.{}/30] }}",
            16 + high / 256,
            high % 256,
            low + 1,
            16 + high / 256,
            high % 256,
            low + 2
        );
    }
    text.push_str("policies:\n  default: deny\n  rules:\n    - { allow: any -> e0, services: tcp/80 }\n");
    text
}

/// Time that this thread was running: unlike the clock, it does not count what other programs take.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

#[test]
fn a_thousand_endpoints_with_five_thousand_links() {
    let validated = validated(&large(1000, 5000));
    let start = on_cpu();
    let first = compile(&validated, &Context::default()).unwrap();
    let fresh = on_cpu() - start;
    let context = Context { allocations: first.allocations.clone(), ..Context::default() };
    let start = on_cpu();
    let second = compile(&validated, &context).unwrap();
    let again = on_cpu() - start;
    println!("{} objects: {fresh:?}, again {again:?}", first.desired.objects.len());
    assert_eq!(first, second);
    assert!(first.desired.objects.len() > 15_000);
    assert!(fresh < Duration::from_secs(5), "{fresh:?}");
    check_laws(&first);
}
