//! Named points at which a test can end the process as a power failure would. Nothing of it is compiled without the feature
//! `crash-points`.

/// Points in the order in which an instrument and a purchase pass them.
pub const CRASH_POINTS: &[&str] = &[
    "after-keys-stored",
    "after-activation-sent",
    "after-activation-answer",
    "after-payment-state-stored",
    "after-confirmation-stored",
    "after-confirmation-sent",
    "after-content-stored",
    "after-pending-stored",
    "after-attempt-stored",
    "after-request-sent",
    "after-answer-before-store",
    "after-outcome-stored",
    "after-answer-stored",
    "after-proof-forwarded",
    "after-advice-stored",
    "during-goods",
    "after-goods-stored",
    "after-renegotiation-stored",
];

/// Ends the process without any clean-up if the environment variable `CTS_CRASH_AT` names this point.
#[inline]
pub fn point(name: &str) {
    #[cfg(feature = "crash-points")]
    {
        debug_assert!(CRASH_POINTS.contains(&name), "{name} is listed");
        if std::env::var("CTS_CRASH_AT").is_ok_and(|wanted| wanted == name) {
            std::process::abort();
        }
    }
    #[cfg(not(feature = "crash-points"))]
    let _ = name;
}
