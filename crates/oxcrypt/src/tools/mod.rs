//! Commands around vaults: names for them, settings, kept passphrases, speed, and this machine.

pub(crate) mod doctor;
pub(crate) mod generate;
pub(crate) mod key;
pub(crate) mod ring;
pub(crate) mod settings;
pub(crate) mod speed;
