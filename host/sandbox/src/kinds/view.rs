//! One instance of a view, and the calls into it.

use gavel_model::{Json, RecordedEvent, RowKey};
use wasmtime::Store;

use super::Kind;
use super::sources::{QueryItem, SourcesCalls};
use crate::bindings::readers::exports::gavel::module::view::{Guest, GuestIndices, Row};
use crate::host::{Host, Surroundings};
use crate::log::printable;
use crate::running::Running;
use crate::value::{self, EventTexts};
use crate::{Fault, Module};

pub(super) const KIND: Kind = Kind {
    is_run: true,
    load: |pre, store, instance| GuestIndices::new(pre)?.load(store, instance).map(drop),
    describe: |module| module.instantiate_view()?.describe(),
};

/// A running view with memory of its own.
///
/// Each call gets the whole of [`Limits::fuel`](crate::Limits::fuel) and
/// [`Limits::deadline`](crate::Limits::deadline). All methods run guest code: call them on a
/// guest's thread. After a fault that left the guest in pieces every call fails with
/// [`Fault::Spent`]: throw the instance away.
pub struct ViewInstance {
    running: Running,
    guest: Guest,
    sources: Option<SourcesCalls>,
}

/// A row that is to be folded.
#[derive(Debug, Clone, PartialEq)]
pub struct RowToFold<'a> {
    /// The key.
    pub key: &'a RowKey,
    /// The row; none if there is none.
    pub value: Option<&'a Json>,
    /// The events that the row folds, in order, as places in the page.
    pub events: &'a [u32],
}

/// The reason for which a row was not folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFault {
    /// The place of the event in the row's own list; none if the module does not tell.
    pub index: Option<usize>,
    /// The reason, one sentence.
    pub reason: String,
}

impl Module {
    /// A fresh instance of a view, which shares no memory with any other. Guest code runs: call it
    /// on a guest's thread.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when the component's start code traps or exceeds a limit, or when it is no view.
    pub fn instantiate_view(&self) -> Result<ViewInstance, Fault> {
        let pre = self.component();
        let (running, (guest, sources)) = self.start(pre, |store, instance| {
            let guest = GuestIndices::new(pre)?.load(&mut *store, instance)?;
            let sources = SourcesCalls::find(self.optional_interfaces(), pre, store, instance)?;
            Ok((guest, sources))
        })?;
        Ok(ViewInstance {
            running,
            guest,
            sources,
        })
    }
}

impl ViewInstance {
    /// The manifest.
    ///
    /// # Errors
    ///
    /// A [`Fault`]: the module cannot be used.
    pub fn describe(&mut self) -> Result<Json, Fault> {
        let text = self.call(|guest, store| guest.call_describe(store))?;
        value::document("the manifest", &text, self.running.limits().manifest_bytes)
    }

    /// The keys of the rows that each event changes, in the order of the events; as the module
    /// names them.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub fn keys(&mut self, events: &[&RecordedEvent]) -> Result<Vec<Vec<String>>, Fault> {
        let texts: Vec<EventTexts<'_>> = events.iter().map(|event| EventTexts::of(event)).collect();
        let lowered: Vec<_> = texts.iter().map(EventTexts::lower).collect();
        let keys = self.call(|guest, store| guest.call_keys(store, &lowered))?;
        if keys.len() != events.len() {
            return Err(Fault::BrokeContract {
                reason: format!(
                    "it names keys for {} of {} events",
                    keys.len(),
                    events.len()
                ),
            });
        }
        Ok(keys)
    }

    /// Folds events into rows. Gives for each row its new value, none where it ends.
    ///
    /// # Errors
    ///
    /// A [`Fault`] says nothing of a single row.
    pub fn fold(
        &mut self,
        events: &[&RecordedEvent],
        rows: &[RowToFold<'_>],
    ) -> Result<Vec<Result<Option<Json>, RowFault>>, Fault> {
        let texts: Vec<EventTexts<'_>> = events.iter().map(|event| EventTexts::of(event)).collect();
        let lowered: Vec<_> = texts.iter().map(EventTexts::lower).collect();
        let lowered_rows: Vec<_> = rows
            .iter()
            .map(|row| Row {
                key: row.key.as_str(),
                value: row.value.map(Json::as_str),
                events: row.events,
            })
            .collect();
        let folded = self.call(|guest, store| guest.call_fold(store, &lowered, &lowered_rows))?;
        if folded.len() != rows.len() {
            return Err(Fault::BrokeContract {
                reason: format!("it folds {} of {} rows", folded.len(), rows.len()),
            });
        }
        let limit = self.running.limits().output_bytes;
        let texts = folded.iter().filter_map(|row| row.as_ref().ok()?.as_ref());
        value::within(texts.map(String::len).sum(), limit, "bytes of output")?;
        let checked = folded
            .into_iter()
            .zip(rows)
            .map(|(folded, row)| match folded {
                Ok(None) => Ok(None),
                Ok(Some(text)) => Json::parse(&text).map(Some).map_err(|error| RowFault {
                    index: None,
                    reason: format!("the row: {error}"),
                }),
                Err(error) => Err(RowFault {
                    index: usize::try_from(error.index)
                        .ok()
                        .filter(|index| *index < row.events.len()),
                    reason: printable(&error.message),
                }),
            });
        Ok(checked.collect())
    }

    /// Tells whether the module can say which events a row follows from.
    #[must_use]
    pub fn has_sources(&self) -> bool {
        self.sources.is_some()
    }

    /// The conditions of which an event of the row has to match at least one.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    ///
    /// # Panics
    ///
    /// When the module cannot say so.
    pub fn sources(&mut self, key: &RowKey) -> Result<Vec<QueryItem>, Fault> {
        let sources = self.sources.as_ref();
        let sources = sources.expect("only a module that has sources is asked for them");
        sources.of_key(&mut self.running, key.as_str())
    }

    /// The cost of the newest call, in units of fuel.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        self.running.fuel_used()
    }

    /// Takes what the module wrote to stdout and stderr since the last time, cut at
    /// [`Limits::log_bytes`](crate::Limits::log_bytes); none if that is nothing.
    #[must_use]
    pub fn take_output(&mut self) -> Option<String> {
        self.running.take_output()
    }

    /// Tells whether a fault has left the instance unusable: then it can only be thrown away.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.running.is_spent()
    }

    fn call<T>(
        &mut self,
        call: impl FnOnce(&Guest, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        let guest = &self.guest;
        self.running
            .call(Surroundings::default(), |store| call(guest, store))
    }
}

impl std::fmt::Debug for ViewInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewInstance")
            .field("is_spent", &self.is_spent())
            .finish_non_exhaustive()
    }
}
