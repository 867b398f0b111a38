//! `vault.cryptomator`: what a vault is, signed with its master key (§5).
//!
//! A compact JWS. Only HMAC signatures exist for it, so a token naming any other algorithm is
//! refused before anything is computed. Registered time claims (`exp`, `nbf`) are not looked
//! at: no writer sets them, and there is no clock here.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Sha256, Sha384, Sha512};

use crate::dir_id::random_uuid;
use crate::key::MasterKey;
use crate::rng::Rng;
use crate::suite::CipherCombo;

/// The longest token that is looked at.
const MAX_TOKEN_LEN: usize = 64 * 1024;

/// The format written and read here.
pub const FORMAT: u32 = 8;

/// The usual shortening threshold, in characters of the ciphertext name.
pub const DEFAULT_THRESHOLD: u32 = 220;

/// The greatest threshold accepted: the longest name that readers accept in a `name.c9s`.
/// The reference enforces no bound at all, and its users choose 36 to 220.
const MAX_THRESHOLD: u32 = 10_240;

const MASTERKEY_FILE_NAME: &str = "masterkey.cryptomator";

/// The signature algorithms of the format.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Algorithm {
    /// HMAC-SHA256: what writers use.
    Hs256,
    /// HMAC-SHA384.
    Hs384,
    /// HMAC-SHA512.
    Hs512,
}

impl Algorithm {
    /// The spelling in a token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Hs256, Self::Hs384, Self::Hs512]
            .into_iter()
            .find(|alg| alg.as_str() == text)
    }

    fn sign(self, key: &MasterKey, input: &[u8]) -> Vec<u8> {
        match self {
            Self::Hs256 => keyed::<Hmac<Sha256>>(key, input)
                .finalize()
                .into_bytes()
                .to_vec(),
            Self::Hs384 => keyed::<Hmac<Sha384>>(key, input)
                .finalize()
                .into_bytes()
                .to_vec(),
            Self::Hs512 => keyed::<Hmac<Sha512>>(key, input)
                .finalize()
                .into_bytes()
                .to_vec(),
        }
    }

    /// In constant time; a signature of another length never matches.
    fn verify(self, key: &MasterKey, input: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hs256 => keyed::<Hmac<Sha256>>(key, input).verify_slice(signature),
            Self::Hs384 => keyed::<Hmac<Sha384>>(key, input).verify_slice(signature),
            Self::Hs512 => keyed::<Hmac<Sha512>>(key, input).verify_slice(signature),
        }
        .is_ok()
    }
}

fn keyed<M: Mac + KeyInit>(key: &MasterKey, input: &[u8]) -> M {
    M::new_from_slice(key.raw())
        .expect("HMAC takes keys of any length")
        .chain_update(input)
}

/// Why a vault configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// More than 64 KiB.
    #[error("the vault configuration is longer than 64 KiB")]
    TooLong,
    /// Not three base64url parts joined by dots.
    #[error("the vault configuration is not a signed token")]
    NotAToken,
    /// A part is not the JSON object it must be.
    #[error("the {0} of the vault configuration is not valid JSON")]
    Json(&'static str),
    /// An algorithm that could not protect the configuration, `none` among them.
    #[error("the vault configuration names an unsupported signature algorithm")]
    Algorithm,
    /// The key of a Cryptomator Hub vault comes from a server.
    #[error("the vault belongs to a Cryptomator Hub, which is not supported")]
    Hub,
    /// The key comes from somewhere else, or the configuration does not say from where.
    #[error("the vault configuration names no supported key source")]
    KeySource,
    /// The key file's name is a path that could leave the vault.
    #[error("the vault configuration names a key file outside of the vault")]
    KeyFilePath,
    /// Signed with another key: of another vault, or changed afterwards.
    #[error("the vault configuration does not belong to this key or was changed")]
    Signature,
    /// Authentic, but of another format; `None` when it names none.
    #[error("{}", claim("format", .0.map(|format| format.to_string())))]
    Format(Option<i64>),
    /// Authentic, but with a cipher combination unknown here; `None` when it names none.
    #[error("{}", claim("cipher combination", .0.clone()))]
    Combo(Option<String>),
    /// Authentic, but the shortening threshold is missing, below 1 or above 10,240.
    #[error("{}", claim("shortening threshold", .0.map(|threshold| threshold.to_string())))]
    Threshold(Option<i64>),
}

