//! The account of the examples, compiled into a host.

use account::Account;
use gavel::__private::{StoredEvent, decide, read_event, restore, snapshot};
use gavel::{Context, Decider as _, Rejection as _};
use gavel_model::{Event, Json, Rejection};
use gavel_sandbox::{Decision, Fault, GuestCommand, GuestContext, NativeDecider, NativeFold};

/// The account, called as the SDK's exports call it in a component: its commands and events are
/// JSON there as well.
#[derive(Debug)]
pub struct NativeAccount;

/// The state of one account.
struct Fold(Account);

impl NativeDecider for NativeAccount {
    fn describe(&self) -> Json {
        Json::parse(&gavel::describe::<Account>()).expect("the SDK writes JSON")
    }

    fn initial(&self) -> Box<dyn NativeFold> {
        Box::new(Fold(Account::default()))
    }

    fn restore(&self, snapshot: &Json) -> Result<Box<dyn NativeFold>, String> {
        Ok(Box::new(Fold(restore(snapshot.as_str())?)))
    }
}

impl NativeFold for Fold {
    fn evolve(&mut self, events: &[Event]) -> Result<(), Fault> {
        for (index, event) in (0..).zip(events) {
            let data = event.data.as_str();
            let event = read_event::<Account>(&event.name, event.schema_version, data)
                .map_err(|message| Fault::EvolveRefused { index, message })?;
            self.0.evolve(&event);
        }
        Ok(())
    }

    fn decide(&self, command: &GuestCommand, context: &GuestContext) -> Result<Decision, Fault> {
        let GuestContext {
            command_id,
            namespace,
            stream_id,
            version,
            now_ms,
            seed,
            actor,
            metadata,
        } = context.clone();
        let context = Context {
            command_id,
            namespace,
            stream_id,
            version,
            now_ms,
            seed,
            actor,
            metadata,
        };
        match decide(&self.0, &command.name, command.data.as_str(), &context) {
            Ok(events) => {
                let events = events.into_iter().map(recorded);
                events.collect::<Result<_, _>>().map(Decision::Accepted)
            }
            Err(rejection) => Ok(Decision::Rejected(Rejection {
                code: rejection.code().to_owned(),
                message: rejection.message(),
                data: rejection.data().as_deref().map(json).transpose()?,
            })),
        }
    }

    fn snapshot(&self) -> Result<Json, Fault> {
        json(&snapshot(&self.0))
    }
}

fn recorded(event: StoredEvent) -> Result<Event, Fault> {
    let StoredEvent {
        name,
        schema_version,
        data,
        is_final,
        tags,
    } = event;
    Ok(Event {
        name,
        schema_version,
        data: json(&data)?,
        is_final,
        tags,
    })
}

fn json(text: &str) -> Result<Json, Fault> {
    Json::parse(text).map_err(|error| Fault::BrokeContract {
        reason: error.to_string(),
    })
}

impl std::fmt::Debug for Fold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fold").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_native_account_answers_as_its_component_does() {
        let mut account = NativeAccount.initial();
        let context = GuestContext {
            command_id: String::new(),
            namespace: String::new(),
            stream_id: String::new(),
            version: 0,
            now_ms: 0,
            seed: 0,
            actor: None,
            metadata: Vec::new(),
        };
        let command = |name: &str, data: &str| GuestCommand {
            name: name.to_owned(),
            data: json(data).unwrap(),
        };
        let open = command("Open", r#"{"owner":"ann"}"#);
        let decision = account.decide(&open, &context).unwrap();
        let Decision::Accepted(events) = decision else {
            panic!("{decision:?}")
        };
        assert_eq!(events[0].tags, ["owner:ann"]);
        account.evolve(&events).unwrap();
        let snapshot = account.snapshot().unwrap();
        assert_eq!(snapshot, json(r#"{"balance":0,"open":true}"#).unwrap());

        let account = NativeAccount.restore(&snapshot).unwrap();
        let withdraw = command("Withdraw", r#"{"amount":1}"#);
        let decision = account.decide(&withdraw, &context).unwrap();
        let Decision::Rejected(rejection) = decision else {
            panic!("{decision:?}")
        };
        assert_eq!(rejection.code, "insufficient-funds");
        let data = json(r#"{"amount":1,"balance":0}"#).unwrap();
        assert_eq!(rejection.data, Some(data));
    }
}
