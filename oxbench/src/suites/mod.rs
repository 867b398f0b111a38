//! The cases, by suite. A case runs on one target in one pass and yields some rows.

mod crypto;
pub(crate) mod ctx;
mod direct;
mod files;
mod life;
mod meta;
mod nested;
mod ops;
mod parallel;
mod rand;
mod scale;
mod seq;
mod small;
pub(crate) mod source;
mod threads;
mod workloads;

use crate::error::{CaseResult, Error};
use crate::mount::Target;
use ctx::Ctx;

/// On which targets a case makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applies {
    Everywhere,
    /// Only where we mount: not on plain directories.
    Mounts,
    Oxcrypt,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) suite: &'static str,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) applies: Applies,
    /// Upper bound of what it stores at once at scale 1, per target.
    pub(crate) need_mib: u64,
    pub(crate) run: fn(&mut Ctx<'_>) -> CaseResult,
}

impl Case {
    pub(crate) fn applies_to(&self, target: &Target) -> bool {
        match self.applies {
            Applies::Everywhere => true,
            Applies::Mounts => target.remounts(),
            Applies::Oxcrypt => target.is_oxcrypt(),
        }
    }
}

const fn case(
    suite: &'static str,
    name: &'static str,
    need_mib: u64,
    about: &'static str,
    run: fn(&mut Ctx<'_>) -> CaseResult,
) -> Case {
    Case {
        suite,
        name,
        about,
        applies: Applies::Everywhere,
        need_mib,
        run,
    }
}

const fn only(applies: Applies, case: Case) -> Case {
    Case { applies, ..case }
}

pub(crate) const CASES: [Case; 35] = [
    only(
        Applies::Oxcrypt,
        case(
            "crypto",
            "crypto",
            1,
            "cipher, names, key derivation; no file system",
            crypto::crypto,
        ),
    ),
    case(
        "seq",
        "stream",
        600,
        "256 MiB written and fsynced, read cold, read warm",
        seq::stream,
    ),
    case(
        "seq",
        "streams",
        300,
        "four streams of 32 MiB at once",
        seq::streams,
    ),
    case(
        "rand",
        "read",
        300,
        "4 KiB random reads, cold, 1 and 4 threads",
        rand::read,
    ),
    case(
        "rand",
        "write",
        300,
        "4 KiB random overwrites and fsync, 1 and 4 threads",
        rand::write,
    ),
    case(
        "rand",
        "mixed",
        100,
        "70 % reads, 30 % writes at odd offsets and lengths",
        rand::mixed,
    ),
    case(
        "small",
        "small",
        30,
        "1,000 files of 4 KiB: create, walk, read, unlink",
        small::small,
    ),
    case(
        "meta",
        "directories",
        30,
        "1,000 mkdir and rmdir",
        meta::directories,
    ),
    case(
        "meta",
        "entries",
        30,
        "create, rename, open, stat, symlink, readlink",
        meta::entries,
    ),
    case(
        "meta",
        "listing",
        100,
        "directories of 1,000 and 10,000 files, cold and warm",
        meta::listing,
    ),
    case(
        "meta",
        "long_names",
        30,
        "names of about 200 bytes",
        meta::long_names,
    ),
    case(
        "parallel",
        "parallel",
        30,
        "256 workers, 1,024 files of 4 KiB",
        parallel::parallel,
    ),
    only(
        Applies::Oxcrypt,
        case(
            "parallel",
            "readers",
            60,
            "the same for 1 … 256 reader threads, beside the host",
            parallel::readers,
        ),
    ),
    case(
        "ops",
        "ops",
        60,
        "single operations: cached and round trip, checked",
        ops::ops,
    ),
    only(
        Applies::Mounts,
        case(
            "nested",
            "nested",
            100,
            "a vault in a mounted vault",
            nested::nested,
        ),
    ),
    case(
        "workloads",
        "concurrent_access",
        60,
        "8 workers in shared directories",
        workloads::concurrent::concurrent,
    ),
    case(
        "workloads",
        "ide_simulation",
        60,
        "saves, a growing log, an index, builds",
        workloads::ide::ide,
    ),
    case(
        "workloads",
        "working_set",
        60,
        "64 files, a quarter of them hot",
        workloads::concurrent::working_set,
    ),
    case(
        "workloads",
        "backup_copy",
        1200,
        "cp of 256 MiB, with and without fsync",
        workloads::backup::copy,
    ),
    case(
        "workloads",
        "backup_sync",
        500,
        "rsync in, again and out, 100 MiB",
        workloads::backup::rsync,
    ),
    case(
        "workloads",
        "cold_start",
        10,
        "from the mounting command to the first 20 files",
        workloads::start::cold_start,
    ),
    case(
        "workloads",
        "directory_tree",
        60,
        "a tree walked, read and deleted",
        workloads::archive::tree,
    ),
    case(
        "workloads",
        "database",
        60,
        "SQLite: rollback journal and write-ahead log",
        workloads::database::database,
    ),
    case(
        "workloads",
        "git",
        100,
        "clone, status, commit, fsck",
        workloads::git::git,
    ),
    case(
        "workloads",
        "media_streaming",
        300,
        "a film of 96 MiB with 20 jumps",
        workloads::media::streaming,
    ),
    case(
        "workloads",
        "photo_library",
        400,
        "40 pictures: import, thumbnails, view",
        workloads::media::photos,
    ),
    case(
        "workloads",
        "archive",
        60,
        "untar and tar",
        workloads::archive::archive,
    ),
    only(
        Applies::Oxcrypt,
        case(
            "direct",
            "direct",
            500,
            "put, ls, get, check without a mount",
            direct::direct,
        ),
    ),
    only(
        Applies::Mounts,
        case(
            "life",
            "life",
            200,
            "unlock, lock, idle and loaded memory, program size",
            life::life,
        ),
    ),
    case(
        "scale",
        "1k",
        20,
        "cost of one entry among 1,000",
        scale::thousand,
    ),
    case("scale", "10k", 150, "among 10,000", scale::ten_thousand),
    case(
        "scale",
        "100k",
        1500,
        "among 100,000",
        scale::hundred_thousand,
    ),
    case("scale", "1M", 12_000, "among 1,000,000", scale::million),
    case(
        "scale",
        "10k_in_one",
        150,
        "among 10,000 in one directory",
        scale::one_directory_of_ten_thousand,
    ),
    case(
        "scale",
        "100k_in_one",
        1500,
        "among 100,000 in one directory",
        scale::one_directory_of_a_hundred_thousand,
    ),
];

/// The suites of a plain `oxbench run`.
const STANDARD: [&str; 8] = [
    "workloads",
    "seq",
    "rand",
    "meta",
    "small",
    "parallel",
    "ops",
    "nested",
];
const QUICK: [(&str, &str); 9] = [
    ("seq", "stream"),
    ("rand", "read"),
    ("small", "small"),
    ("meta", "entries"),
    ("parallel", "parallel"),
    ("ops", "ops"),
    ("workloads", "ide_simulation"),
    ("workloads", "database"),
    ("workloads", "git"),
];

/// Cases of the named suites, in the order of the table above: `suite`, `suite/case`, `quick`,
/// `standard` or `full`.
pub(crate) fn select(names: &[String]) -> Result<Vec<Case>, Error> {
    let mut wanted = [false; CASES.len()];
    for name in names {
        let before = wanted.iter().filter(|w| **w).count();
        let mut matched = false;
        for (slot, case) in wanted.iter_mut().zip(&CASES) {
            if matches(name, case) {
                *slot = true;
                matched = true;
            }
        }
        if !matched && before == wanted.iter().filter(|w| **w).count() {
            return Err(Error::BadRequest(format!(
                "unknown suite '{name}'; known: {}, quick, standard, full, or SUITE/CASE (see oxbench list)",
                suite_names().join(", ")
            )));
        }
    }
    Ok(CASES
        .iter()
        .zip(wanted)
        .filter(|(_, w)| *w)
        .map(|(c, _)| *c)
        .collect())
}

fn matches(name: &str, case: &Case) -> bool {
    match name {
        "quick" => QUICK.contains(&(case.suite, case.name)),
        "standard" => STANDARD.contains(&case.suite),
        "full" => true,
        _ => name == case.suite || name.split_once('/') == Some((case.suite, case.name)),
    }
}

pub(crate) fn suite_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for case in &CASES {
        if !names.contains(&case.suite) {
            names.push(case.suite);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select_str(names: &str) -> Result<Vec<Case>, Error> {
        select(&names.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn suites_cases_and_sets_are_selected_once() {
        assert_eq!(select_str("seq").unwrap().len(), 2);
        assert_eq!(select_str("seq,seq/stream").unwrap().len(), 2);
        assert_eq!(select_str("quick").unwrap().len(), QUICK.len());
        assert_eq!(select_str("full").unwrap().len(), CASES.len());
        assert_eq!(select_str("workloads").unwrap().len(), 12);
        for bad in ["nonesuch", "", "seq/nonesuch", "seq,nonesuch"] {
            assert!(
                matches!(select_str(bad), Err(Error::BadRequest(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = CASES.iter().map(|c| (c.suite, c.name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
    }
}
