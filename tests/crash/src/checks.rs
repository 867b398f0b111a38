//! Counts what is as it should be, and tells of the rest.

/// One run's checks.
pub(crate) struct Checks {
    trouble: &'static str,
    good: usize,
    bad: usize,
}

impl Checks {
    pub(crate) fn new(trouble: &'static str) -> Self {
        Self {
            trouble,
            good: 0,
            bad: 0,
        }
    }

    pub(crate) fn check(&mut self, what: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.good += 1,
            Err(why) => {
                self.bad += 1;
                println!("{}: {what}: {why}", self.trouble);
            }
        }
    }

    /// The last line; whether all was good.
    pub(crate) fn print(&self, vault: &str) -> bool {
        println!(
            "{} {vault}: {} good, {} bad",
            self.trouble, self.good, self.bad
        );
        self.bad == 0
    }
}
