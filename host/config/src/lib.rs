//! The settings of a host: names, sources, types and bounds.
//!
//! Each area is one struct in one file, declared in an `area!` table: name, type, default, bound
//! and description of a setting stand in one place. The key in `gavel.toml`, the environment
//! variable and the lines of `gavel config` follow from the table. The setting `listen` of the area
//! `server` is `listen` under `[server]` in `gavel.toml` and `GAVEL_SERVER_LISTEN` in the
//! environment.
//!
//! Layers, each over the one before: defaults, `gavel.toml`, the environment, flags. Every layer is
//! checked, even where a higher one hides it, and all problems are reported at once.
//!
//! **Invariant:** nothing else in the host reads the environment, and a host never starts with a
//! setting that it does not understand.

mod area;
mod auth;
mod commands;
mod consumers;
mod data;
mod entry;
mod environment;
mod error;
mod gate;
mod load;
mod log;
mod push;
mod reader;
mod sandbox;
mod server;
mod setting;
mod store;
mod views;
mod web;

pub use auth::{Auth, Scope, Token};
pub use commands::Commands;
pub use consumers::Consumers;
pub use data::Data;
pub use entry::{Entry, Flag, Source};
pub use error::{Error, Problem};
pub use gate::{DeciderPolicy, Gate, GateMode};
pub use load::{Config, Loaded};
pub use log::{Log, LogFilter, LogFormat};
pub use push::{Push, PushTarget};
pub use sandbox::Sandbox;
pub use server::Server;
pub use store::{Store, StoreUrl};
pub use views::Views;
pub use web::{HostName, Origin};

/// Bytes in a KiB.
const KIB: u64 = 1024;
/// Bytes in a MiB.
const MIB: u64 = 1024 * KIB;
/// Bytes in a GiB.
const GIB: u64 = 1024 * MIB;
