//! The limits on a module's resources, and the limiter that enforces them on an instance.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use super::room;

/// The limits on one module. All bounds are inclusive.
///
/// The defaults let guests of every supported language work: a Python component has 108 core
/// instances and needs 13 MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The fuel of one call, about one unit per WebAssembly instruction. Deterministic: the limit
    /// of record. Default 500,000,000.
    pub fuel: u64,
    /// The wall-clock time of one call. A guard for what fuel does not see; not deterministic.
    /// Default 500 ms.
    pub deadline: Duration,
    /// The linear memory of one instance in bytes, all of its memories together. Default 64 MiB.
    pub memory_bytes: usize,
    /// Elements in all tables of one instance together. Default 200,000.
    pub table_elements: usize,
    /// Tables of one instance. Default 200.
    pub tables: usize,
    /// The number of linear memories of one instance. Default 16.
    pub memories: usize,
    /// The number of core instances that one component is made of. Default 250.
    pub instances: usize,
    /// The number of resource handles that are alive in one instance: each state is one, and a
    /// guest can make its own. Default 100,000.
    pub handles: usize,
    /// The stack of one call in bytes. Default 512 KiB.
    pub stack_bytes: usize,
    /// Bytes that the host allocates for what a guest passes out in one call, before it looks at
    /// them: more than `output_bytes` and `manifest_bytes`, since lists and their items count too.
    /// Default 4 MiB.
    pub hostcall_bytes: usize,
    /// Events of one decision. Default 1,000.
    pub events: usize,
    /// The text that one call gives back in bytes: all events of a decision, a rejection, or a
    /// snapshot. Default 1 MiB.
    pub output_bytes: usize,
    /// The manifest in bytes. Default 1 MiB.
    pub manifest_bytes: usize,
    /// The part of a module's stdout and stderr that is kept until it is taken, in bytes. Default
    /// 64 KiB.
    pub log_bytes: usize,
    /// The component in bytes. Default 16 MiB.
    pub module_bytes: usize,
    /// Tells whether a component may import what has no stand-in, to inspect the component. Such an
    /// import traps when it is called. Default false.
    pub any_import: bool,
    /// The time of compiling one component, whatever its size. Default 10 s.
    pub compile_time: Duration,
    /// The additional time for each MiB of the component that is begun. Default 2 s.
    pub compile_time_per_mib: Duration,
    /// Address space of the process that compiles, in bytes. Default 1 GiB.
    pub compile_memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 500_000_000,
            deadline: Duration::from_millis(500),
            memory_bytes: 64 << 20,
            table_elements: 200_000,
            tables: 200,
            memories: 16,
            instances: 250,
            handles: 100_000,
            stack_bytes: 512 << 10,
            hostcall_bytes: 4 << 20,
            events: 1_000,
            output_bytes: 1 << 20,
            manifest_bytes: 1 << 20,
            log_bytes: 64 << 10,
            module_bytes: 16 << 20,
            any_import: false,
            compile_time: Duration::from_secs(10),
            compile_time_per_mib: Duration::from_secs(2),
            compile_memory_bytes: 1 << 30,
        }
    }
}

impl Limits {
    /// The time for compiling a component of `bytes` bytes.
    pub(super) fn compile_time_of(&self, bytes: usize) -> Duration {
        let mib = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
        let of_size = self.compile_time_per_mib.saturating_mul(mib);
        self.compile_time.saturating_add(of_size)
    }
}

/// A growth that was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    Memory,
    TableElements,
}

/// Counts what an instance holds over all of its memories and tables; wasmtime's own limiter counts
/// each memory by itself.
#[derive(Debug)]
pub(super) struct Limiter {
    memory: MemoryBudget,
    elements: MemoryBudget,
    instances: usize,
    tables: usize,
    memories: usize,
    denied: Option<Denied>,
}

#[derive(Debug)]
struct MemoryBudget {
    used: usize,
    limit: usize,
    /// The amount of the newest growth, to give it back when the growth fails after all.
    newest: usize,
}

impl MemoryBudget {
    fn new(limit: usize) -> Self {
        Self {
            used: 0,
            limit,
            newest: 0,
        }
    }

    fn take(&mut self, current: usize, desired: usize) -> bool {
        let growth = desired.saturating_sub(current);
        let within = growth <= self.limit - self.used;
        if within {
            self.used += growth;
            self.newest = growth;
        }
        within
    }

    fn give_back(&mut self) {
        self.used -= std::mem::take(&mut self.newest);
    }
}

impl Limiter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory: MemoryBudget::new(limits.memory_bytes),
            elements: MemoryBudget::new(limits.table_elements),
            instances: limits.instances,
            tables: limits.tables,
            memories: limits.memories,
            denied: None,
        }
    }

    /// Forgets the growth that an earlier call was denied and survived.
    pub(super) fn begin_call(&mut self) {
        self.denied = None;
    }

    /// Grants a growth of `what`, or takes note that it was denied.
    fn grow(
        &mut self,
        what: Denied,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> bool {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        let budget = match what {
            Denied::Memory => &mut self.memory,
            Denied::TableElements => &mut self.elements,
        };
        let granted = budget.take(current, desired);
        if !granted {
            self.denied = Some(what);
        }
        granted
    }

    /// The linear memory that the instance holds, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory.used
    }

    /// The resource that was denied since the call began: a guest that then traps has run out of
    /// it.
    pub(super) fn denied(&self) -> Option<Denied> {
        self.denied
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(Denied::Memory, current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.give_back();
        unless_without_room(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(Denied::TableElements, current, desired, maximum))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.elements.give_back();
        unless_without_room(error)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.tables
    }

    fn memories(&self) -> usize {
        self.memories
    }
}

/// Lets the module see that a growth has failed, unless it is the host that has no room: that would
/// make it decide otherwise than elsewhere.
fn unless_without_room(error: wasmtime::Error) -> wasmtime::Result<()> {
    if room::is_refused(&error) {
        Err(error)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_component_may_be_compiled_for_longer() {
        let seconds = |bytes| Limits::default().compile_time_of(bytes).as_secs();
        let sizes = [0, 1, 1 << 20, (1 << 20) + 1, 16 << 20];
        assert_eq!(sizes.map(seconds), [10, 12, 12, 14, 42]);
    }
}
