//! Tables of multiples of points, in the format of a backend.

use crate::entry::Entry;

/// Multiples kept of each point: 1 to 8.
pub(crate) const MULTIPLES: usize = 8;

/// The multiples of points; the first entry is the identity.
pub(crate) struct PointTable {
    pub(crate) entries: Vec<Entry>,
}

impl PointTable {
    pub(crate) fn identity(&self) -> &Entry {
        &self.entries[0]
    }

    /// `times` the given point, for `times` of at most 8.
    pub(crate) fn multiple(&self, point: usize, times: u8) -> &Entry {
        let position = if times == 0 { 0 } else { point * MULTIPLES + usize::from(times) };
        &self.entries[position]
    }
}
