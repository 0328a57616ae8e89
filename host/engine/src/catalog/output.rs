//! The text that modules write to stdout and stderr on this host. It goes to the host's log, and
//! the newest of it is kept in memory for those who ask.
//!
//! The text is for people: nothing is decided by it, it is in no store, and a module that writes
//! nothing costs nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gavel_model::{
    Clock as _, CommandId, DeciderName, ModuleDigest, Namespace, StreamId, SystemClock,
};
use gavel_sandbox::{Instance, printable};
use hashlink::LruCache;
use time::OffsetDateTime;
use tokio::sync::watch;

/// Most deciders of which something is kept; the one that was silent for longest goes first.
const DECIDERS: usize = 256;
/// Most that is kept of one decider, in bytes, unless its newest output alone is larger; the oldest
/// goes first.
const DECIDER_BYTES: usize = 256 << 10;
/// The size of an output apart from its text, in bytes.
const OUTPUT_BYTES: usize = 256;
/// Most outputs of one decider that go to the host's log within [`PERIOD`].
const LOGGED: u32 = 100;
/// The period of that rate.
const PERIOD: Duration = Duration::from_secs(1);

/// The text that a module has written in one piece of work.
#[derive(Debug)]
pub struct Output {
    /// The output's place among all outputs of this host.
    number: u64,
    /// The time at which the output was taken.
    pub time: OffsetDateTime,
    /// The stream that was worked on.
    pub stream: StreamId,
    /// The command that was decided; none when recorded events were folded.
    pub command_id: Option<CommandId>,
    /// The module.
    pub module: ModuleDigest,
    /// The text, as it was written; what is no UTF-8 is replaced.
    pub text: String,
}

/// The newest outputs of the modules on this host.
#[derive(Debug)]
pub struct Outputs(Mutex<KeptOutputs>);

#[derive(Debug)]
struct KeptOutputs {
    newest: u64,
    by_decider: LruCache<(Namespace, DeciderName), OutputRing>,
}

/// The newest outputs of one decider.
#[derive(Debug)]
struct OutputRing {
    outputs: VecDeque<Arc<Output>>,
    bytes: usize,
    changed: watch::Sender<()>,
    rate: Rate,
}

/// A counter of the outputs of one decider that go to the host's log, at most [`LOGGED`] in each
/// [`PERIOD`].
#[derive(Debug)]
struct Rate {
    since: Instant,
    logged: u32,
    left_out: u64,
}

/// Follows the outputs of one decider.
#[derive(Debug)]
pub struct FollowedOutputs {
    outputs: Arc<Outputs>,
    key: (Namespace, DeciderName),
    after: u64,
    changed: watch::Receiver<()>,
}

impl Default for Outputs {
    fn default() -> Self {
        Self(Mutex::new(KeptOutputs {
            newest: 0,
            by_decider: LruCache::new_unbounded(),
        }))
    }
}

impl Outputs {
    /// Takes what `module` has written in `instance` while it worked on `stream`; a command that it
    /// decided, or tried to, is named.
    pub fn take(
        &self,
        instance: &mut Instance,
        module: ModuleDigest,
        stream: &StreamId,
        command_id: Option<CommandId>,
    ) {
        if let Some(text) = instance.take_output() {
            self.add(module, stream, command_id, text);
        }
    }

    fn add(
        &self,
        module: ModuleDigest,
        stream: &StreamId,
        command_id: Option<CommandId>,
        text: String,
    ) {
        let mut kept = self.lock();
        kept.newest += 1;
        let output = Arc::new(Output {
            number: kept.newest,
            time: SystemClock.now(),
            stream: stream.clone(),
            command_id,
            module,
            text,
        });
        let ring = kept.ring(key(stream.namespace(), stream.decider()));
        let (is_logged, left_out) = ring.rate.next(Instant::now());
        ring.push(output.clone());
        drop(kept);
        if left_out > 0 {
            tracing::warn!(
                target: "gavel::module",
                namespace = stream.namespace().as_str(),
                decider = stream.decider().as_str(),
                "the module has written more than {LOGGED} times within a second: {left_out} outputs are not in this log"
            );
        }
        if is_logged {
            tracing::info!(
                target: "gavel::module",
                namespace = stream.namespace().as_str(),
                decider = stream.decider().as_str(),
                stream.id = stream.id(),
                command.id = command_id.map(tracing::field::display),
                module.digest = %module,
                "{}",
                printable(output.text.trim_end())
            );
        }
    }

    /// Gives the outputs that are kept of a decider, oldest first: no more than the newest `tail`.
    #[must_use]
    pub fn newest(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        tail: usize,
    ) -> Vec<Arc<Output>> {
        let kept = self.lock();
        let ring = kept.by_decider.peek(&key(namespace, decider));
        let outputs = ring.map(|ring| {
            let skipped = ring.outputs.len().saturating_sub(tail);
            ring.outputs.iter().skip(skipped).cloned().collect()
        });
        outputs.unwrap_or_default()
    }

    /// Gives the newest outputs as `newest` does, and follows those that come.
    #[must_use]
    pub fn follow(
        self: &Arc<Self>,
        namespace: &Namespace,
        decider: &DeciderName,
        tail: usize,
    ) -> FollowedOutputs {
        let key = key(namespace, decider);
        let changed = self.changes(&key);
        let newest = self.newest(namespace, decider, usize::MAX);
        let skipped = newest.len().saturating_sub(tail);
        let before = skipped.checked_sub(1).and_then(|index| newest.get(index));
        FollowedOutputs {
            outputs: self.clone(),
            key,
            after: before.map_or(0, |output| output.number),
            changed,
        }
    }

