//! What the ledger keeps: one type per kind of record. Bytes and keys are the business of each store.

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::ids::{
    AccountId, Digest, InstrumentId, KeyId, MerchantId, PaymentId, QuoteDigest, RealmId, TermsDigest, TransactionNumber,
};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Limits, Place};
use protocol::ledger::posting::Posting;
use protocol::money::{Amount, Asset};
use protocol::pin::ModifierPart;
use protocol::proof::batch::Released;
use protocol::proof::{BatchHeader, Claim, Statement};
use protocol::request::{Content, PaymentKind, SignedBytes};
use protocol::response::{Answer, Authenticated, Reason};
use protocol::session::AgreementPublic;
use protocol::signature::Signature;
use protocol::time::Timestamp;

use super::desk::DeskEntry;
use super::holds::Holds;

/// Everything that one commit makes durable, all or nothing.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Changes {
    /// Latest batch time: the clock never goes back behind it, across restarts too.
    pub clock: Timestamp,
    /// Signed batches in which something was consumed, by batch number.
    pub batches: Vec<(u64, BatchRecord)>,
    /// Consumed transactions.
    pub payments: Vec<(Place, PaymentRecord)>,
    /// Final states of the instruments that changed.
    pub instruments: Vec<(InstrumentId, InstrumentState)>,
    /// Instruments as enrolled, when that changed.
    pub enrolments: Vec<EnrolmentRecord>,
    /// Final states of the accounts that changed.
    pub accounts: Vec<Account>,
    /// What the funding agency calls an account, when that changed.
    pub references: Vec<(AccountId, String)>,
    /// Merchants, when they changed.
    pub merchants: Vec<MerchantRecord>,
    /// Final balances of merchants and of the system's own accounts.
    pub balances: Vec<(BalanceKey, i128)>,
    /// What the operator did.
    pub journal: Vec<JournalRecord>,
    /// Records of the desks; of several with one key the last counts.
    pub desk: Vec<DeskEntry>,
    /// What leaves the ledger because the archive has it; removed after everything else was written.
    pub pruned: Vec<Pruned>,
}

/// A record that leaves the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// A consumed transaction.
    Payment(Place),
    /// A signed batch of which no transaction is left.
    Batch(u64),
}

impl Changes {
    /// Whether there is nothing to make durable.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the changes of another shard or of a later batch.
    pub fn append(&mut self, mut later: Self) {
        self.clock = self.clock.max(later.clock);
        self.batches.append(&mut later.batches);
        self.payments.append(&mut later.payments);
        self.instruments.append(&mut later.instruments);
        self.enrolments.append(&mut later.enrolments);
        self.accounts.append(&mut later.accounts);
        self.references.append(&mut later.references);
        self.merchants.append(&mut later.merchants);
        self.balances.append(&mut later.balances);
        self.journal.append(&mut later.journal);
        self.desk.append(&mut later.desk);
        self.pruned.append(&mut later.pruned);
    }
}

/// A signed batch: with it and the payment records every proof of the batch can be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRecord {
    /// What was signed.
    pub header: BatchHeader,
    /// The signature.
    pub signature: [u8; 64],
    /// Leaf hashes, sorted by payment id.
    pub leaves: Vec<[u8; 32]>,
}

/// A consumed transaction: paid, or denied although authenticated.
///
/// Holds exactly one opening. Realm and time stand in the batch, the place in the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct PaymentRecord {
    /// What paid, or would have.
    pub instrument: InstrumentId,
    /// Its count.
    pub count: u64,
    /// Paid, or why not.
    pub reason: Reason,
    /// Balance of the account afterwards.
    pub balance: i128,
    /// The customer's part of the modifier.
    pub customer_part: ModifierPart,
    /// The TPS's part of the modifier.
    pub processor_part: ModifierPart,
    /// Random name of the answer.
    pub payment: PaymentId,
    /// Merchant to be paid.
    pub merchant: MerchantId,
    /// The merchant's number.
    pub number: TransactionNumber,
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub asset: Asset,
    /// Digest of the quote, never the quote (K-50).
    pub quote_digest: QuoteDigest,
    /// Kind of the payment.
    pub kind: PaymentKind,
    /// Terms of the payment.
    pub terms: TermsDigest,
    /// The opening that was released.
    pub opening: [u8; 32],
    /// Commitment to the one that was not.
    pub other_commitment: [u8; 32],
    /// Until when the customer wanted it. With the next four: the exact bytes the customer signed (K-56).
    pub valid_until: Timestamp,
    /// Session key the request was sealed for.
    pub session_key: KeyId,
    /// Route in the request.
    pub route: u16,
    /// The customer's key of the request.
    pub ephemeral: AgreementPublic,
    /// The customer's signature; zero where none was made.
    pub signature: [u8; 64],
}

impl PaymentRecord {
    /// What the released proof is made of.
    pub fn released(&self, index: u16, header: &BatchHeader) -> Released {
        let claim = Claim {
            kind: self.kind,
            terms: self.terms,
            merchant: self.merchant,
            number: self.number,
            amount: self.amount,
            asset: self.asset,
            quote_digest: self.quote_digest,
        };
        Released {
            statement: Statement::new(&claim, header.realm, self.payment, header.batch_time),
            outcome: self.reason.outcome(),
            opening: self.opening,
            other_commitment: self.other_commitment,
            index,
        }
    }

