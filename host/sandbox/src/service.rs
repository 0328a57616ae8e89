//! The runtime as the rest of the host uses it.

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use gavel_model::ModuleDigest;
use tokio::sync::Semaphore;
use wasmtime::Engine;

use super::cache::CodeCache;
use super::compile::CompiledCode;
use super::log::printable;
use super::scheduling::{BackgroundThrottle, GuestThreads, Lane};
use super::{
    CompileError, Fault, Limits, Module, RunError, StartError, check, compile, engine, room,
};

/// The options of the runtime: its use of threads, memory and disk.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// The folder of compiled code, which belongs to the runtime alone. Default none: compiled code
    /// lives in memory only.
    pub cache_dir: Option<PathBuf>,
    /// The program that compiles: this one, whose `main` calls
    /// [`compile_child`](super::compile_child). Default this process's own.
    pub program: PathBuf,
    /// Threads that run guests; a quarter as many more are for modules that compute without end,
    /// and as many for work in the background: both give way to all others. Default the number of
    /// cores.
    pub threads: NonZeroUsize,
    /// Jobs that may wait for those threads, at least one; more are refused. Default 1,024.
    pub queue: usize,
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            // By way of the kernel this is the very program that runs, even after a newer one has
            // replaced its file.
            program: PathBuf::from("/proc/self/exe"),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            queue: 1024,
        }
    }
}

/// Compiles modules and runs them. A cheap clone: all clones are the same runtime.
#[derive(Debug, Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    limits: Arc<Limits>,
    cache: Option<CodeCache>,
    program: PathBuf,
    /// One component is compiled at a time: uploads wait for each other, and commands never for
    /// many of them.
    compiling: Semaphore,
    thread_count: NonZeroUsize,
    threads: GuestThreads,
}

impl Runtime {
    /// Starts the engine and the threads, and opens the cache.
    ///
    /// # Errors
    ///
    /// A [`StartError`] names what is wrong with the machine or the cache's folder.
    pub fn new(limits: Limits, options: RuntimeOptions) -> Result<Self, StartError> {
        let engine =
            engine::runner(&limits).map_err(|error| StartError::Engine(error.to_string()))?;
        let cache = options
            .cache_dir
            .map(|folder| CodeCache::open(&folder, &engine))
            .transpose()?;
        let threads = GuestThreads::start(options.threads, options.queue, limits.stack_bytes)
            .map_err(StartError::Threads)?;
        Ok(Self {
            inner: Arc::new(Inner {
                engine,
                limits: Arc::new(limits),
                cache,
                program: options.program,
                compiling: Semaphore::new(1),
                thread_count: options.threads,
                threads,
            }),
        })
    }

