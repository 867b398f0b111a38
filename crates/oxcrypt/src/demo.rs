//! `demo`: a throw-away vault from beginning to end, without a prompt, network or root.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use oxcrypt_core::Passphrase;
use oxcrypt_fuse::{Mount, MountOptions};
use oxcrypt_store::LocalStore;
use oxcrypt_vault::{Backups, CreateOptions, KeyCost, create, unlock};
use oxcrypt_vfs::{Caller, LogEvents, NodeId, VaultFs, VfsOptions};

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

type Vfs = Arc<VaultFs<LocalStore>>;

pub(crate) fn run() -> anyhow::Result<()> {
    let place = Place::new()?;
    println!("A throw-away vault in {}", place.vault.display());
    let vfs = open(&place.vault)?;
    write_samples(&vfs)?;
    println!("\nInside:");
    read_back(&vfs)?;
    println!("\nOn disk, names and content are ciphertext:");
    show_ciphertext(&place.vault)?;
    bulk(&vfs)?;
    println!();
    match mounted(&vfs, &place.mountpoint) {
        Ok(took) => println!("Mounted, read a file through the kernel, unmounted: {took:.0} ms"),
        Err(e) => println!(
            "Not mounted: {e:#}\n  Mounting needs /dev/fuse, and fusermount3 (package fuse3) for \
             ordinary users."
        ),
    }
    println!(
        "\nYour own vault:\n  oxcrypt init ~/vault --password-file FILE\n  oxcrypt mount ~/vault \
         ~/clear --password-file FILE"
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
    fn new() -> anyhow::Result<Self> {
        let name = format!("oxcrypt-demo-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let (vault, mountpoint) = (root.join("vault"), root.join("clear"));
        std::fs::create_dir(&root).with_context(|| root.display().to_string())?;
        std::fs::create_dir(&vault)?;
        std::fs::create_dir(&mountpoint)?;
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

fn open(vault: &Path) -> anyhow::Result<Vfs> {
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
    let events = Box::new(LogEvents);
    Ok(Arc::new(VaultFs::new(
        unlocked.store,
        unlocked.cryptor,
        VfsOptions::default(),
        events,
    )?))
}

fn caller() -> Caller {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    Caller {
        uid: uid.as_raw(),
        gid: gid.as_raw(),
    }
}

fn write_samples(vfs: &Vfs) -> anyhow::Result<()> {
    let dir = vfs.mkdir(caller(), NodeId::ROOT, b"samples", 0o755)?;
    for (name, text) in SAMPLES {
        let file = vfs.create(caller(), dir.node, name.as_bytes(), 0o644)?;
        vfs.write(file.node, 0, text.as_bytes())?;
        vfs.fsync(file.node, false)?;
    }
    Ok(())
}

fn read_back(vfs: &Vfs) -> anyhow::Result<()> {
    let dir = vfs.lookup(NodeId::ROOT, b"samples")?;
    let mut names = Vec::new();
    vfs.list(dir.node, 0, 4096, &mut |item| {
        if !matches!(item.name, b"." | b"..") {
            names.push(String::from_utf8_lossy(item.name).into_owned());
        }
        ControlFlow::Continue(())
    })?;
    names.sort();
    ensure!(
        names.len() == SAMPLES.len(),
        "a listing misses files: {names:?}"
    );
    for (name, text) in SAMPLES {
        let file = vfs.lookup(dir.node, name.as_bytes())?;
        let mut content = vec![0; 4096];
        let len = vfs.read(file.node, 0, &mut content)?;
        ensure!(
            &content[..len] == text.as_bytes(),
            "{name} was not read back as written"
        );
        println!("  {:>4} bytes  {}", file.attr.size, shortened(name));
    }
    Ok(())
}

fn show_ciphertext(vault: &Path) -> anyhow::Result<()> {
    for outer in std::fs::read_dir(vault.join("d"))? {
        for inner in std::fs::read_dir(outer?.path())? {
            for node in std::fs::read_dir(inner?.path())? {
                let name = node?.file_name();
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
fn bulk(vfs: &Vfs) -> anyhow::Result<()> {
    const LEN: usize = 64 << 20;
    let mut buffer: Vec<u8> = (0..1 << 20).map(|i: u32| (i * 31 >> 3) as u8).collect();
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
        ensure!(
            buffer[..len] == expected[..],
            "64 MiB were not read back as written"
        );
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

/// Mounts, reads one file through the kernel, unmounts. Milliseconds.
fn mounted(vfs: &Vfs, mountpoint: &Path) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut mount = Mount::new(Arc::clone(vfs), mountpoint, MountOptions::default())?;
    let mut unmounter = mount.unmounter();
    let server = std::thread::spawn(move || mount.serve());
    let content = std::fs::read_to_string(mountpoint.join("samples/hello.txt"));
    unmounter.unmount()?;
    server
        .join()
        .map_err(|_| anyhow::anyhow!("the mount's thread panicked"))??;
    ensure!(content? == SAMPLES[0].1, "the mount returned other bytes");
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
