//! Runs a command and says how it ended.

use std::future::Future;

use anyhow::Context as _;

use super::arguments::{Arguments, Command};
use super::exit::{Exit, Failure, Result};
use super::output::Output;
use super::{
    config, deactivate, deploy, events, graph, inspect, logs, modules, problem, rehearse, rollback,
    rows, send, serve, state, test, token, verify, views, why,
};

/// Runs the command. A failure is written to `output`; the caller ends the process with the code.
pub fn run(arguments: &Arguments, output: &mut Output<'_>) -> Exit {
    match dispatch(arguments, output) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            report(&failure, output);
            failure.exit()
        }
    }
}

fn dispatch(arguments: &Arguments, output: &mut Output<'_>) -> Result {
    let settings = &arguments.settings;
    let client = || arguments.connection.client();
    match &arguments.command {
        Command::Serve(serve) => block_on(serve::run(serve, settings)),
        Command::Deploy(deploy) => block_on(deploy::run(deploy, &client()?, output)),
        Command::Rehearse(rehearse) => block_on(rehearse::run(rehearse, &client()?, output)),
        Command::Modules(modules) => block_on(modules::run(modules, &client()?, output)),
        Command::Graph(graph) => block_on(graph::run(graph, &client()?, output)),
        Command::Rollback(rollback) => block_on(rollback::run(rollback, &client()?, output)),
        Command::Deactivate(deactivate) => {
            block_on(deactivate::run(deactivate, &client()?, output))
        }
        Command::Send(send) => block_on(send::run(send, &client()?, output)),
        Command::State(state) => block_on(state::run(state, &client()?, output)),
        Command::Views(views) => block_on(views::run(views, &client()?, output)),
        Command::Rows(rows) => block_on(rows::run(rows, &client()?, output)),
        Command::Events(events) => block_on(events::run(events, &client()?, output)),
        Command::Logs(logs) => block_on(logs::run(logs, &client()?, output)),
        Command::Why(why) => block_on(why::run(why, &client()?, output)),
        Command::Verify(verify) => block_on(verify::run(verify, &client()?, output)),
        Command::Test(test) => block_on(test::run(test, settings, output)),
        Command::Inspect(inspect) => block_on(inspect::run(inspect, settings, output)),
        Command::Token(token) => token::run(token, output),
        Command::Config(_) => config::run(settings, output),
    }
}

fn block_on(command: impl Future<Output = Result>) -> Result {
    tokio::runtime::Runtime::new()
        .context("cannot start the async runtime")?
        .block_on(command)
}

/// Reports a failure. A server's answer is data, even if it is a problem: as JSON it always goes to
/// standard output, as text only if it is an outcome, such as a rejection or a report.
fn report(failure: &Failure, output: &mut Output<'_>) {
    match failure {
        Failure::Usage(message) => output.note(&format!("error: {message}")),
        Failure::Settings(error) => output.note(&format!("error: {error}")),
        Failure::Problem(problem) if output.is_json() => drop(output.received(problem.body())),
        Failure::Problem(problem) if failure.exit() == Exit::Refused => {
            drop(output.text(&problem::in_words(problem)));
        }
        Failure::Problem(problem) => output.note(&format!("error: {}", problem::in_words(problem))),
        Failure::Refused | Failure::ReaderGone => {}
        Failure::Outdated(outdated) => output.note(&format!("error: {outdated}")),
        Failure::Error(error) => output.note(&format!("error: {error:#}")),
    }
}
