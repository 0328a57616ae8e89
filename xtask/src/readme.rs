//! Runs the commands that README.md shows, so that the page cannot lie.
//!
//! A fenced block of `sh` is run when the line `<!-- ci: run -->` stands before it. All of them run in one shell, in order,
//! beside a host that is where the reader's is after `cargo xtask demo`. It listens on a free port instead of the usual one:
//! the address is replaced in the text.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use xshell::Shell;

use crate::host::{DEFAULT_ADDRESS, Host};
use crate::{demo, net};

const MARK: &str = "<!-- ci: run -->";

/// # Errors
///
/// When there is nothing to run, or a command fails.
pub(crate) fn check(sh: &Shell) -> Result<()> {
    let page = sh.read_file("README.md")?;
    let script = marked_blocks(&page)?;
    ensure!(
        !script.is_empty(),
        "README.md has no block marked with {MARK}"
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
        .env("CURL_HOME", curl_home.path());
    let status = shell.status().context("cannot run a shell")?;
    ensure!(
        status.success(),
        "a command of README.md ended with {status}: the last one shown above"
    );
    host.stop()
}

fn marked_blocks(page: &str) -> Result<String> {
    let mut script = String::new();
    let mut lines = page.lines();
    while lines.by_ref().any(|line| line.trim() == MARK) {
        let fence = lines.find(|line| !line.trim().is_empty());
        ensure!(
            fence == Some("```sh"),
            "README.md: after {MARK} comes {fence:?} instead of a block of sh"
        );
        for line in lines.by_ref().take_while(|line| *line != "```") {
            script.push_str(line);
            script.push('\n');
        }
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_blocks_are_joined_and_others_left_out() {
        let page = "a\n<!-- ci: run -->\n```sh\none\ntwo\n```\n```sh\nnot this\n```\n<!-- ci: run -->\n\n```sh\nthree\n```\n";
        assert_eq!(marked_blocks(page).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_mark_without_a_block_is_an_error() {
        assert!(marked_blocks("<!-- ci: run -->\nwords\n").is_err());
        assert!(marked_blocks("<!-- ci: run -->").is_err());
    }
}
