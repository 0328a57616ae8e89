//! Runs the commands that README.md shows, so that the page cannot lie.
//!
//! A fenced block of `sh` is run when the line `<!-- ci: run -->` stands before it. All of them run
//! in one shell, in order, with a host at the stage where the reader's is after `cargo xtask demo`.
//! The host listens on a free port instead of the usual one: the address is replaced in the text. A
//! block of `text` after `<!-- ci: output -->` must equal their output, except for durations.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use xshell::Shell;

use crate::host::{DEFAULT_ADDRESS, Host};
use crate::{demo, net};

const RUN: Marked = Marked {
    mark: "<!-- ci: run -->",
    fence: "```sh",
};
const OUTPUT: Marked = Marked {
    mark: "<!-- ci: output -->",
    fence: "```text",
};

/// A kind of block that is more than words.
struct Marked {
    mark: &'static str,
    fence: &'static str,
}

/// Runs the commands of README.md and compares their output.
///
/// # Errors
///
/// When there is nothing to run, or a command fails.
pub(crate) fn check(sh: &Shell) -> Result<()> {
    let page = sh.read_file("README.md")?;
    let script = RUN.blocks(&page)?.concat();
    ensure!(
        !script.is_empty(),
        "README.md has no block marked with {}",
        RUN.mark
    );

    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, net::free_port()?));
    let host = Host::start_in_scratch(sh, address)?;
    demo::tell(&host)?;
    let script = script.replace(&DEFAULT_ADDRESS.to_string(), &address.to_string());
    // Left alone, curl is content with any answer.
    let curl_home = tempfile::tempdir()?;
    fs::write(
        curl_home.path().join(".curlrc"),
        "fail-with-body\nshow-error\n",
    )?;
    let mut shell = host.command("sh");
    shell
        .args(["-euxc", &script])
        .env("CURL_HOME", curl_home.path())
        .stdout(Stdio::piped());
    let mut running = shell.spawn().context("cannot run a shell")?;
    let mut printed = String::new();
    for line in BufReader::new(running.stdout.take().context("it has no output")?).lines() {
        let line = line.context("cannot read what is printed")?;
        writeln!(io::stdout(), "{line}").context("cannot show what is printed")?;
        printed.push_str(&line);
        printed.push('\n');
    }
    let status = running.wait().context("cannot wait for the shell")?;
    ensure!(
        status.success(),
        "a command of README.md ended with {status}: the last one shown above"
    );
    for shown in OUTPUT.blocks(&page)? {
        ensure!(
            without_times(&printed).contains(&without_times(&shown)),
            "README.md shows what its commands do not print:\n{shown}"
        );
    }
    host.stop()
}

/// The same text, whatever machine it was written on: `in 38 s` and `in 4 ms` become `in …`.
fn without_times(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    let mut at = 0;
    while at + 2 < words.len() {
        let is_number = words[at + 1].parse::<f64>().is_ok();
        let is_unit = ["s", "ms"].contains(&words[at + 2].trim_end_matches([':', '.', ',']));
        if words[at] == "in" && is_number && is_unit {
            words.splice(at + 1..at + 3, ["…"]);
        }
        at += 1;
    }
    words.join(" ")
}

impl Marked {
    fn blocks(&self, page: &str) -> Result<Vec<String>> {
        let mut blocks = Vec::new();
        let mut lines = page.lines();
        while lines.by_ref().any(|line| line.trim() == self.mark) {
            let fence = lines.find(|line| !line.trim().is_empty());
            ensure!(
                fence == Some(self.fence),
                "README.md: after {} comes {fence:?} instead of {:?}",
                self.mark,
                self.fence
            );
            let block = lines.by_ref().take_while(|line| *line != "```");
            blocks.push(block.map(|line| format!("{line}\n")).collect());
        }
        Ok(blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_blocks_are_found_and_others_left_out() {
        let page = "a\n<!-- ci: run -->\n```sh\none\ntwo\n```\n```sh\nnot this\n```\n<!-- ci: run -->\n\n```sh\nthree\n```\n";
        assert_eq!(RUN.blocks(page).unwrap(), ["one\ntwo\n", "three\n"]);
    }

    #[test]
    fn a_mark_without_a_block_is_an_error() {
        assert!(RUN.blocks("<!-- ci: run -->\nwords\n").is_err());
        assert!(RUN.blocks("<!-- ci: run -->").is_err());
    }

    #[test]
    fn only_times_may_differ() {
        let [one, other] = [
            "3 folded in 4 ms: in 2 steps",
            "3 folded in 1.5 s: in 2 steps",
        ];
        assert_eq!(without_times(one), "3 folded in … in 2 steps");
        assert_eq!(without_times(one), without_times(other));
    }
}
