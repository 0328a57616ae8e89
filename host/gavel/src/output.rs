//! The streams that a command writes to.

use std::fmt::Write as _;
use std::io::{self, BufRead, Write};

use anyhow::Context as _;
use comfy_table::{Table, presets};
use serde::Serialize;

use super::Format;
use super::exit::{Failure, Result};

/// The streams that a command writes to: one for its answer, and one for all other messages.
#[expect(missing_debug_implementations, reason = "a writer has nothing to show")]
pub struct Output<'a> {
    format: Format,
    data: &'a mut dyn Write,
    notes: &'a mut dyn Write,
    /// The answers of a person to questions; none without a person at the terminal.
    answers: Option<&'a mut dyn BufRead>,
    draws: bool,
}

impl<'a> Output<'a> {
    /// Answers go to `data` in the form of `format`, progress and complaints to `notes`.
    pub fn new(format: Format, data: &'a mut dyn Write, notes: &'a mut dyn Write) -> Self {
        Self {
            format,
            data,
            notes,
            answers: None,
            draws: false,
        }
    }

    /// Lets questions be asked, with answers from `answers`. Without this call, no question is
    /// asked.
    #[must_use]
    pub fn asking(mut self, answers: &'a mut dyn BufRead) -> Self {
        self.answers = Some(answers);
        self
    }

    /// Lets progress be drawn on standard error, which is a terminal. Without this call, progress
    /// is printed in lines.
    #[must_use]
    pub fn drawing(mut self) -> Self {
        self.draws = true;
        self
    }

    /// Tells whether questions can be asked.
    pub(super) fn can_ask(&self) -> bool {
        self.answers.is_some() && !self.is_json()
    }

    /// Tells whether progress can be drawn.
    pub(super) fn can_draw(&self) -> bool {
        self.draws
    }

    /// Asks a person. Whatever is no clear yes is a no.
    pub(super) fn ask(&mut self, question: &str) -> bool {
        let Some(answers) = &mut self.answers else {
            return false;
        };
        let _ = write!(self.notes, "{} [y/N] ", printable(question));
        let _ = self.notes.flush();
        let mut answer = String::new();
        let read = answers.read_line(&mut answer);
        let answer = answer.trim().to_lowercase();
        read.is_ok() && matches!(answer.as_str(), "y" | "yes")
    }

    /// Tells whether the answer is for programs.
    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes lines for people to the answer.
    pub(super) fn text(&mut self, text: &str) -> Result {
        self.write(&printable(text))
    }

    /// Writes a JSON document to the answer, on one line.
    pub(super) fn json(&mut self, document: &impl Serialize) -> Result {
        let text = serde_json::to_string(document).context("cannot write the answer as JSON")?;
        self.write(&text)
    }

    /// Writes a JSON document to the answer as it was received, on one line.
    pub(super) fn received(&mut self, document: &str) -> Result {
        // A line break in JSON can only be white space: within a string it is escaped.
        self.write(&document.trim().replace(['\n', '\r'], " "))
    }

    /// Prints a message for people, apart from the answer. A failure to write it is ignored.
    pub(super) fn note(&mut self, text: &str) {
        let _ = writeln!(self.notes, "{}", printable(text).trim_end());
    }

    fn write(&mut self, text: &str) -> Result {
        let written = writeln!(self.data, "{}", text.trim_end()).and_then(|()| self.data.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
            written => Ok(written.context("cannot write to standard output")?),
        }
    }
}

/// Escapes control characters, with which text from elsewhere could rewrite what a terminal shows.
pub(super) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' {
            let _ = write!(printable, "{}", character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// A table with `header` and `rows`, as text.
pub(super) fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A number of bytes in the unit in which it reads best.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 2] = [("MiB", 1024 * 1024), ("KiB", 1024)];
    for (unit, unit_bytes) in UNITS {
        if bytes >= unit_bytes {
            let tenths = bytes.saturating_mul(10) / unit_bytes;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn control_characters_cannot_reach_a_terminal() {
        let mut data = Vec::new();
        let mut notes = Vec::new();
        let mut output = Output::new(Format::Text, &mut data, &mut notes);
        output.text("a\x1b[2Jb\u{9b}c\nd").unwrap();
        output.note("e\rf");
        assert_eq!(data, b"a\\u{1b}[2Jb\\u{9b}c\nd\n");
        assert_eq!(notes, b"e\\rf\n");
    }

    #[test]
    fn a_reader_that_has_gone_ends_the_command_quietly() {
        let (mut data, mut notes) = (Gone, Gone);
        let mut output = Output::new(Format::Text, &mut data, &mut notes);
        output.note("nobody hears this");
        let failure = output.text("x").unwrap_err();
        assert!(matches!(failure, Failure::ReaderGone));
        assert_eq!(failure.exit(), super::super::Exit::Done);
    }

    #[test]
    fn a_received_document_takes_one_line() {
        let mut data = Vec::new();
        Output::new(Format::Json, &mut data, &mut Vec::new())
            .received("{\n\"b\": 1,\n\"a\": 2}\n")
            .unwrap();
        assert_eq!(data, b"{ \"b\": 1, \"a\": 2}\n");
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        let mut answers: &[u8] = b"y\nYES\n\nyellow\nn\n";
        let (mut data, mut notes) = (Vec::new(), Vec::new());
        let mut output = Output::new(Format::Text, &mut data, &mut notes).asking(&mut answers);
        let said: Vec<bool> = (0..6).map(|_| output.ask("Really?")).collect();
        assert_eq!(said, [true, true, false, false, false, false]);
        assert_eq!(notes, b"Really? [y/N] ".repeat(6));
        assert!(data.is_empty());
    }

    #[test]
    fn nobody_is_asked_where_nobody_is_or_where_programs_listen() {
        let mut answers: &[u8] = b"y\n";
        let (mut data, mut notes) = (Vec::new(), Vec::new());
        let mut output = Output::new(Format::Text, &mut data, &mut notes);
        assert!(!output.can_ask() && !output.ask("Really?"));
        let output = Output::new(Format::Json, &mut data, &mut notes).asking(&mut answers);
        assert!(!output.can_ask());
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(185_344), "181.0 KiB");
        assert_eq!(size(1_572_864), "1.5 MiB");
    }
}
