//! The gate's report on a long history, compared with a slow model that knows the rules and nothing
//! of the host.
//!
//! The history is made up beforehand, from a seed: the model decides each command as the release
//! that is active then, and the host has to answer the same. Releases change in the middle.

use std::collections::BTreeMap;

use futures::future::join_all;
use gavel_tests::{Backend, Client, Host, Store, on_every_store};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::gate::{facts, over, upload};
use crate::wallet::{Answer, Command, Event, Release, Wallet};

on_every_store! {
    the_numbers_of_a_report_are_those_of_a_slow_model,
}

const DECIDER: &str = "wallet";
const SEED: u64 = 4;
const WALLETS: usize = 10_000;
/// The first ones get one command in [`BUSY_SHARE`]: in the larger history each has more events
/// than the host reads at a time.
const BUSY_WALLETS: usize = 8;
const BUSY_SHARE: u32 = 10;
/// The share of wallets that are never opened: one in this number.
const CLOSED_SHARE: usize = 50;
/// The share of steps that are imports: one in this number.
const IMPORT_SHARE: u32 = 1_000;
const OWNERS: [&str; 4] = ["ann", "bob", "cem", "Ümit"];

/// Connections that send at the same time, and how many commands each sends at once.
const LANES: usize = 4;
const BATCH: usize = 250;

/// The number of examples of each kind in a report.
const EXAMPLES: usize = 3;
/// All that can become of a decision that is made again, in the order of reports, but for what
/// stays the same.
const CHANGES: [&str; 5] = [
    "different_events",
    "now_rejected",
    "now_accepted",
    "different_rejection",
    "failed",
];

async fn the_numbers_of_a_report_are_those_of_a_slow_model(store: Store) {
    let (commands, events) = match store.backend() {
        Backend::Sqlite => (150_000, 200_000),
        // It takes twice as long to write a history there, and shows the same.
        Backend::Postgres => (75_000, 100_000),
    };
    let host = Host::start(&store).await;
    let client = host.client();
    let mut history = History::new();

    deploy(&client, Release::First).await;
    drive(&client, history.grow(commands / 2, events / 2)).await;
    let report = deploy(&client, Release::Second).await;
    history.assert_agrees(&report, Release::Second);
    history.turn_to(Release::Second);
    drive(&client, history.grow(commands, events)).await;

    let digest = upload(&client, &Release::Third.to_string()).await;
    let path = format!("/v1/deciders/{DECIDER}/rehearsals");
    let request = json!({ "digest": digest });
    let rehearsal = client.post(&path, &request).send().await.json(202);
    let path = format!(
        "/v1/rehearsals/{}",
        rehearsal["rehearsal"].as_str().unwrap()
    );
    let rehearsal = over(&client, &path).await;

    assert_eq!(rehearsal["status"], "refused", "{rehearsal}");
    let changes = history.assert_agrees(&rehearsal["report"], Release::Third);
    for verdict in CHANGES.into_iter().chain(["as_active"]) {
        let count = changes.iter().filter(|change| change.verdict == verdict);
        assert!(count.count() > EXAMPLES, "the history has {verdict}");
    }
}

/// Activates a release. Gives the report of the gate.
async fn deploy(client: &Client, release: Release) -> Value {
    let digest = upload(client, &release.to_string()).await;
    let path = format!("/v1/deciders/{DECIDER}/activations");
    let request = json!({ "digest": digest });
    client.post(&path, &request).send().await.json(201)["report"].clone()
}

/// One step of the history: what is sent to a wallet, and the answer that it must get.
#[derive(Debug)]
enum Step {
    Decide {
        id: String,
        command: Command,
        answer: Answer,
        /// The version afterwards.
        version: u64,
    },
    Import {
        id: String,
        events: Vec<Event>,
        /// The version before.
        version: u64,
    },
}

/// Takes the steps of each lane, all lanes concurrently, and checks the outcomes.
async fn drive(client: &Client, lanes: Vec<Vec<Step>>) {
    let driven = lanes.into_iter().map(|steps| {
        let client = client.clone();
        tokio::spawn(async move {
            // An import is sent by itself.
            let together = |one: &Step, other: &Step| {
                matches!((one, other), (Step::Decide { .. }, Step::Decide { .. }))
            };
            for steps in steps.chunk_by(together) {
                for steps in steps.chunks(BATCH) {
                    take(&client, steps).await;
                }
            }
        })
    });
    for outcome in join_all(driven).await {
        outcome.unwrap();
    }
}

