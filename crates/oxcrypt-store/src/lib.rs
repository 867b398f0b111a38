//! Places for opaque ciphertext objects.
