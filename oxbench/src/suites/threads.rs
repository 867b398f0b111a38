//! The same work on several threads, started together.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::error::{CaseFailure, CaseResult};

/// Runs `work(0..count)`, each on its own thread; the first failure is returned.
pub(crate) fn each<T: Send + Default>(
    count: usize,
    work: impl Fn(usize) -> CaseResult<T> + Sync,
) -> CaseResult<T> {
    let barrier = Barrier::new(count);
    let results: Vec<CaseResult<T>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..count)
            .map(|i| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(i)
                })
            })
            .collect();
        handles
            .into_iter()
            .map(|h| h.join().unwrap_or_else(|_| Err(panicked())))
            .collect()
    });
    let mut last = T::default();
    for result in results {
        last = result?;
    }
    Ok(last)
}

/// `workers` threads take the jobs `0..jobs` one after the other; returns each job's nanoseconds.
pub(crate) fn share_out(
    workers: usize,
    jobs: usize,
    work: impl Fn(usize) -> CaseResult + Sync,
) -> CaseResult<Vec<u64>> {
    let next = AtomicUsize::new(0);
    let barrier = Barrier::new(workers);
    let results: Vec<CaseResult<Vec<u64>>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|_| {
                let (barrier, work, next) = (&barrier, &work, &next);
                std::thread::Builder::new()
                    .stack_size(256 << 10)
                    .spawn_scoped(scope, move || {
                        let mut nanos = Vec::with_capacity(jobs / workers + 8);
                        barrier.wait();
                        loop {
                            let job = next.fetch_add(1, Ordering::Relaxed);
                            if job >= jobs {
                                return Ok(nanos);
                            }
                            let started = Instant::now();
                            work(job)?;
                            nanos.push(started.elapsed().as_nanos() as u64);
                        }
                    })
            })
            .collect();
        handles
            .into_iter()
            .map(|h| match h {
                Ok(handle) => handle.join().unwrap_or_else(|_| Err(panicked())),
                Err(source) => Err(CaseFailure::Io {
                    step: "thread".into(),
                    source,
                }),
            })
            .collect()
    });
    let mut all = Vec::with_capacity(jobs);
    for result in results {
        all.extend(result?);
    }
    Ok(all)
}

fn panicked() -> CaseFailure {
    CaseFailure::Tool {
        tool: "oxbench".into(),
        message: "a worker thread panicked".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_job_is_done_once() {
        let done = Mutex::new(vec![0; 100]);
        let nanos = share_out(8, 100, |job| {
            done.lock().unwrap()[job] += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(nanos.len(), 100);
        assert!(done.into_inner().unwrap().iter().all(|&n| n == 1));
    }

    #[test]
    fn a_failure_comes_back() {
        let result = share_out(4, 10, |job| {
            if job == 7 {
                Err(CaseFailure::Corrupt("seven".into()))
            } else {
                Ok(())
            }
        });
        assert!(result.unwrap_err().to_string().contains("seven"));
    }
}
