//! What `perf script` prints: a line for each sample, then its frames from the innermost outwards,
//! then an empty line.

use std::io::{self, BufRead};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) pid: u32,
    pub(super) time: Duration,
    /// The innermost first.
    pub(super) frames: Vec<Frame>,
}

#[derive(Debug)]
pub(super) struct Frame {
    symbol: String,
    program: String,
}

impl Frame {
    #[cfg(test)]
    pub(super) fn user(symbol: &str, program: &str) -> Self {
        Self {
            symbol: symbol.into(),
            program: program.into(),
        }
    }

    #[cfg(test)]
    pub(super) fn kernel(symbol: &str) -> Self {
        Self::user(symbol, "[kernel.kallsyms]")
    }

    /// `ffffffff8112 schedule ([kernel.kallsyms])`
    fn parse(line: &str) -> Option<Self> {
        let (_address, rest) = line.trim().split_once(' ')?;
        let (symbol, program) = rest.rsplit_once(" (")?;
        Some(Self {
            symbol: symbol.to_owned(),
            program: program.trim_end_matches(')').to_owned(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.symbol
    }

    pub(super) fn is_kernel(&self) -> bool {
        self.program.starts_with('[') && !self.program.starts_with("[vdso")
    }
}

/// `  1234  5678.123456789: `
fn header(line: &str) -> Option<(u32, Duration)> {
    let mut words = line.split_ascii_whitespace();
    let pid = words.next()?.parse().ok()?;
    let (seconds, nanos) = words.next()?.trim_end_matches(':').split_once('.')?;
    Some((
        pid,
        Duration::new(seconds.parse().ok()?, nanos.parse().ok()?),
    ))
}

pub(super) fn read(text: impl BufRead, mut each: impl FnMut(Sample)) -> io::Result<()> {
    let mut sample: Option<Sample> = None;
    for line in text.lines() {
        let line = line?;
        if line.trim().is_empty() {
            sample.take().into_iter().for_each(&mut each);
        } else if let Some(sample) = &mut sample {
            sample.frames.extend(Frame::parse(&line));
        } else if let Some((pid, time)) = header(&line) {
            sample = Some(Sample {
                pid,
                time,
                frames: Vec::new(),
            });
        }
    }
    sample.into_iter().for_each(each);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_read_with_its_frames() {
        let text = "\
  4321  1234.000000567: \n\
\tffffffff811 fuse_copy_fill ([kernel.kallsyms])\n\
\t    55d0fe <T as core::ops::Fn (u8)>::call (/usr/bin/oxcrypt)\n\
\n\
   12     7.500000000: \n\
\t       ff [unknown] ([unknown])\n";
        let mut found = Vec::new();
        read(text.as_bytes(), |sample| found.push(sample)).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].pid, found[0].time),
            (4321, Duration::new(1234, 567))
        );
        assert!(found[0].frames[0].is_kernel() && !found[0].frames[1].is_kernel());
        assert_eq!(found[0].frames[1].name(), "<T as core::ops::Fn (u8)>::call");
        assert_eq!(found[1].time.as_secs_f64(), 7.5);
    }
}