/// What is wrong with a claim: not there, or of a value that means nothing here.
fn claim(what: &str, value: Option<String>) -> String {
    match value {
        // Whoever wrote the file chose the text.
        Some(value) => format!(
            "the vault configuration names the {what} {:?}, which is unknown here",
            value.chars().take(40).collect::<String>()
        ),
        None => format!("the vault configuration names no {what}"),
    }
}

/// Where the master key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The file of this name in the root of the vault.
    MasterKeyFile(String),
}

#[derive(Deserialize)]
struct Header {
    alg: Option<String>,
    kid: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    format: Option<i64>,
    cipher_combo: Option<String>,
    shortening_threshold: Option<i64>,
    jti: Option<String>,
}

#[derive(Serialize)]
struct HeaderOut<'a> {
    kid: &'a str,
    alg: &'a str,
    typ: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClaimsOut<'a> {
    jti: &'a str,
    format: u32,
    cipher_combo: &'a str,
    shortening_threshold: u32,
}

/// A configuration whose signature has not been checked: good for finding the key, for choosing
/// a migration or an error message, and for nothing else.
pub struct UnverifiedVaultConfig {
    algorithm: Algorithm,
    key_id: Option<String>,
    claims: Claims,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl UnverifiedVaultConfig {
    /// The content of a `vault.cryptomator`. White space around the token is ignored.
    ///
    /// # Errors
    /// Too long, not a token, or an algorithm other than the three of the format.
    pub fn parse(content: &[u8]) -> Result<Self, ConfigError> {
        if content.len() > MAX_TOKEN_LEN {
            return Err(ConfigError::TooLong);
        }
        let token = content.trim_ascii();
        let mut dots = token
            .iter()
            .enumerate()
            .filter(|(_, c)| **c == b'.')
            .map(|(i, _)| i);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(ConfigError::NotAToken);
        };
        let decode = |part| {
            BASE64URL_NOPAD
                .decode(part)
                .map_err(|_| ConfigError::NotAToken)
        };
        let header = decode(&token[..first])?;
        let claims = decode(&token[first + 1..second])?;
        let signature = decode(&token[second + 1..])?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|_| ConfigError::Json("header"))?;
        let algorithm = header
            .alg
            .as_deref()
            .and_then(Algorithm::parse)
            .ok_or(ConfigError::Algorithm)?;
        let claims = serde_json::from_slice(&claims).map_err(|_| ConfigError::Json("payload"))?;
        let signed = token[..second].to_vec();
        Ok(Self {
            algorithm,
            key_id: header.kid,
            claims,
            signed,
            signature,
        })
    }

    /// The signature algorithm the token names.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key id, as it is.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The format the token claims.
    #[must_use]
    pub fn alleged_format(&self) -> Option<i64> {
        self.claims.format
    }

    /// Where to get the master key.
    ///
    /// The reference ignores the path after `masterkeyfile:` and opens `masterkey.cryptomator`;
    /// here it must be a plain file name, and that name is used.
    ///
    /// # Errors
    /// [`ConfigError::Hub`], [`ConfigError::KeyFilePath`] or [`ConfigError::KeySource`].
    pub fn key_source(&self) -> Result<KeySource, ConfigError> {
        let key_id = self.key_id().ok_or(ConfigError::KeySource)?;
        let (scheme, path) = key_id.split_once(':').ok_or(ConfigError::KeySource)?;
        if scheme
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("hub+"))
        {
            return Err(ConfigError::Hub);
        }
        if !scheme.eq_ignore_ascii_case("masterkeyfile") {
            return Err(ConfigError::KeySource);
        }
        let leaves = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
        if matches!(path, "" | "." | "..") || path.len() > 255 || path.contains(leaves) {
            return Err(ConfigError::KeyFilePath);
        }
        Ok(KeySource::MasterKeyFile(path.to_owned()))
    }

    /// The configuration, if it is signed with `key` and can be used here.
    ///
    /// # Errors
    /// [`ConfigError::Signature`] before anything else; then format, combination, threshold.
    pub fn verify(&self, key: &MasterKey) -> Result<VaultConfig, ConfigError> {
        if !self.algorithm.verify(key, &self.signed, &self.signature) {
            return Err(ConfigError::Signature);
        }
        let claims = &self.claims;
        if claims.format != Some(i64::from(FORMAT)) {
            return Err(ConfigError::Format(claims.format));
        }
        let combo = claims.cipher_combo.as_deref();
        let combo = combo
            .and_then(CipherCombo::parse)
            .ok_or_else(|| ConfigError::Combo(claims.cipher_combo.clone()))?;
        let threshold = claims
            .shortening_threshold
            .and_then(|threshold| u32::try_from(threshold).ok())
            .filter(|threshold| (1..=MAX_THRESHOLD).contains(threshold))
            .ok_or(ConfigError::Threshold(claims.shortening_threshold))?;
        Ok(VaultConfig {
            combo,
            threshold,
            jti: claims.jti.clone().unwrap_or_default(),
        })
    }
}

