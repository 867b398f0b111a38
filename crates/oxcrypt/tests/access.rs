//! Working with the files of a vault without mounting it.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use support::{Ox, noise, tree};

const PW: &str = "--password-file pw";

/// A tree with everything the format can hold.
fn sample(ox: &Ox) {
    let top = ox.path("src");
    std::fs::create_dir_all(top.join("sub/empty-dir")).unwrap();
    std::fs::write(top.join("empty"), "").unwrap();
    std::fs::write(top.join("small"), "text\n").unwrap();
    std::fs::write(top.join("chunk"), noise(32768, 1)).unwrap();
    std::fs::write(top.join("chunk+1"), noise(32769, 2)).unwrap();
    std::fs::write(top.join("large"), noise(9_000_001, 3)).unwrap();
    std::fs::write(top.join("sub").join("ä".repeat(120)), "a long name").unwrap();
    for i in 0..60 {
        std::fs::write(
            top.join("sub").join(format!("many-{i}")),
            noise(i * 700, i as u64),
        )
        .unwrap();
    }
    symlink("small", top.join("link")).unwrap();
    symlink("nowhere/else", top.join("sub/dangling")).unwrap();
    std::fs::set_permissions(top.join("small"), PermissionsExt::from_mode(0o640)).unwrap();
    std::fs::set_permissions(top.join("sub/empty-dir"), PermissionsExt::from_mode(0o750)).unwrap();
    let old = std::process::Command::new("touch")
        .args(["-d", "2001-02-03T04:05:06.789Z"])
        .args([top.join("small"), top.join("sub/empty-dir")])
        .status();
    assert!(old.unwrap().success());
}

#[test]
fn out_comes_what_went_in() {
    let ox = Ox::new();
    ox.vault();
    sample(&ox);
    ox.run(&format!("put -r v src / {PW}")).good();
    ox.run(&format!("get -r v /src out {PW}")).good();
    assert_eq!(tree(&ox.path("src")), tree(&ox.path("out")));
    for name in ["small", "sub/empty-dir", "large", "sub"] {
        let meta = |top: &str| std::fs::metadata(ox.path(top).join(name)).unwrap();
        let (before, after) = (meta("src"), meta("out"));
        assert_eq!(before.mode(), after.mode(), "{name}");
        assert_eq!(before.mtime(), after.mtime(), "{name}");
        assert_eq!(before.mtime_nsec(), after.mtime_nsec(), "{name}");
    }
    ox.run(&format!("check v {PW}")).good();
    // No partial file stays behind.
    let listed = ox.run(&format!("ls -aR v {PW}")).good().out;
    assert!(!listed.contains("oxcrypt-part"), "{listed}");
}

#[test]
fn resuming_goes_on_where_it_ended() {
    let ox = Ox::new();
    ox.vault();
    let content = noise(7 << 20, 5);
    ox.write("big", &content);
    // What an interrupted run leaves: a partial file with a true beginning and a torn end.
    let mut partial = content[..5 << 20].to_vec();
    partial[(4 << 20) + 100] ^= 1;
    ox.write("partial", &partial);
    let hash = {
        use sha2::{Digest, Sha256};
        data_encoding::HEXLOWER.encode(&Sha256::digest(b"big")[..8])
    };
    let name = format!(".oxcrypt-part-{hash}");
    ox.run(&format!("put v partial /{name} {PW}")).good();
    ox.run(&format!("put v big / --resume {PW}")).good();
    let sum = ox.run(&format!("sum v /big {PW}")).good().out;
    let expect = std::process::Command::new("sha256sum")
        .arg(ox.path("big"))
        .output()
        .unwrap();
    assert_eq!(sum[..64], String::from_utf8_lossy(&expect.stdout)[..64]);
    ox.run(&format!("stat v /{name} {PW}")).ended(7);
    // The same file again is passed over; a changed one is not.
    let again = ox.run(&format!("--json put v big / --resume {PW}")).good();
    assert!(again.out.contains("passed_over\":1"), "{}", again.out);
    // And the other way.
    let hash = {
        use sha2::{Digest, Sha256};
        data_encoding::HEXLOWER.encode(&Sha256::digest(b"copy")[..8])
    };
    ox.write(&format!(".oxcrypt-part-{hash}"), &partial);
    ox.run(&format!("get v /big copy --resume {PW}")).good();
    assert_eq!(std::fs::read(ox.path("copy")).unwrap(), content);
    assert!(!ox.path(&format!(".oxcrypt-part-{hash}")).exists());
}

