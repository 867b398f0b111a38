//! `masterkey.cryptomator`: the master key, locked with a passphrase (§4).

use aes_kw::{KeyInit, KwAes256};
use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::key::MasterKey;
use crate::passphrase::{Passphrase, ScryptParams, ScryptParamsError};
use crate::rng::Rng;

/// The longest file that is looked at.
const MAX_FILE_LEN: usize = 64 * 1024;

/// Bytes of a salt as written; readers accept any.
const SALT_LEN: usize = 8;

const WRAPPED_LEN: usize = 40;

/// What format 8 writes as `version`: the real format is in the vault configuration.
pub const VERSION_IN_CONFIG: u32 = 999;

/// A parsed master key file. Holds no secret in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeyFile {
    version: u32,
    salt: Vec<u8>,
    params: ScryptParams,
    wrapped_enc: [u8; WRAPPED_LEN],
    wrapped_mac: [u8; WRAPPED_LEN],
    version_mac: Vec<u8>,
}

/// Why a file is no master key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyFileError {
    /// More than 64 KiB.
    #[error("the master key file is longer than 64 KiB")]
    TooLong,
    /// Not the JSON object it must be.
    #[error("the master key file is not valid JSON of the expected shape")]
    Json,
    /// A field is missing, zero, or not what it must be.
    #[error("the master key file has no valid field {0:?}")]
    Field(&'static str),
    /// The cost parameters are invalid or ask for too much.
    #[error(transparent)]
    Cost(#[from] ScryptParamsError),
}

/// Why a master key file was not unlocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnlockError {
    /// The passphrase is wrong, or the wrapped keys are damaged: nothing can tell which.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// In formats up to 7 the version is protected by a MAC only, and that does not match:
    /// the file was changed to look like another format.
    #[error("the version of the master key file was tampered with")]
    VersionMac,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    version: Option<i64>,
    scrypt_salt: Option<String>,
    scrypt_cost_param: Option<i64>,
    scrypt_block_size: Option<i64>,
    primary_master_key: Option<String>,
    hmac_master_key: Option<String>,
    version_mac: Option<String>,
}

impl MasterKeyFile {
    /// The content of a master key file.
    ///
    /// # Errors
    /// Too long, not JSON, a field missing or invalid, or a cost beyond
    /// [`ScryptParams::MAX_MEMORY`].
    pub fn parse(content: &[u8]) -> Result<Self, MasterKeyFileError> {
        if content.len() > MAX_FILE_LEN {
            return Err(MasterKeyFileError::TooLong);
        }
        let fields: Fields =
            serde_json::from_slice(content).map_err(|_| MasterKeyFileError::Json)?;
        let version = int(fields.version, "version")?;
        let n = int(fields.scrypt_cost_param, "scryptCostParam")?;
        let r = int(fields.scrypt_block_size, "scryptBlockSize")?;
        Ok(Self {
            version,
            salt: blob(fields.scrypt_salt, "scryptSalt")?,
            params: ScryptParams::new(u64::from(n), r)?,
            wrapped_enc: wrapped(fields.primary_master_key, "primaryMasterKey")?,
            wrapped_mac: wrapped(fields.hmac_master_key, "hmacMasterKey")?,
            version_mac: blob(fields.version_mac, "versionMac")?,
        })
    }

    /// Locks `key` with `passphrase` under a new salt. The passphrase counts in NFC, except for
    /// version 5, which takes it as typed.
    #[must_use]
    pub fn lock(
        key: &MasterKey,
        passphrase: &Passphrase,
        params: ScryptParams,
        version: u32,
        rng: &mut impl Rng,
    ) -> Self {
        let mut salt = vec![0; SALT_LEN];
        rng.fill(&mut salt);
        let kek = if version <= 5 {
            params.derive(passphrase, &salt)
        } else {
            params.derive(&passphrase.nfc(), &salt)
        };
        Self {
            version,
            salt,
            params,
            wrapped_enc: wrap_half(&kek, key.enc()),
            wrapped_mac: wrap_half(&kek, key.mac()),
            version_mac: version_mac(key, version).to_vec(),
        }
    }

    /// The same key and version under another passphrase: a new salt, the same cost N, r = 8.
    #[must_use]
    pub fn relock(&self, key: &MasterKey, passphrase: &Passphrase, rng: &mut impl Rng) -> Self {
        let params = ScryptParams::new(self.params.n(), ScryptParams::DEFAULT.r())
            .unwrap_or(ScryptParams::DEFAULT);
        Self::lock(key, passphrase, params, self.version, rng)
    }

