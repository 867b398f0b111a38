//! Faults for the self-tests: slow, wrong, stuck, dead.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is wrong with the file system.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// Every request takes this much longer.
    Slow(Duration),
    /// One byte of each answer of at least 4 KiB, after this many reads, is wrong.
    Corrupt(u64),
    /// After this many requests nothing is answered any more.
    Hang(u64),
    /// After this many requests the daemon is gone.
    Die(u64),
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, amount) = text
            .split_once('=')
            .ok_or("expected slow=MICROSECONDS, corrupt=N, hang=N or die=N")?;
        let amount: u64 = amount
            .parse()
            .map_err(|_| format!("'{amount}' is not a number"))?;
        match kind {
            "slow" => Ok(Self::Slow(Duration::from_micros(amount))),
            "corrupt" => Ok(Self::Corrupt(amount)),
            "hang" => Ok(Self::Hang(amount)),
            "die" => Ok(Self::Die(amount)),
            other => Err(format!("unknown fault '{other}'")),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    fault: Option<Fault>,
    requests: AtomicU64,
    reads: AtomicU64,
}

impl Faults {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        Self {
            fault,
            ..Self::default()
        }
    }

    /// Called at the start of every request.
    pub(crate) fn request(&self) {
        let Some(fault) = self.fault else { return };
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        match fault {
            Fault::Slow(extra) => {
                // Sleeping would add the scheduler's whims; the delay must be the same each time.
                let started = Instant::now();
                while started.elapsed() < extra {
                    std::hint::spin_loop();
                }
            }
            Fault::Hang(after) if number >= after => loop {
                std::thread::park();
            },
            Fault::Die(after) if number >= after => std::process::exit(70),
            Fault::Hang(_) | Fault::Die(_) | Fault::Corrupt(_) => {}
        }
    }

    /// Called with the content of every read's answer.
    pub(crate) fn read(&self, data: &mut [u8]) {
        if let Some(Fault::Corrupt(after)) = self.fault
            && self.reads.fetch_add(1, Ordering::Relaxed) >= after
            && data.len() >= 4096
        {
            data[4000] ^= 0x40;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_from_text() {
        assert_eq!(
            "slow=50".parse(),
            Ok(Fault::Slow(Duration::from_micros(50)))
        );
        assert_eq!("die=3".parse(), Ok(Fault::Die(3)));
        for bad in ["", "slow", "slow=x", "melt=1"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_byte_is_wrong_from_the_given_read_on() {
        let faults = Faults::new(Some(Fault::Corrupt(1)));
        let mut data = vec![0; 4096];
        faults.read(&mut data);
        assert!(data.iter().all(|&b| b == 0));
        faults.read(&mut data);
        assert_eq!(data.iter().filter(|&&b| b != 0).count(), 1);
    }
}
