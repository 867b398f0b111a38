//! The two cipher combinations of the format (§12), and nothing about how they are computed.

use crate::content::layout::Layout;

/// How names and content of a vault are encrypted; the claim `cipherCombo` of its configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum CipherCombo {
    /// AES-SIV names, AES-256-GCM content: the default of current writers.
    SivGcm,
    /// AES-SIV names, AES-256-CTR and HMAC-SHA256 content: formats up to 7 and migrated vaults.
    SivCtrMac,
}

impl CipherCombo {
    /// The spelling in the vault configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SivGcm => "SIV_GCM",
            Self::SivCtrMac => "SIV_CTRMAC",
        }
    }

    /// The combination spelled so in a vault configuration; the spelling is case-sensitive.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "SIV_GCM" => Some(Self::SivGcm),
            "SIV_CTRMAC" => Some(Self::SivCtrMac),
            _ => None,
        }
    }

    /// The sizes and offsets of content files.
    #[must_use]
    pub const fn layout(self) -> Layout {
        Layout::new(self)
    }

    /// Bytes of a header nonce and of a chunk nonce.
    pub(crate) const fn nonce_len(self) -> usize {
        match self {
            Self::SivGcm => 12,
            Self::SivCtrMac => 16,
        }
    }

    /// Bytes of the tag that ends a header and a chunk.
    pub(crate) const fn tag_len(self) -> usize {
        match self {
            Self::SivGcm => 16,
            Self::SivCtrMac => 32,
        }
    }
}

impl std::fmt::Display for CipherCombo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