async fn take(client: &Client, steps: &[Step]) {
    if let [
        Step::Import {
            id,
            events,
            version,
        },
    ] = steps
    {
        let events = events.iter().map(|event| event.to_json()).collect();
        let wallet = client.stream(DECIDER, id);
        wallet.append(*version, &events).send().await.json(200);
        return;
    }
    let commands = steps.iter().map(Step::to_json).collect::<Value>();
    let body = json!({ "atomic": false, "commands": commands });
    let answer = client.post("/v1/commands", &body).send().await.json(200);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), steps.len());
    for (step, result) in steps.iter().zip(results) {
        step.assert_answered(result);
    }
}

impl Step {
    /// The step as a command of a batch.
    fn to_json(&self) -> Value {
        let Self::Decide { id, command, .. } = self else {
            panic!("an import is no command: {self:?}");
        };
        let mut body = command.to_json();
        body["decider"] = json!(DECIDER);
        body["id"] = json!(id);
        body
    }

    fn assert_answered(&self, result: &Value) {
        match self {
            Self::Decide {
                answer: Answer::Events(events),
                version,
                ..
            } => {
                assert_eq!(result["version"], json!(version), "{self:?}: {result}");
                let told = result["events"].as_array().unwrap();
                assert_eq!(told.len(), events.len(), "{self:?}: {result}");
                for (told, event) in told.iter().zip(events) {
                    let mut event = event.to_json();
                    if told["event"] == "Opened" {
                        // The rest is of the context.
                        event["data"] = told["data"].clone();
                    }
                    for member in ["event", "schema_version", "data"] {
                        assert_eq!(told[member], event[member], "{self:?}: {result}");
                    }
                }
            }
            Self::Decide {
                answer: Answer::Rejection { code, data },
                ..
            } => {
                assert_eq!(result["code"], "command-rejected", "{self:?}: {result}");
                let told = &result["rejection"];
                assert_eq!((&told["code"], &told["data"]), (&json!(code), data));
            }
            _ => panic!("nothing like this is sent: {self:?}"),
        }
    }
}

/// The stored result of one step of a wallet.
#[derive(Debug, Clone)]
enum Deed {
    Decided {
        command: Command,
        answer: Answer,
        by: Release,
    },
    Imported(Vec<Event>),
}

impl Deed {
    fn events(&self) -> &[Event] {
        match self {
            Self::Decided {
                answer: Answer::Events(events),
                ..
            }
            | Self::Imported(events) => events,
            Self::Decided { .. } => &[],
        }
    }
}

/// The wallets, and the steps that made them.
struct History {
    random: StdRng,
    active: Release,
    ids: Vec<String>,
    /// The wallets by id, whose bytes are in the order of reports, each with its present state and
    /// version.
    wallets: BTreeMap<String, (Wallet, u64, Vec<Deed>)>,
    commands: usize,
    events: usize,
}

/// A decision that another release makes otherwise.
#[derive(Debug)]
struct Change<'h> {
    verdict: &'static str,
    id: &'h str,
    version: u64,
    before: Wallet,
    command: Command,
    recorded: &'h Answer,
    /// The answer of the active release, if it was asked.
    active: Option<Answer>,
    again: Answer,
}

impl History {
    fn new() -> Self {
        // In the order of bytes they are in another order than in that of any language, and some
        // begin like others.
        let prefixes = ["w", "W", "é", "_", "w-1.", "日本 "];
        let ids: Vec<_> = (0..WALLETS)
            .map(|number| format!("{}{number}", prefixes[number % prefixes.len()]))
            .collect();
        let wallets = ids.iter().map(|id| (id.clone(), Default::default()));
        Self {
            random: StdRng::seed_from_u64(SEED),
            active: Release::First,
            wallets: wallets.collect(),
            ids,
            commands: 0,
            events: 0,
        }
    }

    /// Adds steps until there are `commands` commands and `events` events. Gives the new ones, by
    /// lanes: a wallet stays in one lane, so that its steps are taken in order.
    fn grow(&mut self, commands: usize, events: usize) -> Vec<Vec<Step>> {
        let mut lanes: Vec<Vec<Step>> = (0..LANES).map(|_| Vec::new()).collect();
        while self.commands < commands || self.events < events {
            let is_busy = self.random.random_ratio(1, BUSY_SHARE);
            let among = if is_busy { BUSY_WALLETS } else { WALLETS };
            let number = self.random.random_range(0..among);
            lanes[number % LANES].push(self.step(number));
        }
        lanes
    }

    fn step(&mut self, number: usize) -> Step {
        let id = self.ids[number].clone();
        let (mut wallet, version, mut deeds) = self.wallets.remove(&id).unwrap();
        let stays_closed = number % CLOSED_SHARE == CLOSED_SHARE - 1;
        let (deed, step) = if !stays_closed && self.random.random_ratio(1, IMPORT_SHARE) {
            let events = self.import(&wallet);
            let step = Step::Import {
                id: id.clone(),
                events: events.clone(),
                version,
            };
            (Deed::Imported(events), step)
        } else {
            let command = self.command(&wallet, stays_closed);
            let answer = wallet.decide(self.active, command);
            self.commands += 1;
            let deed = Deed::Decided {
                command,
                answer: answer.clone(),
                by: self.active,
            };
            let step = Step::Decide {
                id: id.clone(),
                command,
                answer,
                version: version + deed.events().len() as u64,
            };
            (deed, step)
        };
        wallet = wallet.after(self.active, deed.events());
        let version = version + deed.events().len() as u64;
        self.events += deed.events().len();
        deeds.push(deed);
        self.wallets.insert(id, (wallet, version, deeds));
        step
    }

