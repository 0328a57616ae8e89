//! The state of the host.

use serde::Serialize;
use utoipa::ToSchema;

/// That the host is well.
#[derive(Debug, Serialize, ToSchema)]
pub struct Status {
    /// `live` or `ready`.
    pub status: &'static str,
}

/// What answers here.
#[derive(Debug, Serialize, ToSchema)]
pub struct Info {
    /// `gavel`.
    pub name: &'static str,
    /// The release.
    pub version: &'static str,
    /// The versions of this API that are served.
    pub api_versions: [&'static str; 1],
    /// Whether requests need a credential.
    pub authentication: bool,
    /// What requests must keep within.
    pub limits: Limits,
}

/// What requests must keep within.
#[derive(Debug, Serialize, ToSchema)]
pub struct Limits {
    /// The most bytes of a JSON body.
    pub command_body_bytes: usize,
    /// The most bytes of a module.
    pub module_body_bytes: usize,
    /// The most commands in a batch.
    pub batch_commands: usize,
    /// The most things on a page.
    pub page_size: u32,
}
