//! Four lanes of 64 bits, for every x86-64 processor since 2013 (Intel Haswell, AMD Excavator and Zen).

/// Compiles functions for processors with AVX2 and fused multiplication.
macro_rules! lanes {
    ($($item:item)*) => { $( #[target_feature(enable = "avx2,fma")] #[inline] $item )* };
}

#[path = "../lanes/mod.rs"]
pub(crate) mod curve;
pub(crate) mod field;
#[cfg(test)]
pub(crate) mod limits;
mod products;
pub(crate) mod rounding;
pub(crate) mod vector;
