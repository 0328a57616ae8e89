//! The errors of compiling a module, and of calling it.

use std::path::PathBuf;
use std::time::Duration;

use gavel_model::ModuleDigest;

use super::CONTRACT;

/// The failure of a call into a module. A rejection is not among these: it is a decision.
///
/// Texts that come from the module are bounded and hold no control characters; none of them names
/// anything of the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The module trapped: it panicked, aborted, or did what WebAssembly forbids.
    #[error("the module trapped: {reason}")]
    Trapped {
        /// The text that the module wrote to stderr in this call; without any, WebAssembly's name
        /// for the trap.
        reason: String,
    },
    /// The call took too long.
    #[error("the call took longer than {} ms", limit.as_millis())]
    Deadline {
        /// The limit that was exceeded.
        limit: Duration,
    },
    /// The call used up the fuel that it had.
    #[error("the call needs more than {limit} units of fuel")]
    OutOfFuel {
        /// The limit that was exceeded.
        limit: u64,
    },
    /// The instance holds too much.
    #[error("the module needs more than {limit} {what}")]
    OutOfMemory {
        /// The resource that ran out, in plural: `bytes of memory`, `table elements`, `tables`,
        /// `memories`, `instances` or `handles`.
        what: &'static str,
        /// The limit that was exceeded.
        limit: usize,
    },
    /// The call recursed too deeply.
    #[error("the call needs more than {limit_bytes} bytes of stack")]
    StackOverflow {
        /// The limit that was exceeded.
        limit_bytes: usize,
    },
    /// The module gave back more than the host takes.
    #[error("the module gave back more than {limit} {what}")]
    OutputTooLarge {
        /// The output that is too large, in plural: `events` or `bytes of output`.
        what: &'static str,
        /// The limit that was exceeded.
        limit: usize,
    },
    /// The module answered, but not as the contract in `wit/` asks.
    #[error("the module broke its contract: {reason}")]
    BrokeContract {
        /// The rule that is broken, and the place.
        reason: String,
    },
    /// `evolve` refused an event that it MUST accept.
    #[error("the module refused to fold event {index} of the batch: {message}")]
    EvolveRefused {
        /// The event's place in the batch; the first is 0.
        index: u32,
        /// The message of the module.
        message: String,
    },
    /// An earlier call ended in a fault that left the instance in pieces.
    #[error("the instance has failed before and takes no more calls")]
    Spent,
    /// The host has no memory or address space for the instance: no fault of the module's.
    #[error("the host has no room in memory for the module")]
    NoRoom,
}

impl Fault {
    /// Tells whether the module reached a limit of its resources.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::Deadline { .. }
                | Self::OutOfFuel { .. }
                | Self::OutOfMemory { .. }
                | Self::StackOverflow { .. }
        )
    }

    /// The setting that says how much the module may use of what it has run out of; none when it
    /// has not, or when that is no setting.
    #[must_use]
    pub fn setting(&self) -> Option<&'static str> {
        match self {
            Self::Deadline { .. } => Some("sandbox.deadline_ms"),
            Self::OutOfFuel { .. } => Some("sandbox.fuel"),
            Self::OutOfMemory { what, .. } => match *what {
                "bytes of memory" => Some("sandbox.memory_bytes"),
                "table elements" => Some("sandbox.table_elements"),
                "instances" => Some("sandbox.instances"),
                "handles" => Some("sandbox.handles"),
                _ => None,
            },
            Self::StackOverflow { .. } => Some("sandbox.stack_bytes"),
            Self::Trapped { .. }
            | Self::OutputTooLarge { .. }
            | Self::BrokeContract { .. }
            | Self::EvolveRefused { .. }
            | Self::Spent
            | Self::NoRoom => None,
        }
    }

    /// Tells whether the same call may succeed on a fresh instance.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            // A loaded machine is slow, and an instance that holds other states has less room.
            Self::Deadline { .. } | Self::OutOfMemory { .. } | Self::Spent | Self::NoRoom => true,
            Self::Trapped { .. }
            | Self::OutOfFuel { .. }
            | Self::StackOverflow { .. }
            | Self::OutputTooLarge { .. }
            | Self::BrokeContract { .. }
            | Self::EvolveRefused { .. } => false,
        }
    }
}

