//! The directory of the host's own files.

use std::path::PathBuf;

use super::area::area;

area! {
    /// The directory of the host's own files.
    pub struct Data in "data" {
        /// The directory of compiled modules and, unless `store.url` says otherwise, of the
        /// database. Created if missing.
        dir: PathBuf = PathBuf::from(".gavel");
    }
}
