//! IDE Simulation: an editor's save dance, a growing log, an index built from cold, and the mixture
//! of small steps between two builds.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::error::{AtPath, CaseFailure, CaseResult};
use crate::model::Unit;
use crate::suites::ctx::{Ctx, same};
use crate::suites::files;

pub(crate) fn ide(ctx: &mut Ctx<'_>) -> CaseResult {
    let source = ctx.params.sources.tree()?;
    let project = ctx.dir().join("project");
    let mut command = Command::new("cp");
    command.arg("-r").arg(&source.dir).arg(&project);
    ctx.tool(command)?;

    append(ctx)?;
    edit(ctx)?;

    ctx.begin("index_cold", Unit::Seconds);
    ctx.cold()?;
    let found = ctx.seconds("index_cold", |_| files::tree_hash(&project))?;
    if found != source.hash {
        return Err(CaseFailure::Corrupt("the project's hash".into()));
    }
    ide_rounds(ctx, &project)
}

fn append(ctx: &mut Ctx<'_>) -> CaseResult {
    let lines = ctx.count(5000);
    let log = ctx.dir().join("build.log");
    ctx.seconds("append_5k_lines", |_| {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&log)
            .at("open", &log)?;
        for i in 0..lines {
            file.write_all(line(i).as_bytes()).at("append", &log)?;
        }
        Ok(())
    })?;
    let expected: String = (0..lines).map(line).collect();
    let found = fs::read(&log).at("read", &log)?;
    if found != expected.as_bytes() {
        return Err(CaseFailure::Corrupt(format!(
            "log of {} bytes, expected {}",
            found.len(),
            expected.len()
        )));
    }
    Ok(())
}

fn line(i: usize) -> String {
    format!("[{i:05}] compiling unit {i} with the usual flags, no warnings\n")
}

/// Write beside, make durable, rename over: how editors save.
fn save(path: &Path, body: &[u8]) -> CaseResult {
    let beside = path.with_extension("tmp~");
    files::write_small_sync(&beside, body)?;
    fs::rename(&beside, path).at("rename", &beside)
}

fn edit(ctx: &mut Ctx<'_>) -> CaseResult {
    let count = ctx.count(300);
    let paths: Vec<_> = (0..10)
        .map(|i| ctx.dir().join(format!("note{i}.md")))
        .collect();
    let bodies: Vec<Vec<u8>> = (0..count)
        .map(|i| ctx.content(800 + i as u64).bytes(6000))
        .collect();
    ctx.seconds("edit_replace_300", |_| {
        bodies
            .iter()
            .enumerate()
            .try_for_each(|(i, body)| save(&paths[i % 10], body))
    })?;
    for (i, path) in paths.iter().enumerate() {
        if let Some(last) = (0..count).rev().find(|n| n % 10 == i) {
            files::read_small(path, &mut Vec::new(), crc32fast::hash(&bodies[last]))?;
        }
    }
    Ok(())
}

/// Twenty rounds of: look at every file's time, read ten, save three, write and delete build output.
fn ide_rounds(ctx: &mut Ctx<'_>, project: &Path) -> CaseResult {
    let list = files::files_below(project)?;
    let body = ctx.content(90).bytes(3000);
    let crc = crc32fast::hash(&body);
    let output = ctx.dir().join("output");
    let rounds = ctx.count(20);
    ctx.seconds("ide_simulation", |_| {
        for round in 0..rounds {
            let seen = files::walk(project)?;
            same("files", &seen.files, &(list.len() as u64))?;
            for file in list.iter().skip(round).step_by(list.len().div_ceil(10)) {
                fs::read(file).at("read", file)?;
            }
            for file in list.iter().skip(round * 3).take(3) {
                save(file, &body)?;
            }
            fs::create_dir(&output).at("mkdir", &output)?;
            for i in 0..20 {
                files::write_small(&output.join(format!("unit{i}.o")), &body)?;
            }
            fs::remove_dir_all(&output).at("remove", &output)?;
        }
        Ok(())
    })?;
    let mut buf = Vec::new();
    list.iter()
        .take(rounds * 3)
        .try_for_each(|file| files::read_small(file, &mut buf, crc))
}
