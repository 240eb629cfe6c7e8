//! Orders of the operator and of the second channel. They pass through the same writer as payments, so that nothing
//! ever happens between the lines of a payment.

use protocol::enrolment::ActivationCode;
use protocol::hash::{Purpose, tagged};
use protocol::ids::{AccountId, Digest, InstrumentId, MerchantId};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Limits};
use protocol::ledger::posting::{Party, Posting, transfer};
use protocol::money::{Amount, Asset};
use protocol::pin::Pin;
use protocol::session::AgreementPublic;
use protocol::time::Timestamp;
use subtle::ConstantTimeEq;

use super::Book;
use crate::store::StoreError;
use crate::store::records::{ActivationState, EnrolmentRecord, JournalRecord, MerchantRecord, MerchantStatus};

/// Something to do that is not a payment. Random parts are drawn by whoever gives the order.
pub enum Order {
    /// Opens an empty account.
    OpenAccount {
        /// Random.
        id: AccountId,
        /// What it holds.
        asset: Asset,
        /// What the funding agency calls it; means nothing here (K-04).
        reference: String,
    },
    /// Money came in for an account.
    Fund {
        /// Whose.
        account: AccountId,
        /// How much.
        amount: Amount,
        /// Name of the deposit; the same is applied once.
        deposit: Option<String>,
    },
    /// Stops or releases an account.
    HoldAccount {
        /// Which.
        account: AccountId,
        /// Stop, or release.
        held: bool,
    },
    /// Enrols an instrument that waits for its activation.
    Enrol {
        /// Random, but for the shard of its account.
        id: InstrumentId,
        /// The account it pays from.
        account: AccountId,
        /// The operator's label.
        label: String,
        /// What it may pay.
        limits: Limits,
        /// Hash of the one-time code in the bundle.
        code_hash: Digest,
        /// End of the bundle's validity.
        expires_at: Timestamp,
    },
    /// Activates an instrument with keys of the CTS's own making, whose possession was proved.
    Activate {
        /// Which.
        id: InstrumentId,
        /// The code presented.
        code: ActivationCode,
        /// Ed25519 public key, checked for enrolment.
        signing_public: [u8; 32],
        /// Device key.
        device_key: [u8; 32],
    },
    /// Replaces what an instrument may pay.
    SetLimits {
        /// Which.
        id: InstrumentId,
        /// What it may pay.
        limits: Limits,
    },
    /// Stops or releases an instrument.
    HoldInstrument {
        /// Which.
        id: InstrumentId,
        /// Stop, or release.
        held: bool,
    },
    /// Ends an instrument for ever.
    Revoke {
        /// Which.
        id: InstrumentId,
    },
    /// Sets a new random PIN and resets the modifier.
    SetPin {
        /// Which.
        id: InstrumentId,
        /// Random (K-114).
        pin: Pin,
    },
    /// Registers a merchant, to be reviewed.
    RegisterMerchant {
        /// Random.
        id: MerchantId,
        /// The company's name.
        name: String,
        /// The request for a certificate, as received.
        request: Vec<u8>,
        /// Its session key: unique among merchants.
        session_public: AgreementPublic,
    },
    /// Puts a merchant's request for its next certificate in place of the last one; its standing stays.
    RenewMerchant {
        /// Which.
        id: MerchantId,
        /// The new request, as received.
        request: Vec<u8>,
        /// Its session key: unique among merchants.
        session_public: AgreementPublic,
    },
    /// Puts the operator's review on record, with the certificate issued for it.
    CertifyMerchant {
        /// Which.
        id: MerchantId,
        /// Canonical bytes of the certificate.
        certificate: Vec<u8>,
    },
    /// Suspends a merchant.
    SuspendMerchant {
        /// Which.
        id: MerchantId,
    },
}

/// Why an order was not carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// No such account.
    #[error("there is no account {0}: see `tps account list`")]
    NoAccount(AccountId),
    /// No such instrument.
    #[error("there is no instrument {0}: see `tps instrument list`")]
    NoInstrument(InstrumentId),
    /// No such merchant.
    #[error("there is no merchant {0}: see `tps merchant list`")]
    NoMerchant(MerchantId),
    /// The instrument was revoked.
    #[error("instrument {0} was revoked: enrol a new one")]
    Revoked(InstrumentId),
    /// The instrument was not activated yet.
    #[error("instrument {0} is not activated yet: run `cts init` with its bundle first")]
    NotActive(InstrumentId),
    /// Another merchant has this key.
    #[error("merchant {0} already has this session key: make a new one with `mts init`")]
    KeyTaken(MerchantId),
    /// Limits out of bounds.
    #[error("limits must have a period of at least 1 ms and at most 64 permitted merchants")]
    BadLimits,
    /// The money would leave its range.
    #[error("the balance would leave the range of money")]
    Overflow,
    /// The code is wrong, was used with other keys, or is expired; which one is not told.
    #[error("the activation is refused")]
    ActivationRefused,
    /// The id drawn at random is taken.
    #[error("the random id is taken: try again")]
    IdTaken,
    /// The store cannot be read.
    #[error("{0}")]
    Store(String),
    /// The server is about to stop.
    #[error("the server is about to stop: try again when it runs")]
    Stopping,
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// What an order did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It changed something.
    Applied,
    /// It had been applied before; nothing changed.
    AlreadyApplied,
}

