//! The progress of a long task of the host: a line that is redrawn on a terminal, otherwise a line
//! from time to time.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::output::{Output, printable};

/// The least time between two lines about the same step, where nothing can be drawn.
const PAUSE: Duration = Duration::from_secs(10);

/// The display of progress. Dropping it removes the drawn line.
#[derive(Debug)]
pub(super) struct ProgressLine {
    /// The drawn line; none where nothing can be drawn.
    bar: Option<ProgressBar>,
    /// The step that was printed last, and the time of that.
    printed: Option<(String, Instant)>,
}

impl ProgressLine {
    pub(super) fn new(output: &Output<'_>) -> Self {
        let bar = output.can_draw().then(|| {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
                .with_finish(ProgressFinish::AndClear)
        });
        Self { bar, printed: None }
    }

    /// Shows that `step` has done `part` of a whole, if that is known, and more of it in `words`,
    /// which may be empty.
    pub(super) fn show(
        &mut self,
        step: &str,
        part: Option<(u64, u64)>,
        words: &str,
        output: &mut Output<'_>,
    ) {
        if let Some(bar) = &self.bar {
            draw(bar, step, part, words);
            return;
        }
        let is_recent =
            |(printed, when): &(String, Instant)| printed == step && when.elapsed() < PAUSE;
        if !self.printed.as_ref().is_some_and(is_recent) {
            let colon = if words.is_empty() { "" } else { ": " };
            output.note(&format!("{step}{colon}{words}"));
            self.printed = Some((step.to_owned(), Instant::now()));
        }
    }
}

fn draw(bar: &ProgressBar, step: &str, part: Option<(u64, u64)>, words: &str) {
    let template = match part {
        Some((done, whole)) => {
            bar.set_length(whole);
            bar.set_position(done.min(whole));
            "  {prefix:<11} [{bar:24}] {wide_msg}"
        }
        None => "  {prefix:<11} {wide_msg}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is one of ours");
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(printable(step));
    bar.set_message(printable(words));
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    #[test]
    fn where_nothing_can_be_drawn_each_step_is_told_once() {
        let (mut data, mut notes) = (Vec::new(), Vec::new());
        let mut output = Output::new(Format::Text, &mut data, &mut notes);
        let mut progress = ProgressLine::new(&output);
        progress.show("validate", None, "", &mut output);
        progress.show("re-fold", Some((1, 3)), "1 of 3 events", &mut output);
        progress.show("re-fold", Some((2, 3)), "2 of 3 events", &mut output);
        assert_eq!(notes, b"validate\nre-fold: 1 of 3 events\n");
    }

    #[test]
    fn what_is_drawn_has_its_control_characters_escaped() {
        let bar = ProgressBar::hidden();
        draw(&bar, "re\x1bfold", Some((5, 3)), "a\rb");
        assert_eq!(bar.prefix(), "re\\u{1b}fold");
        assert_eq!(bar.message(), "a\\rb");
        assert_eq!((bar.position(), bar.length()), (3, Some(3)));
    }
}
