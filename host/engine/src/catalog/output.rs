//! The text that modules write to stdout and stderr on this host. It goes to the host's log, and
//! the newest of it is kept in memory for those who ask.
//!
//! The text is for people: nothing is decided by it, it is in no store, and a module that writes
//! nothing costs nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gavel_model::{
    ActivationKey, Clock as _, CommandId, ModuleDigest, ModuleKind, StreamId, SystemClock, ViewId,
};
use gavel_sandbox::{Instance, printable};
use hashlink::LruCache;
use time::OffsetDateTime;
use tokio::sync::watch;

/// Most names of modules of which something is kept; what was silent for longest goes first.
const NAMES: usize = 256;
/// Most that is kept under one name, in bytes, unless its newest output alone is larger; the oldest
/// goes first.
const NAME_BYTES: usize = 256 << 10;
/// The size of an output apart from its text, in bytes.
const OUTPUT_BYTES: usize = 256;
/// Most outputs under one name that go to the host's log within [`PERIOD`].
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
    /// The work.
    pub work: OutputWork,
    /// The module.
    pub module: ModuleDigest,
    /// The text, as it was written; what is no UTF-8 is replaced.
    pub text: String,
}

/// The work during which a module has written something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputWork {
    /// The module of a decider worked on a stream.
    Stream {
        /// The stream.
        stream: StreamId,
        /// The command that was decided; none when recorded events were folded.
        command_id: Option<CommandId>,
    },
    /// The module of a view worked on a page of the log.
    Page(ViewId),
}

impl OutputWork {
    fn key(&self) -> ActivationKey {
        match self {
            Self::Stream { stream, .. } => {
                ActivationKey::of_decider(stream.namespace(), stream.decider())
            }
            Self::Page(view) => view.key(),
        }
    }
}

/// The newest outputs of the modules on this host.
#[derive(Debug)]
pub struct Outputs(Mutex<KeptOutputs>);

#[derive(Debug)]
struct KeptOutputs {
    newest: u64,
    by_name: LruCache<ActivationKey, OutputRing>,
}

/// The newest outputs under one name.
#[derive(Debug)]
struct OutputRing {
    outputs: VecDeque<Arc<Output>>,
    bytes: usize,
    changed: watch::Sender<()>,
    rate: Rate,
}

/// A counter of the outputs under one name that go to the host's log, at most [`LOGGED`] in each
/// [`PERIOD`].
#[derive(Debug)]
struct Rate {
    since: Instant,
    logged: u32,
    left_out: u64,
}

/// Follows the outputs under one name.
#[derive(Debug)]
pub struct FollowedOutputs {
    outputs: Arc<Outputs>,
    key: ActivationKey,
    after: u64,
    changed: watch::Receiver<()>,
}

