//! The merchant's order: what state it is in, and what each event makes of it (paper section 3; K-79 to K-94, K-136).
//!
//! One enum, named by what is awaited; one `match`; a snapshot of every state times every event. Whether a proof is any good
//! is judged first, by [`judge`]; whether keys and tokens match is the caller's comparison, told by the event.

mod judgment;
#[cfg(test)]
mod tests;

pub use judgment::{ProofRefusal, judge, pays};

use crate::purchase::MerchantErrorCode;

macro_rules! listed {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in stores and in output.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// What has that name.
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.text() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.text())
            }
        }
    };
}

listed! {
    /// What an order waits for.
    OrderState {
        /// Quoted; nobody has confirmed it.
        AwaitingConfirmation = "awaiting-confirmation",
        /// The quote lapsed before anybody confirmed it. A payment is still honoured: never silence.
        Lapsed = "lapsed",
        /// Confirmed; no proof was presented.
        AwaitingProof = "awaiting-proof",
        /// Confirmed, not paid, and the keys of the session were destroyed; the TOKEN was not.
        AwaitingLateProof = "awaiting-late-proof",
        /// Paid before anybody confirmed: whoever confirms first is the initiator.
        PaidAwaitingConfirmation = "paid-awaiting-confirmation",
        /// Paid; the advice is not durable yet, for example after a crash.
        AwaitingAdvice = "awaiting-advice",
        /// Advised; the goods were not asked for, or not sent to the end.
        AwaitingSendGoods = "awaiting-send-goods",
        /// Paid; the session's keys were destroyed.
        AwaitingRenegotiation = "awaiting-renegotiation",
        /// Goods were sent to the end or shipped; they can be sent again.
        Delivered = "delivered",
        /// The customer wants the money back; the merchant decides.
        AwaitingRefundDecision = "awaiting-refund-decision",
        /// Refunded: nothing is delivered any more (K-103).
        Refunded = "refunded",
    }
}

listed! {
    /// What happens to an order.
    OrderEvent {
        /// A confirmation, and no key is bound to the order yet.
        Confirm = "confirm",
        /// The confirmation that is bound to the order, once more.
        ConfirmAgain = "confirm-again",
        /// A confirmation other than the one that is bound.
        ConfirmOther = "confirm-other",
        /// The quote's time is over.
        Expire = "expire",
        /// A valid proof, the first for this order.
        Proof = "proof",
        /// A valid proof of the payment that is already recorded.
        ProofAgain = "proof-again",
        /// A valid proof of a further payment.
        FurtherProof = "further-proof",
        /// The advice is ready.
        Advise = "advise",
        /// An authentic send-goods message under the current session.
        SendGoods = "send-goods",
        /// The last chunk was handed over, or the parcel was.
        Complete = "complete",
        /// The session's keys are old.
        KeysExpire = "keys-expire",
        /// A renegotiation for retransmission, with the right TOKEN, not seen before.
        Renegotiate = "renegotiate",
        /// The latest renegotiation for retransmission, once more.
        RenegotiateAgain = "renegotiate-again",
        /// A refund request, with the right TOKEN.
        RequestRefund = "request-refund",
        /// The merchant has put the refund through.
        AcceptRefund = "accept-refund",
        /// The merchant does not refund.
        RefuseRefund = "refuse-refund",
    }
}

