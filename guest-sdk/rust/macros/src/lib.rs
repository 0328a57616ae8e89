//! The macros of `gavel-guest-sdk`, which documents and re-exports them: use them as `gavel::…`.

mod attribute;
mod case;
mod decider;
mod event;
mod foreign;
mod key;
mod process;
mod rejection;
mod schema;
mod serde_attributes;
mod specs;
mod target;
#[cfg(test)]
mod tests;
mod view;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Turns an `impl Decider for …` into a module: names it, embeds its specifications, and exports
/// the component.
///
/// - `name = "account"`: the name of the decider, `[A-Za-z][A-Za-z0-9_-]{0,127}`.
/// - `specs = "account.specs.yaml"` (optional): given/when/then specifications in YAML or JSON, the
///   path relative to the crate's root. They are checked and embedded at compile time, and each
///   becomes a test of `cargo test`.
///
/// The file is a list of specifications. `given` and every `data` may be left out when empty:
///
/// ```yaml
/// - title: an amount over the balance cannot be withdrawn
///   given:
///     - { event: Opened, data: { owner: ann } }
///     # `schema_version` is optional: by default it is the newest.
///     - { event: Deposited, data: { amount: 3 }, schema_version: 1 }
///   # `context` is optional, and so is each of its members.
///   when: { command: Withdraw, data: { amount: 4 }, context: { now_ms: 5 } }
///   # Or `{ rejected: { code, message, data } }`, `{ events: [ … ] }`, `{ state: … }`.
///   then: { rejected: insufficient-funds }
/// ```
///
/// `then: { state: … }` expects the command to be accepted, and compares the whole state after the
/// events that were decided. A specification means the same in `cargo test`, in `gavel test` and
/// when a host activates the module: see `wit/specs.md`.
#[proc_macro_attribute]
pub fn decider(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = decider::expand(arguments.into(), item.into());
    expanded
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Turns an `impl View for …` into a module: names it, embeds its specifications, and exports the
/// component.
///
/// - `name = "orders"`: the name of the view, `[a-z][a-z0-9_-]{0,62}`.
/// - `key = stream_id`: a row is of one stream, and its key is the stream's id. With
///   `key = tag("order")` an event changes the rows of its tags `order:<value>`, and each value is
///   a key; hosts index the tags of all events that the view reads. Without `key`, the block has a
///   function `keys`. It may then also have the function `sources` of the trait `Sources`, which
///   otherwise follows from `key`.
/// - `specs = "orders.specs.yaml"` (optional): specifications in YAML or JSON, the path relative to
///   the crate's root. They are checked and embedded at compile time, and each becomes a test of
///   `cargo test`.
///
/// The file is a list of specifications:
///
/// ```yaml
/// - title: an order that was prepared is ready
///   # Events in the order of the log. All but `event` may be left out: the stream is `spec`, the
///   # schema version the newest, the decider the one of which the view reads such an event.
///   given:
///     - { event: OrderCreated, stream_id: o-1, data: { restaurant_identifier: r-1 } }
///     - { event: OrderPrepared, stream_id: o-1, created_ms: 5, tags: ["order:o-1"] }
///   # All rows that there are then, by their keys.
///   then: { rows: { o-1: { restaurant: r-1, ready_at: "1970-01-01T00:00:00.005Z" } } }
/// ```
///
/// A specification means the same in `cargo test`, in `gavel test` and when a host activates the
/// module: see `wit/specs.md`.
#[proc_macro_attribute]
pub fn view(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = view::expand(arguments.into(), item.into());
    expanded
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Turns an `impl Process for …`, an `impl Saga for …` or an `impl Workflow for …` into a module:
/// names it, says what it sends, and exports the component.
///
/// - `name = "billing"`: the name of the process, `[A-Za-z][A-Za-z0-9_-]{0,127}`.
/// - `key = stream_id`: an instance learns of one stream, and its key is the stream's id. With
///   `key = tag("order")` the instances that learn of an event are those of its tags
///   `order:<value>`, and each value is a key; hosts index the tags of all events that the process
///   reads. Without `key`, the block has a function `keys`. It may then also have the function
///   `sources` of the trait `Sources`, which otherwise follows from `key`. A saga has none of them.
/// - `sends(OrderCommand, StockCommand)`: the types of the commands that it sends, each with the
///   derive macro [`Target`](macro@Target). A task with any other is a fault.
/// - `accepted = true` (optional): instances learn which of their commands were accepted, not only
///   which were rejected. Those of a workflow always do, those of a saga never.
#[proc_macro_attribute]
pub fn process(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let expanded = process::expand(arguments.into(), item.into());
    expanded
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Says whose events an enum holds, so that a view or a process can read them.
///
/// The events of one decider are an enum with a variant for each event that is read, by its stored
/// name and in serde's default representation, below `#[foreign(decider = "order")]`. Events that
/// are not listed are not read, and fields that are not listed are ignored.
///
/// Events of several deciders are an enum whose variants wrap such an enum each. An enum of events
/// without this derive can be wrapped as well, under `#[foreign(decider = "restaurant")]` on the
/// variant; it is read as a whole. The trait of the same name shows both.
///
/// Which schema versions are read, the [`Event`](macro@Event) derive of the events says: all of
/// them, through its upcasters, and without it the first. `#[foreign(versions = [1, 2])]` on a
/// variant of a subset reads these versions as one, where the listed fields are the same in both.
///
/// A crate with `#[gavel::decider]` exports that decider wherever it is linked into, and a module
/// is of one kind: put types that a decider and a view share into a crate of events, without that
/// attribute.
#[proc_macro_derive(Foreign, attributes(foreign, serde))]
pub fn derive_foreign(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as syn::DeriveInput);
    foreign::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Says whose commands an enum holds, so that a process can send them: `#[target(decider =
/// "order")]` above the enum.
///
/// Each variant is a command by its name, and its fields are the command's data, both after serde's
/// renaming. The enum needs `Serialize` in serde's default representation too.
#[proc_macro_derive(Target, attributes(target, serde))]
pub fn derive_target(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as syn::DeriveInput);
    target::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Derives the JSON Schema of a type's serde form; doc comments become descriptions.
///
/// The macro understands serde's attributes for names, defaults and skipped fields,
/// `deny_unknown_fields`, `transparent`, `from` and `try_from`, and an enum's four representations.
/// A field that serde reads in its own way (`flatten`, `with`) or whose type has no schema needs a
/// type that has the same JSON: `#[schema(as = String)]`.
///
/// The data of a command has its own fields only, and a host refuses any other by name.
/// `#[schema(open)]` above the enum or a variant allows other fields, which serde ignores.
///
/// On a field of a view's row, `#[index]` makes the view queryable by that field, and
/// `#[index(created_at)]` by that field first and `created_at` second, with up to four in all. A
/// field may have several of these attributes, a row up to 16.
#[proc_macro_derive(JsonSchema, attributes(schema, serde, index))]
pub fn derive_json_schema(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as syn::DeriveInput);
    schema::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Gives the facts of an event besides its data. Each attribute is optional, and so is the whole
/// derive.
///
/// On a variant:
///
/// - `#[event(final)]`: the stream ends with this event.
/// - `#[event(tags(order_id, restaurant_id = restaurant))]`: labels `order_id:<value>` and
///   `restaurant_id:<value>`, made from the fields `order_id` and `restaurant` with
///   [`Display`](std::fmt::Display).
/// - `#[event(version = 3, upcast(1 = add_currency, 2 = split_name))]`: the data is in its third
///   version, and the functions bring older data one version further. Each is a `fn(Old) -> New`,
///   where `Old` can be deserialised and has a JSON Schema, which becomes the older version's in
///   the manifest, and `New` can be serialised. Types that mirror the old data do, and so does
///   `serde_json::Value`.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as syn::DeriveInput);
    event::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes an enum the rejections of a decider; it needs `Serialize` in serde's default
/// representation too.
///
/// On a variant, `#[rejection(code = "…", message = "…")]`, both optional. The code defaults to the
/// variant's name in kebab-case: `InsufficientFunds` becomes `insufficient-funds`. The message
/// defaults to the same words, and may hold fields: `"the balance is {balance}"`, or `{0}` in a
/// tuple variant. The rejection's data is what serde makes of the variant's fields; a variant
/// without fields has none.
#[proc_macro_derive(Rejection, attributes(rejection))]
pub fn derive_rejection(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as syn::DeriveInput);
    rejection::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
