//! One line on standard error that says what is being done; on a terminal it stays one line.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::suites::Case;

pub(crate) struct Progress {
    terminal: bool,
    started: Instant,
    steps: usize,
    done: usize,
    now: String,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            terminal,
            started: Instant::now(),
            steps,
            done: 0,
            now: String::new(),
        }
    }

    pub(crate) fn begin(&mut self, pass: u32, case: &Case, target: &str) {
        self.now = format!(
            "[{:>3}/{}] pass {} {}/{} {target}",
            self.done + 1,
            self.steps,
            pass + 1,
            case.suite,
            case.name
        );
        if self.terminal {
            self.line(&format!("{}{}", self.now, self.remaining()));
        }
    }

    /// Linear, from the steps done; none while it would be a guess.
    fn remaining(&self) -> String {
        if self.done < 10 {
            return String::new();
        }
        let left = self.started.elapsed().as_secs_f64() / self.done as f64
            * (self.steps - self.done) as f64;
        format!(
            " · about {} left",
            humantime::format_duration(Duration::from_secs(left as u64))
        )
    }

    pub(crate) fn end(&mut self, took: Duration, failure: Option<&str>) {
        self.done += 1;
        match failure {
            Some(failure) => {
                self.clear();
                eprintln!("{} {failure}", self.now);
            }
            None if !self.terminal => eprintln!("{} {:.2} s", self.now, took.as_secs_f64()),
            None => {}
        }
    }

    pub(crate) fn finish(&self) {
        self.clear();
        let took = Duration::from_secs(self.started.elapsed().as_secs());
        eprintln!(
            "{} steps in {}",
            self.done,
            humantime::format_duration(took)
        );
    }

    fn line(&self, text: &str) {
        self.clear();
        eprint!("{}", text.chars().take(110).collect::<String>());
        let _ = std::io::stderr().flush();
    }

    fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}
