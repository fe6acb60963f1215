//! Wasmtime as this host wants it: its configuration, and what guests may import.

use std::sync::OnceLock;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails, component::Linker,
};

use crate::{
    Options, Scrutiny,
    figures::Figures,
    foreign::{self, Edition, Peer},
    guest::Guest,
    imports,
};

/// The deepest stack of a guest.
const GUEST_STACK_BYTES: usize = 512 << 10;

/// The stack on which guest and host calls run: host calls need room above the guest's.
const FIBER_STACK_BYTES: usize = 1 << 20;

/// Frames that are kept of a trap's stack.
pub(crate) const BACKTRACE_FRAMES: usize = 32;

/// Memory of a slot that is cleared by hand instead of by the kernel, which costs far more for small guests.
const KEPT_MEMORY_BYTES: usize = 256 << 10;

/// As [`KEPT_MEMORY_BYTES`], for tables.
const KEPT_TABLE_BYTES: usize = 64 << 10;

/// Slots that stay prepared for the module that used them last: faster for it, and resident memory for each.
const WARM_SLOTS: u32 = 256;

/// Core instances in one component: the module itself, adapters and shims.
pub(crate) const CORE_INSTANCES: u32 = 16;

/// Linear memories in one component.
pub(crate) const MEMORIES: u32 = 2;

/// Tables in one component.
pub(crate) const TABLES: u32 = 4;

/// Elements of one table.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;

/// The engines of a sandbox. Compiled code belongs to one of them.
#[derive(Debug)]
pub(crate) struct Engines {
    plain: Engine,
    concurrent: OnceLock<Engine>,
    pool: Pool,
}

/// What the engines have in common: what lives at once in each, and how closely runs are watched.
#[derive(Debug, Clone, Copy)]
struct Pool {
    instances: u32,
    memory_bytes: usize,
    scrutiny: Scrutiny,
}

impl Engines {
    /// The engine for nearly all modules.
    pub(crate) fn new(options: &Options) -> wasmtime::Result<Engines> {
        let memory_bytes = usize::try_from(options.memory_bytes_max).unwrap_or(usize::MAX);
        let pool = Pool { instances: slots(options), memory_bytes, scrutiny: options.scrutiny };
        Ok(Engines { plain: engine(pool, false)?, concurrent: OnceLock::new(), pool })
    }

    /// The engine for modules whose functions are not async.
    pub(crate) fn plain(&self) -> &Engine {
        &self.plain
    }

    /// The engine for modules whose functions are async, made when it is first asked for.
    pub(crate) fn concurrent(&self) -> wasmtime::Result<&Engine> {
        if let Some(engine) = self.concurrent.get() {
            return Ok(engine);
        }
        let engine = engine(self.pool, true)?;
        Ok(self.concurrent.get_or_init(|| engine))
    }

    /// What lives in the engines now.
    pub(crate) fn figures(&self) -> Figures {
        let engines = [Some(&self.plain), self.concurrent.get()].into_iter().flatten();
        engines.filter_map(Engine::pooling_allocator_metrics).fold(Figures::default(), |sum, pool| Figures {
            instances: sum.instances + pool.core_instances(),
            memories: sum.memories + pool.memories() as u64,
            idle_bytes: sum.idle_bytes + pool.unused_memory_bytes_resident() as u64,
            ..sum
        })
    }

    /// Makes all guests look at their slices.
    pub(crate) fn increment_epoch(&self) {
        self.plain.increment_epoch();
        if let Some(engine) = self.concurrent.get() {
            engine.increment_epoch();
        }
    }
}

fn engine(slots: Pool, is_concurrent: bool) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_memory64(false)
        // Only component functions that are async need it, and it costs 2 µs an instance.
        .concurrency_support(is_concurrent)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed)
        // Files and lines of a trap cost 6 ms; names are enough here, the rest can be found later.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES))
        .native_unwind_info(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
    match slots.scrutiny {
        Scrutiny::Usual => {}
        Scrutiny::Fuel => {
            config.consume_fuel(true);
        }
        Scrutiny::Debug => {
            config.debug_info(true).cranelift_opt_level(OptLevel::None);
        }
    }
    Engine::new(&config)
}

/// Slots for every instance, so that one which stays within its own limits never finds the pool empty.
fn pool(slots: Pool) -> PoolingAllocationConfig {
    let instances = slots.instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(slots.memory_bytes)
        .linear_memory_keep_resident(KEPT_MEMORY_BYTES)
        .table_keep_resident(KEPT_TABLE_BYTES)
        .max_unused_warm_slots(instances.min(WARM_SLOTS))
        // It misses pages that were swapped out: what one guest wrote could be read by the next.
        .pagemap_scan(Enabled::No);
    pool
}

/// How many instances live at once: at least one a worker.
pub(crate) fn slots(options: &Options) -> u32 {
    options.instances.max(u32::try_from(options.workers.get()).unwrap_or(u32::MAX))
}

/// Everything that guests may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    imports::link(&mut linker)?;
    Ok(linker)
}

/// The same for guests of another host's contract.
pub(crate) fn linker_of(engine: &Engine, peer: &Peer, edition: Edition) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    imports::link_wasi(&mut linker)?;
    foreign::link(&mut linker, peer, edition)?;
    Ok(linker)
}
