//! A list of specifications, and the files that it comes from.

use std::path::Path;

use super::form::Form;

/// The specifications of a module.
pub(crate) struct Specs<Spec>(Vec<Spec>);

impl<Spec> Default for Specs<Spec> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<Spec: Form> Specs<Spec> {
    /// Adds the specifications of a file in `folder`; one that ends in `.json` is JSON, any other
    /// YAML.
    ///
    /// # Errors
    ///
    /// One sentence that says what is wrong, and where.
    pub(crate) fn read(&mut self, folder: &Path, file: &str) -> Result<(), String> {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        self.add(file, &text)
    }

    /// Reads a file that holds `text`, as [`Specs::read`] does.
    pub(crate) fn add(&mut self, file: &str, text: &str) -> Result<(), String> {
        let specs: Result<Vec<Spec>, String> = match Path::new(file).extension() {
            Some(extension) if extension == "json" => {
                serde_json::from_str(text).map_err(|error| error.to_string())
            }
            _ => serde_saphyr::from_str(text)
                .map_err(|error| error.to_string().trim_start_matches("error: ").to_owned()),
        };
        for spec in
            specs.map_err(|error| format!("{file} is not a list of specifications: {error}"))?
        {
            if spec.title().trim().is_empty() {
                return Err(format!("{file} holds a specification with an empty title"));
            }
            if self.titles().any(|title| title == spec.title()) {
                return Err(format!(
                    "{file} holds a second specification called \"{}\"",
                    spec.title()
                ));
            }
            self.0.push(spec);
        }
        Ok(())
    }

    /// The titles, in the file's order.
    pub(crate) fn titles(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Form::title)
    }

    /// The specifications in the manifest's form.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.0)
    }
}
