//! The text of a schema, and the definitions it refers to.

use gavel_json::write_text;

use super::JsonSchema;

/// Receives a schema's text.
#[derive(Debug, Default)]
pub struct SchemaWriter {
    text: String,
    definitions: Vec<Definition>,
    /// Tells whether anything was written or begun: the outermost type is written in place, and not
    /// referred to.
    begun: bool,
    /// Tells whether the outermost type, if it is an object, allows only its own fields.
    closed: bool,
}

/// A type that the schema refers to.
#[derive(Debug)]
struct Definition {
    /// The type's path, which tells types of the same name apart.
    path: &'static str,
    name: String,
    /// The text of the definition; empty while it is being written.
    text: String,
}

/// A field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The field's name in JSON.
    pub name: &'static str,
    /// The description of the field for people; empty for none.
    pub description: &'static str,
    /// Tells whether the field must be present.
    pub required: bool,
    /// Writes the schema of the field's value.
    pub schema: fn(&mut SchemaWriter),
}

impl SchemaWriter {
    /// Closes the outermost object: it allows no members but its fields, unless its type says
    /// otherwise.
    pub(super) fn closed() -> Self {
        Self {
            closed: true,
            ..Self::default()
        }
    }

    /// Appends JSON unchanged.
    pub fn raw(&mut self, json: &str) {
        self.begun = true;
        self.text.push_str(json);
    }

    /// Writes the schema of `T`, or refers to it if it is written elsewhere already.
    ///
    /// `write` writes the schema; its name is `name`, unless another type has that name.
    pub fn define<T: ?Sized>(&mut self, name: &'static str, write: fn(&mut Self)) {
        if !std::mem::replace(&mut self.begun, true) {
            return write(self);
        }
        let path = std::any::type_name::<T>();
        let known = self
            .definitions
            .iter()
            .find(|definition| definition.path == path);
        let name = match known {
            Some(definition) => definition.name.clone(),
            None => self.add_definition(path, name, write),
        };
        self.raw("{\"$ref\":");
        write_text(&mut self.text, &format!("#/$defs/{name}"));
        self.raw("}");
    }

    fn add_definition(
        &mut self,
        path: &'static str,
        name: &'static str,
        write: fn(&mut Self),
    ) -> String {
        let mut unique = name.to_owned();
        let mut number = 1;
        while self
            .definitions
            .iter()
            .any(|definition| definition.name == unique)
        {
            number += 1;
            unique = format!("{name}{number}");
        }
        let index = self.definitions.len();
        self.definitions.push(Definition {
            path,
            name: unique.clone(),
            text: String::new(),
        });
        let outer = std::mem::take(&mut self.text);
        write(self);
        let text = std::mem::replace(&mut self.text, outer);
        if let Some(definition) = self.definitions.get_mut(index) {
            definition.text = text;
        }
        unique
    }

    /// Writes the object that `schema` writes, with a description in front.
    pub fn described(&mut self, description: &str, schema: fn(&mut Self)) {
        let start = self.text.len();
        schema(self);
        if description.is_empty() {
            return;
        }
        let members = self.text.split_off(start);
        let members = members.strip_prefix('{').unwrap_or(&members);
        self.raw("{\"description\":");
        write_text(&mut self.text, description);
        self.raw(if members.starts_with('}') { "" } else { "," });
        self.raw(members);
    }

    /// Writes the schema of an object with `fields`, to which `more` members are added, each
    /// followed by a comma.
    pub fn object(&mut self, more: &str, fields: &[Field]) {
        let is_outermost = self.text.is_empty() && self.definitions.is_empty();
        self.raw("{");
        self.raw(more);
        if self.closed && is_outermost && !more.contains("\"additionalProperties\":") {
            self.raw("\"additionalProperties\":false,");
        }
        self.raw("\"type\":\"object\"");
        let mut separator = ",\"properties\":{";
        for field in fields {
            self.raw(separator);
            write_text(&mut self.text, field.name);
            self.raw(":");
            self.described(field.description, field.schema);
            separator = ",";
        }
        if !fields.is_empty() {
            self.raw("}");
        }
        let mut separator = ",\"required\":[";
        for field in fields.iter().filter(|field| field.required) {
            self.raw(separator);
            write_text(&mut self.text, field.name);
            separator = ",";
        }
        if fields.iter().any(|field| field.required) {
            self.raw("]");
        }
        self.raw("}");
    }

    /// Writes the schema of an array with these elements, exactly.
    pub fn tuple(&mut self, elements: &[fn(&mut Self)]) {
        self.raw("{\"type\":\"array\",\"prefixItems\":[");
        for (index, element) in elements.iter().enumerate() {
            self.raw(if index == 0 { "" } else { "," });
            element(self);
        }
        self.raw(&format!(
            "],\"minItems\":{0},\"maxItems\":{0}}}",
            elements.len()
        ));
    }

    /// Writes the schema of `T` or null.
    pub(super) fn nullable<T: JsonSchema + ?Sized>(&mut self) {
        const TYPE: &str = "{\"type\":\"";
        // Only the schema of a type without a definition is simple enough to change.
        self.begun = true;
        let start = self.text.len();
        T::schema(self);
        let schema = self.text.split_off(start);
        let simple = schema
            .strip_prefix(TYPE)
            .and_then(|rest| rest.split_once('"'));
        match simple {
            Some((name, rest)) => self.raw(&format!("{{\"type\":[\"{name}\",\"null\"]{rest}")),
            None => self.raw(&format!("{{\"anyOf\":[{schema},{{\"type\":\"null\"}}]}}")),
        }
    }

    pub(super) fn into_document(mut self) -> String {
        if !self.definitions.is_empty() {
            self.text.pop();
            self.text.push_str(if self.text.ends_with('{') {
                "\"$defs\":{"
            } else {
                ",\"$defs\":{"
            });
            for (index, definition) in self.definitions.iter().enumerate() {
                self.text.push_str(if index == 0 { "" } else { "," });
                write_text(&mut self.text, &definition.name);
                self.text.push(':');
                self.text.push_str(&definition.text);
            }
            self.text.push_str("}}");
        }
        self.text
    }
}
