//! Overwriting secrets in vector registers' types, which the crate `zeroize` does not know on all processors.

use core::sync::atomic::{Ordering, compiler_fence};

/// Overwrites values with zeros, also when nobody looks at them afterwards. Copies that the compiler made elsewhere (in
/// registers, or spilled) stay; they are overwritten by the next calculation.
pub(crate) fn erase<T: Copy>(values: &mut [T]) {
    for value in values {
        // SAFETY: `T` is one of this crate's plain types (bytes, vectors and arrays of them), for which zeros are a value.
        unsafe { core::ptr::write_volatile(value, core::mem::zeroed()) };
    }
    compiler_fence(Ordering::SeqCst);
}
