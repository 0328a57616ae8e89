//! Where the host keeps files of its own.

use std::path::PathBuf;

use super::area::area;

area! {
    /// Where the host keeps files of its own.
    pub struct Data in "data" {
        /// Directory of compiled modules and, unless `store.url` says otherwise, the database. Created when missing.
        dir: PathBuf = PathBuf::from(".gavel");
    }
}
