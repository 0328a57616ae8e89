//! The attempts of hostile modules, clients, neighbours, web pages and foreign sessions, and the
//! effects of a restore or a stepping clock: one file for each kind. `cargo xtask test -- hostile`
//! runs this suite alone.

mod batches;
mod bounds;
mod doors;
mod gate;
mod held;
mod manifest;
mod neighbours;
mod output;
mod push;
mod restore;
mod sql;
mod stop;
mod text;
mod time;
mod views;
