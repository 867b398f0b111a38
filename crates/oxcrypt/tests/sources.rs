//! Every passphrase source with several commands, and that none of them shows the secret.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::process::Stdio;

use support::{Ox, PASSPHRASE};

/// The sources as words, and what prepares them.
fn sources() -> Vec<(&'static str, Vec<String>)> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    vec![
        ("file", words("--password-file pw")),
        (
            "command",
            words("--password-command cat --password-command pw"),
        ),
        (
            "command line",
            vec!["--password-command".into(), "cat 'pw'".into()],
        ),
        ("env", words("--password-env MY_PASSPHRASE")),
        ("env with =", words("--password-env=MY_PASSPHRASE")),
        ("stdin", words("--password-stdin")),
        ("fd", words("--password-fd 7")),
        ("recovery key", words("--recovery-key-file words")),
        ("master key", words("--masterkey-file raw")),
    ]
}

/// Runs with everything in place that any source needs.
fn run(ox: &Ox, words: &[String]) -> (i32, String) {
    let line = words
        .iter()
        .map(|w| format!("'{}'", w.replace('\'', "'\\''")))
        .collect::<Vec<_>>();
    // The shell opens the descriptor.
    let script = format!("exec \"$OX\" {} 7<pw", line.join(" "));
    let mut command = ox.command(&[] as &[&str]);
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", &script])
        .current_dir(ox.dir.path())
        .env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    command.stdin(Stdio::null());
    shell
        .env("OX", env!("CARGO_BIN_EXE_oxcrypt"))
        .env("MY_PASSPHRASE", PASSPHRASE);
    shell.stdin(std::fs::File::open(ox.path("pw")).unwrap());
    let done = shell.output().unwrap();
    let text =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    (done.status.code().unwrap_or(-1), text)
}

fn prepared() -> Ox {
    let ox = Ox::new();
    ox.vault();
    ox.run("recovery show v --out words --password-file pw")
        .good();
    let words = std::fs::read_to_string(ox.path("words")).unwrap();
    let key = oxcrypt_core::recovery::decode(&words).unwrap();
    ox.write("raw", key.raw());
    ox.write("new", "another passphrase");
    ox
}

#[test]
fn every_source_works_with_ls_and_check() {
    let ox = prepared();
    for (name, source) in sources() {
        for command in [vec!["ls", "v"], vec!["check", "v"], vec!["tree", "v"]] {
            let mut words: Vec<String> = command.iter().map(|w| (*w).to_owned()).collect();
            words.extend(source.clone());
            let (code, text) = run(&ox, &words);
            assert_eq!(code, 0, "{name} {command:?}: {text}");
            assert!(!text.contains(PASSPHRASE), "{name} {command:?}: {text}");
        }
    }
}

#[test]
fn every_source_of_a_passphrase_works_with_passwd() {
    for (name, source) in sources() {
        let ox = prepared();
        let mut words: Vec<String> = ["passwd", "v", "--new-password-file", "new"]
            .map(str::to_owned)
            .to_vec();
        words.extend(source);
        let (code, text) = run(&ox, &words);
        if name.ends_with("key") {
            assert_eq!(code, 2, "{name}: {text}");
            continue;
        }
        assert_eq!(code, 0, "{name}: {text}");
        ox.run("ls v --password-file new").good();
        ox.run("ls v --password-file pw").ended(3);
    }
}

#[test]
fn old_and_new_from_one_standard_input() {
    let ox = prepared();
    let both = format!("{PASSPHRASE}\nanother passphrase\n");
    ox.fed(
        "passwd v --password-stdin --new-password-stdin",
        both.as_bytes(),
    )
    .good();
    ox.run("ls v --password-file new").good();
}