/// The reason for which a component was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The bytes are no WebAssembly.
    #[error("not a WebAssembly component: it does not begin with the bytes of one")]
    NotWasm,
    /// The bytes are WebAssembly, but a core module.
    #[error(
        "a core WebAssembly module, not a component: build it for `wasm32-wasip2`, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// A component that is no module of the contract.
    #[error("the component is no module of `{CONTRACT}`: {reason}")]
    WrongWorld {
        /// The thing that is missing or different.
        reason: String,
    },
    /// A module of another contract than this host's.
    #[error(
        "the component is built for `{contract}`, and this host runs modules of `{CONTRACT}`: build it with the SDK of this release"
    )]
    OtherContract {
        /// The contract that the component is built for, bounded.
        contract: String,
    },
    /// A component that asks for more than modules get.
    #[error("the component imports what modules do not get: {}", imports.join(", "))]
    ForbiddenImport {
        /// The imports' names, in the component's order.
        imports: Vec<String>,
    },
    /// Bytes that belong to another digest: a store has lost or changed some.
    #[error("the bytes are not those of module {digest}")]
    WrongDigest {
        /// The digest that was asked for.
        digest: ModuleDigest,
    },
    /// The component has too many bytes.
    #[error("the component is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit that was exceeded.
        limit_bytes: usize,
    },
    /// A structure that no compiler should be asked to take on.
    #[error("the component has more than {limit} {what}")]
    TooComplex {
        /// The part that there are too many of, in plural.
        what: &'static str,
        /// The limit that was exceeded.
        limit: u64,
    },
    /// The compilation took too long.
    #[error("compiling takes longer than {} s", limit.as_secs())]
    Timeout {
        /// The limit that was exceeded.
        limit: Duration,
    },
    /// The compilation needs too much memory.
    #[error("compiling needs more than {limit_bytes} bytes of memory")]
    OutOfMemory {
        /// The limit that was exceeded.
        limit_bytes: u64,
    },
    /// The component is not valid WebAssembly, or uses a feature that is switched off here.
    #[error("the component is not valid: {reason}")]
    Invalid {
        /// The compiler's message, bounded.
        reason: String,
    },
    /// The host's compiler crashed, which is a bug of it; what it printed is in the host's log.
    #[error(
        "the host's compiler has crashed on the component, which is a fault of the host: its log says more"
    )]
    Crashed,
    /// A component that compiles and cannot be instantiated.
    #[error("the component cannot be started: {0}")]
    Start(Fault),
    /// The host could not compile; the component may be fine.
    #[error("the compiler is unavailable")]
    Unavailable(#[source] std::io::Error),
}

impl CompileError {
    /// The setting behind the limit that the component is above, if it is one.
    #[must_use]
    pub fn setting(&self) -> Option<&'static str> {
        match self {
            Self::TooLarge { .. } => Some("server.module_body_bytes"),
            Self::Timeout { .. } => Some("sandbox.compile_seconds"),
            Self::OutOfMemory { .. } => Some("sandbox.compile_memory_bytes"),
            Self::Start(fault) => fault.setting(),
            Self::NotWasm
            | Self::CoreModule
            | Self::WrongDigest { .. }
            | Self::WrongWorld { .. }
            | Self::OtherContract { .. }
            | Self::ForbiddenImport { .. }
            | Self::TooComplex { .. }
            | Self::Invalid { .. }
            | Self::Crashed
            | Self::Unavailable(_) => None,
        }
    }

    /// Tells whether the same component may be accepted later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Start(_)
            | Self::Timeout { .. }
            | Self::NotWasm
            | Self::CoreModule
            | Self::WrongDigest { .. }
            | Self::WrongWorld { .. }
            | Self::OtherContract { .. }
            | Self::ForbiddenImport { .. }
            | Self::TooLarge { .. }
            | Self::TooComplex { .. }
            | Self::OutOfMemory { .. }
            | Self::Crashed
            | Self::Invalid { .. } => false,
        }
    }
}

/// The reason for which the runtime could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine refuses this machine or its configuration.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
    /// The threads for guests could not be started.
    #[error("the threads for guests cannot be started")]
    Threads(#[source] std::io::Error),
    /// The cache of compiled code cannot be used.
    #[error("the cache of compiled code cannot be used: {}", path.display())]
    Cache {
        /// The folder or file that is to blame.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl StartError {
    /// Tells whether starting again may help without a person's intervention.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Threads(_) => true,
            Self::Engine(_) | Self::Cache { .. } => false,
        }
    }
}

/// The reason for which a job was not run to its end on the guests' threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The queue is full; the job was not begun.
    #[error("{queue} jobs wait already")]
    Overloaded {
        /// The length of the queue.
        queue: usize,
    },
    /// The job panicked: a bug of the host.
    #[error("the job panicked")]
    Panicked,
    /// The host had no memory or address space for an instance, so that what was found says nothing
    /// of the module.
    #[error("the host has no room in memory for a module")]
    NoRoom,
}

impl RunError {
    /// Tells whether the same job may be run later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded { .. } | Self::NoRoom => true,
            Self::Panicked => false,
        }
    }
}
