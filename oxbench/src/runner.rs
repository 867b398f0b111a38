//! Runs the cases: targets take turns within each pass, so that whatever disturbs the machine
//! disturbs all of them; each case has a time limit; no failure of one target touches another.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::collect::Collector;
use crate::error::{CaseFailure, CaseResult, Error};
use crate::model::{TargetInfo, Unit};
use crate::mount::kernel::ColdMethod;
use crate::mount::{Instance, Kind, Target};
use crate::progress::Progress;
use crate::suites::Case;
use crate::suites::ctx::{Ctx, Current, Params, Sample};

/// A worker that was freed by ending its daemon has this long to come back.
const GRACE: Duration = Duration::from_secs(20);
/// A case that failed this often on a target is not tried again on it.
const TRIES: usize = 2;

#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) targets: Vec<Target>,
    pub(crate) cases: Vec<Case>,
    pub(crate) iterations: u32,
    pub(crate) case_limit: Duration,
    pub(crate) time_limit: Duration,
    pub(crate) password: String,
    /// Below it each target gets a directory.
    pub(crate) base: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) collector: Collector,
    pub(crate) targets: Vec<TargetInfo>,
    pub(crate) cold: Option<ColdMethod>,
    pub(crate) cut_short: bool,
}

/// One target's place in the run. Moves to the worker thread and back.
#[derive(Debug)]
struct Slot {
    target: Target,
    index: usize,
    instance: Option<Instance>,
    made: u32,
    failures: BTreeMap<(&'static str, &'static str), usize>,
    given_up: bool,
    info: TargetInfo,
    cold: Option<ColdMethod>,
}

/// What a worker brings back.
struct Answer {
    slot: Slot,
    samples: Vec<Sample>,
    result: CaseResult,
}

pub(crate) struct Runner<'a> {
    pub(crate) schedule: &'a Schedule,
    pub(crate) params: Arc<Params>,
    pub(crate) cancelled: &'a AtomicBool,
}

impl Runner<'_> {
    pub(crate) fn run(&self) -> Result<Outcome, Error> {
        let schedule = self.schedule;
        let mut slots: Vec<Option<Slot>> = schedule
            .targets
            .iter()
            .enumerate()
            .map(|(index, target)| Some(self.slot(index, target)))
            .collect();
        let steps = self.steps(&slots);
        let mut progress = Progress::new(steps);
        let mut collector = Collector::default();
        let started = Instant::now();
        let mut cut_short = false;
        'passes: for pass in 0..schedule.iterations {
            for (number, case) in schedule.cases.iter().enumerate() {
                for turn in 0..slots.len() {
                    // Everyone is first, second, … equally often.
                    let index = (turn + pass as usize + number) % slots.len();
                    let Some(slot) = slots[index].take() else {
                        continue;
                    };
                    if !case.applies_to(&slot.target) || slot.is_out(case) {
                        slots[index] = Some(slot);
                        continue;
                    }
                    if started.elapsed() > schedule.time_limit {
                        slots[index] = Some(slot);
                        cut_short = true;
                        break 'passes;
                    }
                    progress.begin(pass, case, &slot.target.name);
                    let before = Instant::now();
                    let (slot, failure) = self.one(slot, case, pass, &mut collector);
                    progress.end(before.elapsed(), failure.as_deref());
                    slots[index] = Some(slot);
                    if self.is_cancelled() {
                        self.params.watch.abort_all();
                        return Err(Error::Interrupted);
                    }
                }
            }
        }
        progress.finish();
        let slots: Vec<Slot> = slots.into_iter().flatten().collect();
        Ok(Outcome {
            cold: slots.iter().find_map(|s| s.cold),
            targets: slots.into_iter().map(|slot| slot.info).collect(),
            collector,
            cut_short,
        })
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn steps(&self, slots: &[Option<Slot>]) -> usize {
        let applicable = |case: &Case| {
            slots
                .iter()
                .flatten()
                .filter(|slot| case.applies_to(&slot.target))
                .count()
        };
        self.schedule.cases.iter().map(applicable).sum::<usize>()
            * self.schedule.iterations as usize
    }

    fn slot(&self, index: usize, target: &Target) -> Slot {
        Slot {
            target: target.clone(),
            index,
            instance: None,
            made: 0,
            failures: BTreeMap::new(),
            given_up: false,
            info: TargetInfo {
                name: target.name.clone(),
                version: self.params.programs.version(&target.kind),
                mount_command: String::new(),
                mount_options: String::new(),
                notes: Vec::new(),
            },
            cold: None,
        }
    }

    /// One case on one target; whatever happens, the run goes on.
    fn one(
        &self,
        slot: Slot,
        case: &Case,
        pass: u32,
        collector: &mut Collector,
    ) -> (Slot, Option<String>) {
        let target = slot.target.clone();
        let (index, made) = (slot.index, slot.made);
        let current: Current = Arc::new(Mutex::new(("setup".to_owned(), Unit::Seconds)));
        let answer = self.in_worker(slot, case, &current);
        let (mut slot, samples, result) = match answer {
            Ok(Answer {
                slot,
                samples,
                result,
            }) => (slot, samples, result),
            Err(failure) => {
                // The thread never came back; its target starts anew elsewhere.
                let mut slot = self.slot(index, &target);
                slot.made = made + 1;
                (slot, Vec::new(), Err(failure))
            }
        };
        collector.add(case, &target.name, samples);
        let Err(failure) = result else {
            return (slot, None);
        };
        let (row, unit) = current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let shown = format!("{row}: {failure}");
        slot.note(case, &failure);
        collector.fail(case, &row, unit, &target.name, pass, &failure);
        (slot, Some(shown))
    }

    fn in_worker(&self, slot: Slot, case: &Case, current: &Current) -> CaseResult<Answer> {
        let (send, receive) = mpsc::channel();
        let (params, case, current) = (Arc::clone(&self.params), *case, Arc::clone(current));
        let (base, password) = (self.schedule.base.clone(), self.schedule.password.clone());
        std::thread::spawn(move || {
            // Fails only if nobody waits any more.
            let _ = send.send(work(slot, &case, &params, &base, &password, current));
        });
        let started = Instant::now();
        let mut freed: Option<Instant> = None;
        loop {
            match receive.recv_timeout(Duration::from_millis(50)) {
                Ok(mut answer) => {
                    if freed.is_some() && !self.is_cancelled() {
                        answer.result = Err(CaseFailure::Hung(self.schedule.case_limit));
                        answer.slot.discard();
                    }
                    return Ok(answer);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let message = "a case panicked".to_owned();
                    return Err(CaseFailure::Tool {
                        tool: "oxbench".into(),
                        message,
                    });
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            match freed {
                None if started.elapsed() > self.schedule.case_limit || self.is_cancelled() => {
                    self.params.watch.abort_all();
                    freed = Some(Instant::now());
                }
                Some(since) if since.elapsed() > GRACE => {
                    return Err(CaseFailure::Hung(self.schedule.case_limit));
                }
                _ => {}
            }
        }
    }
}

impl Slot {
    fn is_out(&self, case: &Case) -> bool {
        self.given_up
            || self
                .failures
                .get(&(case.suite, case.name))
                .is_some_and(|&n| n >= TRIES)
    }

    fn note(&mut self, case: &Case, failure: &CaseFailure) {
        let count = self.failures.entry((case.suite, case.name)).or_default();
        *count += match failure {
            // Waiting again for what hung, or for what is not there, would only cost time.
            CaseFailure::Hung(_) | CaseFailure::Skipped(_) => TRIES,
            _ => 1,
        };
        let never_mounted = self.info.mount_options.is_empty();
        if matches!(failure, CaseFailure::Mount(_)) && never_mounted && self.made >= 2 {
            self.given_up = true;
            self.info.notes.push(format!("given up: {failure}"));
        }
    }

    /// Ends the instance and deletes what it stored.
    fn discard(&mut self) {
        if let Some(instance) = self.instance.take() {
            let base = instance.site.state.parent().map(std::path::Path::to_owned);
            instance.guard().abort();
            drop(instance);
            if let Some(base) = base {
                let _ = std::fs::remove_dir_all(base);
            }
        }
    }

    fn ready(
        &mut self,
        params: &Params,
        base: &std::path::Path,
        password: &str,
    ) -> CaseResult<&mut Instance> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => {
                self.made += 1;
                let base = base.join(format!("{}-{}", self.index, self.made));
                Instance::create(
                    &self.target,
                    &params.setup(&base, password),
                    &params.programs,
                )?
            }
        };
        if !instance.is_mounted() {
            let mounted = instance.mount().and_then(|_| instance.warm_up());
            mounted.map_err(|failure| explain(failure, &instance))?;
            self.info.mount_command = instance.mount_command();
            self.info.mount_options.clone_from(&instance.mount_options);
        }
        Ok(self.instance.insert(instance))
    }
}

