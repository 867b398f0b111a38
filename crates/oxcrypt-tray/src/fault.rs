//! Why something could not be done, in the words of the `oxcrypt` command or our own.

use serde::Deserialize;

/// A program that keeps a vault busy.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(crate) struct Holder {
    pub(crate) pid: i32,
    pub(crate) comm: String,
}

/// A failure. `code` is one of the command's, or `no_command`, `no_prompter`, `cancelled`,
/// `working`, `unknown_vault`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) holders: Vec<Holder>,
}

impl Fault {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hint: None,
            holders: Vec::new(),
        }
    }

    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// The programs, as in `bash (7), vi (8)`; the first few of many.
    pub(crate) fn users(&self) -> String {
        const SHOWN: usize = 5;
        let mut names: Vec<String> = self
            .holders
            .iter()
            .take(SHOWN)
            .map(|h| format!("{} ({})", h.comm, h.pid))
            .collect();
        if self.holders.len() > SHOWN {
            names.push(format!("{} more", self.holders.len() - SHOWN));
        }
        names.join(", ")
    }

    /// One line.
    pub(crate) fn line(&self) -> String {
        let mut line = self.message.clone();
        if !self.holders.is_empty() {
            line.push_str(": ");
            line.push_str(&self.users());
        }
        if let Some(hint) = &self.hint {
            line.push_str("; ");
            line.push_str(hint);
        }
        line
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.line())
    }
}
