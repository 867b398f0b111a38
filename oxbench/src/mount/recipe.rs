//! How each target is made, mounted and unmounted: the only file that knows the programs' options.
//!
//! Foreign programs run under an address space limit, because some of them were seen to eat all
//! memory; a Java machine reserves more than it uses and gets a heap limit instead.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::programs::Programs;
use super::target::{Kind, Target, Triple};
use crate::error::{CaseFailure, CaseResult};

const ADDRESS_SPACE_LIMIT: &str = "8000000000";

/// The directories and files of one instance of a target.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// What is stored: ciphertext, or the plain files of `plain` and `passthrough`.
    pub(crate) store: PathBuf,
    /// Where the cleartext appears.
    pub(crate) point: PathBuf,
    /// Logs, configuration and caches of the target's program.
    pub(crate) state: PathBuf,
    pub(crate) password: String,
    pub(crate) password_file: PathBuf,
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) stdin: Option<String>,
}

impl Step {
    fn new<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            stdin: None,
        }
    }

    fn limited<A: Into<OsString>>(program: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let mut all: Vec<OsString> = vec![
            format!("--as={ADDRESS_SPACE_LIMIT}").into(),
            "--".into(),
            program.into(),
        ];
        all.extend(args.into_iter().map(Into::into));
        Self::new("prlimit", all)
    }

    fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.env.insert(key.into(), value.into());
        self
    }

    fn stdin(mut self, text: String) -> Self {
        self.stdin = Some(text);
        self
    }

    /// As a person would type it; for the report.
    pub(crate) fn shown(&self) -> String {
        let mut words: Vec<String> = vec![self.program.display().to_string()];
        words.extend(self.args.iter().map(|a| a.to_string_lossy().into_owned()));
        words.join(" ")
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Recipe {
    pub(crate) init: Option<Step>,
    /// None: the store is the mount point.
    pub(crate) mount: Option<Step>,
    /// The mounting command returns when the mount answers, and leaves a daemon behind.
    pub(crate) daemonises: bool,
    /// None: the kernel's own unmount.
    pub(crate) unmount: Option<Step>,
    /// The daemon unmounts when it is told to end, and would stay if it were unmounted from outside.
    pub(crate) ends_by_signal: bool,
    /// A program that is compiled while it runs: it needs a longer warm-up to be measured fairly.
    pub(crate) just_in_time: bool,
}

pub(crate) fn recipe(target: &Target, site: &Site, programs: &Programs) -> CaseResult<Recipe> {
    let mut recipe = match &target.kind {
        Kind::Plain | Kind::Existing(_) => Recipe::default(),
        Kind::Passthrough => passthrough(site, programs)?,
        Kind::Oxcrypt => oxcrypt(site, programs, true)?,
        Kind::VaultCopy(_) => oxcrypt(site, programs, false)?,
        Kind::Gocryptfs => gocryptfs(site, &programs.need("gocryptfs")?),
        Kind::Securefs => securefs(site, &programs.need("securefs")?),
        Kind::Cryfs => cryfs(site, &programs.need("cryfs")?),
        Kind::Encfs => encfs(site, &programs.need("encfs")?),
        Kind::Rclone => rclone(site, &programs.need("rclone")?)?,
        Kind::Cryptomator => cryptomator(site, programs)?,
        Kind::Commands(triple) => commands(site, triple, programs),
    };
    for step in [&mut recipe.init, &mut recipe.mount, &mut recipe.unmount]
        .into_iter()
        .flatten()
    {
        step.env.extend(target.env.clone());
    }
    Ok(recipe)
}

fn passthrough(site: &Site, programs: &Programs) -> CaseResult<Recipe> {
    let mount = match programs.find("passthrough_hp") {
        Some(program) => Step::new(
            program,
            [
                OsString::from("--foreground"),
                site.store.clone().into(),
                site.point.clone().into(),
            ],
        ),
        None => Step::new(
            programs.own_executable()?,
            [
                OsString::from("passthrough"),
                site.store.clone().into(),
                site.point.clone().into(),
            ],
        ),
    };
    Ok(Recipe {
        mount: Some(mount),
        ..Recipe::default()
    })
}

fn oxcrypt(site: &Site, programs: &Programs, create: bool) -> CaseResult<Recipe> {
    let program = programs.need("oxcrypt")?;
    let password: [OsString; 2] = ["--password-file".into(), site.password_file.clone().into()];
    let with_password = |words: &[&Path]| {
        let mut args: Vec<OsString> = words.iter().map(OsString::from).collect();
        args.extend(password.clone());
        Step::new(&program, args)
    };
    Ok(Recipe {
        init: create.then(|| with_password(&[Path::new("init"), &site.store])),
        mount: Some(with_password(&[
            Path::new("mount"),
            &site.store,
            &site.point,
        ])),
        daemonises: true,
        unmount: Some(Step::new(&program, [Path::new("lock"), &site.point])),
        ..Recipe::default()
    })
}

fn gocryptfs(site: &Site, program: &Path) -> Recipe {
    let pass = site.password_file.display().to_string();
    let store = site.store.display().to_string();
    Recipe {
        init: Some(Step::limited(
            program,
            ["-init", "-q", "-scryptn", "10", "-passfile", &pass, &store],
        )),
        mount: Some(Step::limited(
            program,
            [
                "-fg",
                "-q",
                "-passfile",
                &pass,
                &store,
                &site.point.display().to_string(),
            ],
        )),
        ..Recipe::default()
    }
}

fn securefs(site: &Site, program: &Path) -> Recipe {
    let store = site.store.display().to_string();
    let create = ["create", "--rounds", "1", "--pass", &site.password, &store];
    let mount = [
        "mount",
        "--pass",
        &site.password,
        &store,
        &site.point.display().to_string(),
    ];
    Recipe {
        init: Some(Step::limited(program, create)),
        mount: Some(Step::limited(program, mount)),
        ..Recipe::default()
    }
}

fn cryfs(site: &Site, program: &Path) -> Recipe {
    let args = [
        "-f",
        "--create-missing-basedir",
        &site.store.display().to_string(),
        &site.point.display().to_string(),
    ]
    .map(str::to_owned);
    let step = Step::limited(program, args)
        .env("CRYFS_FRONTEND", "noninteractive")
        .env("CRYFS_NO_UPDATE_CHECK", "true")
        .env(
            "CRYFS_LOCAL_STATE_DIR",
            site.state.join("cryfs").display().to_string(),
        )
        .stdin(format!("{}\n", site.password));
    // The first mount makes the file system.
    Recipe {
        mount: Some(step),
        ..Recipe::default()
    }
}

fn encfs(site: &Site, program: &Path) -> Recipe {
    let args = [
        "-f",
        "--standard",
        "--stdinpass",
        &site.store.display().to_string(),
        &site.point.display().to_string(),
    ]
    .map(str::to_owned);
    let step = Step::limited(program, args).stdin(format!("{}\n", site.password));
    Recipe {
        mount: Some(step),
        ..Recipe::default()
    }
}

fn rclone(site: &Site, program: &Path) -> CaseResult<Recipe> {
    let config = site.state.join("rclone.conf");
    // Its configuration holds the password in a reversible form that only it can write.
    let obscured = std::process::Command::new(program)
        .args(["obscure", &site.password])
        .output()
        .map_err(CaseFailure::io("rclone obscure"))?;
    let text = format!(
        "[crypt]\ntype = crypt\nremote = {}\npassword = {}\n",
        site.store.display(),
        String::from_utf8_lossy(&obscured.stdout).trim()
    );
    std::fs::write(&config, text).map_err(CaseFailure::io("rclone.conf"))?;
    let args = [
        "mount".to_owned(),
        "--config".to_owned(),
        config.display().to_string(),
        "--cache-dir".to_owned(),
        site.state.join("rclone-cache").display().to_string(),
        // Without its local cache it refuses most of what a file system has to do.
        "--vfs-cache-mode=full".to_owned(),
        "--links".to_owned(),
        "crypt:".to_owned(),
        site.point.display().to_string(),
    ];
    Ok(Recipe {
        mount: Some(Step::limited(program, args)),
        ..Recipe::default()
    })
}

fn cryptomator(site: &Site, programs: &Programs) -> CaseResult<Recipe> {
    let (java, class_path) = programs.cryptomator()?;
    let step = |words: &[&Path]| {
        let mut args: Vec<OsString> = [
            "-Xmx1g",
            "--enable-native-access=ALL-UNNAMED",
            "-Dfile.encoding=UTF-8",
            "-cp",
        ]
        .map(Into::into)
        .into();
        args.push(class_path.clone());
        args.push("peers.Main".into());
        args.extend(words.iter().map(OsString::from));
        args.push(site.password_file.clone().into());
        Step::new(&java, args).env("LC_ALL", "C.UTF-8")
    };
    Ok(Recipe {
        init: Some(step(&[Path::new("init"), &site.store])),
        mount: Some(step(&[Path::new("mount"), &site.store, &site.point])),
        ends_by_signal: true,
        just_in_time: true,
        ..Recipe::default()
    })
}

fn commands(site: &Site, triple: &Triple, programs: &Programs) -> Recipe {
    let own = programs.own_executable().unwrap_or_default();
    let step = |line: &str| {
        (!line.is_empty()).then(|| {
            let filled = line
                .replace("{store}", &site.store.display().to_string())
                .replace("{mount}", &site.point.display().to_string())
                .replace("{pwfile}", &site.password_file.display().to_string())
                .replace("{oxbench}", &own.display().to_string());
            Step::new("/bin/sh", ["-c", &filled])
        })
    };
    Recipe {
        init: step(&triple.init),
        mount: step(&triple.mount),
        unmount: step(&triple.unmount),
        ..Recipe::default()
    }
}
