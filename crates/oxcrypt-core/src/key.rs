//! The vault's master key (§3): 32 bytes for encryption and 32 for authentication.

use oxcrypt_secret::Locked;
use zeroize::Zeroize;

use crate::rng::Rng;

/// `encryption key || MAC key`. In one place, locked in memory, wiped on drop; cannot be cloned or
/// printed.
pub struct MasterKey(Locked<[u8; MasterKey::LEN]>);

impl MasterKey {
    /// Bytes of the raw key.
    pub const LEN: usize = 64;

    /// A new key.
    #[must_use]
    pub fn random(rng: &mut impl Rng) -> Self {
        Self::build(|raw| rng.fill(raw))
    }

    /// The key in raw order: encryption key, then MAC key. The caller wipes `raw`.
    #[must_use]
    pub fn from_raw(raw: &[u8; Self::LEN]) -> Self {
        Self::build(|own| own.copy_from_slice(raw))
    }

    /// The key of its two halves. The caller wipes them.
    #[must_use]
    pub fn from_halves(enc: &[u8; 32], mac: &[u8; 32]) -> Self {
        Self::build(|raw| {
            raw[..32].copy_from_slice(enc);
            raw[32..].copy_from_slice(mac);
        })
    }

    /// Filled in place, so that no copy of the key stays on the stack.
    fn build(fill: impl FnOnce(&mut [u8; Self::LEN])) -> Self {
        Self(Locked::filled(fill))
    }

    /// The raw key: signs the vault configuration, is what the recovery key spells.
    #[must_use]
    pub fn raw(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The encryption half.
    #[must_use]
    pub fn enc(&self) -> &[u8; 32] {
        self.raw()
            .first_chunk()
            .expect("64 bytes have a first half")
    }

    /// The authentication half.
    #[must_use]
    pub fn mac(&self) -> &[u8; 32] {
        self.raw()
            .last_chunk()
            .expect("64 bytes have a second half")
    }

    /// Whether both are the same key, in constant time.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq;
        self.raw()[..].ct_eq(&other.raw()[..]).into()
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey { .. }")
    }
}

/// Fills `out` and wipes it again when `use_it` returns.
pub(crate) fn with_wiped<const N: usize, T>(use_it: impl FnOnce(&mut [u8; N]) -> T) -> T {
    let mut bytes = [0; N];
    let result = use_it(&mut bytes);
    bytes.zeroize();
    result
}
