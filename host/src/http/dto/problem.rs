//! Problem documents.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Why a request was not fulfilled (RFC 9457). Programs match `code`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(in crate::http) struct ProblemBody {
    /// Identifies the kind of problem; ends with the code.
    #[serde(rename = "type")]
    #[schema(format = "uri")]
    pub(in crate::http) type_url: String,
    /// One sentence about this kind of problem.
    pub(in crate::http) title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    pub(in crate::http) status: u16,
    /// One sentence about this problem.
    pub(in crate::http) detail: String,
    /// The id of the request.
    pub(in crate::http) instance: String,
    /// The kind of problem, for programs.
    pub(in crate::http) code: String,
    /// What programs may want to know, by code.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub(in crate::http) facts: Map<String, Value>,
}
