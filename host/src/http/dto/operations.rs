//! The state of the host.

use serde::Serialize;
use utoipa::ToSchema;

/// That the host is well.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Status {
    /// `live` or `ready`.
    pub(in crate::http) status: &'static str,
}

/// What answers here.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Info {
    /// `gavel`.
    pub(in crate::http) name: &'static str,
    /// The release.
    pub(in crate::http) version: &'static str,
    /// The versions of this API that are served.
    pub(in crate::http) api_versions: [&'static str; 1],
    /// Whether requests need a credential.
    pub(in crate::http) authentication: bool,
    /// What requests must keep within.
    pub(in crate::http) limits: Limits,
}

/// What requests must keep within.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Limits {
    /// The most bytes of a JSON body.
    pub(in crate::http) command_body_bytes: usize,
    /// The most bytes of a module.
    pub(in crate::http) module_body_bytes: usize,
    /// The most commands in a batch.
    pub(in crate::http) batch_commands: usize,
    /// The most things on a page.
    pub(in crate::http) page_size: u32,
}
