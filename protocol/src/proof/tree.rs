//! The Merkle tree of a batch: the shape of RFC 9162 section 2.1, with distinct derivations for leaf and node.

use std::sync::LazyLock;

use crate::hash::{Purpose, Tagged};

static NODE: LazyLock<Tagged> = LazyLock::new(|| Tagged::new(Purpose::PROOF_NODE));

pub(super) fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(left);
    bytes[32..].copy_from_slice(right);
    NODE.hash(&bytes)
}

/// All levels of a tree, leaves first. A last node without a sibling moves up unchanged.
#[derive(Clone, Debug)]
pub struct Tree {
    levels: Vec<Vec<[u8; 32]>>,
}

impl Tree {
    /// The tree over `leaves`.
    ///
    /// # Panics
    /// Without leaves: there are no empty batches.
    pub fn new(leaves: Vec<[u8; 32]>) -> Self {
        assert!(!leaves.is_empty(), "a batch has at least one request");
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node(left, right),
                    lone => lone[0],
                })
                .collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The root.
    pub fn root(&self) -> [u8; 32] {
        self.levels[self.levels.len() - 1][0]
    }

    /// The leaves.
    pub fn leaves(&self) -> &[[u8; 32]] {
        &self.levels[0]
    }

    /// Sibling hashes from leaf `index` up.
    pub fn path(&self, index: usize) -> Vec<[u8; 32]> {
        let mut place = index;
        let mut path = Vec::with_capacity(self.levels.len());
        for level in &self.levels[..self.levels.len() - 1] {
            if let Some(sibling) = level.get(place ^ 1) {
                path.push(*sibling);
            }
            place >>= 1;
        }
        path
    }
}

/// Number of hashes in the path of leaf `index` of `size` leaves.
pub fn path_length(index: usize, size: usize) -> usize {
    let (mut place, mut last, mut length) = (index, size.saturating_sub(1), 0);
    while last > 0 {
        if place % 2 == 1 || place < last {
            length += 1;
        }
        place >>= 1;
        last >>= 1;
    }
    length
}

/// The root that `leaf` at `index` of `size` leads to by `path`, whose length must be [`path_length`].
pub fn root_of_path(leaf: [u8; 32], index: usize, size: usize, path: &[[u8; 32]]) -> [u8; 32] {
    let (mut place, mut last, mut hash) = (index, size.saturating_sub(1), leaf);
    let mut siblings = path.iter();
    while last > 0 {
        if place % 2 == 1 {
            hash = siblings.next().map_or(hash, |left| node(left, &hash));
        } else if place < last {
            hash = siblings.next().map_or(hash, |right| node(&hash, right));
        }
        place >>= 1;
        last >>= 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 9162 section 2.1.1, as written there.
    fn root_by_definition(leaves: &[[u8; 32]]) -> [u8; 32] {
        if let [leaf] = leaves {
            return *leaf;
        }
        let mut split = 1;
        while split * 2 < leaves.len() {
            split *= 2;
        }
        node(&root_by_definition(&leaves[..split]), &root_by_definition(&leaves[split..]))
    }

    fn leaves(count: usize) -> Vec<[u8; 32]> {
        (0..count).map(|index| *blake3::hash(&index.to_le_bytes()).as_bytes()).collect()
    }

    #[test]
    fn every_path_of_every_size_leads_to_the_root_of_the_definition() {
        for size in (1..=130).chain([255, 256, 257, 1000, 1023, 1024]) {
            let leaves = leaves(size);
            let tree = Tree::new(leaves.clone());
            assert_eq!(tree.root(), root_by_definition(&leaves), "size {size}");
            for (index, leaf) in leaves.iter().enumerate() {
                let path = tree.path(index);
                assert_eq!(path.len(), path_length(index, size));
                assert_eq!(root_of_path(*leaf, index, size, &path), tree.root(), "{index} of {size}");
                if size > 1 {
                    assert_ne!(root_of_path(*leaf, (index + 1) % size, size, &path), tree.root());
                }
            }
        }
    }

    #[test]
    fn the_longest_path_is_the_documented_one() {
        let longest = (0..1024).map(|index| path_length(index, 1024)).max();
        assert_eq!(longest, Some(crate::limits::PROOF_PATH_NODES_MAX));
    }
}
