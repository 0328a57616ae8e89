//! The command line: all commands, and the options that each has.

use clap::{Parser, Subcommand};

use super::options::{Connection, Format, SettingsArguments};
use super::{
    config, deactivate, deploy, events, graph, inspect, logs, modules, rehearse, rollback, rows,
    send, serve, state, test, token, verify, views, why,
};

/// The command line of `gavel`.
#[derive(Debug, Parser)]
#[command(
    name = "gavel",
    version,
    about = "Upload a decider, get an event-sourced service. Change its rules without fear.",
    after_help = "Example:\n  gavel serve\n  gavel deploy account.wasm\n  gavel send account acc-1 Open '{\"owner\":\"ann\"}'\n\n\
        Exit codes: 0 done, 1 error, 2 usage, 3 refused, 4 conflict, 5 outdated.",
    max_term_width = 100,
    disable_help_subcommand = true
)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// The form of the answer: `text` for people, `json` for programs.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT", hide_possible_values = true)]
    pub output: Format,
    /// The connection to a host.
    #[command(flatten)]
    pub connection: Connection,
    /// The sources of the settings.
    #[command(flatten)]
    pub(super) settings: SettingsArguments,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[expect(
    private_interfaces,
    reason = "each command's arguments are its own file's business"
)]
pub enum Command {
    /// Run the host.
    Serve(serve::Arguments),
    /// Upload a module, take it through the gate and activate it.
    Deploy(deploy::Arguments),
    /// Upload a module and take it through the gate, without activating it.
    Rehearse(rehearse::Arguments),
    /// List, show or upload modules.
    Modules(modules::Arguments),
    /// Show who writes, who sends and who reads.
    Graph(graph::Arguments),
    /// Activate the module that was active before.
    Rollback(rollback::Arguments),
    /// End the work of the active module, without activating another one.
    Deactivate(deactivate::Arguments),
    /// Send one command.
    Send(send::Arguments),
    /// Show the state of a stream, now or earlier.
    State(state::Arguments),
    /// List views, or show one, with how far it is and what it cannot fold.
    Views(views::Arguments),
    /// Read the rows of a view.
    Rows(rows::Arguments),
    /// Read the log of events.
    Events(events::Arguments),
    /// Show what the modules of a decider have written to stdout and stderr.
    Logs(logs::Arguments),
    /// Show why an event is there, or why a command was decided as it was.
    Why(why::Arguments),
    /// Make recorded decisions again and compare them with what is recorded.
    Verify(verify::Arguments),
    /// Run the specs inside modules, without a host.
    Test(test::Arguments),
    /// Show what is in a module, without a host.
    Inspect(inspect::Arguments),
    /// Make a token that a host accepts.
    Token(token::Arguments),
    /// Show each setting and the source of its value.
    Config(config::Arguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_in_its_help() {
        for command in Arguments::command().get_subcommands() {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let example = format!("gavel {}", command.get_name());
            assert!(
                help.contains("Example") && help.contains(&example),
                "{example}"
            );
        }
    }

    #[test]
    fn connection_and_output_can_stand_before_or_after_the_command() {
        let before = [
            "gavel",
            "-o",
            "json",
            "--server",
            "http://h:1",
            "state",
            "a",
            "1",
        ];
        let after = [
            "gavel",
            "state",
            "a",
            "1",
            "-o",
            "json",
            "--server",
            "http://h:1",
        ];
        for arguments in [before, after] {
            let arguments = Arguments::try_parse_from(arguments).unwrap();
            assert_eq!(arguments.output, Format::Json);
            assert_eq!(arguments.connection.server.as_str(), "http://h:1/");
        }
    }

    #[test]
    fn a_server_that_is_no_http_url_is_a_usage_error() {
        for server in ["127.0.0.1:4000", "localhost:4000", "ftp://h", "", "http://"] {
            let error =
                Arguments::try_parse_from(["gavel", "--server", server, "modules"]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{server}");
        }
    }
}
