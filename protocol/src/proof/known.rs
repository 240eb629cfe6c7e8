//! Nodes near a signed root that earlier proofs of the batch have shown, so that the next one is hashed only up to the
//! first of them.

use super::tree::node;

/// Levels below the root that are kept: 254 nodes, 8 KB.
const LEVELS: usize = 7;

/// The top of a tree whose root was signed. Where a node is known, its sibling, its parent and all above are too.
#[derive(Clone, Debug)]
pub(super) struct KnownNodes {
    /// Levels between the leaves and the root.
    height: usize,
    /// By [`slot`]; the first place is unused.
    nodes: Vec<Option<[u8; 32]>>,
}

/// Where a node is kept, by its distance from the root and its place among the nodes of its level.
fn slot(distance: usize, place: usize) -> usize {
    (1 << distance) + place
}

impl KnownNodes {
    /// Of a tree of `size` leaves, of which only the root is known.
    pub(super) fn new(root: [u8; 32], size: usize) -> Self {
        let height = size.next_power_of_two().trailing_zeros() as usize;
        let mut nodes = vec![None; 2 << LEVELS.min(height)];
        nodes[slot(0, 0)] = Some(root);
        Self { height, nodes }
    }

    /// Whether `leaf` at `index` of `size` leaves leads to the root by `path`: exactly when
    /// [`root_of_path`](super::tree::root_of_path) gives the root. What such a path shows is kept.
    pub(super) fn lead_to_root(&mut self, leaf: [u8; 32], index: usize, size: usize, path: &[[u8; 32]]) -> bool {
        let (mut place, mut last, mut hash, mut distance) = (index, size - 1, leaf, self.height);
        let mut siblings = path.iter();
        let mut shown = [(0, [0; 32]); 2 * LEVELS];
        let mut shown_count = 0;
        let mut show = |slot, hash| {
            shown[shown_count] = (slot, hash);
            shown_count += 1;
        };
        let known = loop {
            let near = distance <= LEVELS;
            if near && let Some(known) = self.nodes[slot(distance, place)] {
                break known;
            }
            if near {
                show(slot(distance, place), hash);
            }
            if (place % 2 == 1 || place < last)
                && let Some(sibling) = siblings.next()
            {
                if near {
                    show(slot(distance, place ^ 1), *sibling);
                }
                hash = if place % 2 == 1 { node(sibling, &hash) } else { node(&hash, sibling) };
            }
            (place, last, distance) = (place >> 1, last >> 1, distance - 1);
        };
        if known != hash {
            return false;
        }
        // Above a known node nothing is hashed: there is one path, and it is known.
        while distance > 0 {
            if (place % 2 == 1 || place < last) && siblings.next() != self.nodes[slot(distance, place ^ 1)].as_ref() {
                return false;
            }
            (place, last, distance) = (place >> 1, last >> 1, distance - 1);
        }
        for (slot, hash) in &shown[..shown_count] {
            self.nodes[*slot] = Some(*hash);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{Tree, root_of_path};
    use super::*;

    fn leaves(count: usize) -> Vec<[u8; 32]> {
        (0..count).map(|index| *blake3::hash(&index.to_le_bytes()).as_bytes()).collect()
    }

    // spec: K-75, K-81
    #[test]
    fn known_nodes_change_no_verdict() {
        for size in (1..=70).chain([127, 128, 129, 255, 256, 300, 1000, 1024]) {
            let leaves = leaves(size);
            let tree = Tree::new(leaves.clone());
            let mut known = KnownNodes::new(tree.root(), size);
            // In an order that jumps about, twice, so that every node is met unknown and known.
            for step in 0..2 * size {
                let index = step * 619 % size;
                let mut check = |index: usize, leaf: [u8; 32], path: &[[u8; 32]]| {
                    let expected = root_of_path(leaf, index, size, path) == tree.root();
                    assert_eq!(known.lead_to_root(leaf, index, size, path), expected, "{index} of {size}");
                    expected
                };
                let path = tree.path(index);
                for altered in (0..path.len()).filter(|altered| (altered + step) % 3 == 0) {
                    let mut other = path.clone();
                    other[altered][step % 32] ^= 1;
                    assert!(!check(index, leaves[index], &other));
                }
                let next = (index + 1) % size;
                if size > 1 {
                    assert!(!check(index, leaves[next], &path));
                    assert!(!check(next, leaves[index], &path));
                }
                assert!(check(index, leaves[index], &path));
            }
        }
    }
}
