//! The safety of a rollback: going back is unsafe once a module has written events that the module
//! before it does not declare.

use gavel_engine::catalog::Manifest;
use gavel_model::{
    Activation, ActivationKey, DeciderName, EventFilter, ModuleDigest, Namespace, Position,
};
use gavel_store::LogFilter;

use super::words::count;
use super::{Error, Gate, NewEventType, Report, RollbackSafety};

/// The number of pages of the log that are searched for events of a module, and the number of
/// events on a page.
const PAGES: usize = 100;
const PAGE_EVENTS: u32 = 1_000;

impl Gate {
    /// Tells whether the decider can go back to the module before the active one, as of now; none
    /// when there is no such module.
    ///
    /// # Errors
    ///
    /// Fails when the store cannot be read.
    pub async fn rollback_safety(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Option<RollbackSafety>, Error> {
        let key = ActivationKey::of_decider(namespace, decider);
        let history = self.modules.history(&key).await.map_err(Error::Module)?;
        // Of what is deactivated it is possible to go on with the module that worked until then:
        // nothing was decided since.
        let Some(active) = history.first().and_then(|newest| newest.digest) else {
            return Ok(None);
        };
        let mut former = history.iter().filter_map(|activation| activation.digest);
        let Some(former) = former.find(|digest| *digest != active) else {
            return Ok(None);
        };
        let [newer, older] = [active, former].map(|digest| self.manifest(digest));
        let (newer, older) = (newer.await?, older.await?);
        let since = unwritten_before(&history, active, Position::BEGINNING);
        let safety = self.back_to(namespace, decider, (former, &older), &newer, since);
        safety.await.map(Some)
    }

    /// Tells whether `newer` can be left for `older`, by the events written after `since`.
    pub(super) async fn back_to(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        (to, older): (ModuleDigest, &Manifest),
        newer: &Manifest,
        since: Position,
    ) -> Result<RollbackSafety, Error> {
        let declared = |name: &str, version: u32| {
            let mut events = older.events.iter();
            events.any(|event| event.name == name && event.schema_version == version)
        };
        let unknown = newer.events.iter();
        let unknown = unknown.filter(|event| !declared(&event.name, event.schema_version));
        let mut events: Vec<NewEventType> = unknown
            .map(|event| NewEventType {
                event: event.name.clone(),
                schema_version: event.schema_version,
                written: 0,
            })
            .collect();
        let is_counted = self
            .count_written(namespace, decider, since, &mut events)
            .await?;
        let safe = events.iter().all(|event| event.written == 0);
        Ok(RollbackSafety {
            to: to.to_string(),
            safe,
            summary: in_words(&events, !is_counted),
            at_least: !is_counted,
            events,
        })
    }

    /// Gives whether the log was read to its end.
    async fn count_written(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        since: Position,
        events: &mut [NewEventType],
    ) -> Result<bool, Error> {
        if events.is_empty() {
            return Ok(true);
        }
        let filter = LogFilter::from(EventFilter {
            deciders: vec![decider.to_string()],
            events: events.iter().map(|event| event.event.clone()).collect(),
            ..EventFilter::default()
        });
        let mut after = since;
        for _ in 0..PAGES {
            let page = self
                .store
                .read_log(namespace, after, &filter, PAGE_EVENTS)
                .await;
            let page = page.map_err(Error::Store)?;
            for recorded in page.events {
                let written = &recorded.event;
                let counted = events.iter_mut().find(|event| {
                    event.event == written.event && event.schema_version == written.schema_version
                });
                if let Some(counted) = counted {
                    counted.written += 1;
                }
            }
            if page.caught_up {
                return Ok(true);
            }
            after = page.next;
        }
        Ok(false)
    }
}

/// Finds the end of the namespace's log before a module became active for the first time, or `now`
/// when it never was. The beginning of the log where the activation does not tell: then everything
/// counts as perhaps written by the module.
pub(super) fn unwritten_before(
    history: &[Activation],
    digest: ModuleDigest,
    now: Position,
) -> Position {
    let mut oldest_first = history.iter().rev();
    match oldest_first.find(|activation| activation.digest == Some(digest)) {
        None => now,
        Some(first) => {
            let report = Report::stored(&first.report);
            let as_of = report.and_then(|report| report.as_of.parse().ok());
            as_of.unwrap_or(Position::BEGINNING)
        }
    }
}

fn in_words(events: &[NewEventType], at_least: bool) -> String {
    if events.is_empty() {
        return "It is always possible to go back: the module writes nothing that the one before it does not know.".to_owned();
    }
    let names: Vec<String> = events
        .iter()
        .map(|event| match event.schema_version {
            1 => event.event.clone(),
            version => format!("{} version {version}", event.event),
        })
        .collect();
    let written: u64 = events.iter().map(|event| event.written).sum();
    let at_least = if at_least { "at least " } else { "" };
    format!(
        "Once the module has written {} it is not possible to go back; written so far: {at_least}{}.",
        names.join(" or "),
        count(written)
    )
}

#[cfg(test)]
mod tests {
    use gavel_model::{ActivationNumber, Json};
    use serde_json::{Value, json};
    use time::OffsetDateTime;

    use super::*;

    fn activated(digest: ModuleDigest, report: &Value) -> Activation {
        let decider = DeciderName::new("account").unwrap();
        Activation {
            key: ActivationKey::of_decider(&Namespace::default(), &decider),
            number: ActivationNumber::NONE.next(),
            digest: Some(digest),
            replaces: None,
            activated_at: OffsetDateTime::UNIX_EPOCH,
            activated_by: None,
            message: None,
            accepted: Vec::new(),
            report: Json::from_value(report).unwrap(),
        }
    }

    #[test]
    fn a_module_that_does_not_tell_since_when_it_writes_may_have_written_everything() {
        let [active, other] = [b"active", b"other!"].map(|bytes| ModuleDigest::of(bytes));
        let now = Position::new(1, 2, 3);
        let stored = include_str!("../tests/stored-report.json");
        let stored: Value = serde_json::from_str(stored).unwrap();
        let since = |report: &Value| unwritten_before(&[activated(active, report)], active, now);

        let as_of: Position = stored["as_of"].as_str().unwrap().parse().unwrap();
        assert_eq!(since(&stored), as_of);
        for unclear in [json!("yesterday"), Value::Null] {
            let mut report = stored.clone();
            report["as_of"] = unclear;
            assert_eq!(since(&report), Position::BEGINNING);
            report.as_object_mut().unwrap().remove("as_of");
            assert_eq!(since(&report), Position::BEGINNING);
        }
        let never = unwritten_before(&[activated(active, &stored)], other, now);
        assert_eq!(never, now);
    }
}
