//! How much memory one sandbox takes.

use wasmtime::ResourceLimiter;

use crate::engine::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};

/// Counts the linear memory of one instance against its limit.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    limit: usize,
    used: usize,
    refused: bool,
}

impl MemoryLimit {
    /// At most this many bytes.
    pub(crate) fn new(limit: u64) -> MemoryLimit {
        MemoryLimit { limit: usize::try_from(limit).unwrap_or(usize::MAX), used: 0, refused: false }
    }

    /// Bytes that it takes.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// The limit, where the run was refused memory beyond it.
    pub(crate) fn reached(&self) -> Option<usize> {
        self.refused.then_some(self.limit)
    }

    /// Forgets what earlier runs were refused.
    pub(crate) fn begin(&mut self) {
        self.refused = false;
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_all_memories_of_an_instance_together() {
        let mut memory = MemoryLimit::new(3 << 16);
        assert!(memory.memory_growing(0, 1 << 16, None).unwrap());
        assert!(memory.memory_growing(0, 1 << 16, None).unwrap());
        assert!(memory.memory_growing(1 << 16, 2 << 16, None).unwrap());
        assert_eq!(memory.reached(), None);
        assert!(!memory.memory_growing(1 << 16, 2 << 16, None).unwrap());
        assert_eq!(memory.reached(), Some(3 << 16));
        memory.begin();
        assert_eq!(memory.reached(), None);
    }
}
