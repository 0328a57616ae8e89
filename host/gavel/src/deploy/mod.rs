//! `gavel deploy`: upload modules, take them through the gate, activate them together.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Args;
use gavel_client::{Answer, Client};
use reqwest::Method;
use serde_json::json;

use super::answer::{Activation, ActivationList};
use super::exit::{Failure, Result};
use super::module::Module;
use super::output::Output;
use super::rehearsal::{self, Candidate, Rehearsed};
use super::{modules, report};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel deploy account.wasm -m 'no overdrafts any more'\n  gavel deploy account.wasm --yes=schema,specs:'an overdraft is allowed'\n  gavel deploy account.wasm --dry-run\n  gavel deploy orders.wasm --accept rows:412\n  gavel deploy restaurant.wasm order.wasm\n\n\
        Several modules become active at the same moment, or none does.\n\
        First it shows what would change. At a terminal it asks before it replaces a module, unless there is nothing to say.\n\
        Without a terminal, with -o json or with --yes nobody is asked: if recorded commands would be decided otherwise it refuses,\n\
        unless --yes names decisions, or stands without names."
)]
pub(super) struct Arguments {
    /// Components, built for wasm32-wasip2.
    #[arg(required = true, value_name = "MODULE")]
    modules: Vec<PathBuf>,
    /// The decider to activate a single module for [default: the name in the module's manifest].
    #[arg(long, value_name = "NAME")]
    decider: Option<String>,
    /// A description of the change, for the activation log.
    #[arg(short, long)]
    message: Option<String>,
    /// Show what would change, and whether the gate would refuse it; activate nothing.
    #[arg(long, conflicts_with = "message")]
    dry_run: bool,
    /// Accept the named findings of the gate, and rows:N: so many rows of a view that are others.
    #[arg(long, value_name = "FINDING,…", value_delimiter = ',')]
    accept: Vec<String>,
    /// Do not ask: accept the named findings of the gate, or, without names, all it has.
    #[arg(long, value_name = "FINDING,…", num_args = 0..=1, require_equals = true, value_delimiter = ',')]
    yes: Option<Vec<String>>,
}

/// A module that is stored, and the name that it is to work under.
struct Uploaded {
    name: String,
    module: Module,
}

