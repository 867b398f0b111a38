//! A mount's life: unlocking, locking, what it costs to be there and to do nothing.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::ctx::Ctx;
use super::files;
use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;
use crate::mount::Kind;

/// How long an idle daemon is watched. Nothing is timed meanwhile.
const IDLE: Duration = Duration::from_secs(2);

pub(crate) fn life(ctx: &mut Ctx<'_>) -> CaseResult {
    if !ctx.instance.target.remounts() {
        return Err(CaseFailure::Skipped("nothing to mount".into()));
    }
    let file = ctx.dir().join("first");
    files::write_small(&file, b"first access")?;

    ctx.begin("lock", Unit::Seconds);
    let lock = ctx.instance.unmount()?;
    ctx.push("lock", Unit::Seconds, lock.as_secs_f64(), None);

    let kdf = if ctx.instance.target.is_oxcrypt() {
        Some(key_derivation(ctx)?)
    } else {
        None
    };
    ctx.begin("unlock_and_mount", Unit::Seconds);
    let mount = ctx.instance.mount()?;
    ctx.push("unlock_and_mount", Unit::Seconds, mount.as_secs_f64(), None);
    if let Some(kdf) = kdf {
        ctx.push("unlock_kdf", Unit::Seconds, kdf.as_secs_f64(), None);
        let rest = mount.saturating_sub(kdf).as_secs_f64();
        ctx.push("unlock_rest", Unit::Seconds, rest, None);
    }
    let started = Instant::now();
    fs::read(&file).at("read", &file)?;
    ctx.push(
        "first_access",
        Unit::Micros,
        started.elapsed().as_secs_f64() * 1e6,
        None,
    );

    ctx.begin("idle", Unit::Mib);
    let before = ctx.instance.usage();
    std::thread::sleep(IDLE);
    let after = ctx.instance.usage();
    ctx.push("idle_rss", Unit::Mib, after.rss_mib, None);
    let per_second = |n: f64| n / IDLE.as_secs_f64();
    let wakeups = after.wakeups.saturating_sub(before.wakeups) as f64;
    ctx.push("idle_wakeups", Unit::PerSecond, per_second(wakeups), None);
    ctx.push(
        "idle_cpu_ms",
        Unit::PerSecond,
        per_second((after.cpu_s - before.cpu_s) * 1000.0),
        None,
    );
    load(ctx)?;
    program(ctx)
}

/// A wrong password costs the key derivation and nothing else, so it shows that part of an unlock.
fn key_derivation(ctx: &Ctx<'_>) -> CaseResult<Duration> {
    ctx.begin("unlock_kdf", Unit::Seconds);
    let oxcrypt = ctx.params.programs.need("oxcrypt")?;
    let state = &ctx.instance.site.state;
    let (wrong, point) = (state.join("wrong-password"), state.join("wrong-point"));
    fs::write(&wrong, "certainly not it\n").at("write", &wrong)?;
    fs::create_dir_all(&point).at("mkdir", &point)?;
    let mut command = Command::new(oxcrypt);
    command
        .arg("mount")
        .arg(&ctx.instance.site.store)
        .arg(&point)
        .arg("--password-file")
        .arg(&wrong);
    command.envs(&ctx.instance.target.env);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status().map_err(CaseFailure::io("oxcrypt"))?;
    let took = started.elapsed();
    if status.success() {
        return Err(CaseFailure::Corrupt(
            "a wrong password opened the vault".into(),
        ));
    }
    Ok(took)
}

fn load(ctx: &mut Ctx<'_>) -> CaseResult {
    ctx.begin("loaded_rss", Unit::Mib);
    let len = ctx.mib(64);
    let path = ctx.dir().join("load");
    let content = ctx.content(17);
    files::write_all(&path, &content.bytes(len as usize), true)?;
    files::verify(&path, &content, len)?;
    let usage = ctx.instance.usage();
    ctx.push("loaded_rss", Unit::Mib, usage.rss_mib, None);
    Ok(())
}

fn program(ctx: &mut Ctx<'_>) -> CaseResult {
    let name = match ctx.instance.target.kind {
        Kind::Oxcrypt | Kind::VaultCopy(_) => "oxcrypt",
        Kind::Gocryptfs => "gocryptfs",
        Kind::Securefs => "securefs",
        Kind::Cryfs => "cryfs",
        Kind::Encfs => "encfs",
        Kind::Rclone => "rclone",
        Kind::Plain
        | Kind::Passthrough
        | Kind::Cryptomator
        | Kind::Commands(_)
        | Kind::Existing(_) => return Ok(()),
    };
    let program = ctx.params.programs.need(name)?;
    let size = fs::metadata(&program).at("stat", &program)?.len();
    ctx.push(
        "program_size",
        Unit::Mib,
        size as f64 / f64::from(1 << 20),
        None,
    );
    ctx.begin("start_up", Unit::Seconds);
    let mut command = Command::new(&program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = Instant::now();
    command.status().map_err(CaseFailure::io(name))?;
    ctx.push(
        "start_up",
        Unit::Seconds,
        started.elapsed().as_secs_f64(),
        None,
    );
    Ok(())
}
