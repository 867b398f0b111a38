//! With `OXCRYPT_FAST_KDF` set, the throw-away vaults of a run get a cheap key derivation, so that
//! many mounts cost little. The vault opens with the same password; only the work to try one is
//! less. Never done to a vault that is not deleted at the end of the run.

use std::fs;

use oxcrypt_core::{MasterKeyFile, OsRng, Passphrase, ScryptParams};

use super::recipe::Site;
use crate::error::{AtPath, CaseFailure, CaseResult};

const CHEAP_N: u64 = 1024;

pub(super) fn make_cheap(site: &Site) -> CaseResult {
    let path = site.store.join("masterkey.cryptomator");
    let refused =
        |why: &dyn std::fmt::Display| CaseFailure::Mount(format!("masterkey file: {why}"));
    let file =
        MasterKeyFile::parse(&fs::read(&path).at("read", &path)?).map_err(|e| refused(&e))?;
    let passphrase = Passphrase::new(site.password.clone());
    let key = file.unlock(&passphrase).map_err(|e| refused(&e))?;
    let params = ScryptParams::new(CHEAP_N, ScryptParams::DEFAULT.r()).map_err(|e| refused(&e))?;
    let cheap = MasterKeyFile::lock(&key, &passphrase, params, file.version(), &mut OsRng);
    fs::write(&path, cheap.render()).at("write", &path)
}