pub(super) async fn run(arguments: &Arguments, client: &Client, output: &mut Output<'_>) -> Result {
    if arguments.decider.is_some() && arguments.modules.len() > 1 {
        let reason = "--decider names a single module: several are activated under their own names";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let named: Vec<_> = arguments.named().cloned().collect();
    let uploaded = upload(arguments, client, output).await?;
    let mut rehearsed = Vec::with_capacity(uploaded.len());
    for Uploaded { name, module } in &uploaded {
        // A module that is replaced as well blocks nothing. The activation tells whether the new
        // ones fit each other.
        let others = uploaded.iter().filter(|other| other.name != *name);
        let others = others.map(|other| format!("dependents:{}/{}", other.module.kind, other.name));
        let accept: Vec<_> = named.iter().cloned().chain(others).collect();
        let candidate = Candidate {
            collection: module.collection()?,
            name,
            digest: &module.digest,
            accept: &accept,
            shadow: false,
        };
        rehearsed.push(rehearsal::run(&candidate, client, output).await?);
    }
    if arguments.dry_run {
        show(&uploaded, &rehearsed, output)?;
        let is_let_pass = have_passed(&rehearsed)? || arguments.accepts_all();
        return is_let_pass.then_some(()).ok_or(Failure::Refused);
    }
    let more = confirm(arguments, &uploaded, &rehearsed, output)?;
    let accept = [named, more].concat();
    let answer = activate(&uploaded, arguments, &accept, client).await?;
    if output.is_json() {
        return output.received(answer.body());
    }
    let activated = match uploaded.as_slice() {
        [_] => vec![answer.parse()?],
        _ => answer.parse::<ActivationList>()?.activations,
    };
    for (Uploaded { name, .. }, activation) in uploaded.iter().zip(&activated) {
        output.text(&now_runs(name, activation))?;
    }
    Ok(())
}

async fn upload(
    arguments: &Arguments,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<Vec<Uploaded>> {
    let mut uploaded: Vec<Uploaded> = Vec::with_capacity(arguments.modules.len());
    for file in &arguments.modules {
        let answer = modules::upload(modules::read(file)?, client).await?;
        let module: Module = answer.parse()?;
        output.note(&format!("uploaded {} {}", module.name, module.digest));
        let name = arguments.decider.as_ref().unwrap_or(&module.name).clone();
        if uploaded.iter().any(|before| before.name == name) {
            let reason = format!("two of the modules are named {name}: nothing has changed");
            return Err(Failure::Usage(reason));
        }
        uploaded.push(Uploaded { name, module });
    }
    Ok(uploaded)
}

fn have_passed(rehearsed: &[Rehearsed]) -> Result<bool> {
    let mut have_passed = true;
    for rehearsed in rehearsed {
        have_passed &= rehearsed.has_passed()?;
    }
    Ok(have_passed)
}

/// Shows what the gate has found of each module, below its name if there are several.
fn show(uploaded: &[Uploaded], rehearsed: &[Rehearsed], output: &mut Output<'_>) -> Result {
    for (Uploaded { name, .. }, rehearsed) in uploaded.iter().zip(rehearsed) {
        if uploaded.len() > 1 && !output.is_json() {
            output.text(name)?;
        }
        rehearsed.show(output)?;
    }
    Ok(())
}

impl Arguments {
    /// Tells whether `--yes` was given without names. The gate takes names only, so the rehearsal
    /// has to find them first.
    fn accepts_all(&self) -> bool {
        self.yes.as_ref().is_some_and(Vec::is_empty)
    }

    /// The findings that are accepted by name.
    fn named(&self) -> impl Iterator<Item = &String> {
        self.accept.iter().chain(self.yes.iter().flatten())
    }

    /// Tells whether a finding is accepted by name, or `--yes` was given without names.
    fn accepts(&self, finding: &str) -> bool {
        self.named().any(|name| name == finding) || self.accepts_all()
    }
}

/// Shows the plan, and gives the findings that are accepted now that they are known.
fn confirm(
    arguments: &Arguments,
    uploaded: &[Uploaded],
    rehearsed: &[Rehearsed],
    output: &mut Output<'_>,
) -> Result<Vec<String>> {
    let have_passed = have_passed(rehearsed)?;
    let reports = || rehearsed.iter().map(Rehearsed::report);
    let mut blocking: Vec<_> = reports().flat_map(report::blocking).collect();
    blocking.sort();
    blocking.dedup();
    let is_asked =
        arguments.yes.is_none() && output.can_ask() && reports().any(report::is_worth_a_question);
    let is_unanswered = have_passed
        && !arguments.accepts(report::DECISIONS)
        && (arguments.yes.is_some() || !output.can_ask())
        && reports().any(report::changes_decisions);
    if is_unanswered {
        show(uploaded, rehearsed, output)?;
        output.note(
            "recorded commands would be decided differently, and there is no terminal to ask on: nothing has changed; \
             to deploy anyway, pass --yes=decisions, or --yes for all findings",
        );
        return Err(Failure::Refused);
    }
    let is_going_on = have_passed || is_asked || arguments.accepts_all();
    // What the gate refuses comes with its report anyway.
    if is_going_on && !output.is_json() {
        show(uploaded, rehearsed, output)?;
    }
    if is_asked {
        let question = match blocking.as_slice() {
            [] => "Activate?".to_owned(),
            findings => format!("Accept {} and activate?", findings.join(", ")),
        };
        if !output.ask(&question) {
            output.note("nothing has changed");
            return Err(Failure::Refused);
        }
        return Ok(blocking);
    }
    if !arguments.accepts_all() || blocking.is_empty() {
        return Ok(Vec::new());
    }
    output.note(&format!("accepted: {}", blocking.join(", ")));
    Ok(blocking)
}

async fn activate(
    uploaded: &[Uploaded],
    arguments: &Arguments,
    accept: &[String],
    client: &Client,
) -> Result<Answer> {
    let message = &arguments.message;
    let request = if let [Uploaded { name, module }] = uploaded {
        let path = ["v1", module.collection()?, name, "activations"];
        let body = json!({ "digest": module.digest, "message": message, "accept": accept });
        client.request(Method::POST, &path)?.json(&body)
    } else {
        let activations = uploaded.iter().map(|Uploaded { name, module }| {
            json!({ "kind": module.kind, "name": name, "digest": module.digest })
        });
        let activations: Vec<_> = activations.collect();
        let body = json!({ "activations": activations, "message": message, "accept": accept });
        let path = ["v1", "activations"];
        client.request(Method::POST, &path)?.json(&body)
    };
    Ok(client.send(request).await?)
}

/// Describes the result of an activation or of a rollback.
pub(super) fn now_runs(name: &str, activation: &Activation) -> String {
    let mut words = format!(
        "{name} now runs {} (activation {})",
        activation.digest, activation.activation
    );
    if activation.activation > 1 {
        words.push_str(&format!("\nto go back: gavel rollback {name}"));
    }
    words
}
