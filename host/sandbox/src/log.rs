//! The output of a module on stdout and stderr: kept for people, up to a limit.

/// The number of bytes of stderr that are kept to explain a trap. A panic's message is the last
/// text before the trap.
const REASON_BYTES: usize = 1024;

/// The captured output of one instance.
#[derive(Debug)]
pub(super) struct CapturedOutput {
    text: Vec<u8>,
    limit_bytes: usize,
    cut: bool,
    stderr: Vec<u8>,
}

impl CapturedOutput {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            text: Vec::new(),
            limit_bytes,
            cut: false,
            stderr: Vec::new(),
        }
    }

    /// Forgets what a former call wrote to stderr; the log itself is kept until it is taken.
    pub(super) fn begin_call(&mut self) {
        self.stderr.clear();
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        let room = self.limit_bytes - self.text.len();
        self.cut |= bytes.len() > room;
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    pub(super) fn write_error(&mut self, bytes: &[u8]) {
        self.write(bytes);
        let newest = &bytes[bytes.len().saturating_sub(REASON_BYTES)..];
        self.stderr.extend_from_slice(newest);
        let excess = self.stderr.len().saturating_sub(REASON_BYTES);
        self.stderr.drain(..excess);
    }

    /// Takes all that was written since the last time, if that is something.
    pub(super) fn take(&mut self) -> Option<String> {
        if self.text.is_empty() && !self.cut {
            return None;
        }
        let mut text = String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned();
        if std::mem::take(&mut self.cut) {
            text.push_str("\n[the module wrote more than its log holds]\n");
        }
        Some(text)
    }

    /// The last text that this call wrote to stderr, on one line; none without any.
    pub(super) fn reason(&self) -> Option<String> {
        let stderr = String::from_utf8_lossy(&self.stderr);
        // Rust's advice to set an environment variable is of no use to someone who has none.
        let lines = stderr
            .lines()
            .filter(|line| !line.starts_with("note: run with `RUST_BACKTRACE"));
        let text = printable(lines.collect::<Vec<_>>().join(" ").trim());
        (!text.is_empty()).then_some(text)
    }
}

/// Escapes the control characters of the first 1,024 bytes of `text` at most: fit for one line of a
/// log or an answer.
pub fn printable(text: &str) -> String {
    let mut printable = String::new();
    for character in text.chars() {
        let length = printable.len();
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
        if printable.len() > REASON_BYTES {
            printable.truncate(length);
            printable.push('…');
            break;
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_beginning_and_says_that_it_was_cut() {
        let mut log = CapturedOutput::new(4);
        log.write(b"abc");
        log.write(b"def");
        let cut = "abcd\n[the module wrote more than its log holds]\n";
        assert_eq!(log.take().as_deref(), Some(cut));
        log.write(b"gh\xff");
        assert_eq!(log.take().as_deref(), Some("gh\u{fffd}"));
        assert_eq!(log.take(), None);
    }

    #[test]
    fn the_reason_of_a_trap_is_found_even_when_the_log_is_full() {
        let mut log = CapturedOutput::new(0);
        log.write_error(&[b'x'; 5000]);
        log.begin_call();
        log.write_error(b"\nthread '<unnamed>' panicked at src/lib.rs:7:5:\n");
        log.write_error(
            b"a \x1b[31mred\0 message\nnote: run with `RUST_BACKTRACE=1` to see more\n",
        );
        assert_eq!(
            log.reason().as_deref(),
            Some(r"thread '<unnamed>' panicked at src/lib.rs:7:5: a \u{1b}[31mred\u{0} message")
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = printable(&"ä".repeat(REASON_BYTES));
        assert!(text.len() <= REASON_BYTES + '…'.len_utf8());
        assert!(text.ends_with("ä…"));
    }
}
