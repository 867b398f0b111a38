//! Where words go: answers to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::{Serialize, Serializer};

use crate::failure::{Failure, Result};

/// Whether to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Options of every command.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct OutArgs {
    /// Answer in JSON: one object, or one line each where the answer is long.
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// Say nothing but answers and errors.
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Say more; twice for debugging.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
    /// Colours in messages.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Output"
    )]
    pub(crate) color: Color,
}

impl OutArgs {
    /// Takes what the configuration says, where the command line says nothing.
    pub(crate) fn configured(&mut self, color: Option<&str>) {
        if self.color == Color::Auto {
            self.color = match color {
                Some("always") => Color::Always,
                Some("never") => Color::Never,
                _ => Color::Auto,
            };
        }
    }
}

/// The two streams of the command.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
    color: bool,
    bars: bool,
    out: Mutex<std::io::BufWriter<std::io::Stdout>>,
}

impl Out {
    pub(crate) fn new(args: &OutArgs) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != "0");
        let terminal = std::io::stderr().is_terminal();
        let color = match args.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto if set("NO_COLOR") => false,
            Color::Auto => terminal || set("CLICOLOR_FORCE"),
        };
        Self {
            json: args.json,
            quiet: args.quiet,
            verbose: args.verbose,
            color,
            bars: terminal && !args.quiet && !args.json,
            out: Mutex::new(std::io::BufWriter::with_capacity(
                64 << 10,
                std::io::stdout(),
            )),
        }
    }

    /// One JSON object on one line.
    pub(crate) fn object(&self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value)
            .map_err(|e| Failure::new(crate::exit::Exit::Other, e.to_string()))?;
        line.push(b'\n');
        self.bytes(&line)?;
        self.flush()
    }

    /// One line for people.
    pub(crate) fn line(&self, text: impl Display) -> Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        Self::written(self.stream().write_all(bytes))
    }

    pub(crate) fn flush(&self) -> Result<()> {
        Self::written(self.stream().flush())
    }

    fn written(done: std::io::Result<()>) -> Result<()> {
        done.map_err(|e| {
            if e.kind() == std::io::ErrorKind::BrokenPipe {
                // Whoever reads has seen enough, as `head` does.
                return Failure::told(crate::exit::Exit::Interrupted);
            }
            Failure::io(&e).at("standard output")
        })
    }

    fn stream(&self) -> std::sync::MutexGuard<'_, std::io::BufWriter<std::io::Stdout>> {
        self.out
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A remark on standard error.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.quiet && !self.json {
            eprintln!("{text}");
        }
    }

    /// A remark for those who asked for more.
    pub(crate) fn detail(&self, text: impl Display) {
        if self.verbose > 0 {
            eprintln!("{text}");
        }
    }

    pub(crate) fn warn(&self, text: impl Display) {
        eprintln!("oxcrypt: {} {text}", self.paint("33", "warning:"));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The end of a command that failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        // Whoever closed the pipe has seen enough.
        let _ = self.flush();
        if failure.told {
            return;
        }
        if self.json {
            let _ = self.object(&ErrorLine {
                schema: "oxcrypt.error/1",
                code: failure.exit.name(),
                exit: failure.code(),
                message: &failure.message,
                hint: failure.hint.as_deref(),
                pids: &failure.holders,
            });
            return;
        }
        eprintln!(
            "oxcrypt: {} {}",
            self.paint("31", "error:"),
            failure.message
        );
        for holder in &failure.holders {
            eprintln!(
                "  {} ({}) has it as {}",
                holder.pid, holder.comm, holder.why
            );
        }
        if let Some(hint) = &failure.hint {
            eprintln!("  {hint}");
        }
    }

    /// A progress bar in bytes, on a terminal only.
    pub(crate) fn bytes_bar(&self, total: Option<u64>) -> ProgressBar {
        let style = if total.is_some() {
            "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}"
        } else {
            "{spinner} {bytes} {bytes_per_sec} {msg}"
        };
        self.bar(total, style)
    }

    /// A progress bar in steps, on a terminal only.
    pub(crate) fn steps_bar(&self, total: Option<u64>) -> ProgressBar {
        self.bar(total, "{bar:30} {pos}/{len} {eta} {msg}")
    }

    fn bar(&self, total: Option<u64>, style: &str) -> ProgressBar {
        if !self.bars {
            return ProgressBar::hidden();
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        bar.enable_steady_tick(Duration::from_millis(200));
        match ProgressStyle::with_template(style) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    schema: &'static str,
    code: &'static str,
    exit: u8,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pids: &'a [crate::failure::Holder],
}

/// Bytes that are usually text; `{"b64": …}` otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Vec<u8>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Raw {
            b64: String,
        }
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Raw {
                b64: data_encoding::BASE64.encode(&self.0),
            }
            .serialize(serializer),
        }
    }
}

impl From<&std::path::Path> for Text {
    fn from(path: &std::path::Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

/// Bytes for a terminal: control characters are made visible, so that a name cannot drive it.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if !text.chars().any(char::is_control) {
        return text.into_owned();
    }
    text.chars()
        .flat_map(|c| {
            let escaped: Vec<char> = if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            };
            escaped
        })
        .collect()
}

/// RFC 3339 in UTC.
pub(crate) fn rfc3339(secs: i64, nanos: u32) -> String {
    jiff::Timestamp::new(secs, nanos as i32).map_or_else(|_| secs.to_string(), |t| t.to_string())
}

/// A size for people.
pub(crate) fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["", "K", "M", "G", "T", "P"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => bytes.to_string(),
        _ if value < 10.0 => format!("{value:.1}{}", UNITS[unit]),
        _ => format!("{value:.0}{}", UNITS[unit]),
    }
}