#[test]
fn environment_and_credential_directory() {
    let ox = prepared();
    std::fs::create_dir(ox.path("creds")).unwrap();
    std::fs::copy(ox.path("pw"), ox.path("creds/oxcrypt.v")).unwrap();
    for (name, value) in [
        ("OXCRYPT_PASSWORD_FILE", "pw"),
        ("OXCRYPT_PASSWORD_COMMAND", "cat pw"),
        ("CREDENTIALS_DIRECTORY", "creds"),
    ] {
        let done = ox.command(&["ls", "v"]).env(name, value).output().unwrap();
        assert!(done.status.success(), "{name}: {done:?}");
    }
}

#[test]
fn aliases_and_their_sources() {
    let ox = prepared();
    ox.run("vault add work v --unlock file --file pw --mountpoint m")
        .good();
    ox.run("ls @work").good();
    assert!(ox.run("vault list").good().out.contains("@work"));
    ox.run("vault rename work home").good();
    ox.run("ls @work").ended(2);
    ox.run("ls @home").good();
    ox.run("config set vaults.home.unlock command").good();
    ox.run("config set vaults.home.password_command nothing")
        .failed(2, "password_command");
    assert_eq!(
        ox.run("config get vaults.home.unlock").good().out,
        "command\n"
    );
    ox.run("vault remove home").good();
    ox.run("ls @home").ended(2);
}

#[test]
fn files_with_more_than_a_line_are_refused() {
    let ox = prepared();
    for (content, code) in [
        (format!("{PASSPHRASE}\n"), 0),
        (format!("{PASSPHRASE}\r\n"), 0),
        (format!("{PASSPHRASE}\n\n"), 2),
        (format!("{PASSPHRASE}\nmore"), 2),
        (String::new(), 3),
    ] {
        ox.write("f", &content);
        let done = ox.run("ls v --password-file f");
        assert_eq!(done.code, code, "{content:?}: {}", done.err);
    }
    ox.write("f", [0xff, 0xfe]);
    ox.run("ls v --password-file f").failed(2, "not UTF-8");
}

#[test]
fn a_world_readable_file_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let ox = prepared();
    std::fs::set_permissions(ox.path("pw"), PermissionsExt::from_mode(0o644)).unwrap();
    let done = ox.run("ls v --password-file pw").good();
    assert!(done.err.contains("chmod 600"), "{}", done.err);
}

/// While the command waits, nothing of the passphrase is in its arguments or its environment.
#[test]
fn the_variable_is_gone_from_the_environment() {
    let ox = prepared();
    let mut child = ox
        .command(&["put", "v", "-", "/x", "--password-env", "MY_PASSPHRASE"])
        .env("MY_PASSPHRASE", PASSPHRASE)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe holds: it was read, so the vault is open.
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, &[1; 1 << 20]).unwrap();
    for file in ["environ", "cmdline"] {
        let bytes = std::fs::read(format!("/proc/{}/{file}", child.id())).unwrap();
        assert!(!bytes.is_empty() || file == "environ");
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(PASSPHRASE), "{file}: {text}");
        assert!(!text.contains("MY_PASSPHRASE"), "{file}: {text}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

/// The desktop's key ring, played by a script with the arguments of `secret-tool`.
#[test]
fn a_passphrase_in_the_key_ring() {
    use std::os::unix::fs::PermissionsExt;
    let ox = prepared();
    std::fs::create_dir(ox.path("bin")).unwrap();
    let script = "#!/bin/sh\ncase $1 in\nstore) cat > \"$HOME/kept-$6\" ;;\nlookup) cat \
                  \"$HOME/kept-$5\" ;;\nclear) rm -f \"$HOME/kept-$5\" ;;\nesac\n";
    let tool = ox.path("bin/secret-tool");
    std::fs::write(&tool, script).unwrap();
    std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        ox.path("bin").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let run = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let done = ox.command(&words).env("PATH", &path).output().unwrap();
        done.status.code().unwrap()
    };
    assert_eq!(run("ls v --keyring"), 3);
    assert_eq!(run("key add v --password-file new"), 3);
    assert_eq!(run("key add v --password-file pw"), 0);
    assert_eq!(run("ls v --keyring"), 0);
    assert_eq!(run("key remove v"), 0);
    assert_eq!(run("ls v --keyring"), 3);
}