    /// The bytes that the customer signed, in the domain of requests-for-payment (K-56).
    pub fn signed_bytes(&self) -> SignedBytes {
        let content = Content {
            merchant: self.merchant,
            number: self.number,
            amount: self.amount,
            asset: self.asset,
            quote_digest: self.quote_digest,
            valid_until: self.valid_until,
            kind: self.kind,
            terms: self.terms,
            customer_part: self.customer_part,
        };
        protocol::request::signed(
            &content,
            self.count,
            self.instrument,
            (self.session_key, self.route),
            &self.ephemeral,
        )
    }

    /// The customer's signature; `None` where none was made.
    pub fn signature(&self) -> Option<Signature> {
        (self.signature != [0; 64]).then_some(Signature(self.signature))
    }

    /// What the customer is told, now or when asking again.
    pub fn answer(&self, modifier_in_force: bool) -> Answer {
        let told = Authenticated { processor_part: self.processor_part, modifier_in_force, balance: self.balance };
        Answer { reason: self.reason, count: self.count, authenticated: Some(told) }
    }
}

/// An instrument as enrolled: what payments only read.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EnrolmentRecord {
    /// Names the instrument.
    pub id: InstrumentId,
    /// The account it pays from.
    pub account: AccountId,
    /// The operator's label for it: "laptop", "agent 3".
    pub label: String,
    /// Whether it was activated, and with which keys.
    pub activation: ActivationState,
    /// Who stopped it; it pays when nobody holds it.
    pub holds: Holds,
    /// Ended for ever.
    pub revoked: bool,
    /// What it may pay.
    pub limits: Limits,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
}

/// How far the activation of an instrument has come.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ActivationState {
    /// A bundle was written; its one-time code has this hash and expires.
    Waiting {
        /// Hash of the code; the code itself is in the bundle only.
        code_hash: Digest,
        /// End of the bundle's validity.
        expires_at: Timestamp,
    },
    /// Activated with these keys.
    Active {
        /// Hash of the code it was activated with, so that a repeated activation is answered again.
        code_hash: Digest,
        /// The customer's Ed25519 public key.
        signing_public: [u8; 32],
        /// The device key, shared with the CTS.
        device_key: [u8; 32],
    },
}

impl std::fmt::Debug for EnrolmentRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrolmentRecord").field("id", &self.id).field("account", &self.account).finish_non_exhaustive()
    }
}

/// A merchant as registered.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MerchantRecord {
    /// Names the merchant.
    pub id: MerchantId,
    /// The company's name, as reviewed.
    pub name: String,
    /// The merchant's request for a certificate, as received.
    pub request: Vec<u8>,
    /// Session public key in the request: unique among merchants (K-23).
    pub session_public: AgreementPublic,
    /// How it stands.
    pub status: MerchantStatus,
    /// The latest certificate, canonical bytes; empty before the first.
    pub certificate: Vec<u8>,
}

/// How a merchant stands with the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MerchantStatus {
    /// Its documents are not reviewed yet (K-24).
    PendingReview,
    /// Reviewed and certified.
    Certified,
    /// Not to be paid now.
    Suspended,
}

/// Whose balance, apart from customers: those stand in their accounts. Each shard keeps its own, so that no payment
/// crosses shards; sums are made off the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct BalanceKey {
    /// Merchant, fees or funding; never a customer.
    pub party: protocol::ledger::posting::Party,
    /// In what.
    pub asset: Asset,
    /// Which shard.
    pub shard: u16,
}

/// Where in the journal a record stands: number of its commit, and place among the records of that commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JournalPlace {
    /// Number of the commit.
    pub commit: u64,
    /// Place in the commit.
    pub index: u32,
}

/// Something the operator did, with what it moved.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct JournalRecord {
    /// When.
    pub time: Timestamp,
    /// What, in words, without secrets.
    pub what: String,
    /// What it moved; sums to zero per asset.
    pub postings: Vec<Posting>,
    /// Idempotency key of the order, if it came with one: the same key is applied once.
    pub order: Option<Digest>,
}

/// A stored outcome: all that an answer to asking again needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOutcome {
    /// The transaction.
    pub payment: PaymentRecord,
    /// Its batch.
    pub batch: BatchRecord,
}

/// What the server reads at start, but for instruments and accounts: of those there are many.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Registry {
    /// The installation; `None` in a store that was never initialised.
    pub realm: Option<RealmId>,
    /// Latest batch time.
    pub clock: Timestamp,
    /// Number for the next batch.
    pub next_batch: u64,
    /// All merchants.
    pub merchants: Vec<MerchantRecord>,
    /// All balances that are not customers'.
    pub balances: Vec<(BalanceKey, i128)>,
    /// Idempotency keys of the operator's orders.
    pub orders: Vec<Digest>,
}

/// Everything but the history, read into memory: for lists of the operator and for tests.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Snapshot {
    /// The installation; `None` in a store that was never initialised.
    pub realm: Option<RealmId>,
    /// Latest batch time.
    pub clock: Timestamp,
    /// Number for the next batch.
    pub next_batch: u64,
    /// All instruments as enrolled.
    pub enrolments: Vec<EnrolmentRecord>,
    /// States of instruments that have one.
    pub instruments: Vec<(InstrumentId, InstrumentState)>,
    /// All accounts.
    pub accounts: Vec<Account>,
    /// All merchants.
    pub merchants: Vec<MerchantRecord>,
    /// All other balances.
    pub balances: Vec<(BalanceKey, i128)>,
    /// Idempotency keys of the operator's orders.
    pub orders: Vec<Digest>,
}
