//! Test data made from a seed, incompressible and checkable.
//!
//! Every 4 KiB block is a function of (seed, file id, block index, generation), so any block can be
//! checked alone, and two blocks are never equal: a file system that swaps, repeats or loses blocks
//! is caught, and so is one that compresses or deduplicates.

use sha2::{Digest, Sha256};

pub(crate) const BLOCK: usize = 4096;
pub(crate) const MIB: usize = 1 << 20;

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A small deterministic generator for choices (offsets, orders), not for content.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound` (which is far below 2^32 everywhere here, so the bias is negligible).
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

/// The content of one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    seed: u64,
}

impl Content {
    pub(crate) const fn new(seed: u64, file: u64) -> Self {
        Self {
            seed: mix(seed ^ file.wrapping_mul(0xd6e8_feb8_6659_fd93)),
        }
    }

    /// Fills `out` with what the file holds from block `first_block` on.
    pub(crate) fn fill(&self, first_block: u64, generation: u64, out: &mut [u8]) {
        for (index, block) in out.chunks_mut(BLOCK).enumerate() {
            let mut dice = self.block_key(first_block + index as u64, generation);
            for word in block.chunks_mut(8) {
                dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
                word.copy_from_slice(&mix(dice).to_le_bytes()[..word.len()]);
            }
        }
    }

    const fn block_key(&self, block: u64, generation: u64) -> u64 {
        mix(self.seed ^ mix(block).wrapping_add(generation.wrapping_mul(0xa076_1d64_78bd_642f)))
    }

    pub(crate) fn bytes(&self, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        self.fill(0, 0, &mut out);
        out
    }

    /// CRC-32 of one whole block: cheap enough to be checked inside a timed loop (about 0.2 µs).
    pub(crate) fn block_crc(&self, block: u64, generation: u64) -> u32 {
        let mut out = [0; BLOCK];
        self.fill(block, generation, &mut out);
        crc32fast::hash(&out)
    }

    /// SHA-256 of the first `len` bytes.
    pub(crate) fn sha256(&self, len: u64) -> [u8; 32] {
        let mut hasher = Sha256::new();
        let mut buf = vec![0; MIB];
        let mut at = 0;
        while at < len {
            let take = (len - at).min(MIB as u64) as usize;
            self.fill(at / BLOCK as u64, 0, &mut buf[..take]);
            hasher.update(&buf[..take]);
            at += take as u64;
        }
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_differ_by_file_index_and_generation() {
        let a = Content::new(1, 1);
        let mut crcs = vec![a.block_crc(0, 0), a.block_crc(1, 0), a.block_crc(0, 1)];
        crcs.push(Content::new(1, 2).block_crc(0, 0));
        crcs.push(Content::new(2, 1).block_crc(0, 0));
        crcs.sort_unstable();
        crcs.dedup();
        assert_eq!(crcs.len(), 5);
    }

    #[test]
    fn any_block_can_be_made_alone() {
        let content = Content::new(7, 3);
        let whole = content.bytes(3 * BLOCK + 100);
        let mut third = vec![0; 100];
        content.fill(3, 0, &mut third);
        assert_eq!(&whole[3 * BLOCK..], &third[..]);
        assert_eq!(
            content.sha256(whole.len() as u64),
            <[u8; 32]>::from(Sha256::digest(&whole))
        );
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Dice::new(5).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