    /// The master key. Tries the passphrase in NFC, as typed and in NFD (version 5: as typed
    /// first), as far as these differ; each try costs one key derivation.
    ///
    /// For [`VERSION_IN_CONFIG`] the version MAC is not enforced: the signed vault configuration
    /// tells the format, and the reference ignores the MAC. [`Self::version_mac_matches`] lets a
    /// caller warn.
    ///
    /// # Errors
    /// See [`UnlockError`].
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<MasterKey, UnlockError> {
        let key = self
            .unwrap_any(passphrase)
            .ok_or(UnlockError::WrongPassphrase)?;
        if self.version != VERSION_IN_CONFIG && !self.version_mac_matches(&key) {
            return Err(UnlockError::VersionMac);
        }
        Ok(key)
    }

    fn unwrap_any(&self, typed: &Passphrase) -> Option<MasterKey> {
        if typed.as_str().is_ascii() {
            return self.unwrap(typed);
        }
        let (nfc, nfd) = (typed.nfc(), typed.nfd());
        let order = if self.version <= 5 {
            [typed, &nfc, &nfd]
        } else {
            [&nfc, typed, &nfd]
        };
        let is_new = |i: usize| order[..i].iter().all(|p| p.as_str() != order[i].as_str());
        (0..order.len())
            .filter(|&i| is_new(i))
            .find_map(|i| self.unwrap(order[i]))
    }

    fn unwrap(&self, passphrase: &Passphrase) -> Option<MasterKey> {
        let kek = self.params.derive(passphrase, &self.salt);
        let enc = unwrap_half(&kek, &self.wrapped_enc)?;
        let mac = unwrap_half(&kek, &self.wrapped_mac)?;
        Some(MasterKey::from_halves(&enc, &mac))
    }

    /// Whether the version MAC is that of this key and version. Constant time.
    #[must_use]
    pub fn version_mac_matches(&self, key: &MasterKey) -> bool {
        use subtle::ConstantTimeEq;
        version_mac(key, self.version)[..]
            .ct_eq(&self.version_mac)
            .into()
    }

    /// 999 in format 8, else the format of the vault.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The cost of the key derivation.
    #[must_use]
    pub fn params(&self) -> ScryptParams {
        self.params
    }

    /// The content of the file, byte for byte as the reference writes it.
    #[must_use]
    pub fn render(&self) -> String {
        format!(
            "{{\n  \"version\": {},\n  \"scryptSalt\": \"{}\",\n  \"scryptCostParam\": {},\n  \
             \"scryptBlockSize\": {},\n  \"primaryMasterKey\": \"{}\",\n  \
             \"hmacMasterKey\": \"{}\",\n  \"versionMac\": \"{}\"\n}}",
            self.version,
            BASE64.encode(&self.salt),
            self.params.n(),
            self.params.r(),
            BASE64.encode(&self.wrapped_enc),
            BASE64.encode(&self.wrapped_mac),
            BASE64.encode(&self.version_mac),
        )
    }
}

/// AES key wrap (RFC 3394) with the default initial value.
pub(crate) fn wrap_half(kek: &[u8; 32], half: &[u8; 32]) -> [u8; WRAPPED_LEN] {
    let mut wrapped = [0; WRAPPED_LEN];
    KwAes256::new(kek.into())
        .wrap_key(half, &mut wrapped)
        .expect("32 bytes wrap to 40");
    wrapped
}

/// `None` when the integrity check fails.
pub(crate) fn unwrap_half(
    kek: &[u8; 32],
    wrapped: &[u8; WRAPPED_LEN],
) -> Option<Zeroizing<[u8; 32]>> {
    let mut half = Zeroizing::new([0; 32]);
    KwAes256::new(kek.into())
        .unwrap_key(wrapped, &mut half[..])
        .ok()?;
    Some(half)
}

/// `HMAC-SHA256(MAC key, be32(version))`.
fn version_mac(key: &MasterKey, version: u32) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.mac()).expect("HMAC takes any key");
    mac.update(&version.to_be_bytes());
    mac.finalize().into_bytes().into()
}

/// Integers of the file are positive and 32-bit signed.
fn int(value: Option<i64>, name: &'static str) -> Result<u32, MasterKeyFileError> {
    let value = value
        .and_then(|value| i32::try_from(value).ok())
        .unwrap_or(0);
    match u32::try_from(value) {
        Ok(value) if value > 0 => Ok(value),
        _ => Err(MasterKeyFileError::Field(name)),
    }
}

fn blob(value: Option<String>, name: &'static str) -> Result<Vec<u8>, MasterKeyFileError> {
    let text = value.ok_or(MasterKeyFileError::Field(name))?;
    BASE64
        .decode(text.as_bytes())
        .map_err(|_| MasterKeyFileError::Field(name))
}

fn wrapped(
    value: Option<String>,
    name: &'static str,
) -> Result<[u8; WRAPPED_LEN], MasterKeyFileError> {
    blob(value, name)?
        .try_into()
        .map_err(|_| MasterKeyFileError::Field(name))
}
