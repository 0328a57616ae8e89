//! The exports of a process, for any [`ProcessModule`], and of the conditions on its events, where
//! it has them.

use std::marker::PhantomData;

use process_bindings::exports::gavel::module::process::{
    Action as WitAction, EvolveError, Folded as WitFolded, Guest, Input as WitInput, Instance,
    News as WitNews, Order as WitOrder, Rejection as WitRejection, Step as WitStep,
    Task as WitTask,
};

use super::log::sources_bindings::exports::gavel::module::sources::Guest as SourcesGuest;
use super::log::sources_bindings::gavel::module::log::{QueryItem as WitQueryItem, RecordedEvent};
use crate::log::{EventText, FoldError, Recorded, Sources, Timestamp};
use crate::manifest;
use crate::process::{
    self, Action, Folded, Input, News, Order, ProcessModule, Step, StoredInstance, Task,
    TaskRejection,
};

#[expect(missing_docs, reason = "generated from wit/")]
pub mod process_bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "process-module",
        with: { "gavel:module/log@0.1.0": crate::export::log::sources_bindings::gavel::module::log },
        generate_all,
        export_macro_name: "__export_process",
        pub_export_macro: true,
        default_bindings_module: "gavel::__private::process_bindings",
        runtime_path: "wit_bindgen::rt",
    });
}

/// The component that runs the process `P`.
#[derive(Debug)]
pub struct ProcessComponent<P>(PhantomData<P>);

impl<P: ProcessModule> Guest for ProcessComponent<P> {
    fn describe() -> String {
        manifest::describe_process::<P>()
    }

    fn keys(events: Vec<RecordedEvent>) -> Vec<Vec<String>> {
        process::keys::<P>(events.into_iter().map(Recorded::from).collect())
    }

    fn fold(instances: Vec<Instance>) -> Vec<Result<WitFolded, EvolveError>> {
        let instances = instances.into_iter().map(StoredInstance::from).collect();
        process::fold::<P>(instances)
            .into_iter()
            .map(|folded| match folded {
                Ok(folded) => Ok(folded.into()),
                Err(FoldError { index, message }) => Err(EvolveError { index, message }),
            })
            .collect()
    }

    fn todo(key: String, state: String) -> Vec<WitTask> {
        let tasks = process::todo::<P>(&key, &state);
        tasks.into_iter().map(WitTask::from).collect()
    }
}

impl<P: Sources> SourcesGuest for ProcessComponent<P> {
    fn sources(key: String) -> Vec<WitQueryItem> {
        P::sources(&key)
            .into_iter()
            .map(WitQueryItem::from)
            .collect()
    }
}

impl From<Instance> for StoredInstance {
    fn from(Instance { key, state, inputs }: Instance) -> Self {
        let inputs = inputs.into_iter().map(Input::from).collect();
        Self { key, state, inputs }
    }
}

impl From<WitInput> for Input<EventText> {
    fn from(WitInput { at_ms, what }: WitInput) -> Self {
        let what = match what {
            WitNews::Event(event) => News::Event(event.into()),
            WitNews::Due((task, time)) => News::Due {
                task,
                time: Timestamp::from_ms(time),
            },
            WitNews::Rejected((task, rejection)) => News::Rejected {
                task,
                rejection: rejection.into(),
            },
            WitNews::Accepted(task) => News::Accepted { task },
            WitNews::Abandoned(task) => News::Abandoned { task },
        };
        Self::new(at_ms, what)
    }
}

impl From<WitRejection> for TaskRejection {
    fn from(rejection: WitRejection) -> Self {
        let WitRejection {
            code,
            message,
            data,
        } = rejection;
        Self {
            code,
            message,
            data,
        }
    }
}

impl From<Folded> for WitFolded {
    fn from(Folded { state, steps }: Folded) -> Self {
        let steps = steps.into_iter().map(WitStep::from).collect();
        Self { state, steps }
    }
}

impl From<Step> for WitStep {
    fn from(Step { added, gone }: Step) -> Self {
        let added = added.into_iter().map(WitTask::from).collect();
        Self { added, gone }
    }
}

impl From<Task> for WitTask {
    fn from(Task { id, action }: Task) -> Self {
        let action = match action {
            Action::Send(order) => WitAction::Send(order.into()),
            Action::WaitUntil(time) => WitAction::WaitUntil(time.as_ms()),
        };
        Self { id, action }
    }
}

impl From<Order> for WitOrder {
    fn from(order: Order) -> Self {
        Self {
            decider: order.decider.to_owned(),
            stream_id: order.stream_id,
            command: order.command.to_owned(),
            data: order.data,
            expected_version: order.expected_version,
            metadata: order.metadata.into_iter().collect(),
        }
    }
}
