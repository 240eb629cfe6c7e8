//! What several targets need.

use kernels::{Backend, Name};

/// A backend of this processor, or an emulated one, chosen by a byte. Emulations take a thousand times as long, so few
/// inputs go to them.
pub fn backend(choice: u8) -> Backend {
    let emulated = match choice {
        0xfe => Some(Name::EmulatedIfma),
        0xff => Some(Name::EmulatedAvx2),
        _ => None,
    };
    let fastest_first = || {
        let natural = [Name::Ifma, Name::Avx2, Name::Portable];
        let available: Vec<Backend> = natural.into_iter().filter_map(Backend::forced).collect();
        available[usize::from(choice) % available.len()]
    };
    emulated.and_then(Backend::forced).unwrap_or_else(fastest_first)
}

/// How many items an input may have with a backend, so that no input takes long.
pub fn items_max(backend: Backend, ordinarily: usize) -> usize {
    if matches!(backend.name(), Name::EmulatedIfma | Name::EmulatedAvx2) { 2 } else { ordinarily }
}