    fn command(&mut self, wallet: &Wallet, stays_closed: bool) -> Command {
        let random = &mut self.random;
        let owner = OWNERS[random.random_range(0..OWNERS.len())];
        if !wallet.is_open() && !stays_closed && random.random_ratio(7, 10) {
            return Command::Open(owner);
        }
        match random.random_range(0..100) {
            0..4 => Command::Touch,
            4..9 => Command::Rename(owner),
            9..11 if !stays_closed => Command::Open(owner),
            9..60 => {
                let most = if random.random_ratio(2, 3) {
                    100
                } else {
                    1_000
                };
                Command::Deposit(random.random_range(1..=most))
            }
            60 => Command::Withdraw(random.random_range(70_000..100_000)),
            _ => {
                let most = if random.random_ratio(2, 3) { 100 } else { 400 };
                Command::Withdraw(random.random_range(1..=most))
            }
        }
    }

    /// Events from elsewhere, as old as they may be.
    fn import(&mut self, wallet: &Wallet) -> Vec<Event> {
        let mut events = Vec::new();
        if !wallet.is_open() {
            events.push(Event::Opened("eve"));
        }
        for _ in 0..self.random.random_range(1..=5) {
            let amount = self.random.random_range(500..1_000);
            events.extend([Event::DepositedCoins(amount), Event::Rewarded(amount / 10)]);
        }
        events
    }

    /// Makes another release decide from now on.
    fn turn_to(&mut self, release: Release) {
        self.active = release;
        for (wallet, _, deeds) in self.wallets.values_mut() {
            *wallet = state_of(release, deeds);
        }
    }

    /// Holds a report about `candidate` against what it must say. Gives each decision that is made
    /// otherwise.
    #[track_caller]
    fn assert_agrees(&self, report: &Value, candidate: Release) -> Vec<Change<'_>> {
        let mut folded = facts(report, "re-fold").clone();
        folded.as_object_mut().unwrap().remove("seconds");
        assert_eq!(folded, self.refolded(candidate), "re-fold");

        let changes = self.redecided(candidate);
        let mut decided = facts(report, "re-decide").clone();
        let members = decided.as_object_mut().unwrap();
        members.remove("seconds");
        let examples = members.remove("examples").unwrap();
        assert_eq!(decided, self.counted(&changes), "re-decide");
        assert_examples(examples.as_array().unwrap(), candidate, &changes);
        changes
    }

    /// The expected facts about the states.
    fn refolded(&self, candidate: Release) -> Value {
        let (mut streams, mut different, mut examples) = (0, 0, Vec::new());
        for (id, (_, version, deeds)) in &self.wallets {
            if *version == 0 {
                continue;
            }
            streams += 1;
            let [active, candidate] =
                [self.active, candidate].map(|release| state_of(release, deeds));
            if active != candidate {
                different += 1;
                let states = [active, candidate].map(Wallet::to_json);
                examples.push(json!({ "id": id, "version": version, "active": states[0], "candidate": states[1] }));
            }
        }
        examples.truncate(EXAMPLES);
        json!({
            "streams": streams, "events": self.events, "equal": streams - different, "different": different,
            "failed": 0, "failed_before": 0, "cut_short": false, "examples": examples,
        })
    }

    /// The decisions that differ, by the id of the wallet and by version.
    fn redecided(&self, candidate: Release) -> Vec<Change<'_>> {
        let mut changes = Vec::new();
        for (id, (_, _, deeds)) in &self.wallets {
            let (mut wallet, mut active_wallet) = (Wallet::default(), Wallet::default());
            let mut version = 0;
            for deed in deeds {
                if let Deed::Decided {
                    command,
                    answer,
                    by,
                } = deed
                {
                    let again = wallet.decide(candidate, *command);
                    if let Some(verdict_of_record) = verdict(answer, &again) {
                        let asked = *by != self.active;
                        let active = asked.then(|| active_wallet.decide(self.active, *command));
                        let verdict = match &active {
                            Some(active) => verdict(active, &again).unwrap_or("as_active"),
                            None => verdict_of_record,
                        };
                        changes.push(Change {
                            verdict,
                            id,
                            version,
                            before: wallet,
                            command: *command,
                            recorded: answer,
                            active,
                            again,
                        });
                    }
                }
                wallet = wallet.after(candidate, deed.events());
                active_wallet = active_wallet.after(self.active, deed.events());
                version += deed.events().len() as u64;
            }
        }
        changes
    }

    /// The expected facts about the decisions, without the examples.
    fn counted(&self, changes: &[Change<'_>]) -> Value {
        let mut counts: BTreeMap<&str, usize> = CHANGES.map(|verdict| (verdict, 0)).into();
        counts.insert("as_active", 0);
        let mut by_command: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for change in changes {
            *counts.entry(change.verdict).or_default() += 1;
            let of_command = by_command.entry(change.command.name()).or_default();
            *of_command.entry(change.verdict).or_default() += 1;
        }
        let mut counted = json!({
            "commands": self.commands, "same": self.commands - changes.len(), "undecided": 0, "keys_only": 0, "cut_short": false,
            "by_command": by_command,
        });
        for (verdict, count) in counts {
            counted[verdict] = json!(count);
        }
        counted
    }
}