listed! {
    /// What the caller does, durably and before it answers.
    Effect {
        /// Nothing to do; the event was foreseen.
        Nothing = "nothing",
        /// Bind the ephemeral key and keep the session, then authenticate the quote.
        Bind = "bind",
        /// Answer the stored authentication of the quote.
        AnswerConfirmation = "answer-confirmation",
        /// Record the payment as that of the order.
        RecordPayment = "record-payment",
        /// Record the payment as surplus, to be refunded; no second delivery (K-82).
        RecordSurplus = "record-surplus",
        /// Store the advice with the digest of the goods.
        StoreAdvice = "store-advice",
        /// Make the advice that a crash prevented, store it, and answer it.
        MakeAdvice = "make-advice",
        /// Answer the stored advice.
        AnswerAdvice = "answer-advice",
        /// Send the goods, sealed under the current session.
        Ship = "ship",
        /// Destroy the keys of the session, but not the TOKEN (K-94).
        DestroyKeys = "destroy-keys",
        /// Keep the new session in place of the old one and acknowledge.
        Rekey = "rekey",
        /// Answer the stored acknowledgment.
        AnswerAcknowledgment = "answer-acknowledgment",
        /// Record the refund request and acknowledge it.
        RecordRefundRequest = "record-refund-request",
        /// Acknowledge a refund request with what became of it.
        AnswerRefundStatus = "answer-refund-status",
        /// Record what the merchant decided.
        RecordDecision = "record-decision",
    }
}

/// What an event makes of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The state to store together with the effect.
    pub next: OrderState,
    /// What to do.
    pub effect: Effect,
}

impl OrderState {
    /// Whether a payment is recorded, or was given back.
    pub const fn is_paid(self) -> bool {
        !matches!(self, Self::AwaitingConfirmation | Self::Lapsed | Self::AwaitingProof | Self::AwaitingLateProof)
    }

