//! What a handler costs in other languages: the shop's `price-watch` in each, which parses a price and emits an event.

use std::{num::NonZeroUsize, time::Instant};

use bytes::Bytes;
use waxwing_event::{HandlerSpec, handler::Instance};
use waxwing_sandbox::{Options, Sandbox};

use crate::{
    guest,
    sandbox::{event, sandboxed},
    scripts::{JAVASCRIPT, PYTHON},
};

pub fn run(count: u64) {
    println!("\nlanguages: one worker, {count} events, in waves of 512, median of 3");
    println!("{:<12} {:>9} {:>12} {:>10} {:>10}", "", "KiB", "compile ms", "fresh ns", "reuse ns");
    let modules = [
        ("rust", guest::built("handlers/price-watch")),
        ("javascript", std::fs::read(JAVASCRIPT.module()).unwrap()),
        ("python", std::fs::read(PYTHON.module()).unwrap()),
    ];
    let data = Bytes::from_static(br#"{"productId":"tea","oldPrice":10,"newPrice":5}"#);
    let event = event("prices.updated", &data);
    for (name, module) in modules {
        let mut figures = Vec::new();
        let mut compile_ms = 0;
        for instance in [Instance::Fresh, Instance::Reuse] {
            let sandbox = Sandbox::new(Options { workers: NonZeroUsize::MIN, ..Options::default() }).unwrap();
            let began = Instant::now();
            let handler = sandbox.load(&spec(instance), &module).unwrap();
            compile_ms = began.elapsed().as_millis();
            let once = || sandboxed(handler.as_ref(), &event, count.max(512));
            once();
            figures.push(crate::median((0..3).map(|_| once()).collect()));
        }
        let size = module.len() / 1024;
        println!("{name:<12} {size:>9} {compile_ms:>12} {:>10.0} {:>10.0}", figures[0], figures[1]);
    }
}

fn spec(instance: Instance) -> HandlerSpec {
    let mut spec = HandlerSpec::new("price-watch".parse().unwrap(), vec!["prices.updated".parse().unwrap()]);
    spec.instance = instance;
    spec.grants.emit = vec!["alerts.price-dropped".parse().unwrap()];
    spec
}
