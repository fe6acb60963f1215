//! Wasmtime as this host wants it: its configuration, and what guests may import.

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails, component::Linker,
};

use crate::{Options, Scrutiny, guest::Guest, imports};

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

/// The engine for all handlers.
pub(crate) fn engine(options: &Options) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_memory64(false)
        // Only component functions that are async need it, and it costs 2 µs an instance.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .async_stack_size(FIBER_STACK_BYTES)
        .cranelift_opt_level(OptLevel::Speed)
        // Files and lines of a trap cost 6 ms; names are enough here, the rest can be found later.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES))
        .native_unwind_info(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(options)));
    match options.scrutiny {
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
fn pool(options: &Options) -> PoolingAllocationConfig {
    let instances = slots(options);
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
        .max_memory_size(usize::try_from(options.memory_bytes_max).unwrap_or(usize::MAX))
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
