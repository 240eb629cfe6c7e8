//! Named points at which a test can end the process as a power failure would. Nothing of it is compiled without the feature
//! `crash-points`.

/// Points in the order in which a purchase passes them, then those of the desk.
pub const CRASH_POINTS: &[&str] = &[
    "before-binding",
    "after-binding",
    "after-proof-recorded",
    "before-advice",
    "after-advice",
    "after-rekey",
    "before-last-chunk",
    "desk-batch-stored",
    "desk-answer-received",
    "desk-answer-in-place",
];

/// Ends the process without any clean-up if the environment variable `MTS_CRASH_AT` names this point.
#[inline]
pub fn point(name: &str) {
    #[cfg(feature = "crash-points")]
    {
        debug_assert!(CRASH_POINTS.contains(&name), "{name} is listed");
        if std::env::var("MTS_CRASH_AT").is_ok_and(|wanted| wanted == name) {
            std::process::abort();
        }
    }
    #[cfg(not(feature = "crash-points"))]
    let _ = name;
}
