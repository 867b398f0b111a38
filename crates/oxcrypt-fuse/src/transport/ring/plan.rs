//! Which thread serves which queue.
//!
//! The kernel has a queue for every processor that may ever exist, and uses none of them before each
//! has a slot. A request goes to the queue of the processor its program runs on, and a thread on the
//! same processor answers it soonest.

use std::io;

/// Slots of a queue that is used. Taken last in, first out: few programs touch few of them.
const SLOTS: usize = 4;
/// Slots of the queue of a processor that is switched off.
const SLEEPING_SLOTS: usize = 1;

/// One thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// The processor it is bound to.
    pub(super) cpu: Option<usize>,
    /// Its queues, with the slots of each.
    pub(super) queues: Vec<(u16, usize)>,
}

/// The seats for this machine.
pub(super) fn seats() -> io::Result<Vec<Seat>> {
    let possible = list("/sys/devices/system/cpu/possible")?;
    let online = list("/sys/devices/system/cpu/online")?;
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let is_allowed = |cpu| cpu < rustix::thread::CpuSet::MAX_CPU && allowed.is_set(cpu);
    Ok(arrange(&possible, &online, is_allowed))
}

fn arrange(possible: &[usize], online: &[usize], is_allowed: impl Fn(usize) -> bool) -> Vec<Seat> {
    // As many queues as processors, numbered from 0.
    let queues = u16::try_from(possible.len()).unwrap_or(u16::MAX);
    let has_seat = |queue: &u16| {
        let cpu = usize::from(*queue);
        online.contains(&cpu) && is_allowed(cpu)
    };
    let mut seats: Vec<Seat> = (0..queues)
        .filter(has_seat)
        .map(|queue| Seat {
            cpu: Some(queue.into()),
            queues: vec![(queue, SLOTS)],
        })
        .collect();
    if seats.is_empty() {
        seats.push(Seat {
            cpu: None,
            queues: Vec::new(),
        });
    }
    let count = seats.len();
    for (i, queue) in (0..queues).filter(|q| !has_seat(q)).enumerate() {
        // Programs outside our set of processors, and processors that are switched on later.
        let is_online = online.contains(&usize::from(queue));
        let slots = if is_online { SLOTS } else { SLEEPING_SLOTS };
        seats[i % count].queues.push((queue, slots));
    }
    seats
}

fn list(file: &str) -> io::Result<Vec<usize>> {
    let text = std::fs::read_to_string(file)?;
    parse(text.trim()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// `0-3,8` as numbers.
fn parse(text: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= usize::from(u16::MAX) {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        assert_eq!(parse("0-3,8"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(parse("0"), Some(vec![0]));
        assert_eq!(parse("0-4000000000"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn every_queue_is_served_once() {
        let possible: Vec<usize> = (0..8).collect();
        let cases: [(&[usize], &[usize], usize); 3] = [
            (&[0, 1, 2, 3], &[0, 1], 2),
            (&[0, 5], &[0, 5], 2),
            (&[0, 1], &[], 1),
        ];
        for (online, allowed, threads) in cases {
            let seats = arrange(&possible, online, |cpu| allowed.contains(&cpu));
            assert_eq!(seats.len(), threads);
            let mut queues: Vec<_> = seats.iter().flat_map(|s| &s.queues).collect();
            queues.sort_unstable();
            assert_eq!(queues.len(), possible.len());
            for (i, (queue, slots)) in queues.into_iter().enumerate() {
                assert_eq!(usize::from(*queue), i);
                let expected = if online.contains(&i) {
                    SLOTS
                } else {
                    SLEEPING_SLOTS
                };
                assert_eq!(*slots, expected);
            }
        }
    }
}