    /// What `event` makes of this state.
    ///
    /// # Errors
    /// The code to answer; nothing changes then.
    pub fn on(self, event: OrderEvent) -> Result<Step, MerchantErrorCode> {
        use Effect as Do;
        use MerchantErrorCode as Refuse;
        use OrderEvent as On;
        use OrderState::*;

        let to = |next, effect| Ok(Step { next, effect });
        let stay = |effect| Ok(Step { next: self, effect });
        match (self, event) {
            // Step 3: the first confirming key is bound for ever.
            (AwaitingConfirmation, On::Confirm) => to(AwaitingProof, Do::Bind),
            (PaidAwaitingConfirmation, On::Confirm) => to(AwaitingAdvice, Do::Bind),
            (Lapsed, On::Confirm) => Err(Refuse::QuoteExpired),
            (_, On::Confirm | On::ConfirmOther) => Err(Refuse::BoundToOtherKey),
            (AwaitingConfirmation | Lapsed | PaidAwaitingConfirmation, On::ConfirmAgain) => Err(Refuse::UnknownNumber),
            (_, On::ConfirmAgain) => stay(Do::AnswerConfirmation),
            (AwaitingConfirmation, On::Expire) => to(Lapsed, Do::Nothing),
            (_, On::Expire) => stay(Do::Nothing),

            // Step 7: a good payment is always honoured, whenever it comes and whoever made it.
            (AwaitingConfirmation | Lapsed, On::Proof) => to(PaidAwaitingConfirmation, Do::RecordPayment),
            (AwaitingProof, On::Proof) => to(AwaitingAdvice, Do::RecordPayment),
            (AwaitingLateProof, On::Proof) => to(AwaitingRenegotiation, Do::RecordPayment),
            (AwaitingConfirmation | Lapsed | AwaitingProof | AwaitingLateProof, On::ProofAgain | On::FurtherProof) => {
                Err(Refuse::NotPaid)
            }
            (_, On::Proof | On::FurtherProof) => stay(Do::RecordSurplus),
            (PaidAwaitingConfirmation, On::ProofAgain) => Err(Refuse::NotConfirmed),
            (AwaitingAdvice, On::ProofAgain) => stay(Do::MakeAdvice),
            (AwaitingRenegotiation, On::ProofAgain) => Err(Refuse::Renegotiate),
            (Refunded, On::ProofAgain) => Err(Refuse::Refunded),
            (AwaitingSendGoods | Delivered | AwaitingRefundDecision, On::ProofAgain) => stay(Do::AnswerAdvice),

            // Step 8: the digest is durable before anybody is told.
            (AwaitingAdvice, On::Advise) => to(AwaitingSendGoods, Do::StoreAdvice),
            (AwaitingSendGoods | Delivered | AwaitingRefundDecision, On::Advise) => stay(Do::AnswerAdvice),
            (PaidAwaitingConfirmation, On::Advise) => Err(Refuse::NotConfirmed),
            (AwaitingRenegotiation, On::Advise) => Err(Refuse::Renegotiate),
            (Refunded, On::Advise) => Err(Refuse::Refunded),
            (_, On::Advise) => Err(Refuse::NotPaid),

            // Steps 9 and 10: no goods without a proof, none after a refund (K-86, K-103, K-109).
            (AwaitingSendGoods | Delivered, On::SendGoods) => stay(Do::Ship),
            (AwaitingConfirmation | Lapsed | AwaitingProof | AwaitingLateProof, On::SendGoods) => Err(Refuse::NotPaid),
            (PaidAwaitingConfirmation, On::SendGoods) => Err(Refuse::NotConfirmed),
            (AwaitingAdvice, On::SendGoods) => Err(Refuse::NotPaid),
            (AwaitingRenegotiation, On::SendGoods) => Err(Refuse::Renegotiate),
            (AwaitingRefundDecision | Refunded, On::SendGoods) => Err(Refuse::Refunded),
            (AwaitingSendGoods | Delivered, On::Complete) => to(Delivered, Do::Nothing),
            // A transfer that was under way may end after anything else happened.
            (_, On::Complete) => stay(Do::Nothing),

            // Goods keys end, the TOKEN does not (K-89, K-94).
            (AwaitingProof, On::KeysExpire) => to(AwaitingLateProof, Do::DestroyKeys),
            (AwaitingAdvice | AwaitingSendGoods | Delivered, On::KeysExpire) => {
                to(AwaitingRenegotiation, Do::DestroyKeys)
            }
            (AwaitingRefundDecision | Refunded, On::KeysExpire) => stay(Do::DestroyKeys),
            (_, On::KeysExpire) => stay(Do::Nothing),

            // Coming back with the TOKEN (K-90 to K-93).
            (AwaitingAdvice | AwaitingSendGoods | AwaitingRenegotiation | Delivered, On::Renegotiate) => {
                to(AwaitingSendGoods, Do::Rekey)
            }
            (AwaitingSendGoods | Delivered, On::RenegotiateAgain) => stay(Do::AnswerAcknowledgment),
            (AwaitingAdvice | AwaitingRenegotiation, On::RenegotiateAgain) => Err(Refuse::RenegotiationReplayed),
            (AwaitingRefundDecision | Refunded, On::Renegotiate | On::RenegotiateAgain) => Err(Refuse::Refunded),
            (_, On::Renegotiate | On::RenegotiateAgain) => Err(Refuse::NotPaid),

            // Refunds: the merchant decides, and the customer may ask how (K-96, K-104).
            (AwaitingAdvice | AwaitingSendGoods | AwaitingRenegotiation | Delivered, On::RequestRefund) => {
                to(AwaitingRefundDecision, Do::RecordRefundRequest)
            }
            (AwaitingRefundDecision | Refunded, On::RequestRefund) => stay(Do::AnswerRefundStatus),
            (PaidAwaitingConfirmation, On::RequestRefund) => Err(Refuse::NotConfirmed),
            (_, On::RequestRefund) => Err(Refuse::NotPaid),
            (Refunded, On::AcceptRefund) => stay(Do::Nothing),
            (Refunded, On::RefuseRefund) => Err(Refuse::Refunded),
            // The merchant may also refund what nobody asked for: goods it cannot deliver (K-136), or payments that it knows from a
            // settlement report, whose proofs were never presented.
            (_, On::AcceptRefund) => to(Refunded, Do::RecordDecision),
            (AwaitingRefundDecision, On::RefuseRefund) => to(AwaitingRenegotiation, Do::RecordDecision),
            (_, On::RefuseRefund) => Err(Refuse::NotPaid),
        }
    }
}
