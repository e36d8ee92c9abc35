//! Time and size of a large topology. Times are printed; the limit is generous, since a test machine may
//! be busy and the build unoptimised. `cargo test --release -p netloom-compile --test scale -- --nocapture`
//! shows what counts: a thousand endpoints with five thousand links in less than 50 ms.

mod common;

use common::{check_laws, validated};
use netloom_compile::{Context, compile};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

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

#[test]
fn a_thousand_endpoints_with_five_thousand_links() {
    let validated = validated(&large(1000, 5000));
    let start = Instant::now();
    let first = compile(&validated, &Context::default()).unwrap();
    let fresh = start.elapsed();
    let context = Context { allocations: first.allocations.clone(), ..Context::default() };
    let start = Instant::now();
    let second = compile(&validated, &context).unwrap();
    let again = start.elapsed();
    println!("{} objects: {fresh:?}, again {again:?}", first.desired.objects.len());
    assert_eq!(first, second);
    assert!(first.desired.objects.len() > 15_000);
    assert!(fresh < Duration::from_secs(5), "{fresh:?}");
    check_laws(&first);
}
