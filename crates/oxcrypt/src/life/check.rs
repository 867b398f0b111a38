//! `check`: whether everything in a vault is whole, and mending what can be mended without loss.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use oxcrypt_core::Cryptor;
use oxcrypt_store::LocalStore;
use oxcrypt_vault::check::{CheckOptions, CheckSummary, Event, Finding, Severity, check, repair};
use oxcrypt_vault::{Damage, Detected};
use serde::{Deserialize, Serialize};

use crate::ctx::Ctx;
use crate::exit::Exit;
use crate::failure::{At, Failure, Host, Result};
use crate::mount::claim;
use crate::open::{VaultArgs, cryptor_of, finish_interrupted, open_target_key};
use crate::target::Target;

/// Arguments of `check`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    vault: VaultArgs,
    /// Only structure, names and file headers; fast.
    #[arg(long, conflicts_with = "data")]
    structure: bool,
    /// Every chunk of every file as well; this is the default.
    #[arg(long)]
    data: bool,
    /// Mend the findings with these codes, as in --fix missing_dirid_backup,orphan_content_dir.
    #[arg(long, value_name = "CODE,…", value_delimiter = ',')]
    fix: Vec<String>,
    /// Mend everything that can be mended without losing anything.
    #[arg(long, conflicts_with = "fix")]
    fix_safe: bool,
    /// Write the findings to this file as well, as lines of JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Keep the state in this file, and go on from it after an interruption.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Threads; one for each CPU if not given.
    #[arg(short, long, value_name = "N", default_value_t = 0)]
    jobs: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    seq: u64,
    severity: &'static str,
    code: &'static str,
    cipher_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk: Option<u64>,
    detail: &'a str,
    fix: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct End {
    schema: &'static str,
    summary: bool,
    infos: u64,
    warnings: u64,
    errors: u64,
    fixed: u64,
    dirs: u64,
    nodes: u64,
    bytes: u64,
    complete: bool,
}

/// What `--resume` keeps.
#[derive(Serialize, Deserialize, Default)]
struct State {
    schema: String,
    /// The vault's own id, so that a state cannot be used for another vault.
    vault: String,
    done: BTreeSet<String>,
    infos: u64,
    warnings: u64,
    criticals: u64,
}

/// Rounds of mending: one repair can bring the next finding to light (a directory that was lost
/// may itself hold damages).
const ROUNDS: usize = 8;

pub(crate) fn run(ctx: &Ctx, args: &Args) -> Result<()> {
    let target = Target::find(&args.vault.vault, &ctx.config)?;
    let mends = args.fix_safe || !args.fix.is_empty();
    for code in &args.fix {
        if !oxcrypt_vault::check::Code::ALL
            .iter()
            .any(|c| c.as_str() == code)
        {
            return Err(Failure::usage(format!(
                "there is no finding with the code {code}"
            )));
        }
    }
    // Without its data a vault has nothing to check.
    let detected = oxcrypt_vault::detect(&*target.store()?).at(target.label())?;
    if let Detected::Damaged(Damage::DataMissing | Damage::WrongKind { path: "d", .. }) = detected
        && let Some(refusal) = detected.refusal()
    {
        return Err(Failure::from(refusal).at(target.label()));
    }
    let claim = if mends {
        Some(claim::exclusive(&target)?)
    } else {
        None
    };
    let open = open_target_key(ctx, &target, &args.vault.source)?;
    let cryptor = cryptor_of(&open);
    let store = target.store()?;
    let cryptor = std::sync::Arc::new(cryptor);
    match finish_interrupted(ctx, &target, &store, &cryptor) {
        // What is wrong with the top directory is for the check to say.
        Ok(()) => {}
        Err(e) => ctx.out.warn(&e.message),
    }
    let mut run = Checker {
        ctx,
        args,
        store: &store,
        cryptor: &cryptor,
        report: args.report.as_deref().map(create_report).transpose()?,
        seq: 0,
        fixed: 0,
        state: State::load(args.resume.as_deref(), open.config.jti())?,
    };
    let summary = if mends {
        run.mend(&target)?
    } else {
        run.check(&mut |_| {})?.0
    };
    drop(claim);
    run.end(&summary)
}

