//! The state of the host.

use serde::Serialize;
use utoipa::ToSchema;

/// The answer to a health check.
#[derive(Debug, Serialize, ToSchema)]
pub struct Status {
    /// `live` or `ready`.
    pub status: &'static str,
}

/// The host that answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Info {
    /// `gavel`.
    pub name: &'static str,
    /// The release.
    pub version: &'static str,
    /// The versions of this API that are served.
    pub api_versions: [&'static str; 1],
    /// True if requests need a credential.
    pub authentication: bool,
    /// The limits of a request.
    pub limits: Limits,
}

/// The limits of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct Limits {
    /// The most bytes in a JSON body.
    pub command_body_bytes: usize,
    /// The most bytes in a module.
    pub module_body_bytes: usize,
    /// The most commands in a batch.
    pub batch_commands: usize,
    /// The most elements on a page.
    pub page_size: u32,
}