impl std::fmt::Debug for UnverifiedVaultConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnverifiedVaultConfig")
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .field("alleged_format", &self.claims.format)
            .finish_non_exhaustive()
    }
}

/// The configuration of a format 8 vault. Comes from [`UnverifiedVaultConfig::verify`] or is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultConfig {
    combo: CipherCombo,
    threshold: u32,
    jti: String,
}

impl VaultConfig {
    /// The configuration of a new vault, with a random id.
    ///
    /// # Errors
    /// [`ConfigError::Threshold`] when it is not within 1 to 10,240.
    pub fn new(
        combo: CipherCombo,
        threshold: u32,
        rng: &mut impl Rng,
    ) -> Result<Self, ConfigError> {
        if !(1..=MAX_THRESHOLD).contains(&threshold) {
            return Err(ConfigError::Threshold(Some(i64::from(threshold))));
        }
        let jti = random_uuid(rng).iter().map(|&c| char::from(c)).collect();
        Ok(Self {
            combo,
            threshold,
            jti,
        })
    }

    /// The vault format: 8.
    #[must_use]
    pub fn format(&self) -> u32 {
        FORMAT
    }

    /// The cipher combination.
    #[must_use]
    pub fn combo(&self) -> CipherCombo {
        self.combo
    }

    /// The shortening threshold: longer ciphertext names are shortened.
    #[must_use]
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// The vault's id; empty if the configuration has none.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// The content of `vault.cryptomator`, signed with HS256, as current writers do.
    #[must_use]
    pub fn render(&self, key: &MasterKey) -> String {
        self.render_with(key, Algorithm::Hs256)
    }

    /// The content of `vault.cryptomator`, signed with another algorithm.
    #[must_use]
    pub fn render_with(&self, key: &MasterKey, algorithm: Algorithm) -> String {
        let kid = format!("masterkeyfile:{MASTERKEY_FILE_NAME}");
        let header = HeaderOut {
            kid: &kid,
            alg: algorithm.as_str(),
            typ: "JWT",
        };
        let claims = ClaimsOut {
            jti: &self.jti,
            format: FORMAT,
            cipher_combo: self.combo.as_str(),
            shortening_threshold: self.threshold,
        };
        let header = serde_json::to_vec(&header).expect("plain text fields are JSON");
        let claims = serde_json::to_vec(&claims).expect("plain text fields are JSON");
        let mut token = BASE64URL_NOPAD.encode(&header);
        token.push('.');
        BASE64URL_NOPAD.encode_append(&claims, &mut token);
        let signature = algorithm.sign(key, token.as_bytes());
        token.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut token);
        token
    }
}
