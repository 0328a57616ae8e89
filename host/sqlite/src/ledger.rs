//! Looking commands up.

use async_trait::async_trait;
use gavel_store::Error;
use gavel_store::toolkit::lookup::{Found, Key, Ledger};
use rusqlite::params;

use super::readers::Readers;
use super::rows::{self, command_columns};

pub(super) const COMMAND: &str = concat!(
    "SELECT ",
    command_columns!(),
    " FROM commands WHERE namespace = ?1 AND command_id = ?2"
);

#[async_trait]
impl Ledger for Readers {
    async fn find(&self, wanted: Vec<Key>) -> Result<Vec<Found>, Error> {
        self.read(move |database| {
            let found = wanted.iter().map(|(namespace, command_id)| {
                let values = params![namespace.as_str(), command_id.as_bytes()];
                Ok(rows::one(database, COMMAND, values, rows::command)?)
            });
            Ok(found.collect())
        })
        .await
    }
}
