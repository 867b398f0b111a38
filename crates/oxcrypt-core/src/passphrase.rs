//! What a user types to unlock a vault, and the key derivation (§4, §4.1).

use unicode_normalization::{UnicodeNormalization, is_nfc};
use zeroize::Zeroizing;

/// A passphrase; wiped on drop, never printed, not cloned.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The passphrase as typed. The text is taken over, not copied.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The passphrase as typed; `None` when it is not UTF-8.
    #[must_use]
    pub fn from_bytes(text: &[u8]) -> Option<Self> {
        Some(Self::new(std::str::from_utf8(text).ok()?.to_owned()))
    }

    /// As typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing was typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In NFC: the spelling that current formats derive keys from.
    #[must_use]
    pub fn nfc(&self) -> Self {
        if is_nfc(&self.0) {
            self.filled(self.0.chars())
        } else {
            self.filled(self.0.nfc())
        }
    }

    pub(crate) fn nfd(&self) -> Self {
        self.filled(self.0.nfd())
    }

    /// Room is made at once: growing would leave copies behind. Neither form is more than three
    /// times as long as the other.
    fn filled(&self, chars: impl Iterator<Item = char>) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() * 3 + 4));
        text.extend(chars);
        Self(text)
    }
}

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase { .. }")
    }
}

/// The cost of the key derivation; within bounds by construction. Parallelism is always 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScryptParams {
    log_n: u8,
    r: u32,
}

/// Why cost parameters are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ScryptParamsError {
    /// The cost is not a power of two, or below 2.
    #[error("the scrypt cost is not a power of two greater than 1")]
    Cost,
    /// The block size is below 1.
    #[error("the scrypt block size is not positive")]
    BlockSize,
    /// Deriving the key would need more than 1 GiB.
    #[error("the scrypt parameters ask for more than 1 GiB of memory")]
    TooMuchMemory,
}

impl ScryptParams {
    /// The most memory a derivation may use, in bytes.
    pub const MAX_MEMORY: u64 = 1 << 30;

    /// What is written by default: N = 32768, r = 8, 32 MiB.
    pub const DEFAULT: Self = Self { log_n: 15, r: 8 };

    /// The parameters N and r.
    ///
    /// # Errors
    /// N is no power of two above 1, r is 0, or `128·N·r` is more than 1 GiB.
    pub fn new(n: u64, r: u32) -> Result<Self, ScryptParamsError> {
        if n < 2 || !n.is_power_of_two() {
            return Err(ScryptParamsError::Cost);
        }
        if r == 0 {
            return Err(ScryptParamsError::BlockSize);
        }
        let memory = n.checked_mul(128).and_then(|m| m.checked_mul(u64::from(r)));
        if memory.is_none_or(|memory| memory > Self::MAX_MEMORY) {
            return Err(ScryptParamsError::TooMuchMemory);
        }
        let log_n = n.trailing_zeros() as u8;
        scrypt::Params::new(log_n, r, 1).map_err(|_| ScryptParamsError::TooMuchMemory)?;
        Ok(Self { log_n, r })
    }

    /// The cost N.
    #[must_use]
    pub fn n(self) -> u64 {
        1 << self.log_n
    }

    /// The block size r.
    #[must_use]
    pub fn r(self) -> u32 {
        self.r
    }

    /// Bytes of memory a derivation needs.
    #[must_use]
    pub fn memory(self) -> u64 {
        128 * self.n() * u64::from(self.r)
    }

    /// `scrypt(passphrase, salt, N, r, 1, 32)`.
    pub(crate) fn derive(self, passphrase: &Passphrase, salt: &[u8]) -> Zeroizing<[u8; 32]> {
        let params = scrypt::Params::new(self.log_n, self.r, 1).expect("checked when made");
        let mut kek = Zeroizing::new([0; 32]);
        scrypt::scrypt(passphrase.as_str().as_bytes(), salt, &params, &mut kek[..])
            .expect("32 bytes are a valid output length");
        kek
    }
}

impl Default for ScryptParams {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// The first 32 of the 64 bytes printed there: the length does not change them.
    fn check_rfc_7914(passphrase: &str, salt: &str, n: u64, r: u32, expect: &str) {
        let params = ScryptParams::new(n, r).unwrap();
        let kek = params.derive(&Passphrase::new(passphrase.into()), salt.as_bytes());
        assert_eq!(HEXLOWER.encode(&kek[..]), expect);
    }

    #[test]
    fn rfc_7914_with_parallelism_1() {
        check_rfc_7914(
            "",
            "",
            16,
            1,
            "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442",
        );
        check_rfc_7914(
            "pleaseletmein",
            "SodiumChloride",
            16384,
            8,
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2",
        );
    }

    #[test]
    #[ignore = "takes 1 GiB of memory"]
    fn rfc_7914_at_the_memory_bound() {
        check_rfc_7914(
            "pleaseletmein",
            "SodiumChloride",
            1 << 20,
            8,
            "2101cb9b6a511aaeaddbbe09cf70f881ec568d574a2ffd4dabe5ee9820adaa47",
        );
    }

    #[test]
    fn cost_is_bounded() {
        use ScryptParamsError::{BlockSize, Cost, TooMuchMemory};
        for (n, r, expect) in [
            (0, 8, Some(Cost)),
            (1, 8, Some(Cost)),
            (1000, 8, Some(Cost)),
            (u64::MAX, 8, Some(Cost)),
            (2, 0, Some(BlockSize)),
            (1 << 20, 8, None),
            (1 << 20, 9, Some(TooMuchMemory)),
            (1 << 21, 8, Some(TooMuchMemory)),
            (1 << 63, 8, Some(TooMuchMemory)),
            (2, u32::MAX, Some(TooMuchMemory)),
            (2, 8, None),
        ] {
            assert_eq!(ScryptParams::new(n, r).err(), expect, "{n} {r}");
        }
        assert_eq!(ScryptParams::DEFAULT, ScryptParams::new(32768, 8).unwrap());
    }

    #[test]
    fn normal_forms() {
        let typed = Passphrase::new("a\u{308} \u{390}".into());
        assert_eq!(typed.nfc().as_str(), "\u{e4} \u{390}");
        assert_eq!(typed.nfd().as_str(), "a\u{308} \u{3b9}\u{308}\u{301}");
        assert_eq!(typed.as_str(), "a\u{308} \u{390}");
    }

    #[test]
    fn a_passphrase_is_not_printed() {
        assert_eq!(
            format!("{:?}", Passphrase::new("secret".into())),
            "Passphrase { .. }"
        );
    }
}
