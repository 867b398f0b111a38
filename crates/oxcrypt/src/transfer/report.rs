//! What a transfer tells: a bar on a terminal, a line for each file in JSON, failures at once.

use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use serde::Serialize;

use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{Failure, Failures, Result};
use crate::out::{Text, printable};

#[derive(Default)]
struct Sums {
    files: u64,
    bytes: u64,
    passed_over: u64,
    failed: u64,
    failures: Failures,
}

/// The report of one transfer, shared by its workers.
pub(super) struct Report<'a> {
    ctx: &'a Ctx,
    schema: &'static str,
    bar: ProgressBar,
    sums: Mutex<Sums>,
    start: std::time::Instant,
}

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    event: &'static str,
    from: Text,
    to: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct End {
    schema: &'static str,
    event: &'static str,
    files: u64,
    bytes: u64,
    passed_over: u64,
    failed: u64,
    seconds: f64,
}

impl<'a> Report<'a> {
    pub(super) fn new(ctx: &'a Ctx, schema: &'static str) -> Self {
        Self {
            ctx,
            schema,
            bar: ctx.out.bytes_bar(None),
            sums: Mutex::default(),
            start: std::time::Instant::now(),
        }
    }

    fn sums(&self) -> std::sync::MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn moved(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// One node is there; `size` for files.
    pub(super) fn done(&self, from: &[u8], to: &[u8], size: Option<u64>) -> Result<()> {
        let mut sums = self.sums();
        sums.files += 1;
        sums.bytes += size.unwrap_or(0);
        drop(sums);
        self.tell("done", from, to, size, None)
    }

    pub(super) fn would(&self, from: &[u8], to: &[u8], size: Option<u64>) -> Result<()> {
        self.sums().files += 1;
        if !self.ctx.out.json {
            return self
                .ctx
                .out
                .line(format!("{} -> {}", printable(from), printable(to)));
        }
        self.tell("would", from, to, size, None)
    }

    pub(super) fn passed_over(&self, from: &[u8], to: &[u8]) -> Result<()> {
        self.sums().passed_over += 1;
        self.tell("passed_over", from, to, None, None)
    }

    /// A failure of one node; the others go on.
    pub(super) fn failed(&self, from: &[u8], to: &[u8], failure: &Failure) {
        let mut sums = self.sums();
        sums.failed += 1;
        sums.failures.note(failure.exit);
        drop(sums);
        if self.ctx.out.json {
            let _ = self.tell("failed", from, to, None, Some(&failure.message));
        } else if failure.exit != Exit::Interrupted {
            self.bar.suspend(|| self.ctx.out.failure(failure));
        }
    }

    fn tell(
        &self,
        event: &'static str,
        from: &[u8],
        to: &[u8],
        size: Option<u64>,
        error: Option<&str>,
    ) -> Result<()> {
        if !self.ctx.out.json {
            if error.is_none() && self.ctx.out.verbose > 0 {
                let line = format!("{event}: {} -> {}", printable(from), printable(to));
                self.bar.suspend(|| self.ctx.out.detail(line));
            }
            return Ok(());
        }
        self.ctx.out.object(&Line {
            schema: self.schema,
            event,
            from: Text(from.to_vec()),
            to: Text(to.to_vec()),
            size,
            error,
        })
    }

    /// The end of the whole transfer.
    pub(super) fn end(self) -> Result<()> {
        self.bar.finish_and_clear();
        let seconds = self.start.elapsed().as_secs_f64();
        let sums = self
            .sums
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if self.ctx.out.json {
            self.ctx.out.object(&End {
                schema: self.schema,
                event: "end",
                files: sums.files,
                bytes: sums.bytes,
                passed_over: sums.passed_over,
                failed: sums.failed,
                seconds,
            })?;
        } else if sums.files > 1 || sums.passed_over > 0 {
            self.ctx.out.note(format!(
                "{} files, {} bytes, {} passed over, {} failed, {seconds:.1} s",
                sums.files, sums.bytes, sums.passed_over, sums.failed
            ));
        }
        self.ctx.out.flush()?;
        if self.ctx.is_interrupted() {
            return Err(Failure::interrupted().hint("run it again with --resume to go on"));
        }
        sums.failures.end()
    }
}