impl Default for Outputs {
    fn default() -> Self {
        Self(Mutex::new(KeptOutputs {
            newest: 0,
            by_name: LruCache::new_unbounded(),
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
            let stream = stream.clone();
            self.add(module, OutputWork::Stream { stream, command_id }, text);
        }
    }

    /// Takes what `module` has written while it worked for a view.
    pub fn add_of_view(&self, view: &ViewId, module: ModuleDigest, text: String) {
        self.add(module, OutputWork::Page(view.clone()), text);
    }

    fn add(&self, module: ModuleDigest, work: OutputWork, text: String) {
        let key = work.key();
        let mut kept = self.lock();
        kept.newest += 1;
        let output = Arc::new(Output {
            number: kept.newest,
            time: SystemClock.now(),
            work,
            module,
            text,
        });
        let ring = kept.ring(key.clone());
        let (is_logged, left_out) = ring.rate.next(Instant::now());
        ring.push(output.clone());
        drop(kept);
        let name = |kind| (key.kind() == kind).then(|| key.name().as_str());
        let (decider, view) = (name(ModuleKind::Decider), name(ModuleKind::View));
        if left_out > 0 {
            tracing::warn!(
                target: "gavel::module",
                namespace = key.namespace().as_str(),
                decider,
                view,
                "the module has written more than {LOGGED} times within a second: {left_out} outputs are not in this log"
            );
        }
        if is_logged {
            let (stream_id, command_id) = match &output.work {
                OutputWork::Stream { stream, command_id } => (Some(stream.id()), *command_id),
                OutputWork::Page(_) => (None, None),
            };
            tracing::info!(
                target: "gavel::module",
                namespace = key.namespace().as_str(),
                decider,
                view,
                stream.id = stream_id,
                command.id = command_id.map(tracing::field::display),
                module.digest = %module,
                "{}",
                printable(output.text.trim_end())
            );
        }
    }

    /// Gives the outputs that are kept under a name, oldest first: no more than the newest `tail`.
    #[must_use]
    pub fn newest(&self, key: &ActivationKey, tail: usize) -> Vec<Arc<Output>> {
        let kept = self.lock();
        let outputs = kept.by_name.peek(key).map(|ring| {
            let skipped = ring.outputs.len().saturating_sub(tail);
            ring.outputs.iter().skip(skipped).cloned().collect()
        });
        outputs.unwrap_or_default()
    }

    /// Gives the newest outputs as `newest` does, and follows those that come.
    #[must_use]
    pub fn follow(self: &Arc<Self>, key: ActivationKey, tail: usize) -> FollowedOutputs {
        let changed = self.changes(&key);
        let newest = self.newest(&key, usize::MAX);
        let skipped = newest.len().saturating_sub(tail);
        let before = skipped.checked_sub(1).and_then(|index| newest.get(index));
        FollowedOutputs {
            outputs: self.clone(),
            key,
            after: before.map_or(0, |output| output.number),
            changed,
        }
    }

    fn changes(&self, key: &ActivationKey) -> watch::Receiver<()> {
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
            let mut outputs = self.outputs.newest(&self.key, usize::MAX);
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
    fn ring(&mut self, key: ActivationKey) -> &mut OutputRing {
        let rings = &mut self.by_name;
        if rings.len() >= NAMES && !rings.contains_key(&key) {
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
        while self.bytes > NAME_BYTES && self.outputs.len() > 1 {
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

fn size(output: &Output) -> usize {
    output.text.len() + OUTPUT_BYTES
}

#[cfg(test)]
mod tests {
    use gavel_model::{DeciderName, Namespace};

    use super::*;

    fn key(decider: &str) -> ActivationKey {
        let decider = DeciderName::new(decider).unwrap();
        ActivationKey::of_decider(&Namespace::default(), &decider)
    }

    fn write(outputs: &Outputs, decider: &str, text: &str) {
        let module = ModuleDigest::of(b"module");
        let decider = DeciderName::new(decider).unwrap();
        let stream = StreamId::new(Namespace::default(), decider, "c-1").unwrap();
        let work = OutputWork::Stream {
            stream,
            command_id: None,
        };
        outputs.add(module, work, text.to_owned());
    }

    fn texts(outputs: &[Arc<Output>]) -> Vec<&str> {
        outputs.iter().map(|output| output.text.as_str()).collect()
    }

    fn kept(outputs: &Outputs, decider: &str, tail: usize) -> Vec<Arc<Output>> {
        outputs.newest(&key(decider), tail)
    }

    #[test]
    fn the_newest_outputs_under_each_name_are_kept_within_bounds() {
        let outputs = Outputs::default();
        for text in ["a", "b", "c"] {
            write(&outputs, "counter", text);
        }
        write(&outputs, "account", &"x".repeat(2 * NAME_BYTES));
        assert_eq!(texts(&kept(&outputs, "counter", 2)), ["b", "c"]);
        assert_eq!(kept(&outputs, "account", 9).len(), 1);
        assert_eq!(kept(&outputs, "order", 9).len(), 0);

        for _ in 0..10 {
            write(&outputs, "account", &"y".repeat(NAME_BYTES / 4));
        }
        assert_eq!(kept(&outputs, "account", 99).len(), 3);
        for number in 0..=NAMES {
            write(&outputs, &format!("d{number}"), "x");
        }
        assert_eq!(kept(&outputs, "counter", 9).len(), 0);
        assert_eq!(outputs.lock().by_name.len(), NAMES);
    }

    #[tokio::test]
    async fn a_follower_misses_nothing_that_is_kept_even_when_others_take_its_place() {
        let outputs = Arc::new(Outputs::default());
        for text in ["a", "b"] {
            write(&outputs, "counter", text);
        }
        let mut followed = outputs.follow(key("counter"), 1);
        assert_eq!(texts(&followed.next().await), ["b"]);
        let mut next = Box::pin(followed.next());
        assert!(futures::poll!(&mut next).is_pending());
        for number in 0..NAMES {
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
