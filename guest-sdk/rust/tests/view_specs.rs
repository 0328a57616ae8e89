//! Specifications of views mean what `wit/specs.md` says: the list on which all runners agree.

use std::panic::catch_unwind;

use gavel::ViewModule as _;
use serde_json::Value;
use view_specimen::ViewSpecimen;

const HOLDS: &str = include_str!("../../../tests/specs/view_holds.yaml");
const FAILS: &str = include_str!("../../../tests/specs/view_fails.yaml");

fn titles(file: &'static str) -> Vec<&'static str> {
    file.lines()
        .filter_map(|line| line.strip_prefix("- title: "))
        .collect()
}

#[test]
fn each_spec_of_the_list_has_the_verdict_that_it_should() {
    let specs: Vec<Value> = serde_json::from_str(ViewSpecimen::SPECS).unwrap();
    let (mut hold, mut fail) = (Vec::new(), Vec::new());
    for (index, spec) in specs.iter().enumerate() {
        let verdict = catch_unwind(|| gavel::__private::assert_view_spec::<ViewSpecimen>(index));
        let side = if verdict.is_ok() {
            &mut hold
        } else {
            &mut fail
        };
        side.push(spec["title"].as_str().unwrap());
    }
    assert_eq!(hold, titles(HOLDS));
    assert_eq!(fail, titles(FAILS));
}

/// The message of the specification with this title.
fn failure(title: &str) -> String {
    let specs: Vec<Value> = serde_json::from_str(ViewSpecimen::SPECS).expect("they are JSON");
    let index = specs
        .iter()
        .position(|spec| spec["title"] == title)
        .expect("there is such a specification");
    let payload = catch_unwind(|| gavel::__private::assert_view_spec::<ViewSpecimen>(index))
        .expect_err("it does not hold");
    payload.downcast_ref::<String>().expect("a message").clone()
}

#[test]
fn a_spec_that_does_not_hold_says_why() {
    assert_eq!(
        failure("a row more is one too many"),
        "\"a row more is one too many\" does not hold\nexpected: rows {}\n  actual: rows \
         {\"spec\":{\"cents\":0,\"recalled\":null,\"shares\":0,\"told\":null,\"value\":5}}\n"
    );
    for (title, reason) in [
        (
            "an event that is not read is not given",
            "gives Withdrawn, which the view does not read",
        ),
        (
            "of two events of a name none is given without its decider",
            "gives Paid, which the view reads of several deciders: name one of them",
        ),
        (
            "a key is not empty",
            "gives Shared, which has \"\" for a key",
        ),
    ] {
        assert_eq!(failure(title), format!("\"{title}\" {reason}"));
    }
}