fn state_of(release: Release, deeds: &[Deed]) -> Wallet {
    let wallet = Wallet::default();
    deeds
        .iter()
        .fold(wallet, |wallet, deed| wallet.after(release, deed.events()))
}

/// The kind of difference between a decision and the recorded one; none if they are the same.
fn verdict(recorded: &Answer, again: &Answer) -> Option<&'static str> {
    match (recorded, again) {
        (_, Answer::Fault) => Some("failed"),
        _ if recorded == again => None,
        (Answer::Events(_), Answer::Events(_)) => Some("different_events"),
        (Answer::Events(_), _) => Some("now_rejected"),
        (_, Answer::Events(_)) => Some("now_accepted"),
        _ => Some("different_rejection"),
    }
}

impl Change<'_> {
    fn place(&self) -> Value {
        json!([self.verdict, self.id, self.version])
    }

    /// The change as a report shows it, without the messages that are for people.
    fn example(&self, candidate: Release) -> Value {
        let after = |answer: &Answer| match answer {
            Answer::Events(events) => self.before.after(candidate, events).to_json(),
            _ => Value::Null,
        };
        let state_recorded = match self.recorded {
            Answer::Events(events) if events.is_empty() => Value::Null,
            recorded => after(recorded),
        };
        let mut example = json!({
            "verdict": self.verdict, "id": self.id, "version": self.version, "command": self.command.to_json(),
            "recorded": shown(self.recorded), "candidate": shown(&self.again),
            "state_recorded": state_recorded, "state_candidate": after(&self.again),
        });
        if let Some(active) = &self.active {
            example["active"] = shown(active);
        }
        if self.again != Answer::Fault {
            example["state_before"] = self.before.to_json();
        }
        example
    }
}

fn shown(answer: &Answer) -> Value {
    match answer {
        Answer::Events(events) => {
            let events: Vec<_> = events.iter().map(|event| event.to_json()).collect();
            json!({ "events": events })
        }
        Answer::Rejection { code, data } => json!({ "rejected": { "code": code, "data": data } }),
        Answer::Fault => json!({}),
    }
}

/// Checks that of each kind the first ones are shown, and as they are.
#[track_caller]
fn assert_examples(told: &[Value], candidate: Release, changes: &[Change<'_>]) {
    let firsts = CHANGES.map(|verdict| {
        let changes = changes.iter().filter(|change| change.verdict == verdict);
        changes
            .take(EXAMPLES)
            .map(Change::place)
            .collect::<Vec<_>>()
    });
    let place = |told: &Value| json!([told["verdict"], told["id"], told["version"]]);
    let places: Vec<_> = told.iter().map(place).collect();
    assert_eq!(places, firsts.concat(), "the first examples");

    for told in told {
        let shown = without_words(told);
        // Several may have been decided at one version.
        let there = changes
            .iter()
            .filter(|change| change.place() == place(told));
        let there: Vec<_> = there.map(|change| change.example(candidate)).collect();
        assert!(there.contains(&shown), "{shown} is not among {there:?}");
    }
}

/// An example without its messages for people.
fn without_words(example: &Value) -> Value {
    let mut shown = example.clone();
    for whose in ["recorded", "active", "candidate"] {
        let rejection = shown.get_mut(whose);
        let rejection = rejection.and_then(|outcome| outcome.get_mut("rejected"));
        if let Some(rejection) = rejection.and_then(Value::as_object_mut) {
            rejection.remove("message");
        }
    }
    if example["verdict"] == "failed" {
        let why = shown["candidate"].as_object_mut().unwrap().remove("failed");
        assert!(why.is_some_and(|why| why.is_string()), "{example}");
        // An instance that has failed is not asked for its state.
        shown.as_object_mut().unwrap().remove("state_before");
    }
    shown
}
