//! The exports of a decider, for any [`Module`].

use std::cell::RefCell;
use std::marker::PhantomData;

use bindings::exports::gavel::module::decider::{
    Command, Context as WitContext, Event, EvolveError, Guest, GuestState,
    Rejection as WitRejection, State, StateBorrow,
};

use crate::module::{self, StoredEvent};
use crate::{Context, Module, Rejection, manifest};

#[expect(missing_docs, reason = "generated from wit/")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "decider-module",
        export_macro_name: "__export_component",
        pub_export_macro: true,
        default_bindings_module: "gavel::__private::bindings",
        runtime_path: "wit_bindgen::rt",
    });
}

/// The component that runs the decider `D`.
#[derive(Debug)]
pub struct Component<D>(PhantomData<D>);

/// The state of one stream. A cell, since the host lends it to `evolve` as it lends it to `decide`;
/// the host never enters an instance twice at once, so no borrow can meet another.
#[derive(Debug)]
pub struct StreamState<D>(RefCell<D>);

impl<D: Module> Guest for Component<D> {
    type State = StreamState<D>;

    fn describe() -> String {
        manifest::describe::<D>()
    }

    fn evolve(state: StateBorrow<'_>, events: Vec<Event>) -> Result<(), EvolveError> {
        let mut state = state.get::<StreamState<D>>().0.borrow_mut();
        for (index, event) in (0..).zip(&events) {
            let event = module::read_event::<D>(&event.name, event.schema_version, &event.data)
                .map_err(|message| EvolveError { index, message })?;
            state.evolve(&event);
        }
        Ok(())
    }

    fn decide(
        state: StateBorrow<'_>,
        command: Command,
        context: WitContext,
    ) -> Result<Vec<Event>, WitRejection> {
        let state = state.get::<StreamState<D>>().0.borrow();
        let events = module::decide(&*state, &command.name, &command.data, &context.into())
            .map_err(|rejection| WitRejection {
                code: rejection.code().to_owned(),
                message: rejection.message(),
                data: rejection.data(),
            })?;
        Ok(events.into_iter().map(Event::from).collect())
    }
}

impl<D: Module> GuestState for StreamState<D> {
    fn initial() -> State {
        State::new(Self(RefCell::default()))
    }

    fn restore(snapshot: String) -> Result<State, String> {
        Ok(State::new(Self(RefCell::new(module::restore::<D>(
            &snapshot,
        )?))))
    }

    fn snapshot(&self) -> String {
        module::snapshot(&*self.0.borrow())
    }
}

impl From<StoredEvent> for Event {
    fn from(event: StoredEvent) -> Self {
        let StoredEvent {
            name,
            schema_version,
            data,
            is_final,
            tags,
        } = event;
        Self {
            name,
            schema_version,
            data,
            final_: is_final,
            tags,
        }
    }
}

impl From<WitContext> for Context {
    fn from(context: WitContext) -> Self {
        let WitContext {
            command_id,
            namespace,
            stream_id,
            version,
            now_ms,
            seed,
            actor,
            metadata,
        } = context;
        Self {
            command_id,
            namespace,
            stream_id,
            version,
            now_ms,
            seed,
            actor,
            metadata,
        }
    }
}
