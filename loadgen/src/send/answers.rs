//! Answers as they came, one after the other: they are looked at after the measurement, or by other threads.

/// One answer among the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Place of the request it answers.
    pub place: u32,
    /// Whether no further answer to this request is expected.
    pub last: bool,
    length: u16,
    offset: u64,
}

/// Answers and where each begins.
#[derive(Default)]
pub struct Answers {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Answers {
    /// Room for so many answers of the usual length, taken from the system now and not while measuring.
    pub fn with_room_for(answers: usize) -> Self {
        // Not zero: pages of zeros would come when they are first written to.
        let mut bytes = vec![1; answers * USUAL_BYTES];
        bytes.clear();
        Self { bytes, entries: Vec::with_capacity(answers) }
    }

    /// Keeps an answer.
    pub fn push(&mut self, place: u32, last: bool, message: &[u8]) {
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(message);
        self.entries.push(Entry { place, last, length: message.len() as u16, offset });
    }

    /// All answers in the order in which they came.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Puts the answers to each request beside each other.
    pub fn sort_by_place(&mut self) {
        self.entries.sort_by_key(|entry| entry.place);
    }

    /// The bytes of an answer.
    pub fn message(&self, entry: &Entry) -> &[u8] {
        let from = entry.offset as usize;
        &self.bytes[from..from + usize::from(entry.length)]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// An answer out of a full batch: its overhead, the head of the proof, and a path of ten hashes.
const USUAL_BYTES: usize = 680;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_again() {
        let mut answers = Answers::with_room_for(2);
        answers.push(7, false, b"first");
        answers.push(3, true, b"");
        answers.push(7, true, b"second");
        answers.sort_by_place();
        let of: Vec<(u32, &[u8])> =
            answers.entries().iter().map(|entry| (entry.place, answers.message(entry))).collect();
        assert_eq!(of, [(3, &b""[..]), (7, b"first"), (7, b"second")]);
    }
}
