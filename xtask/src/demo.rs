//! `cargo xtask demo`: from nothing to a restaurant that takes orders, and a change of its rules
//! while orders come in.
//!
//! Each step is a `gavel` command, shown before it runs, and each result is checked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use xshell::Shell;

use crate::host::{DEFAULT_ADDRESS, Host};
use crate::{modules, net};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Stop the host at the end instead of keeping it running, and leave no data. The host then
    /// listens on a free port, unless an address is given.
    #[arg(long)]
    once: bool,

    /// The address that the host listens on [default: 127.0.0.1:4000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

const RESTAURANT: &str = r#"{"identifier":"r-1","name":"Trattoria","menu":{"menu_id":"m-1","cuisine":"Italian","items":[{"id":"pizza","name":"Pizza","price":900}]}}"#;

/// The time that the orders in the background may take to come through.
const ORDERS_LIMIT: Duration = Duration::from_secs(60);

/// The exit codes of `gavel` for what was done, and for a command that the decider rejected.
const DONE: i32 = 0;
const REJECTED: i32 = 3;

/// Runs the demo.
///
/// # Errors
///
/// When a step does not do what it is said to do.
pub(crate) fn run(sh: &Shell, args: &Args) -> Result<()> {
    modules::build(sh)?;
    if args.once {
        let address = match args.listen {
            Some(address) => address,
            None => (Ipv4Addr::LOCALHOST, net::free_port()?).into(),
        };
        let host = Host::start_in_scratch(sh, address)?;
        tell(&host)?;
        host.stop()?;
        say("The host was stopped with SIGTERM and ended well");
        return Ok(());
    }
    let address = args.listen.unwrap_or(DEFAULT_ADDRESS);
    say("A host with an empty database in target/demo; what a former demo left there is removed");
    let host = Host::start(sh, "demo", address)?;
    tell(&host)?;
    invite(address);
    host.serve_on()
}

/// Deploys the restaurant, places orders and changes its rules, against a host with an empty
/// database.
///
/// # Errors
///
/// When a step does not do what it is said to do.
pub(crate) fn tell(host: &Host) -> Result<()> {
    say("Deploy a decider, and send it commands");
    deploy(host, "restaurant", "Opening day")?;
    send(host, DONE, "CreateRestaurant", RESTAURANT)?;
    send(host, DONE, "PlaceOrder", &order("o-1", "pizza"))?;

    say("Nobody looks at the menu yet: a dish that is not on it is accepted too");
    send(host, DONE, "PlaceOrder", &order("o-2", "sushi"))?;
    host.gavel(DONE, &["state", "restaurant", "r-1"])?;
    host.gavel(DONE, &["events", "restaurant", "r-1"])?;

    say("Change that rule while orders come in");
    let orders = swap_under_orders(host)?;

    say("The same dish again: rejected, with exit code 3");
    send(host, REJECTED, "PlaceOrder", &order("o-3", "sushi"))?;

    let state = host.gavel_json(&["state", "restaurant", "r-1"])?;
    let expected = 3 + orders;
    ensure!(
        state["version"] == expected,
        "after {expected} accepted commands the stream says {state}"
    );
    say(&format!(
        "{orders} orders were placed around the swap: all accepted, none lost, none doubled"
    ));
    Ok(())
}

/// Returns how many orders were accepted meanwhile.
fn swap_under_orders(host: &Host) -> Result<u64> {
    let accepted = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        let orders = scope.spawn(|| keep_ordering(host, &accepted, &enough));
        let wait_for_three_more = || {
            let goal = accepted.load(Ordering::Relaxed) + 3;
            let deadline = Instant::now() + ORDERS_LIMIT;
            while accepted.load(Ordering::Relaxed) < goal && !orders.is_finished() {
                ensure!(
                    Instant::now() < deadline,
                    "no three orders in {ORDERS_LIMIT:?}"
                );
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        };
        let swap = wait_for_three_more()
            .and_then(|()| deploy(host, "restaurant-check-menu", "Only what is on the menu"))
            .and_then(|()| wait_for_three_more());
        enough.store(true, Ordering::Relaxed);
        let ordered = orders
            .join()
            .expect("the thread that orders does not panic");
        ordered.context("an order was not accepted while the rule changed")?;
        swap
    })?;
    Ok(accepted.into_inner())
}

fn keep_ordering(host: &Host, accepted: &AtomicU64, enough: &AtomicBool) -> Result<()> {
    while !enough.load(Ordering::Relaxed) {
        let number = accepted.load(Ordering::Relaxed) + 1;
        let order = order(&format!("p-{number}"), "pizza");
        host.gavel_json(&["send", "restaurant", "r-1", "PlaceOrder", &order])?;
        accepted.store(number, Ordering::Relaxed);
    }
    Ok(())
}

fn deploy(host: &Host, module: &str, message: &str) -> Result<()> {
    let file = format!("target/modules/{module}.wasm");
    // The rule is meant to change what was decided.
    host.gavel(DONE, &["deploy", &file, "--yes=decisions", "-m", message])
}

fn send(host: &Host, expected_code: i32, command: &str, data: &str) -> Result<()> {
    host.gavel(expected_code, &["send", "restaurant", "r-1", command, data])
}

/// The data of an order of one `dish`, which is also its id on the menu.
fn order(order_id: &str, dish: &str) -> String {
    format!(
        r#"{{"identifier":"r-1","order_identifier":"{order_id}","line_items":[{{"id":"1","quantity":1,"menu_item_id":"{dish}","name":"{dish}"}}]}}"#
    )
}

fn invite(address: SocketAddr) {
    say(&format!(
        "Your turn, from another terminal (Ctrl-C here stops the host):\n\n  \
         export PATH=\"$PWD/target/debug:$PATH\" GAVEL_SERVER=http://{address}\n  \
         gavel events --follow\n  \
         gavel rollback restaurant\n  \
         curl http://{address}/v1/deciders/restaurant/r-1\n"
    ));
}

fn say(words: &str) {
    eprintln!("\n== {words}");
}
