//! Wiping of buffers in bulk.

/// Overwrites `bytes` with zeros at the speed of `memset`, also when nobody reads them again:
/// the compiler must assume that the opaque call does. Volatile single stores, the other way to
/// get this, cost more than sealing a chunk.
#[inline]
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}