#[test]
fn overwrite_policies() {
    let ox = Ox::new();
    ox.vault();
    ox.write("hello.txt", "changed\n");
    let cat = |ox: &Ox| ox.run(&format!("cat v /docs/hello.txt {PW}")).good().out;
    ox.run(&format!("put v hello.txt /docs --overwrite never {PW}"))
        .good();
    assert_eq!(cat(&ox), "hello\n");
    ox.run(&format!("put v hello.txt /docs -n {PW}")).good();
    assert_eq!(cat(&ox), "hello\n");
    ox.run(&format!("put v hello.txt /docs --overwrite older {PW}"))
        .good();
    assert_eq!(cat(&ox), "changed\n");
    ox.run(&format!("put v hello.txt /docs --delete-source {PW}"))
        .good();
    assert!(!ox.path("hello.txt").exists());
}

#[test]
fn standard_input_and_ranges() {
    let ox = Ox::new();
    ox.vault();
    let content = noise(2_500_000, 9);
    ox.fed(&format!("put v - /stream {PW}"), &content).good();
    let done = ox.run(&format!("cat v /stream {PW}")).good();
    assert_eq!(done.raw, content);
    let done = ox
        .run(&format!("cat v /stream --offset 32760 --count 20 {PW}"))
        .good();
    assert_eq!(done.raw, &content[32760..32780]);
    let done = ox
        .run(&format!("cat v /stream --offset 9999999 {PW}"))
        .good();
    assert!(done.raw.is_empty());
}

#[test]
fn copying_moving_removing_linking() {
    let ox = Ox::new();
    ox.vault();
    sample(&ox);
    ox.run(&format!("put -r v src / {PW}")).good();
    ox.run(&format!("cp v /src /copy {PW}"))
        .failed(2, "-r copies");
    ox.run(&format!("cp -r v /src /copy {PW}")).good();
    ox.run(&format!("cp -r v /src /src/sub {PW}"))
        .failed(2, "into itself");
    ox.run(&format!("get -r v /copy out {PW}")).good();
    assert_eq!(tree(&ox.path("src")), tree(&ox.path("out")));
    ox.run(&format!("mv v /copy/small /copy/large /docs {PW}"))
        .good();
    ox.run(&format!("mv v /docs/small /docs/renamed {PW}"))
        .good();
    assert_eq!(
        ox.run(&format!("cat v /docs/renamed {PW}")).good().out,
        "text\n"
    );
    ox.run(&format!("mv -n v /docs/renamed /docs/large {PW}"))
        .failed(1, "exists");
    ox.run(&format!("ln v /docs/renamed /docs/second {PW}"))
        .good();
    ox.run(&format!("ln -s v renamed /docs/soft {PW}")).good();
    assert_eq!(
        ox.run(&format!("cat v /docs/soft {PW}")).good().out,
        "text\n"
    );
    assert!(
        ox.run(&format!("stat v /docs/second {PW}"))
            .good()
            .out
            .contains("links     2")
    );
    ox.run(&format!("touch v /docs/new -d 2011-12-13T14:15:16Z {PW}"))
        .good();
    assert!(
        ox.run(&format!("ls -l v /docs {PW}"))
            .good()
            .out
            .contains("2011-12-13 14:15:16 new")
    );
    ox.run(&format!("rm -r v /src /copy /docs {PW}")).good();
    assert_eq!(ox.run(&format!("ls -a v {PW}")).good().out, "");
    ox.run(&format!("check v {PW}")).good();
}

#[test]
fn tar_both_ways() {
    let ox = Ox::new();
    ox.vault();
    sample(&ox);
    ox.run(&format!("put -r v src / {PW}")).good();
    let archive = ox.run(&format!("tar c v /src {PW}")).good().raw;
    ox.write("a.tar", &archive);
    std::fs::create_dir(ox.path("plain")).unwrap();
    let untar = std::process::Command::new("tar")
        .args(["-xpf", "a.tar", "-C", "plain"])
        .current_dir(ox.dir.path())
        .status();
    assert!(untar.unwrap().success());
    assert_eq!(tree(&ox.path("src")), tree(&ox.path("plain")));
    ox.fed(&format!("tar x v /again {PW}"), &archive).good();
    ox.run(&format!("get -r v /again out {PW}")).good();
    assert_eq!(tree(&ox.path("src")), tree(&ox.path("out")));
    // A path that climbs stays inside.
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o600);
    let name = b"../../../climb";
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    builder.append(&header, &b"x"[..]).unwrap();
    ox.fed(
        &format!("tar x v /inside {PW}"),
        &builder.into_inner().unwrap(),
    )
    .good();
    ox.run(&format!("cat v /inside/climb {PW}")).good();
}

