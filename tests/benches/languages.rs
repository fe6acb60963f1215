//! What a handler costs in other languages: the shop's `price-watch` in each, which parses a price and emits an event.

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Instant};

use bytes::Bytes;
use waxwing_event::{Event, HandlerSpec, Headers, Position, Subject, decode, handler::Instance};
use waxwing_sandbox::{Options, Sandbox};

use crate::{
    sandbox::sandboxed,
    scripts::{JAVASCRIPT, PYTHON},
};

pub fn run(count: u64) {
    println!("\nlanguages: one worker, {count} events, in waves of 512, median of 3");
    println!("{:<12} {:>9} {:>12} {:>10} {:>10}", "", "KiB", "compile ms", "fresh ns", "reuse ns");
    let modules = [
        ("rust", rust()),
        ("javascript", std::fs::read(JAVASCRIPT.module()).unwrap()),
        ("python", std::fs::read(PYTHON.module()).unwrap()),
    ];
    for (name, module) in modules {
        let mut figures = Vec::new();
        let mut compile_ms = 0;
        for instance in [Instance::Fresh, Instance::Reuse] {
            let sandbox = Sandbox::new(Options { workers: NonZeroUsize::MIN, ..Options::default() }).unwrap();
            let began = Instant::now();
            let handler = sandbox.load(&spec(instance), &module).unwrap();
            compile_ms = began.elapsed().as_millis();
            let once = || sandboxed(handler.as_ref(), &event(), count.max(512));
            once();
            figures.push(crate::median((0..3).map(|_| once()).collect()));
        }
        let size = module.len() / 1024;
        println!("{name:<12} {size:>9} {compile_ms:>12} {:>10.0} {:>10.0}", figures[0], figures[1]);
    }
}

fn rust() -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../handlers/price-watch");
    let built = waxwing::module::build(std::slice::from_ref(&folder)).unwrap();
    std::fs::read(built.values().next().unwrap()).unwrap()
}

fn spec(instance: Instance) -> HandlerSpec {
    let mut spec = HandlerSpec::new("price-watch".parse().unwrap(), vec!["prices.updated".parse().unwrap()]);
    spec.instance = instance;
    spec.grants.emit = vec!["alerts.price-dropped".parse().unwrap()];
    spec
}

fn event() -> Arc<Event> {
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "0191e2a4-0000-7000-8000-000000000000"),
        ("ce-source", "/bench"),
        ("ce-type", "prices.updated"),
        ("ce-datacontenttype", "application/json"),
    ];
    let headers: Headers = headers.into_iter().collect();
    let subject: Subject = "prices.updated".parse().unwrap();
    let data = Bytes::from_static(br#"{"productId":"tea","oldPrice":10,"newPrice":5}"#);
    Arc::new(decode::event(&subject, Position(1), &headers, &data).unwrap())
}
