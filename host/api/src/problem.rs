//! Problem documents.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The reason why a request was not fulfilled (RFC 9457). Programs match `code`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Identifies the kind of problem; ends with the code.
    #[serde(rename = "type")]
    #[schema(format = "uri")]
    pub type_url: String,
    /// One sentence about this kind of problem.
    pub title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// One sentence about this problem.
    pub detail: String,
    /// The id of the request.
    pub instance: String,
    /// The kind of problem, for programs.
    pub code: String,
    /// Facts for programs, depending on `code`.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub facts: Map<String, Value>,
}