fn create_report(path: &Path) -> Result<std::fs::File> {
    // Cleartext names are in it.
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .host(path)
}

struct Checker<'a> {
    ctx: &'a Ctx,
    args: &'a Args,
    store: &'a LocalStore,
    cryptor: &'a Cryptor,
    report: Option<std::fs::File>,
    seq: u64,
    fixed: u64,
    state: State,
}

impl Checker<'_> {
    /// One pass; tells each finding.
    fn check(&mut self, keep: &mut dyn FnMut(&Finding)) -> Result<(CheckSummary, bool)> {
        let options = CheckOptions {
            content: !self.args.structure,
            jobs: self.args.jobs,
            done: self.state.done.clone(),
        };
        let bar = self.ctx.out.steps_bar(Some(0));
        let mut failure = None;
        let (store, cryptor) = (self.store, self.cryptor);
        let mut summary = check(store, cryptor, &options, &mut |event| {
            let step = match event {
                Event::Finding(finding) => {
                    keep(&finding);
                    bar.suspend(|| self.tell(&finding, None, None))
                }
                Event::DirDone(dir) => {
                    self.state.done.insert(dir);
                    Ok(())
                }
                Event::Progress(progress) => {
                    bar.set_length(progress.dirs_total);
                    bar.set_position(progress.dirs);
                    self.ctx.go_on()
                }
            };
            match step {
                Ok(()) => ControlFlow::Continue(()),
                Err(e) => {
                    failure.get_or_insert(e);
                    ControlFlow::Break(())
                }
            }
        });
        bar.finish_and_clear();
        summary.infos += self.state.infos;
        summary.warnings += self.state.warnings;
        summary.criticals += self.state.criticals;
        self.state.save(self.args.resume.as_deref(), &summary)?;
        failure.map_or(Ok((summary, true)), Err)
    }

    /// Checks and mends until a pass finds nothing more to mend.
    fn mend(&mut self, target: &Target) -> Result<CheckSummary> {
        if self.args.resume.is_some() {
            return Err(Failure::usage("--resume is for checking only"));
        }
        for _ in 0..ROUNDS {
            let mut wanted = Vec::new();
            let (fix_safe, codes) = (self.args.fix_safe, self.args.fix.clone());
            let (summary, _) = self.check(&mut |finding| {
                let chosen = fix_safe || codes.iter().any(|c| c == finding.code.as_str());
                if chosen && finding.fix.is_some() {
                    wanted.push(finding.clone());
                }
            })?;
            let mut mended = 0;
            for finding in &wanted {
                self.ctx.go_on()?;
                let Some(fix) = &finding.fix else { continue };
                let done = repair(self.store, self.cryptor, fix);
                mended += u64::from(done.is_ok());
                let error = done.as_ref().err().map(ToString::to_string);
                self.tell(finding, Some(done.is_ok()), error)?;
            }
            self.fixed += mended;
            if mended == 0 {
                return Ok(summary);
            }
            self.state = State::load(None, &self.state.vault)?;
            self.ctx.out.note("Looking again …");
        }
        Err(Failure::new(Exit::Findings, "there is still something to mend").at(target.label()))
    }

    fn tell(
        &mut self,
        finding: &Finding,
        fixed: Option<bool>,
        error: Option<String>,
    ) -> Result<()> {
        self.seq += 1;
        let line = Line {
            schema: "oxcrypt.check/1",
            seq: self.seq,
            severity: finding.severity().as_str(),
            code: finding.code.as_str(),
            cipher_path: &finding.cipher_path,
            path: finding.path.as_deref(),
            chunk: finding.chunk,
            detail: &finding.detail,
            fix: finding.fix.as_ref().map(oxcrypt_vault::check::Fix::as_str),
            fixed,
            error,
        };
        if let (Some(report), Some(path)) = (&mut self.report, &self.args.report) {
            let text = serde_json::to_string(&line).unwrap_or_default();
            writeln!(report, "{text}").host(path)?;
        }
        if self.ctx.out.json {
            return self.ctx.out.object(&line);
        }
        // Everyday things of no consequence only for those who want to know.
        if finding.severity() == Severity::Info && self.ctx.out.verbose == 0 && fixed.is_none() {
            return Ok(());
        }
        let place = finding.path.as_deref().unwrap_or(&finding.cipher_path);
        let place = crate::out::printable(place.as_bytes());
        let chunk = finding
            .chunk
            .map(|n| format!(" chunk {n}"))
            .unwrap_or_default();
        let what = match (fixed, &line.error) {
            (Some(true), _) => format!("mended ({})", line.fix.unwrap_or_default()),
            (Some(false), Some(error)) => format!("not mended: {error}"),
            _ => finding.detail.clone(),
        };
        self.ctx.out.line(format!(
            "{:7} {:20} {place}{chunk}: {what}",
            line.severity, line.code
        ))
    }

    fn end(&mut self, summary: &CheckSummary) -> Result<()> {
        let end = End {
            schema: "oxcrypt.check/1",
            summary: true,
            infos: summary.infos,
            warnings: summary.warnings,
            errors: summary.criticals,
            fixed: self.fixed,
            dirs: summary.progress.dirs,
            nodes: summary.progress.nodes,
            bytes: summary.progress.bytes,
            complete: !summary.stopped,
        };
        if let (Some(report), Some(path)) = (&mut self.report, &self.args.report) {
            writeln!(
                report,
                "{}",
                serde_json::to_string(&end).unwrap_or_default()
            )
            .host(path)?;
            report.sync_all().host(path)?;
        }
        if self.ctx.out.json {
            self.ctx.out.object(&end)?;
        } else {
            self.ctx.out.line(format!(
                "{} directories, {} nodes, {} bytes checked: {} errors, {} warnings, {} remarks{}",
                end.dirs,
                end.nodes,
                end.bytes,
                end.errors,
                end.warnings,
                end.infos,
                if self.fixed > 0 {
                    format!(", {} mended", self.fixed)
                } else {
                    String::new()
                },
            ))?;
            self.ctx.out.flush()?;
        }
        if summary.is_good() {
            Ok(())
        } else {
            Err(Failure::told(Exit::Findings))
        }
    }
}

