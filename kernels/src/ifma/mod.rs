//! Eight lanes of 64 bits with multiplications of 52 bits: AVX-512 IFMA (Intel since Ice Lake, AMD since Zen 4).

/// Compiles functions for processors with AVX-512 IFMA.
macro_rules! lanes {
    ($($item:item)*) => {
        $( #[target_feature(enable = "avx512f,avx512ifma,avx512vl,avx512dq,avx512bw")] #[inline] $item )*
    };
}

#[path = "../lanes/mod.rs"]
pub(crate) mod curve;
pub(crate) mod field;
#[cfg(test)]
pub(crate) mod limits;
pub(crate) mod vector;