/// The idempotency key of a deposit with this name.
pub fn deposit_key(name: &str) -> Digest {
    Digest(tagged(Purpose::DEPOSIT, name.as_bytes()))
}

impl Book {
    /// Carries out an order.
    ///
    /// # Errors
    /// [`OrderError`], with nothing changed.
    pub fn order(&mut self, order: &Order, now: Timestamp) -> Result<Done, OrderError> {
        match order {
            Order::OpenAccount { id, asset, reference } => {
                if self.accounts.slot(*id).is_some() {
                    return Err(OrderError::IdTaken);
                }
                self.accounts.insert(&Account::new(*id, *asset));
                self.changed.references.push((*id, reference.clone()));
                Ok(self.note(now, format!("opened account {id} in {asset}"), Vec::new(), None))
            }
            Order::Fund { account, amount, deposit } => self.fund(*account, *amount, deposit.as_deref(), now),
            Order::HoldAccount { account, held } => {
                let slot = self.accounts.slot(*account).ok_or(OrderError::NoAccount(*account))?;
                if self.accounts.at(slot).held == *held {
                    return Ok(Done::AlreadyApplied);
                }
                self.accounts.set_held(slot, *held);
                let what = format!("{} account {account}", if *held { "held" } else { "released" });
                Ok(self.note(now, what, Vec::new(), None))
            }
            Order::Enrol { id, account, label, limits, code_hash, expires_at } => {
                let slot = self.accounts.slot(*account).ok_or(OrderError::NoAccount(*account))?;
                if self.instruments.slot(*id).is_some() {
                    return Err(OrderError::IdTaken);
                }
                if !limits.is_valid() {
                    return Err(OrderError::BadLimits);
                }
                let record = EnrolmentRecord {
                    id: *id,
                    account: *account,
                    label: label.clone(),
                    activation: ActivationState::Waiting { code_hash: *code_hash, expires_at: *expires_at },
                    held: false,
                    revoked: false,
                    limits: limits.clone(),
                    enrolled_at: now,
                };
                self.instruments.insert(record, slot, &InstrumentState::new());
                Ok(self.note(now, format!("enrolled instrument {id} of account {account}"), Vec::new(), None))
            }
            Order::Activate { id, code, signing_public, device_key } => {
                self.activate(*id, code, signing_public, device_key, now)
            }
            Order::SetLimits { id, limits } => {
                if !limits.is_valid() {
                    return Err(OrderError::BadLimits);
                }
                self.change_instrument(*id, now, "limited", |record| {
                    record.limits = limits.clone();
                })
            }
            Order::HoldInstrument { id, held } => {
                let what = if *held { "held" } else { "released" };
                self.change_instrument(*id, now, what, |record| record.held = *held)
            }
            Order::Revoke { id } => self.change_instrument(*id, now, "revoked", |record| record.revoked = true),
            Order::SetPin { id, pin } => {
                let instrument = self.instrument(*id).ok_or(OrderError::NoInstrument(*id))?;
                if instrument.revoked {
                    return Err(OrderError::Revoked(*id));
                }
                let slot = self.instruments.slot(*id).ok_or(OrderError::NoInstrument(*id))?;
                let mut state = instrument.state;
                state.set_pin(pin);
                self.instruments.set_state(slot, &state);
                Ok(self.note(now, format!("set a new PIN for instrument {id}"), Vec::new(), None))
            }
            Order::RegisterMerchant { id, name, request, session_public } => {
                self.check_key_is_new(session_public)?;
                if self.merchants.contains_key(id) {
                    return Err(OrderError::IdTaken);
                }
                self.insert_merchant(MerchantRecord {
                    id: *id,
                    name: name.clone(),
                    request: request.clone(),
                    session_public: *session_public,
                    status: MerchantStatus::PendingReview,
                    certificate: Vec::new(),
                });
                self.changed.merchants.insert(*id);
                Ok(self.note(now, format!("registered merchant {id}, pending review"), Vec::new(), None))
            }
            Order::RenewMerchant { id, request, session_public } => {
                self.check_key_is_new(session_public)?;
                self.change_merchant(*id, now, "put a new request on record for", |record| {
                    record.request = request.clone();
                    record.session_public = *session_public;
                    record.certificate = Vec::new();
                })
            }
            Order::CertifyMerchant { id, certificate } => self.change_merchant(*id, now, "certified", |record| {
                record.status = MerchantStatus::Certified;
                record.certificate = certificate.clone();
            }),
            Order::SuspendMerchant { id } => {
                self.change_merchant(*id, now, "suspended", |record| record.status = MerchantStatus::Suspended)
            }
        }
    }