    /// The limits on modules.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Checks, compiles and links the component `wasm`, whose digest is `digest`, and starts it
    /// once to see that its exports are those of the world. Code from the cache is used if it is
    /// there.
    ///
    /// Dropped midway, the compiler is stopped; the cache may or may not have the code.
    ///
    /// # Errors
    ///
    /// A [`CompileError`] says what is wrong with the component, or that the host could not
    /// compile.
    pub async fn prepare(
        &self,
        digest: ModuleDigest,
        wasm: impl Into<Arc<Vec<u8>>>,
    ) -> Result<Module, CompileError> {
        let wasm = wasm.into();
        let (inner, checked) = (Arc::clone(&self.inner), Arc::clone(&wasm));
        blocking(move || {
            check::check(&checked, &inner.limits)?;
            if ModuleDigest::of(&checked) == digest {
                Ok(())
            } else {
                Err(CompileError::WrongDigest { digest })
            }
        })
        .await?;
        if let Some(module) = self.load(digest).await {
            return Ok(module);
        }
        let code = {
            let _alone = self.inner.compiling.acquire().await;
            compile::compile(&self.inner.program, &wasm, &self.inner.limits).await?
        };
        drop(wasm);
        let inner = Arc::clone(&self.inner);
        let (module, code) = blocking(move || Ok((inner.link(digest, &code)?, code))).await?;
        let is_late = |error: &_| matches!(error, CompileError::Start(Fault::Deadline { .. }));
        self.try_out(&module, Module::try_instantiate, is_late)
            .await
            .map_err(|error| CompileError::Unavailable(io::Error::other(error)))??;
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            inner.remember(digest, &code);
            Ok(module)
        })
        .await
    }

    /// Loads the module `digest` if the cache has it. None otherwise: have its bytes
    /// [prepared](Self::prepare).
    pub async fn load(&self, digest: ModuleDigest) -> Option<Module> {
        let inner = Arc::clone(&self.inner);
        let load = move || Ok(inner.recall(digest));
        blocking(load).await.ok().flatten()
    }

    /// Runs `job`, which calls guests of `module`, on one of the guests' threads. Dropped midway,
    /// the job still runs.
    ///
    /// # Errors
    ///
    /// - [`RunError::Overloaded`]: the job was not begun. Try later.
    /// - [`RunError::Panicked`]: a bug of the host; what the job owned is lost.
    pub async fn run<T: Send + 'static>(
        &self,
        module: &Module,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RunError> {
        self.throttle().note_call();
        self.run_for_reader(module, job).await
    }

    /// Runs a job as [`Runtime::run`] does, for a client that only reads: background work does not
    /// make way for it.
    ///
    /// # Errors
    ///
    /// As [`Runtime::run`].
    pub async fn run_for_reader<T: Send + 'static>(
        &self,
        module: &Module,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RunError> {
        self.inner.threads.run(module.lane(), job).await
    }

    /// Runs the first calls of an unknown module as [`Runtime::run`] does: once more, and with much
    /// more time, when the first try `is_late`. A busy machine is slow, though never that slow; a
    /// module that computes without end uses up its fuel meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Runtime::run`].
    pub async fn try_out<T: Send + 'static, E: Send + 'static>(
        &self,
        module: &Module,
        call: fn(&Module) -> Result<T, E>,
        is_late: fn(&E) -> bool,
    ) -> Result<Result<T, E>, RunError> {
        let candidate = module.clone();
        let tried = self.run(module, move || call(&candidate)).await?;
        if !tried.as_ref().is_err_and(is_late) {
            return Ok(tried);
        }
        let unhurried = module.with_longer_deadline();
        self.run(&unhurried.clone(), move || call(&unhurried)).await
    }

    /// Runs `job`, which calls guests of `module`, on one of the guests' threads, however many jobs
    /// wait: the caller bounds how many it posts.
    pub fn post(&self, module: &Module, job: impl FnOnce() + Send + 'static) {
        self.inner.threads.post(module.lane(), job);
    }

    /// Runs `job`, which calls guests, on a thread of the background: it is on its way before the
    /// answer is awaited. While live calls are made the threads rest between jobs; one that was
    /// begun is not interrupted: keep it to a few milliseconds at most.
    ///
    /// # Errors
    ///
    /// As [`Runtime::run`].
    pub fn run_in_background<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, RunError>> {
        self.inner.threads.run(Lane::Background, job)
    }

    /// Runs a job as [`Runtime::run_in_background`] does, without the rests: for little work, while
    /// a decider waits for its end.
    ///
    /// # Errors
    ///
    /// As [`Runtime::run`].
    pub fn run_pressing<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, RunError>> {
        self.inner.threads.run(Lane::Pressing, job)
    }

    /// The number of times that this process has had no memory for an instance. If the number has
    /// grown during a call, the module may have failed for no fault of its own.
    #[must_use]
    pub fn times_without_room(&self) -> u64 {
        room::times_refused()
    }

    /// The throttle by which other background work gives way to live calls.
    #[must_use]
    pub fn throttle(&self) -> &BackgroundThrottle {
        self.inner.threads.throttle()
    }

    /// The number of threads on which guests run, without those for modules that compute without
    /// end. There are as many in the background.
    #[must_use]
    pub fn threads(&self) -> NonZeroUsize {
        self.inner.thread_count
    }
}

impl Inner {
    fn link(&self, digest: ModuleDigest, code: &CompiledCode) -> Result<Module, CompileError> {
        let component =
            code.load(&self.engine)
                .map_err(|error| match room::is_refused(&error) {
                    true => CompileError::Unavailable(io::Error::other(error)),
                    false => CompileError::Invalid {
                        reason: printable(&error.to_string()),
                    },
                })?;
        Module::link(digest, &component, Arc::clone(&self.limits))
    }

    fn recall(&self, digest: ModuleDigest) -> Option<Module> {
        let code = self.cache.as_ref()?.load(digest)?;
        self.link(digest, &code)
            .inspect_err(|error| {
                tracing::warn!(module.digest = %digest, %error, "compiled code does not fit, compiling again");
            })
            .ok()
    }

    fn remember(&self, digest: ModuleDigest, code: &CompiledCode) {
        let stored = self
            .cache
            .as_ref()
            .map_or(Ok(()), |cache| cache.store(digest, code));
        if let Err(error) = stored {
            tracing::warn!(module.digest = %digest, %error, "compiled code cannot be kept, the next start compiles again");
        }
    }
}

/// Runs work that computes or waits for the disk on a thread where it blocks no other task.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CompileError> + Send + 'static,
) -> Result<T, CompileError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(CompileError::Unavailable(io::Error::other(error))))
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("limits", &self.limits)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
