//! The host's own description of its API, to hold its answers against.

use std::collections::BTreeSet;

use serde_json::Value;

/// A served `/openapi.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Document(Value);

impl Document {
    /// Takes the document that was served.
    ///
    /// # Panics
    ///
    /// When it is not OpenAPI 3.1.
    #[must_use]
    pub fn new(document: Value) -> Self {
        let version = document["openapi"].as_str().unwrap_or_default();
        assert!(
            version.starts_with("3.1."),
            "/openapi.json is OpenAPI 3.1, not {version:?}"
        );
        Self(document)
    }

    /// The document itself.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The operations, each as its method in capitals and its path, as in `GET
    /// /v1/modules/{digest}`.
    ///
    /// # Panics
    ///
    /// When the document has no paths.
    #[must_use]
    pub fn operations(&self) -> BTreeSet<String> {
        let paths = self.0["paths"].as_object().expect("the document has paths");
        let methods = [
            "get", "put", "post", "delete", "patch", "head", "options", "trace",
        ];
        let operations = paths.iter().flat_map(|(path, item)| {
            let methods = methods.iter().filter(|method| item.get(method).is_some());
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        });
        operations.collect()
    }

    /// Says what is wrong with an answer that the document does not foresee: a status or a media
    /// type it does not name.
    ///
    /// What is asked of no operation at all (an unknown path, a method that there is not) is
    /// foreseen nowhere, and well.
    #[must_use]
    pub fn objection(
        &self,
        method: &str,
        path: &str,
        status: u16,
        media_type: Option<&str>,
    ) -> Option<String> {
        let operation = self.operation(method, path)?;
        let responses = &operation["responses"];
        let range = format!("{}XX", status / 100);
        let response = [status.to_string(), range, "default".to_owned()]
            .into_iter()
            .find_map(|key| responses.get(key));
        let Some(response) = response else {
            return Some(format!(
                "/openapi.json documents no {status} for {method} {path}"
            ));
        };
        let essence = media_type?.split(';').next()?.trim();
        let known = match response["content"].as_object() {
            Some(content) => content.contains_key(essence),
            // A reference to a component, which holds the content.
            None => response.get("$ref").is_some(),
        };
        (!known).then(|| {
            format!("/openapi.json documents no {essence} for the {status} of {method} {path}")
        })
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let paths = self.0["paths"].as_object()?;
        let candidates = paths.iter().filter(|(template, _)| matches(template, path));
        // Where several match, the one with the fewest parameters is meant.
        let (_, item) = candidates.min_by_key(|(template, _)| template.matches('{').count())?;
        item.get(method.to_lowercase())
    }
}

fn matches(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(expected), Some(given))
                if expected == given || (expected.starts_with('{') && !given.is_empty()) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Document {
        Document::new(json!({
            "openapi": "3.1.0",
            "paths": {
                "/v1/deciders/{decider}/{id}": { "get": { "responses": {
                    "200": { "content": { "application/json": {} } },
                    "404": { "$ref": "#/components/responses/Problem" }
                } } },
                "/v1/deciders/{decider}/streams": { "get": { "responses": { "200": {} } } }
            }
        }))
    }

    #[test]
    fn what_is_documented_meets_no_objection() {
        let json = Some("application/json; charset=utf-8");
        assert_eq!(
            document().objection("GET", "/v1/deciders/counter/c-1", 200, json),
            None
        );
        assert_eq!(
            document().objection(
                "GET",
                "/v1/deciders/counter/c-1",
                404,
                Some("application/problem+json")
            ),
            None
        );
        assert_eq!(
            document().objection("GET", "/nowhere", 404, Some("application/problem+json")),
            None
        );
    }

    #[test]
    fn another_status_or_media_type_meets_one() {
        assert!(
            document()
                .objection("GET", "/v1/deciders/counter/c-1", 409, None)
                .is_some()
        );
        assert!(
            document()
                .objection("GET", "/v1/deciders/counter/c-1", 200, Some("text/plain"))
                .is_some()
        );
        // A literal path goes before one with a parameter.
        assert!(
            document()
                .objection("GET", "/v1/deciders/counter/streams", 404, None)
                .is_some()
        );
    }
}
