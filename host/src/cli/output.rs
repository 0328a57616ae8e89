//! Where a command writes.

use std::fmt::Write as _;
use std::io::{self, Write};

use anyhow::Context as _;
use comfy_table::{Table, presets};
use serde::Serialize;

use super::Format;
use super::exit::{Failure, Result};

/// Where a command writes: its answer, and what it has to say beside.
#[expect(missing_debug_implementations, reason = "a writer has nothing to show")]
pub struct Output<'a> {
    format: Format,
    data: &'a mut dyn Write,
    notes: &'a mut dyn Write,
}

impl<'a> Output<'a> {
    /// Answers go to `data` in the form of `format`, progress and complaints to `notes`.
    pub fn new(format: Format, data: &'a mut dyn Write, notes: &'a mut dyn Write) -> Self {
        Self {
            format,
            data,
            notes,
        }
    }

    /// Whether the answer is for programs.
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

    /// Tells people something beside the answer. That nobody listens is no failure.
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
fn printable(text: &str) -> String {
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
    fn sizes_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(185_344), "181.0 KiB");
        assert_eq!(size(1_572_864), "1.5 MiB");
    }
}
