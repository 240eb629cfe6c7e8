//! Where the next request comes from: prepared ones in order, or as the workshop finishes them.

use std::collections::VecDeque;

use crossbeam_channel::Receiver;
use protocol::request::REQUEST_BYTES;

/// A finished request for one place.
pub struct Made {
    /// Its place: that of the instrument's first request.
    pub place: u32,
    /// Its bytes.
    pub bytes: [u8; REQUEST_BYTES],
}

/// Requests to be sent. Each has a place, by which its bytes are found again for a repeat.
pub struct Source {
    bytes: Vec<u8>,
    unsent: u32,
    ready: VecDeque<u32>,
    workshop: Option<Receiver<Vec<Made>>>,
}

impl Source {
    /// Prepared requests alone.
    pub fn prepared(bytes: Vec<u8>) -> Self {
        Self { bytes, unsent: 0, ready: VecDeque::new(), workshop: None }
    }

    /// Prepared requests first, then what the workshop makes.
    pub fn online(bytes: Vec<u8>, workshop: Receiver<Vec<Made>>) -> Self {
        Self { workshop: Some(workshop), ..Self::prepared(bytes) }
    }

    /// Number of places.
    pub fn places(&self) -> usize {
        self.bytes.len() / REQUEST_BYTES
    }

    /// The bytes at a place.
    pub fn request(&self, place: u32) -> &[u8] {
        &self.bytes[place as usize * REQUEST_BYTES..][..REQUEST_BYTES]
    }

    /// The place of the next request; `None` where there is none now.
    pub fn take_next(&mut self) -> Option<u32> {
        if (self.unsent as usize) < self.places() {
            self.unsent += 1;
            return Some(self.unsent - 1);
        }
        if self.ready.is_empty()
            && let Some(workshop) = &self.workshop
        {
            for made in workshop.try_iter().flatten() {
                let at = made.place as usize * REQUEST_BYTES;
                self.bytes[at..at + REQUEST_BYTES].copy_from_slice(&made.bytes);
                self.ready.push_back(made.place);
            }
        }
        self.ready.pop_front()
    }

    /// Whether nothing will ever come any more.
    pub fn is_exhausted(&self) -> bool {
        self.workshop.is_none() && self.unsent as usize == self.places()
    }

    /// Gives the bytes back, and the number of prepared requests that were taken.
    pub fn into_bytes(self) -> (Vec<u8>, u32) {
        (self.bytes, self.unsent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prepared_requests_come_first_and_then_what_is_made() {
        let (out, workshop) = crossbeam_channel::unbounded();
        let mut source = Source::online(vec![1; 2 * REQUEST_BYTES], workshop);
        assert_eq!((source.take_next(), source.take_next(), source.take_next()), (Some(0), Some(1), None));
        out.send(vec![Made { place: 1, bytes: [9; REQUEST_BYTES] }]).unwrap();
        assert_eq!((source.take_next(), source.take_next()), (Some(1), None));
        assert_eq!((source.request(0)[0], source.request(1)[0], source.is_exhausted()), (1, 9, false));
        let mut alone = Source::prepared(vec![0; REQUEST_BYTES]);
        assert!(!alone.is_exhausted());
        assert_eq!((alone.take_next(), alone.take_next(), alone.is_exhausted()), (Some(0), None, true));
    }
}