impl State {
    fn load(path: Option<&Path>, vault: &str) -> Result<Self> {
        let fresh = Self {
            schema: "oxcrypt.check-state/1".into(),
            vault: vault.to_owned(),
            ..Self::default()
        };
        let Some(path) = path else { return Ok(fresh) };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(fresh),
            Err(e) => return Err(e).host(path),
        };
        let mut text = String::new();
        std::io::BufReader::new(file)
            .read_line(&mut text)
            .host(path)?;
        let state: Self = serde_json::from_str(&text)
            .map_err(|_| Failure::usage(format!("{}: not the state of a check", path.display())))?;
        if state.vault != vault {
            return Err(Failure::usage(format!(
                "{}: belongs to another vault",
                path.display()
            )));
        }
        Ok(state)
    }

    /// Written when a pass ends early; removed when it came to its end.
    fn save(&mut self, path: Option<&Path>, summary: &CheckSummary) -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        if !summary.stopped {
            match std::fs::remove_file(path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).host(path),
                _ => return Ok(()),
            }
        }
        (self.infos, self.warnings, self.criticals) =
            (summary.infos, summary.warnings, summary.criticals);
        let mut file = create_report(path)?;
        writeln!(file, "{}", serde_json::to_string(self).unwrap_or_default()).host(path)
    }
}
