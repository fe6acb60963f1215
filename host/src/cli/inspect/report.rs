//! What was found about a module, as it is told.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use serde::Serialize;
use waxwing_event::Digest;
use waxwing_sandbox::{
    Anatomy, Contract,
    anatomy::{Kind, Memory},
    check::CONTRACT_VERSION,
};

use super::{
    Times,
    found::Found,
    needs::{Need, needs},
};
use crate::cli::{
    output::{self, grouped, line, say},
    style::{BAD, DIM, END, GOOD, WARN},
};

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    module: String,
    digest: Digest,
    kind: &'static str,
    /// The version of the contract for which it was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<String>,
    exports: Vec<String>,
    imports: Vec<String>,
    needs: Vec<Need>,
    producers: BTreeMap<String, BTreeMap<String, String>>,
    size_bytes: u64,
    parts: Vec<Part>,
    memory: Vec<MemoryTold>,
    static_data_bytes: u64,
    /// What a run may have, by the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_limit_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<TimesTold>,
    /// Why this host does not run it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A part of the module.
#[derive(Debug, Serialize)]
struct Part {
    part: String,
    bytes: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemoryTold {
    initial_bytes: u64,
    maximum_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TimesTold {
    compile_ms: f64,
    load_ms: f64,
    cold_run_ms: f64,
    warm_run_ms: f64,
    warm_runs: usize,
    /// How the runs ended; none: well.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
}

impl Report {
    pub(super) fn new(
        found: &Found,
        digest: Digest,
        anatomy: &Anatomy,
        contract: Option<Contract>,
        times: Option<Times>,
        error: Option<String>,
    ) -> Report {
        let spec = found.handler.as_ref().map(|(_, handler)| &handler.spec);
        Report {
            module: found.from.clone(),
            digest,
            kind: kind(anatomy.kind, contract.is_some()),
            contract: contract.as_ref().map(Contract::spoken),
            exports: anatomy.exports.clone(),
            imports: anatomy.imports.clone(),
            needs: needs(&anatomy.imports, spec),
            producers: anatomy.producers.clone(),
            size_bytes: anatomy.total_bytes,
            parts: parts(anatomy),
            memory: anatomy.memories.iter().map(MemoryTold::of).collect(),
            static_data_bytes: anatomy.static_bytes,
            memory_limit_bytes: spec.map(|spec| spec.limits.memory_bytes),
            times: times.map(TimesTold::of),
            error,
        }
    }

    pub(super) fn is_fine(&self) -> bool {
        self.error.is_none()
    }

    pub(super) fn show(&self) -> Result<()> {
        output::field("module", &line(&self.module))?;
        output::field("digest", &self.digest.to_string())?;
        let contract = match &self.contract {
            // Of another host.
            Some(name) if name.contains(':') => format!(" of the contract {name}"),
            Some(version) => format!(" of the contract {version}; this host serves {CONTRACT_VERSION}"),
            None => String::new(),
        };
        output::field("kind", &format!("{}{contract}", self.kind))?;
        list("exports", &self.exports)?;
        list("imports", &self.imports)?;
        self.show_needs()?;
        self.show_producers()?;
        self.show_size()?;
        self.show_memory()?;
        if let Some(times) = &self.times {
            times.show()?;
        }
        match &self.error {
            Some(error) => say!("{BAD}✗{END} this host does not run it: {}", line(error))?,
            None => say!("{GOOD}✓{END} this host runs it")?,
        }
        Ok(())
    }

    fn show_needs(&self) -> Result<()> {
        let mut title = "needs";
        for Need { key, meaning, granted } in &self.needs {
            let missing = if *granted == Some(false) {
                format!(" {WARN}the manifest has none{END}")
            } else {
                String::new()
            };
            output::field(title, &format!("{key:<16} {DIM}{meaning}{END}{missing}"))?;
            title = "";
        }
        Ok(())
    }

    fn show_producers(&self) -> Result<()> {
        let mut title = "made with";
        for (field, names) in &self.producers {
            let named = names.iter().map(|(name, version)| format!("{name} {version}").trim_end().to_owned());
            output::field(title, &line(&format!("{field}: {}", named.collect::<Vec<_>>().join(", "))))?;
            title = "";
        }
        Ok(())
    }

    fn show_size(&self) -> Result<()> {
        output::field("size", &format!("{:>9} bytes", grouped(self.size_bytes)))?;
        for Part { part, bytes } in &self.parts {
            let share = bytes.saturating_mul(100) / self.size_bytes.max(1);
            output::field("", &format!("{:>9} {share:>3} %  {}", grouped(*bytes), line(part)))?;
        }
        Ok(())
    }

    fn show_memory(&self) -> Result<()> {
        let mut title = "memory";
        for MemoryTold { initial_bytes, maximum_bytes } in &self.memory {
            let most = match (maximum_bytes, self.memory_limit_bytes) {
                (Some(most), _) => format!("at most {}", kib(*most)),
                (None, Some(limit)) => format!("sets itself no maximum; the manifest allows {}", kib(limit)),
                (None, None) => "sets itself no maximum: the manifest's `memory` holds".to_owned(),
            };
            output::field(title, &format!("{} at the start, {most}", kib(*initial_bytes)))?;
            title = "";
        }
        output::field(title, &format!("{} bytes of static data", grouped(self.static_data_bytes)))
    }
}

impl MemoryTold {
    fn of(memory: &Memory) -> MemoryTold {
        MemoryTold { initial_bytes: memory.initial_bytes, maximum_bytes: memory.maximum_bytes }
    }
}

impl TimesTold {
    fn of(times: Times) -> TimesTold {
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        TimesTold {
            compile_ms: ms(times.compile),
            load_ms: ms(times.load),
            cold_run_ms: ms(times.cold),
            warm_run_ms: ms(times.warm),
            warm_runs: times.runs,
            ended: times.ended,
        }
    }

    fn show(&self) -> Result<()> {
        let time = |title, ms: f64, meaning: &str| {
            output::field(title, &format!("{ms:>9.3} ms  {DIM}{meaning}{END}"))
        };
        time(
            "compile",
            self.compile_ms,
            "checked, compiled on all cores, kept in a file: a host's first start with it",
        )?;
        time("load", self.load_ms, "that file read, and linked: each later start")?;
        time("cold run", self.cold_run_ms, "the first run: an instance made, and called")?;
        let meaning =
            format!("the same again: the median of {} runs, each in an instance of its own", self.warm_runs);
        time("warm run", self.warm_run_ms, &meaning)?;
        if let Some(ended) = &self.ended {
            output::field("", &format!("{DIM}each ended with: {}{END}", line(ended)))?;
        }
        Ok(())
    }
}

fn kind(kind: Kind, is_handler: bool) -> &'static str {
    match (kind, is_handler) {
        (Kind::Component, true) => "handler",
        (Kind::Component, false) => "component",
        (Kind::Core, _) => "core module",
    }
}

/// The largest part first; what makes up nothing is left out.
fn parts(anatomy: &Anatomy) -> Vec<Part> {
    let named = [
        ("code", anatomy.code_bytes),
        ("data", anatomy.data_bytes),
        ("types, tables and names of core modules", anatomy.core_bytes),
        ("types and adapters of the component", anatomy.component_bytes),
        ("heads of sections", anatomy.rest_bytes()),
    ];
    let named = named.into_iter().map(|(part, bytes)| (part.to_owned(), bytes));
    let custom =
        anatomy.custom_bytes.iter().map(|(name, bytes)| (format!("custom section `{name}`"), *bytes));
    let mut parts: Vec<Part> = named
        .chain(custom)
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(part, bytes)| Part { part, bytes })
        .collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    parts
}

fn list(title: &str, names: &[String]) -> Result<()> {
    let mut title = title;
    for name in names {
        output::field(title, &line(name))?;
        title = "";
    }
    Ok(())
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", grouped(bytes.div_ceil(1024)))
}