#[test]
fn finding_and_summing() {
    let ox = Ox::new();
    ox.vault();
    sample(&ox);
    ox.run(&format!("put -r v src / {PW}")).good();
    let find = |words: &str| ox.run(&format!("find v {words} {PW}")).good().out;
    assert_eq!(find("/src --size +1M"), "/src/large\n");
    assert_eq!(find("/src --type d --name empty*"), "/src/sub/empty-dir\n");
    assert_eq!(find("/src --type l").lines().count(), 2);
    assert_eq!(find("/src --iname LARGE --newer 1h"), "/src/large\n");
    assert_eq!(find("/ --max-depth 1"), "/\n/docs\n/src\n");
    let du = ox.run(&format!("--json du v /src {PW}")).good().out;
    let du: serde_json::Value = serde_json::from_str(&du).unwrap();
    assert_eq!(
        (du["files"].as_u64(), du["symlinks"].as_u64()),
        (Some(66), Some(2))
    );
    let sums = ox.run(&format!("sum v /src {PW}")).good().out;
    ox.write("sums", &sums);
    let checked = std::process::Command::new("sha256sum")
        .args(["-c", "--quiet", "sums"])
        .current_dir(ox.dir.path())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn names_lead_to_ciphertext_and_back() {
    let ox = Ox::new();
    ox.vault();
    sample(&ox);
    ox.run(&format!("put -r v src / {PW}")).good();
    let listed = ox.run(&format!("find v / {PW}")).good().out;
    for path in listed.lines() {
        let place = ox
            .words(&["locate", "v", path, "--password-file", "pw"])
            .good()
            .out;
        let node = place.trim().split('\t').next().unwrap();
        assert!(ox.path("v").join(node).exists(), "{path}: {place}");
        let back = ox.run(&format!("decode v {node} --full {PW}")).good().out;
        assert_eq!(back.trim_end(), path);
        if path != "/" {
            let name = ox.run(&format!("decode v {node} {PW}")).good().out;
            // In the top directory the whole path is known at once.
            let name = name.trim_end().rsplit('/').next();
            assert_eq!(name, path.rsplit('/').next());
        }
    }
    ox.run(&format!("decode v somewhere/else {PW}"))
        .failed(2, "not a path");
}

#[test]
fn links_are_followed_inside_the_vault_only() {
    let ox = Ox::new();
    ox.vault();
    ox.run(&format!("ln -s v /etc/passwd /docs/out {PW}"))
        .good();
    ox.run(&format!("ln -s v ../docs/hello.txt /docs/around {PW}"))
        .good();
    ox.run(&format!("ln -s v loop /docs/loop {PW}")).good();
    ox.run(&format!("cat v /docs/out {PW}"))
        .failed(7, "out of the vault");
    ox.run(&format!("cat v /docs/loop {PW}"))
        .failed(7, "too many links");
    assert_eq!(
        ox.run(&format!("cat v /docs/around {PW}")).good().out,
        "hello\n"
    );
}

#[test]
fn get_never_writes_through_a_link() {
    let ox = Ox::new();
    ox.vault();
    ox.write("victim", "untouched");
    symlink(ox.path("victim"), ox.path("hello.txt.link")).unwrap();
    ox.run(&format!("get v /docs/hello.txt hello.txt.link {PW}"))
        .good();
    assert_eq!(
        std::fs::read_to_string(ox.path("victim")).unwrap(),
        "untouched"
    );
    std::fs::create_dir_all(ox.path("to/docs")).unwrap();
    std::fs::create_dir(ox.path("elsewhere")).unwrap();
    symlink(ox.path("elsewhere"), ox.path("to/docs/deep")).unwrap();
    ox.run(&format!("get -r v /docs to {PW}")).ended(1);
    assert_eq!(std::fs::read_dir(ox.path("elsewhere")).unwrap().count(), 0);
}