    fn fund(
        &mut self,
        account: AccountId,
        amount: Amount,
        deposit: Option<&str>,
        now: Timestamp,
    ) -> Result<Done, OrderError> {
        let asset = self.accounts.get(account).ok_or(OrderError::NoAccount(account))?.asset;
        let order = deposit.map(deposit_key);
        if order.is_some_and(|order| !self.orders.insert(order)) {
            return Ok(Done::AlreadyApplied);
        }
        let postings = transfer(Party::Funding, Party::Customer(account), asset, amount);
        if self.post(&postings).is_err() {
            order.map(|order| self.orders.remove(&order));
            return Err(OrderError::Overflow);
        }
        let what = format!("funded account {account} with {} units of {asset}", amount.units());
        Ok(self.note(now, what, postings.to_vec(), order))
    }

    fn activate(
        &mut self,
        id: InstrumentId,
        presented: &ActivationCode,
        public: &[u8; 32],
        device: &[u8; 32],
        now: Timestamp,
    ) -> Result<Done, OrderError> {
        let slot = self.instruments.slot(id).ok_or(OrderError::ActivationRefused)?;
        let mut record = self.enrolment(id)?.ok_or(OrderError::ActivationRefused)?;
        if record.revoked {
            return Err(OrderError::ActivationRefused);
        }
        match &record.activation {
            ActivationState::Active { code_hash, signing_public, device_key } => {
                let same_device: bool = device_key.ct_eq(device).into();
                let repeated = presented.is_that_of(code_hash) && same_device && signing_public == public;
                if repeated { Ok(Done::AlreadyApplied) } else { Err(OrderError::ActivationRefused) }
            }
            ActivationState::Waiting { code_hash, expires_at } => {
                if now > *expires_at || !presented.is_that_of(code_hash) {
                    return Err(OrderError::ActivationRefused);
                }
                record.activation =
                    ActivationState::Active { code_hash: *code_hash, signing_public: *public, device_key: *device };
                self.instruments.set_enrolment(slot, record);
                Ok(self.note(now, format!("activated instrument {id}"), Vec::new(), None))
            }
        }
    }

    fn change_instrument(
        &mut self,
        id: InstrumentId,
        now: Timestamp,
        what: &str,
        change: impl FnOnce(&mut EnrolmentRecord),
    ) -> Result<Done, OrderError> {
        let slot = self.instruments.slot(id).ok_or(OrderError::NoInstrument(id))?;
        let before = self.enrolment(id)?.ok_or(OrderError::NoInstrument(id))?;
        if before.revoked {
            return Err(OrderError::Revoked(id));
        }
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(Done::AlreadyApplied);
        }
        self.instruments.set_enrolment(slot, after);
        Ok(self.note(now, format!("{what} instrument {id}"), Vec::new(), None))
    }

    fn check_key_is_new(&self, key: &AgreementPublic) -> Result<(), OrderError> {
        match self.merchants.values().find(|record| record.session_public == *key) {
            Some(other) => Err(OrderError::KeyTaken(other.id)),
            None => Ok(()),
        }
    }

    fn change_merchant(
        &mut self,
        id: MerchantId,
        now: Timestamp,
        what: &str,
        change: impl FnOnce(&mut MerchantRecord),
    ) -> Result<Done, OrderError> {
        let record = self.merchants.get_mut(&id).ok_or(OrderError::NoMerchant(id))?;
        let before = record.clone();
        change(record);
        if *record == before {
            return Ok(Done::AlreadyApplied);
        }
        self.changed.merchants.insert(id);
        Ok(self.note(now, format!("{what} merchant {id}"), Vec::new(), None))
    }

    /// Puts an order into the journal.
    pub(super) fn note(
        &mut self,
        time: Timestamp,
        what: String,
        postings: Vec<Posting>,
        order: Option<Digest>,
    ) -> Done {
        self.keep_time(time);
        self.changed.journal.push(JournalRecord { time, what, postings, order });
        Done::Applied
    }
}
