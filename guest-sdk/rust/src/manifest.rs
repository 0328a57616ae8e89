//! The manifest: a module's description of itself.

use gavel_json::write_text;

use crate::log::{Foreign, Key};
use crate::process::{ProcessModule, Rules};
use crate::schema::{Variants, command_document, document};
use crate::view::ViewModule;
use crate::{Module, Rejection};

const SDK: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The manifest of the decider `D` as JSON, which the host reads at upload.
///
/// The older versions of an event follow all current ones.
#[must_use]
pub fn describe<D: Module>() -> String {
    let mut text = Manifest::begin(D::NAME, "decider");
    text.member(",", "commands");
    text.list(D::Command::VARIANTS, |text, command| {
        text.member("{", "name");
        text.text(command.name);
        text.member(",", "schema");
        text.json(&command_document(command.schema));
        text.json("}");
    });
    text.member(",", "events");
    let current = D::Event::VARIANTS.iter().map(|event| {
        (
            event.name,
            D::EVENTS.current_version(event.name),
            event.schema,
        )
    });
    let older = D::EVENTS
        .upcasts
        .iter()
        .map(|upcast| (upcast.name, upcast.from, upcast.schema));
    text.list(current.chain(older), |text, (name, version, schema)| {
        text.member("{", "name");
        text.text(name);
        text.member(",", "schema_version");
        text.json(&version.to_string());
        text.member(",", "schema");
        text.json(&document(schema));
        text.json("}");
    });
    text.member(",", "state_schema");
    text.json(&document(D::schema));
    text.member(",", "rejections");
    text.list(D::Rejection::CODES, |text, code| {
        text.member("{", "code");
        text.text(code);
        text.json("}");
    });
    text.member(",", "specs");
    text.json(D::SPECS);
    text.json("}");
    text.0
}

/// The manifest of the view `V` as JSON, which the host reads at upload.
#[must_use]
pub fn describe_view<V: ViewModule>() -> String {
    let mut text = Manifest::begin(V::NAME, "view");
    text.reads::<V::Event>(V::KEY);
    text.member(",", "row_schema");
    text.json(&document(V::schema));
    text.member(",", "indexes");
    text.list(V::INDEXES, |text, fields| {
        text.list(*fields, |text, field| text.text(field));
    });
    text.member(",", "specs");
    text.json(V::SPECS);
    text.json("}");
    text.0
}

/// The manifest of the process `P` as JSON, which the host reads at upload.
#[must_use]
pub fn describe_process<P: ProcessModule>() -> String {
    let mut text = Manifest::begin(P::NAME, "process");
    text.reads::<<P::Rules as Rules>::Event>(P::KEY);
    text.member(",", "sends");
    let sends = P::SENDS
        .iter()
        .flat_map(|(decider, commands)| commands.iter().map(move |command| (decider, command)));
    text.list(sends, |text, (decider, command)| {
        text.member("{", "decider");
        text.text(decider);
        text.member(",", "command");
        text.text(command);
        text.json("}");
    });
    if P::ACCEPTED {
        text.member(",", "accepted");
        text.json("true");
    }
    match P::Rules::STATE {
        Some(schema) => {
            text.member(",", "state_schema");
            text.json(&document(schema));
        }
        None => {
            text.member(",", "stateless");
            text.json("true");
        }
    }
    text.json("}");
    text.0
}

struct Manifest(String);

impl Manifest {
    fn begin(name: &str, kind: &str) -> Self {
        let mut text = Self(String::new());
        text.member("{", "name");
        text.text(name);
        text.member(",", "kind");
        text.text(kind);
        text.member(",", "sdk");
        text.text(SDK);
        text
    }

    fn json(&mut self, json: &str) {
        self.0.push_str(json);
    }

    fn text(&mut self, text: &str) {
        write_text(&mut self.0, text);
    }

    /// Begins a member after `separator`.
    fn member(&mut self, separator: &str, key: &str) {
        self.json(separator);
        self.text(key);
        self.json(":");
    }

    /// The events that are read, and where their keys come from.
    fn reads<E: Foreign>(&mut self, key: Key) {
        self.member(",", "reads");
        self.list(E::reads(), |text, read| {
            text.member("{", "decider");
            text.text(read.decider);
            text.member(",", "event");
            text.text(read.event);
            text.member(",", "schema_versions");
            text.list(read.schema_versions, |text, version| {
                text.json(&version.to_string());
            });
            if let Key::Tag(_) = key {
                text.member(",", "by_tag");
                text.json("true");
            }
            text.json("}");
        });
        match key {
            Key::StreamId => {
                self.member(",", "key");
                self.text("stream_id");
            }
            Key::Tag(tag) => {
                self.member(",", "key");
                self.member("{", "tag");
                self.text(tag);
                self.json("}");
            }
            Key::EventId | Key::ByHand => {}
        }
    }

    fn list<T>(&mut self, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Self, T)) {
        self.json("[");
        for (index, item) in items.into_iter().enumerate() {
            self.json(if index == 0 { "" } else { "," });
            write(self, item);
        }
        self.json("]");
    }
}
