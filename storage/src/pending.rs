//! What destinations accepted and the log does not know yet: it learns of it in batches (D11).

use std::collections::{BTreeMap, BTreeSet};

use attestd_core::name::DestinationName;
use attestd_core::record::Accepted;
use jiff::Timestamp;

/// The most ranges of one `accepted` record: at 42 bytes for two full numbers each, half of what a record holds.
const RANGES_MAX: usize = 750;

/// Sequence numbers accepted since the last `accepted` record, for each destination.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Pending(pub BTreeMap<DestinationName, BTreeSet<u64>>);

impl Pending {
    /// Remembers one.
    pub fn add(&mut self, destination: &DestinationName, sequence: u64) {
        self.0.entry(destination.clone()).or_default().insert(sequence);
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&DestinationName, u64)> {
        self.0.iter().flat_map(|(name, numbers)| numbers.iter().map(move |number| (name, *number)))
    }

    /// The next batch for the log, merged to ranges; none when there is nothing to tell.
    pub fn batch(&self, at: Timestamp) -> Option<Accepted> {
        let mut by: BTreeMap<DestinationName, Vec<(u64, u64)>> = BTreeMap::new();
        let mut room = RANGES_MAX;
        for (destination, sequences) in &self.0 {
            let merged = ranges(sequences, room);
            room -= merged.len();
            if !merged.is_empty() {
                by.insert(destination.clone(), merged);
            }
        }
        (!by.is_empty()).then_some(Accepted { at, by })
    }

    /// Forgets what a batch told; says what that was.
    pub fn told(&mut self, accepted: &Accepted) -> Vec<(DestinationName, u64)> {
        let mut told = Vec::new();
        for (destination, ranges) in &accepted.by {
            let Some(sequences) = self.0.get_mut(destination) else { continue };
            for (from, to) in ranges.iter().filter(|(from, to)| from <= to) {
                let range: Vec<u64> = sequences.range(from..=to).copied().collect();
                for sequence in range {
                    sequences.remove(&sequence);
                    told.push((destination.clone(), sequence));
                }
            }
            if sequences.is_empty() {
                self.0.remove(destination);
            }
        }
        told
    }
}

fn ranges(sequences: &BTreeSet<u64>, limit: usize) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &sequence in sequences {
        let full = ranges.len() == limit;
        match ranges.last_mut() {
            Some((_, to)) if sequence == *to + 1 => *to = sequence,
            _ if full => break,
            _ => ranges.push((sequence, sequence)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(sequences: &[u64]) -> Pending {
        let mut pending = Pending::default();
        for sequence in sequences {
            pending.add(&"otlp".parse().expect("a name"), *sequence);
        }
        pending
    }

    #[test]
    fn what_was_accepted_out_of_order_merges_to_ranges() {
        let batch = pending(&[7, 1, 3, 2, 9, 8]).batch(Timestamp::UNIX_EPOCH).expect("a batch");
        assert_eq!(batch.by.values().next(), Some(&vec![(1, 3), (7, 9)]));
        assert_eq!(pending(&[]).batch(Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn batches_are_bounded_and_together_tell_everything() {
        let odd: Vec<u64> = (0..2_000).map(|n| 2 * n + 1).collect();
        let mut pending = pending(&odd);
        let mut told = Vec::new();
        while let Some(batch) = pending.batch(Timestamp::UNIX_EPOCH) {
            assert!(batch.by.values().map(Vec::len).sum::<usize>() <= RANGES_MAX);
            told.extend(pending.told(&batch).into_iter().map(|(_, sequence)| sequence));
        }
        assert_eq!(told, odd);
        assert_eq!(pending, Pending::default());
    }
}
