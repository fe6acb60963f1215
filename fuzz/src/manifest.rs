//! A manifest and the variables over it: refused with reasons, or within all limits.

use waxwing::{config, module::ModuleSource};

/// The most entries that one run may write, as the manifest's limits say.
const MAX_EFFECTS: u32 = 900;

/// Input: the manifest, then variables `NAME=VALUE`, zero bytes between them.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split('\0');
    let manifest = parts.next().unwrap_or_default();
    let variables = parts.filter_map(|part| part.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned()));
    let locate = |name: &str| Ok(ModuleSource::File(name.into()));
    match config::parse("waxwing.toml", manifest, variables, locate) {
        Ok((config, warnings)) => check_config(&config, &warnings),
        Err(problems) => {
            let lines = problems.error_lines();
            assert!(!lines.is_empty(), "a refusal has a reason");
            let placed =
                |line: &String| line.starts_with("waxwing.toml") || line.starts_with("variable WAXWING_");
            assert!(lines.iter().all(placed), "{lines:?}");
        }
    }
}

fn check_config(config: &config::AppConfig, warnings: &[String]) {
    assert!(!config.handlers.is_empty() && !config.events.is_empty(), "{warnings:?}");
    for (i, event) in config.events.iter().enumerate() {
        assert!(!event.as_str().starts_with("wx."), "{event} is the host's");
        let others = config.events.iter().enumerate().filter(|(other, _)| *other != i);
        assert!(others.map(|(_, other)| other).all(|other| !event.overlaps(other)), "{event} overlaps");
    }
    for handler in &config.handlers {
        let spec = &handler.spec;
        assert!(!spec.on.is_empty());
        for on in &spec.on {
            assert!(config.events.iter().any(|event| event.covers(on)), "{on} is not in the log");
        }
        assert!((1..=MAX_EFFECTS).contains(&spec.limits.effects));
        assert!(
            !spec.limits.deadline.is_zero() && spec.limits.memory_bytes > 0 && spec.limits.entry_bytes > 0
        );
    }
    assert!(!config.host.lease.is_zero());
}