/// The worker's part.
fn work(
    mut slot: Slot,
    case: &Case,
    params: &Params,
    base: &std::path::Path,
    password: &str,
    current: Current,
) -> Answer {
    let mut samples = Vec::new();
    let result = match slot.ready(params, base, password) {
        Ok(instance) => {
            let result = run_case(instance, case, params, current, &mut samples);
            let cold = instance.cold_method;
            let result = result.map_err(|failure| explain(failure, instance));
            slot.cold = slot.cold.or(cold);
            result
        }
        Err(failure) => Err(failure),
    };
    match &result {
        Err(CaseFailure::Skipped(_)) => slot.tidy(case),
        Err(_) => {
            slot.tidy_existing(case);
            slot.discard();
        }
        Ok(()) => {}
    }
    Answer {
        slot,
        samples,
        result,
    }
}

fn run_case(
    instance: &mut Instance,
    case: &Case,
    params: &Params,
    current: Current,
    samples: &mut Vec<Sample>,
) -> CaseResult {
    let mut ctx = Ctx::new(instance, params, case.name, current)?;
    let result = (case.run)(&mut ctx).and_then(|()| ctx.finish());
    *samples = std::mem::take(&mut ctx.samples);
    result
}

/// An I/O error of a daemon that is gone is not the news; that it is gone, is.
fn explain(failure: CaseFailure, instance: &Instance) -> CaseFailure {
    if !matches!(failure, CaseFailure::Io { .. } | CaseFailure::Tool { .. }) {
        return failure;
    }
    // The kernel reports a lost connection before the process has quite ended.
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(300) {
        if instance.guard().daemon_died() {
            return CaseFailure::Died(format!("the daemon ended; {failure}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    failure
}

impl Slot {
    fn case_dir(&self, case: &Case) -> Option<PathBuf> {
        Some(
            self.instance
                .as_ref()?
                .root()
                .join(format!("oxbench-{}", case.name)),
        )
    }

    fn tidy(&self, case: &Case) {
        if let Some(dir) = self.case_dir(case) {
            let _ = std::fs::remove_dir_all(dir);
        }
    }

    /// A directory that is not ours is left as it was found.
    fn tidy_existing(&self, case: &Case) {
        if matches!(self.target.kind, Kind::Existing(_)) {
            self.tidy(case);
        }
    }
}
