//! `demo`: a throw-away vault from beginning to end, without a prompt, network or root.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use oxcrypt_core::Passphrase;
use oxcrypt_fuse::{Mount, MountOptions};
use oxcrypt_store::LocalStore;
use oxcrypt_vault::check::{CheckOptions, check};
use oxcrypt_vault::{Backups, CreateOptions, KeyCost, create, unlock};
use oxcrypt_vfs::{LogEvents, NodeId};

use crate::exit::Exit;
use crate::failure::{Failure, Host, Result};
use crate::mount::run::cannot_mount;
use crate::open::{Fs, caller, throw_away};

const PASSPHRASE: &str = "only for this demo";
const SAMPLES: [(&str, &str); 3] = [
    ("hello.txt", "Hello from inside the vault.\n"),
    (
        "notes.md",
        "# Notes\n\nEach 32 KiB of this file would be sealed on its own.\n",
    ),
    (
        "résumé – with a long name so that you can see what becomes of names when they are \
      encrypted: they grow, and beyond the vault's limit only a hash of them is left on disk.txt",
        "Names are text in NFC.\n",
    ),
];

type Vfs = Arc<Fs>;

pub(crate) fn run() -> Result<()> {
    let place = Place::new()?;
    println!("A throw-away vault in {}", place.vault.display());
    let vfs = open(&place.vault)?;
    write_samples(&vfs)?;
    println!("\nInside:");
    read_back(&vfs)?;
    println!("\nOn disk, names and content are ciphertext:");
    show_ciphertext(&place.vault)?;
    bulk(&vfs)?;
    checked(&vfs)?;
    match mounted(&vfs, &place.mountpoint) {
        Ok(took) => println!("Mounted, read a file through the kernel, unmounted: {took:.0} ms"),
        Err(e) => println!(
            "Not mounted: {}\n  Mounting needs /dev/fuse, and fusermount3 (package fuse3) for \
             ordinary users; `oxcrypt doctor` looks. Everything else works without.",
            e.message
        ),
    }
    println!(
        "\nYour own vault:\n  oxcrypt init ~/vault\n  oxcrypt recovery show ~/vault    (print it, \
         keep it apart)\n  mkdir ~/clear\n  oxcrypt mount ~/vault ~/clear\n  oxcrypt lock \
         ~/clear\nWithout mounting:\n  oxcrypt put -r ~/vault DIR /\n  oxcrypt ls -R ~/vault"
    );
    Ok(())
}

/// The directories of the demo; removed when it ends.
struct Place {
    root: PathBuf,
    vault: PathBuf,
    mountpoint: PathBuf,
}

