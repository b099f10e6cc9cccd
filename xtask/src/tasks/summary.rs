//! Counts tests from what their runners print.

use std::{fmt, ops::AddAssign};

/// How many tests ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Passed, slow and flaky ones included.
    pub(crate) passed: u64,
    /// Failed, timed out, or could not be run.
    pub(crate) failed: u64,
    /// Left out by a filter or an attribute.
    pub(crate) skipped: u64,
}

impl Summary {
    /// Adds what a line says, if it is the closing line of cargo-nextest or libtest.
    pub(crate) fn read(&mut self, line: &str) {
        let line = without_escapes(line);
        let line = line.trim();
        if let Some(counts) = line.strip_prefix("test result: ").and_then(|l| l.split_once(". ")) {
            self.add(counts.1.split(';'));
        } else if line.starts_with("Summary [")
            && let Some((_, counts)) = line.split_once("run: ")
        {
            self.add(without_parentheses(counts).split(','));
        }
    }

    fn add<'a>(&mut self, counts: impl Iterator<Item = &'a str>) {
        for count in counts {
            let Some((number, what)) = count.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "skipped" | "ignored" | "filtered out" => self.skipped += number,
                "failed" | "timed out" | "exec failed" => self.failed += number,
                _ => {}
            }
        }
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The form that CI looks for on the last line.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

/// Drops colours: from each escape character to the letter that ends its sequence.
fn without_escapes(line: &str) -> String {
    let mut pieces = line.split('\u{1b}');
    let mut kept = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        kept.push_str(piece.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |p| p.1));
    }
    kept
}

/// Drops nextest's remarks: `7 passed (1 slow)`.
fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    let mut kept = String::new();
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(character),
            _ => {}
        }
    }
    // `7 passed (1 slow), …` leaves a blank before the comma.
    kept.replace(" ,", ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_both_runners_are_counted_and_no_others() {
        let cases = [
            (
                "test result: ok. 6 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.37s",
                (6, 0, 3),
            ),
            (
                "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
                (4, 2, 0),
            ),
            ("     Summary [   1.234s] 8 tests run: 8 passed, 0 skipped", (8, 0, 0)),
            (
                "     Summary [   9.1s] 9 tests run: 5 passed (1 slow, 1 flaky), 2 failed, 1 exec failed, 1 timed out, 3 skipped",
                (5, 4, 3),
            ),
            ("     Summary [   1.2s] 1 test run: 1 passed, 4 skipped", (1, 0, 4)),
            (
                "\u{1b}[32;1m     Summary\u{1b}[0m [   0.002s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m \u{1b}[33;1mskipped\u{1b}[0m",
                (2, 0, 0),
            ),
            ("running 6 tests", (0, 0, 0)),
            ("test a_payment ... ok", (0, 0, 0)),
            ("3 passed; 4 failed", (0, 0, 0)),
        ];
        for (line, (passed, failed, skipped)) in cases {
            let mut summary = Summary::default();
            summary.read(line);
            assert_eq!(summary, Summary { passed, failed, skipped }, "{line}");
        }
    }

    #[test]
    fn skipped_tests_are_named_only_where_there_are_some() {
        let mut summary = Summary { passed: 8, failed: 0, skipped: 0 };
        assert_eq!(summary.to_string(), "8 passed, 0 failed");
        summary.skipped = 2;
        assert_eq!(summary.to_string(), "8 passed, 0 failed, 2 skipped");
    }
}
