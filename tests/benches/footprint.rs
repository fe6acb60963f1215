//! How fast a host starts and how much memory it takes: `waxwing run` as a process.

use std::{fmt::Write as _, path::Path, time::Instant};

use futures::StreamExt;
use tempfile::TempDir;
use tokio::process::Child;

use crate::{guest, items, processes::start, server::TestServer};

pub async fn run() {
    println!("\nfootprint: `waxwing run` with a warm cache of compiled code");
    println!("{:<28} {:>16} {:>14} {:>10}", "", "first event, ms", "ready, ms", "RSS, MiB");
    for handlers in [1, 1000] {
        let server = TestServer::start().await;
        let app = TempDir::new().unwrap();
        write_app(app.path(), handlers);
        drop(start(app.path(), &server).await);
        let client = async_nats::connect(server.process.url()).await.unwrap();
        let mut firsts = Vec::new();
        let mut host = None;
        for _ in 0..5 {
            drop(host.take());
            items::publish(&client, "app.in", 1).await;
            let mut outputs = client.subscribe("app.out").await.unwrap();
            client.flush().await.unwrap();
            let started = Instant::now();
            let (child, ready) = start(app.path(), &server).await;
            outputs.next().await.unwrap();
            firsts.push((started.elapsed().as_secs_f64() * 1000.0, ready.as_secs_f64() * 1000.0));
            host = Some(child);
        }
        let (first, ready): (Vec<f64>, Vec<f64>) = firsts.into_iter().unzip();
        let rss = host.as_ref().map_or(0.0, resident_mib);
        let name = format!("{handlers} handler(s)");
        println!("{name:<28} {:>16.0} {:>14.0} {rss:>10.1}", crate::median(first), crate::median(ready));
    }
    println!("goal: the first event within 100 ms with one handler");
}

/// The first handler answers; the others wait for events that do not come.
fn write_app(folder: &Path, handlers: usize) {
    std::fs::write(folder.join("echo.wasm"), guest::module()).unwrap();
    let mut manifest =
        "[app]\nname = \"app\"\nevents = [\"app.>\", \"idle.>\"]\n[host]\nlease = \"1s\"\n".to_owned();
    for i in 0..handlers {
        let (on, to) =
            if i == 0 { ("app.in".to_owned(), "app.out") } else { (format!("idle.{i}"), "idle.out") };
        write!(manifest, "[handlers.h{i}]\nmodule = \"echo.wasm\"\non = [\"{on}\"]\n").unwrap();
        write!(manifest, "[handlers.h{i}.grants]\nemit = [\"{to}\"]\nsettings = {{ to = \"{to}\" }}\n")
            .unwrap();
    }
    std::fs::write(folder.join("waxwing.toml"), manifest).unwrap();
}

fn resident_mib(child: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id().unwrap())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or_default() / 1024.0
}
