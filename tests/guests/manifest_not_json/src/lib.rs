//! Says something that is no JSON.

base::module!("a decider, honestly".to_owned());
