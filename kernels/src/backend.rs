//! Which instructions are used, and how that is decided.

use std::sync::OnceLock;

use crate::self_test;

/// A way to calculate that this processor is capable of. All backends give the same results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend(Kind);

/// A value exists only where the processor has the instructions: this is what the `unsafe` calls rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    #[cfg(target_arch = "x86_64")]
    Ifma,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
    #[cfg(any(test, feature = "emulation"))]
    EmulatedIfma,
    #[cfg(any(test, feature = "emulation"))]
    EmulatedAvx2,
}

/// The names of backends, as [`Backend::forced`] takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// Eight lanes with AVX-512 IFMA.
    Ifma,
    /// Four lanes with AVX2 and fused multiplication.
    Avx2,
    /// One after the other, with `aws-lc-rs`, `curve25519-dalek` and `sha2`.
    Portable,
    /// The arithmetic of [`Name::Ifma`] without its instructions, checked and slow: for tests.
    #[cfg(any(test, feature = "emulation"))]
    EmulatedIfma,
    /// The arithmetic of [`Name::Avx2`] without its instructions, checked and slow: for tests.
    #[cfg(any(test, feature = "emulation"))]
    EmulatedAvx2,
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Ifma => "AVX-512 IFMA, 8 lanes",
            Self::Avx2 => "AVX2 and FMA, 4 lanes",
            Self::Portable => "portable, 1 lane",
            #[cfg(any(test, feature = "emulation"))]
            Self::EmulatedIfma => "AVX-512 IFMA, emulated",
            #[cfg(any(test, feature = "emulation"))]
            Self::EmulatedAvx2 => "AVX2 and FMA, emulated",
        })
    }
}

/// Why a backend was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The processor lacks instructions, or the operating system does not enable them.
    NotSupported,
    /// A calculation came out differently from the portable one; this names it. The processor or the build is faulty.
    Wrong(&'static str),
}

impl core::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotSupported => f.write_str("not supported by this processor"),
            Self::Wrong(what) => write!(f, "FAILED its self-test in {what}"),
        }
    }
}

/// The backend that was chosen, and what spoke against faster ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What to use.
    pub backend: Backend,
    /// Faster backends and why each was passed over, the fastest first. For the log: an [`Obstacle::Wrong`] among them
    /// wants attention.
    pub passed_over: Vec<(Name, Obstacle)>,
}

impl Choice {
    fn make() -> Self {
        let mut passed_over = Vec::new();
        for name in [Name::Ifma, Name::Avx2] {
            let obstacle = match Backend::forced(name) {
                None => Obstacle::NotSupported,
                // Results that make no sense at all may end in a panic.
                Some(backend) => match std::panic::catch_unwind(|| self_test::run(backend)) {
                    Ok(Ok(())) => return Self { backend, passed_over },
                    Ok(Err(what)) => Obstacle::Wrong(what),
                    Err(_) => Obstacle::Wrong("a calculation that broke off"),
                },
            };
            passed_over.push((name, obstacle));
        }
        Self { backend: Backend::PORTABLE, passed_over }
    }
}

impl Backend {
    /// Works on every processor.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// The fastest backend that this processor has and that passes a self-test. Decided by the first call, which takes
    /// some milliseconds, for the life of the process.
    pub fn best() -> Self {
        Self::choice().backend
    }

    /// What [`Backend::best`] returns, with the reasons.
    pub fn choice() -> &'static Choice {
        static CHOICE: OnceLock<Choice> = OnceLock::new();
        CHOICE.get_or_init(Choice::make)
    }

    /// A certain backend without self-test, for tests and benches. `None` where the processor lacks instructions.
    pub fn forced(name: Name) -> Option<Self> {
        match name {
            #[cfg(target_arch = "x86_64")]
            Name::Ifma => {
                let supported = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512ifma")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw");
                supported.then_some(Self(Kind::Ifma))
            }
            #[cfg(target_arch = "x86_64")]
            Name::Avx2 => {
                let supported = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
                supported.then_some(Self(Kind::Avx2))
            }
            #[cfg(not(target_arch = "x86_64"))]
            Name::Ifma | Name::Avx2 => None,
            Name::Portable => Some(Self::PORTABLE),
            #[cfg(any(test, feature = "emulation"))]
            Name::EmulatedIfma => Some(Self(Kind::EmulatedIfma)),
            #[cfg(any(test, feature = "emulation"))]
            Name::EmulatedAvx2 => Some(Self(Kind::EmulatedAvx2)),
        }
    }

    /// All backends this processor can run, the fastest first; emulated ones last, where they are compiled in.
    pub fn available() -> Vec<Self> {
        let names = [
            Name::Ifma,
            Name::Avx2,
            Name::Portable,
            #[cfg(any(test, feature = "emulation"))]
            Name::EmulatedIfma,
            #[cfg(any(test, feature = "emulation"))]
            Name::EmulatedAvx2,
        ];
        names.into_iter().filter_map(Self::forced).collect()
    }

    /// Its name.
    pub fn name(self) -> Name {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma => Name::Ifma,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Name::Avx2,
            Kind::Portable => Name::Portable,
            #[cfg(any(test, feature = "emulation"))]
            Kind::EmulatedIfma => Name::EmulatedIfma,
            #[cfg(any(test, feature = "emulation"))]
            Kind::EmulatedAvx2 => Name::EmulatedAvx2,
        }
    }

    /// How many inputs are worked on at once.
    pub fn lanes(self) -> usize {
        on_lanes!(self.kind(), lanes(), else 1)
    }

    pub(crate) fn kind(self) -> Kind {
        self.0
    }
}

/// Calls a function of the shared curve code in the backend of a [`Kind`], or evaluates what follows `else` for the
/// portable one.
macro_rules! on_lanes {
    ($kind:expr, $($path:ident)::+ ($($argument:expr),*), else $portable:expr) => {
        match $kind {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the variant exists only where the processor has the instructions, see `Kind`.
            $crate::backend::Kind::Ifma => unsafe { $crate::ifma::curve::$($path)::+($($argument),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            $crate::backend::Kind::Avx2 => unsafe { $crate::avx2::curve::$($path)::+($($argument),*) },
            #[cfg(any(test, feature = "emulation"))]
            $crate::backend::Kind::EmulatedIfma => $crate::emulated::ifma::curve::$($path)::+($($argument),*),
            #[cfg(any(test, feature = "emulation"))]
            $crate::backend::Kind::EmulatedAvx2 => $crate::emulated::avx2::curve::$($path)::+($($argument),*),
            $crate::backend::Kind::Portable => $portable,
        }
    };
}
pub(crate) use on_lanes;