impl Place {
    fn new() -> Result<Self> {
        let name = format!("oxcrypt-demo-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let (vault, mountpoint) = (root.join("vault"), root.join("clear"));
        std::fs::create_dir(&root).host(&root)?;
        std::fs::create_dir(&vault).host(&vault)?;
        std::fs::create_dir(&mountpoint).host(&mountpoint)?;
        Ok(Self {
            root,
            vault,
            mountpoint,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.root) {
            eprintln!("oxcrypt: {} could not be removed: {e}", self.root.display());
        }
    }
}

fn open(vault: &Path) -> Result<Vfs> {
    let passphrase = Passphrase::new(PASSPHRASE.into());
    let options = CreateOptions {
        cost: KeyCost::worthless_for_tests_and_demos(),
        ..CreateOptions::default()
    };
    create(Arc::new(LocalStore::open(vault)?), &passphrase, options)?;
    let start = Instant::now();
    let unlocked = unlock(
        Arc::new(LocalStore::open(vault)?),
        &passphrase,
        Backups::Keep,
    )?;
    println!(
        "Created and unlocked in {:.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
    throw_away(unlocked, Box::new(LogEvents))
}

/// Something is not as it was written: a fault of this program or this machine.
fn wrong(what: impl Into<String>) -> Failure {
    Failure::new(Exit::Tampered, what)
}

fn write_samples(vfs: &Vfs) -> Result<()> {
    let dir = vfs.mkdir(caller(), NodeId::ROOT, b"samples", 0o755)?;
    for (name, text) in SAMPLES {
        let file = vfs.create(caller(), dir.node, name.as_bytes(), 0o644)?;
        vfs.write(file.node, 0, text.as_bytes())?;
        vfs.fsync(file.node, false)?;
    }
    Ok(())
}

fn read_back(vfs: &Vfs) -> Result<()> {
    let dir = vfs.lookup(NodeId::ROOT, b"samples")?;
    let mut names = Vec::new();
    vfs.list(dir.node, 0, 4096, &mut |item| {
        if !matches!(item.name, b"." | b"..") {
            names.push(String::from_utf8_lossy(item.name).into_owned());
        }
        ControlFlow::Continue(())
    })?;
    names.sort();
    if names.len() != SAMPLES.len() {
        return Err(wrong("a listing misses files"));
    }
    for (name, text) in SAMPLES {
        let file = vfs.lookup(dir.node, name.as_bytes())?;
        let mut content = vec![0; 4096];
        let len = vfs.read(file.node, 0, &mut content)?;
        if &content[..len] != text.as_bytes() {
            return Err(wrong(format!("{name} was not read back as written")));
        }
        println!("  {:>4} bytes  {}", file.attr.size, shortened(name));
    }
    Ok(())
}

fn show_ciphertext(vault: &Path) -> Result<()> {
    let list = |dir: &Path| -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(dir).host(dir)?;
        Ok(entries.flatten().map(|entry| entry.path()).collect())
    };
    for outer in list(&vault.join("d"))? {
        for inner in list(&outer)? {
            for node in list(&inner)? {
                let name = node.file_name().unwrap_or_default();
                println!("  {}", shortened(&name.to_string_lossy()));
            }
        }
    }
    Ok(())
}

fn shortened(name: &str) -> String {
    let cut: String = name.chars().take(60).collect();
    if cut.len() < name.len() {
        format!("{cut}…")
    } else {
        cut
    }
}

/// Writes and reads 64 MiB and tells how long it took.
fn bulk(vfs: &Vfs) -> Result<()> {
    const LEN: usize = 64 << 20;
    let mut buffer: Vec<u8> = (0..1 << 20).map(|i: u32| ((i * 31) >> 3) as u8).collect();
    let file = vfs.create(caller(), NodeId::ROOT, b"64 MiB", 0o644)?;
    let start = Instant::now();
    for offset in (0..LEN).step_by(buffer.len()) {
        vfs.write(file.node, offset as u64, &buffer)?;
    }
    let written = start.elapsed().as_secs_f64();
    let expected = buffer.clone();
    let start = Instant::now();
    for offset in (0..LEN).step_by(expected.len()) {
        let len = vfs.read(file.node, offset as u64, &mut buffer)?;
        if buffer[..len] != expected[..] {
            return Err(wrong("64 MiB were not read back as written"));
        }
    }
    let read = start.elapsed().as_secs_f64();
    let mib = (LEN >> 20) as f64;
    println!(
        "\n64 MiB sealed at {:.0} MiB/s, opened at {:.0} MiB/s",
        mib / written,
        mib / read
    );
    Ok(())
}

/// Authenticates everything in the vault.
fn checked(vfs: &Vfs) -> Result<()> {
    let start = Instant::now();
    vfs.flush_headers();
    let ignore = &mut |_| ControlFlow::Continue(());
    let summary = check(vfs.store(), vfs.cryptor(), &CheckOptions::default(), ignore);
    if !summary.is_good() {
        return Err(wrong("the check found something in a vault just made"));
    }
    println!(
        "Checked: every name and every chunk of {} nodes is authentic ({:.0} ms)",
        summary.progress.nodes,
        start.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

/// Mounts, reads one file through the kernel, unmounts. Milliseconds.
fn mounted(vfs: &Vfs, mountpoint: &Path) -> Result<f64> {
    let start = Instant::now();
    let mut mount = Mount::new(Arc::clone(vfs), mountpoint, MountOptions::default())
        .map_err(|e| cannot_mount(&e, mountpoint))?;
    let mut unmounter = mount.unmounter();
    let server = std::thread::spawn(move || mount.serve(|| {}, || {}));
    let content = std::fs::read_to_string(mountpoint.join("samples/hello.txt"));
    unmounter.unmount().host(mountpoint)?;
    match server.join() {
        Ok(served) => served.host(mountpoint)?,
        Err(_) => return Err(Failure::new(Exit::Other, "the mount's thread panicked")),
    }
    if content.host(mountpoint)? != SAMPLES[0].1 {
        return Err(wrong("the mount returned other bytes"));
    }
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