    fn changes(&self, key: &(Namespace, DeciderName)) -> watch::Receiver<()> {
        self.lock().ring(key.clone()).changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, KeptOutputs> {
        // Nothing in there is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FollowedOutputs {
    /// Waits for the next outputs. Dropped midway, nothing is lost.
    pub async fn next(&mut self) -> Vec<Arc<Output>> {
        loop {
            let (namespace, decider) = &self.key;
            let mut outputs = self.outputs.newest(namespace, decider, usize::MAX);
            outputs.retain(|output| output.number > self.after);
            if let Some(newest) = outputs.last() {
                self.after = newest.number;
                return outputs;
            }
            if self.changed.changed().await.is_err() {
                // Others have taken its place while it was silent.
                self.changed = self.outputs.changes(&self.key);
            }
        }
    }
}

impl KeptOutputs {
    fn ring(&mut self, key: (Namespace, DeciderName)) -> &mut OutputRing {
        let rings = &mut self.by_decider;
        if rings.len() >= DECIDERS && !rings.contains_key(&key) {
            rings.remove_lru();
        }
        rings.entry(key).or_insert_with(|| OutputRing {
            outputs: VecDeque::new(),
            bytes: 0,
            changed: watch::Sender::new(()),
            rate: Rate {
                since: Instant::now(),
                logged: 0,
                left_out: 0,
            },
        })
    }
}

impl OutputRing {
    fn push(&mut self, output: Arc<Output>) {
        self.bytes += size(&output);
        self.outputs.push_back(output);
        while self.bytes > DECIDER_BYTES && self.outputs.len() > 1 {
            let oldest = self.outputs.pop_front();
            self.bytes -= oldest.as_deref().map_or(0, size);
        }
        self.changed.send_replace(());
    }
}

impl Rate {
    /// Counts an output: whether it goes to the log, and how many did not in a period that has
    /// ended.
    fn next(&mut self, now: Instant) -> (bool, u64) {
        let mut left_out = 0;
        if now.duration_since(self.since) >= PERIOD {
            left_out = std::mem::take(&mut self.left_out);
            self.since = now;
            self.logged = 0;
        }
        let is_logged = self.logged < LOGGED;
        if is_logged {
            self.logged += 1;
        } else {
            self.left_out += 1;
        }
        (is_logged, left_out)
    }
}

fn key(namespace: &Namespace, decider: &DeciderName) -> (Namespace, DeciderName) {
    (namespace.clone(), decider.clone())
}

fn size(output: &Output) -> usize {
    output.text.len() + OUTPUT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(decider: &str) -> StreamId {
        let decider = DeciderName::new(decider).unwrap();
        StreamId::new(Namespace::default(), decider, "c-1").unwrap()
    }

    fn write(outputs: &Outputs, decider: &str, text: &str) {
        let module = ModuleDigest::of(b"module");
        outputs.add(module, &stream(decider), None, text.to_owned());
    }

    fn texts(outputs: &[Arc<Output>]) -> Vec<&str> {
        outputs.iter().map(|output| output.text.as_str()).collect()
    }

    fn kept(outputs: &Outputs, decider: &str, tail: usize) -> Vec<Arc<Output>> {
        outputs.newest(
            &Namespace::default(),
            &DeciderName::new(decider).unwrap(),
            tail,
        )
    }

    #[test]
    fn the_newest_outputs_of_each_decider_are_kept_within_bounds() {
        let outputs = Outputs::default();
        for text in ["a", "b", "c"] {
            write(&outputs, "counter", text);
        }
        write(&outputs, "account", &"x".repeat(2 * DECIDER_BYTES));
        assert_eq!(texts(&kept(&outputs, "counter", 2)), ["b", "c"]);
        assert_eq!(kept(&outputs, "account", 9).len(), 1);
        assert_eq!(kept(&outputs, "order", 9).len(), 0);

        for _ in 0..10 {
            write(&outputs, "account", &"y".repeat(DECIDER_BYTES / 4));
        }
        assert_eq!(kept(&outputs, "account", 99).len(), 3);
        for number in 0..=DECIDERS {
            write(&outputs, &format!("d{number}"), "x");
        }
        assert_eq!(kept(&outputs, "counter", 9).len(), 0);
        assert_eq!(outputs.lock().by_decider.len(), DECIDERS);
    }

    #[tokio::test]
    async fn a_follower_misses_nothing_that_is_kept_even_when_others_take_its_place() {
        let outputs = Arc::new(Outputs::default());
        for text in ["a", "b"] {
            write(&outputs, "counter", text);
        }
        let decider = DeciderName::new("counter").unwrap();
        let mut followed = outputs.follow(&Namespace::default(), &decider, 1);
        assert_eq!(texts(&followed.next().await), ["b"]);
        let mut next = Box::pin(followed.next());
        assert!(futures::poll!(&mut next).is_pending());
        for number in 0..DECIDERS {
            write(&outputs, &format!("d{number}"), "x");
        }
        assert!(futures::poll!(&mut next).is_pending());
        write(&outputs, "counter", "c");
        assert_eq!(texts(&next.await), ["c"]);
    }

    #[test]
    fn a_module_that_writes_without_end_does_not_flood_the_log() {
        let began = Instant::now();
        let mut rate = Rate {
            since: began,
            logged: 0,
            left_out: 0,
        };
        for _ in 0..LOGGED {
            assert_eq!(rate.next(began), (true, 0));
        }
        for _ in 0..7 {
            assert_eq!(rate.next(began), (false, 0));
        }
        assert_eq!(rate.next(began + PERIOD), (true, 7));
        assert_eq!(rate.next(began + PERIOD), (true, 0));
    }
}
