//! The state that handlers share.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gavel_engine::catalog::Modules;
use gavel_engine::command::{CommandSettings, Commands};
use gavel_engine::streaming::{Consumers, Log, PushSettings};
use gavel_engine::views::{ViewSettings, Views};
use gavel_gate::{Gate, GateSettings, Rehearsals};
use gavel_model::SystemClock;
use gavel_sandbox::Runtime;
use gavel_store::Store;
use gavel_store::views::ViewStore;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::wrong_credentials::WrongCredentials;
use crate::metrics::{CommandMetrics, RequestMetrics, Samples};
use crate::modules::uploads::Uploads;
use crate::settings::ApiSettings;

/// The services behind the API.
#[derive(Debug, Clone)]
pub struct Services {
    /// Runs commands, and computes states.
    pub commands: Commands,
    /// Keeps modules.
    pub modules: Modules,
    /// Activates them.
    pub gate: Gate,
    /// Rehearses activations.
    pub rehearsals: Rehearsals,
    /// Lets the log be followed.
    pub log: Log,
    /// Lets consumers be worked for.
    pub consumers: Consumers,
    /// Keeps the rows of views.
    pub views: Views,
    /// The store, read directly where nothing needs to be decided or folded.
    pub store: Arc<dyn Store>,
}

impl Services {
    /// Builds all services on `store`, with the rows of views in `rows` and modules in `runtime`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        rows: Arc<dyn ViewStore>,
        runtime: Runtime,
        commands: CommandSettings,
        gate: GateSettings,
        push: PushSettings,
        views: ViewSettings,
    ) -> Self {
        let clock = Arc::new(SystemClock);
        let throttle = runtime.throttle().clone();
        let modules = Modules::new(store.clone(), runtime);
        let log = Log::new(store.clone(), clock.clone(), throttle);
        let views = Views::new(
            rows,
            store.clone(),
            store.clone(),
            log.clone(),
            modules.clone(),
            clock.clone(),
            views,
        );
        let gate = Gate::new(store.clone(), modules.clone(), views.clone(), gate);
        Self {
            commands: Commands::new(store.clone(), modules.clone(), clock.clone(), commands),
            modules,
            rehearsals: Rehearsals::new(gate.clone(), clock),
            gate,
            consumers: Consumers::new(store.clone(), log.clone(), push),
            log,
            views,
            store,
        }
    }
}

/// The state that handlers share; cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Shared>);

/// The insides of [`AppState`].
#[derive(Debug)]
pub struct Shared {
    pub(super) services: Services,
    pub(super) settings: ApiSettings,
    pub(super) metrics: PrometheusHandle,
    pub(super) samples: Samples,
    pub(super) request_metrics: RequestMetrics,
    pub(super) command_metrics: CommandMetrics,
    pub(super) wrong_credentials: WrongCredentials,
    /// Places for requests that are worked on.
    pub(super) admissions: Arc<Semaphore>,
    /// Bytes for bodies that are arriving.
    pub(super) bodies: Semaphore,
    pub(super) uploads: Uploads,
    pub(super) subscriptions: Arc<Semaphore>,
    pub(super) drain: CancellationToken,
    ready: AtomicBool,
}

impl AppState {
    /// A state that is not ready yet. Once `drain` is cancelled, further requests are refused, and
    /// subscriptions end.
    #[must_use]
    pub fn new(
        services: Services,
        settings: ApiSettings,
        metrics: PrometheusHandle,
        drain: CancellationToken,
    ) -> Self {
        Self(Arc::new(Shared {
            services,
            metrics,
            samples: Samples::default(),
            request_metrics: RequestMetrics::default(),
            command_metrics: CommandMetrics::default(),
            wrong_credentials: WrongCredentials::default(),
            admissions: Arc::new(semaphore(settings.max_requests_in_flight)),
            bodies: semaphore(settings.bodies_bytes),
            uploads: Uploads::default(),
            subscriptions: Arc::new(semaphore(settings.max_subscriptions)),
            drain,
            ready: AtomicBool::new(false),
            settings,
        }))
    }

    /// Lets `/readyz` say yes: the active modules are compiled.
    pub fn mark_ready(&self) {
        self.0.ready.store(true, Ordering::Release);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }
}

fn semaphore(permits: usize) -> Semaphore {
    Semaphore::new(permits.min(Semaphore::MAX_PERMITS))
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
