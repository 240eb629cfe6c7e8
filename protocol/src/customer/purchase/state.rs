//! What a purchase waits for, and what each event makes of it: one enum, one `match`.

/// What a purchase waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PurchaseState {
    /// The quote is shown: the customer decides.
    Offered,
    /// The customer did not want it.
    Declined,
    /// Confirmed: the merchant must authenticate the quote.
    AwaitingAuthentication,
    /// The merchant refused or did not authenticate; nothing was paid.
    Stopped,
    /// Authenticated: it may be paid.
    AwaitingPayment,
    /// The payment began: the TPS decides, or has decided.
    AwaitingOutcome,
    /// The TPS denied it; nothing was paid.
    Denied,
    /// The payment was dropped in a breach: the second channel knows whether it was paid.
    OutcomeUnknown,
    /// Paid: the proof goes to the merchant.
    AwaitingAdvice,
    /// Advised: the goods can be asked for.
    AwaitingGoods,
    /// Digital goods are here and are those that were advised.
    Received,
    /// Hard goods are on their way.
    Shipped,
}

/// What happens to a purchase.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum PurchaseEvent {
    /// The customer wants it.
    Confirm,
    /// The customer does not.
    Decline,
    /// The merchant authenticated quote and address.
    Authenticated,
    /// The merchant refused, or did not authenticate.
    Stop,
    /// The payment begins.
    BeginPayment,
    /// The payment was given up; the TPS said that it was not made.
    GivenUp,
    /// The payment was dropped, and nobody here knows whether it was made.
    OutcomeUnknown,
    /// The TPS proved it.
    Paid,
    /// The TPS denied it.
    Denied,
    /// Somebody else paid and handed over the proof.
    PaidElsewhere,
    /// An authentic advice for digital goods.
    Advised,
    /// An authentic advice for hard goods.
    AdvisedShipping,
    /// The goods are here.
    Received,
    /// An authentic acknowledgment of a renegotiation.
    Acknowledged,
}

/// Not the time for this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this purchase is {state:?} and takes no {event:?} now")]
pub struct PurchaseRefused {
    /// What it waits for.
    pub state: PurchaseState,
    /// What was asked of it.
    pub event: PurchaseEvent,
}

impl PurchaseState {
    /// All states.
    pub const ALL: [Self; 12] = [
        Self::Offered,
        Self::Declined,
        Self::AwaitingAuthentication,
        Self::Stopped,
        Self::AwaitingPayment,
        Self::AwaitingOutcome,
        Self::Denied,
        Self::OutcomeUnknown,
        Self::AwaitingAdvice,
        Self::AwaitingGoods,
        Self::Received,
        Self::Shipped,
    ];

    /// Whether money moved for certain.
    pub const fn is_paid(self) -> bool {
        matches!(self, Self::AwaitingAdvice | Self::AwaitingGoods | Self::Received | Self::Shipped)
    }

    /// Whether nothing more is to be done.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Declined | Self::Stopped | Self::Denied | Self::Received | Self::Shipped)
    }

    /// What `event` makes of this state.
    ///
    /// # Errors
    /// [`PurchaseRefused`]; nothing changes then.
    pub const fn on(self, event: PurchaseEvent) -> Result<Self, PurchaseRefused> {
        use PurchaseEvent as On;
        Ok(match (self, event) {
            (Self::Offered, On::Decline) => Self::Declined,
            (Self::Offered, On::Confirm) => Self::AwaitingAuthentication,
            (Self::AwaitingAuthentication, On::Authenticated) => Self::AwaitingPayment,
            (Self::Offered | Self::AwaitingAuthentication | Self::AwaitingPayment, On::Stop) => Self::Stopped,
            (Self::AwaitingPayment, On::BeginPayment) => Self::AwaitingOutcome,
            (Self::AwaitingPayment, On::PaidElsewhere) => Self::AwaitingAdvice,
            (Self::AwaitingOutcome, On::GivenUp) => Self::AwaitingPayment,
            (Self::AwaitingOutcome, On::OutcomeUnknown) => Self::OutcomeUnknown,
            (Self::AwaitingOutcome | Self::OutcomeUnknown, On::Paid) => Self::AwaitingAdvice,
            (Self::AwaitingOutcome | Self::OutcomeUnknown, On::Denied) => Self::Denied,
            (Self::AwaitingAdvice, On::Advised) => Self::AwaitingGoods,
            (Self::AwaitingAdvice, On::AdvisedShipping) => Self::Shipped,
            (Self::AwaitingGoods, On::Received) => Self::Received,
            // Coming back with the TOKEN: the goods once more, whatever became of the keys.
            (Self::AwaitingAdvice | Self::AwaitingGoods | Self::Received | Self::Shipped, On::Acknowledged) => {
                Self::AwaitingGoods
            }
            (state, event) => return Err(PurchaseRefused { state, event }),
        })
    }
}
