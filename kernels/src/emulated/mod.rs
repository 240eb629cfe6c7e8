//! The vectorised backends over plain arrays, for any processor: the same arithmetic on the same limbs, with checks that
//! operands keep the bounds the algorithms rely on. For tests only; about a hundred times slower than instructions.

/// Compiles functions for any processor.
macro_rules! lanes {
    ($($item:item)*) => { $( #[inline] $item )* };
}

pub(crate) mod avx2 {
    //! The backend `avx2`.

    #[path = "../../lanes/mod.rs"]
    pub(crate) mod curve;
    #[path = "../../avx2/field.rs"]
    pub(crate) mod field;
    #[cfg(test)]
    #[path = "../../avx2/limits.rs"]
    pub(crate) mod limits;
    #[path = "../../avx2/products.rs"]
    mod products;
    #[path = "../../avx2/rounding.rs"]
    pub(crate) mod rounding;
    pub(crate) mod vector;
}

pub(crate) mod ifma {
    //! The backend `ifma`.

    #[path = "../../lanes/mod.rs"]
    pub(crate) mod curve;
    #[path = "../../ifma/field.rs"]
    pub(crate) mod field;
    #[cfg(test)]
    #[path = "../../ifma/limits.rs"]
    pub(crate) mod limits;
    pub(crate) mod vector;
}
