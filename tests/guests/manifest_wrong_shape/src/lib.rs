//! A module that describes itself in JSON that is no manifest.

base::module!(r#"{"kind":["decider"],"commands":{"Open":1},"events":null}"#.to_owned());
