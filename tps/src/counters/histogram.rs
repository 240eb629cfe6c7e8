//! Histograms with fixed bounds. To count a value is two relaxed additions and never waits for anybody.

use super::Counter;

/// Counts of values by ranges.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: Box<[Counter]>,
    sum: Counter,
}

/// A histogram at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Distribution {
    /// Upper bounds of the ranges, rising, each inclusive. What is above the last has a range of its own.
    pub bounds: Vec<u64>,
    /// Values in each range, and above the last bound: one more than there are bounds.
    pub counts: Vec<u64>,
    /// Sum of all values.
    pub sum: u64,
}

impl Histogram {
    /// An empty histogram; `bounds` rise and are inclusive.
    pub fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| Counter::default()).collect(), sum: Counter::default() }
    }

    /// Counts `value` so many `times`.
    pub fn add(&self, value: u64, times: u64) {
        self.counts[self.bounds.partition_point(|bound| *bound < value)].add(times);
        self.sum.add(value.saturating_mul(times));
    }

    /// What was counted so far. Values that are counted meanwhile may be missing from the sum or from the counts.
    pub fn read(&self) -> Distribution {
        let counts = self.counts.iter().map(Counter::get).collect();
        Distribution { bounds: self.bounds.to_vec(), counts, sum: self.sum.get() }
    }
}

impl Distribution {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The mean value; `None` where there is none.
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum as f64 / count as f64)
    }

    /// The value that a `share` of all values (0 to 1) does not exceed, within the precision of the bounds: between two
    /// bounds values are taken to be spread evenly, and above the last bound the answer is that bound. `None` where there
    /// is no value.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = self.count() as f64 * share;
        let (mut below, mut highest) = (0.0, 0.0);
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let upper = self.bounds.get(index).or(self.bounds.last()).map_or(0.0, |bound| *bound as f64);
            let floor =
                index.checked_sub(1).and_then(|before| self.bounds.get(before)).map_or(0.0, |bound| *bound as f64);
            highest = upper;
            let count = *count as f64;
            if below + count >= wanted {
                return Some(floor + (upper - floor) * ((wanted - below) / count).clamp(0.0, 1.0));
            }
            below += count;
        }
        (below > 0.0).then_some(highest)
    }

    /// What came in since an earlier reading; everything, where that was another histogram's or a later one.
    pub fn since(&self, earlier: &Self) -> Self {
        let comparable = earlier.bounds == self.bounds && earlier.counts.len() == self.counts.len();
        let counts: Option<Vec<u64>> =
            self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.checked_sub(*then)).collect();
        match counts {
            Some(counts) if comparable => {
                Self { bounds: self.bounds.clone(), counts, sum: self.sum.saturating_sub(earlier.sum) }
            }
            _ => self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_up_to_their_bound() {
        let histogram = Histogram::new(&[1, 10, 100]);
        for (value, times) in [(0, 1), (1, 1), (2, 3), (10, 1), (11, 1), (101, 2)] {
            histogram.add(value, times);
        }
        let read = histogram.read();
        assert_eq!((read.counts.clone(), read.sum, read.count()), (vec![2, 4, 1, 2], 1 + 6 + 10 + 11 + 202, 9));
        assert_eq!(Histogram::new(&[1]).read().mean(), None);
    }

    #[test]
    fn quantiles_lie_within_their_range() {
        let histogram = Histogram::new(&[100, 200, 400]);
        assert_eq!(histogram.read().quantile(0.5), None);
        histogram.add(150, 100);
        let read = histogram.read();
        assert_eq!(
            (read.quantile(0.0), read.quantile(0.5), read.quantile(1.0)),
            (Some(100.0), Some(150.0), Some(200.0))
        );
        histogram.add(9_999, 100);
        assert_eq!(histogram.read().quantile(0.99), Some(400.0), "above the last bound nothing more is known");
        let later = histogram.read().since(&read);
        assert_eq!((later.count(), later.quantile(0.5)), (100, Some(400.0)));
        assert_eq!(read.since(&histogram.read()), read, "a server that started anew counts from zero");
    }
}
