//! Records for tests, each different from the next and reproducible.

use protocol::ids::{
    AccountId, Digest, InstrumentId, KeyId, MerchantId, PaymentId, QuoteDigest, RealmId, TermsDigest, TransactionNumber,
};
use protocol::ledger::account::Account;
use protocol::ledger::instrument::{InstrumentState, Limits, PeriodLimit, Place};
use protocol::ledger::posting::{Party, transfer};
use protocol::money::{Amount, Asset};
use protocol::pin::{ModifierPart, Pin};
use protocol::proof::BatchHeader;
use protocol::request::PaymentKind;
use protocol::response::Reason;
use protocol::session::AgreementPublic;
use protocol::time::Timestamp;

use crate::store::desk::DeskEntry;
use crate::store::holds::{Holder, Holds};
use crate::store::records::{
    ActivationState, BalanceKey, BatchRecord, Changes, EnrolmentRecord, JournalRecord, MerchantRecord, MerchantStatus,
    PaymentRecord,
};

/// Reproducible bytes.
pub(in crate::store) struct Draw(blake3::OutputReader);

impl Draw {
    /// The bytes of `seed`.
    pub(in crate::store) fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof())
    }

    /// The next bytes.
    pub(in crate::store) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    /// A number below `end`.
    pub(in crate::store) fn below(&mut self, end: u64) -> u64 {
        u64::from_le_bytes(self.bytes()) % end
    }

    /// One of a few ids, so that records meet again.
    fn id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id[0] = self.below(5) as u8;
        id[15] = 7;
        id
    }

    fn amount(&mut self) -> Amount {
        Amount::new(1 + self.below(1_000_000_000_000_000)).unwrap()
    }

    fn asset(&mut self) -> Asset {
        if self.below(4) == 0 { Asset(*b"EURCENT8") } else { Asset::USD6 }
    }

    fn balance(&mut self) -> i128 {
        i128::from(self.below(u64::MAX)) << (self.below(60) as u32)
    }

    fn time(&mut self) -> Timestamp {
        Timestamp(self.below(1 << 45))
    }

    fn text(&mut self) -> String {
        "é$ agent 3 \u{1F4B0}".chars().cycle().skip(self.below(7) as usize).take(self.below(40) as usize).collect()
    }

    /// An account.
    pub(in crate::store) fn account(&mut self) -> Account {
        Account { id: AccountId(self.id()), asset: self.asset(), balance: self.balance(), held: self.below(2) == 1 }
    }

    /// An instrument's state; sometimes unused, sometimes with failures.
    pub(in crate::store) fn instrument(&mut self) -> InstrumentState {
        let mut state = InstrumentState::new();
        if self.below(4) == 0 {
            return state;
        }
        state.set_pin(&Pin::parse("123456").unwrap());
        state.last_count = self.below(u64::MAX - 1);
        let (first, second) = (ModifierPart(self.below(u64::MAX)), ModifierPart(self.below(u64::MAX)));
        state.consume(Digest(self.bytes()), self.place(), first, second);
        for _ in 0..self.below(5) {
            state.record_failure(&Digest(self.bytes()));
        }
        let limit = PeriodLimit { amount: self.amount(), period_ms: 1 + self.below(1 << 30) };
        state.spend(&limit, self.amount(), self.time());
        state
    }

    /// One of a few places.
    pub(in crate::store) fn place(&mut self) -> Place {
        Place { batch: 1 + self.below(6), index: self.below(4) as u16 }
    }

    /// A batch of `size` leaves.
    pub(in crate::store) fn batch(&mut self, size: u16) -> BatchRecord {
        BatchRecord {
            header: BatchHeader::new(RealmId(self.bytes()), KeyId(self.bytes()), self.time(), size, self.bytes()),
            signature: self.bytes(),
            leaves: (0..size).map(|_| self.bytes()).collect(),
        }
    }

    /// A consumed transaction.
    pub(in crate::store) fn payment(&mut self) -> PaymentRecord {
        let reasons: Vec<Reason> = Reason::ALL.into_iter().filter(|reason| reason.consumes_count()).collect();
        PaymentRecord {
            instrument: InstrumentId(self.id()),
            count: self.below(u64::MAX),
            reason: reasons[self.below(reasons.len() as u64) as usize],
            balance: self.balance(),
            customer_part: ModifierPart(self.below(u64::MAX)),
            processor_part: ModifierPart(self.below(u64::MAX)),
            payment: PaymentId(self.bytes()),
            merchant: MerchantId(self.id()),
            number: TransactionNumber(self.bytes()),
            amount: self.amount(),
            asset: self.asset(),
            quote_digest: QuoteDigest(self.bytes()),
            kind: PaymentKind(self.below(3) as u8),
            terms: TermsDigest(self.bytes()),
            opening: self.bytes(),
            other_commitment: self.bytes(),
            valid_until: self.time(),
            session_key: KeyId(self.bytes()),
            route: self.below(1 << 16) as u16,
            ephemeral: AgreementPublic(self.bytes()),
            signature: self.bytes(),
        }
    }

    /// An instrument as enrolled.
    pub(in crate::store) fn enrolment(&mut self) -> EnrolmentRecord {
        let activation = if self.below(2) == 0 {
            ActivationState::Waiting { code_hash: Digest(self.bytes()), expires_at: self.time() }
        } else {
            ActivationState::Active {
                code_hash: Digest(self.bytes()),
                signing_public: self.bytes(),
                device_key: self.bytes(),
            }
        };
        let limits = Limits {
            per_payment: (self.below(2) == 0).then(|| self.amount()),
            per_period: (self.below(2) == 0).then(|| PeriodLimit { amount: self.amount(), period_ms: 86_400_000 }),
            permitted_merchants: (0..self.below(4)).map(|_| MerchantId(self.bytes())).collect(),
            expires_at: (self.below(2) == 0).then(|| self.time()),
        };
        EnrolmentRecord {
            id: InstrumentId(self.id()),
            account: AccountId(self.id()),
            label: self.text(),
            activation,
            holds: if self.below(2) == 1 { Holds::of(Holder::Operator) } else { Holds::NONE },
            revoked: self.below(2) == 1,
            limits,
            enrolled_at: self.time(),
        }
    }

    /// A merchant.
    pub(in crate::store) fn merchant(&mut self) -> MerchantRecord {
        let statuses = [MerchantStatus::PendingReview, MerchantStatus::Certified, MerchantStatus::Suspended];
        MerchantRecord {
            id: MerchantId(self.id()),
            name: self.text(),
            request: self.bytes::<40>()[..self.below(40) as usize].to_vec(),
            session_public: AgreementPublic(self.bytes()),
            status: statuses[self.below(3) as usize],
            certificate: self.bytes::<90>()[..self.below(90) as usize].to_vec(),
        }
    }

    /// Whose balance.
    pub(in crate::store) fn balance_key(&mut self) -> BalanceKey {
        let party = match self.below(3) {
            0 => Party::Merchant(MerchantId(self.id())),
            1 => Party::Fees,
            _ => Party::Funding,
        };
        BalanceKey { party, asset: self.asset(), shard: [0, 1, 255, 256][self.below(4) as usize] }
    }

    /// Something the operator did.
    pub(in crate::store) fn journal(&mut self) -> JournalRecord {
        let postings = transfer(Party::Funding, Party::Customer(AccountId(self.id())), self.asset(), self.amount());
        JournalRecord {
            time: self.time(),
            what: self.text(),
            postings: postings.to_vec(),
            order: (self.below(2) == 0).then(|| Digest(self.bytes())),
        }
    }

    /// A record of a desk, or its removal.
    pub(in crate::store) fn desk(&mut self) -> DeskEntry {
        let mut key = vec![self.below(3) as u8];
        key.extend((0..self.below(3)).map(|_| self.below(3) as u8 * 127));
        DeskEntry { key, value: (self.below(4) > 0).then(|| self.bytes::<20>().to_vec()) }
    }

    /// Changes with up to `most` records of each kind.
    pub(in crate::store) fn changes(&mut self, most: u64) -> Changes {
        let mut count = || 0..self.below(most + 1);
        let counts = [(); 10].map(|()| count());
        let [batches, payments, instruments, enrolments, accounts, references, merchants, balances, journal, desk] =
            counts;
        Changes {
            clock: self.time(),
            batches: batches.map(|_| (1 + self.below(6), self.batch(4))).collect(),
            payments: payments.map(|_| (self.place(), self.payment())).collect(),
            instruments: instruments.map(|_| (InstrumentId(self.id()), self.instrument())).collect(),
            enrolments: enrolments.map(|_| self.enrolment()).collect(),
            accounts: accounts.map(|_| self.account()).collect(),
            references: references.map(|_| (AccountId(self.id()), self.text())).collect(),
            merchants: merchants.map(|_| self.merchant()).collect(),
            balances: balances.map(|_| (self.balance_key(), -self.balance())).collect(),
            journal: journal.map(|_| self.journal()).collect(),
            desk: desk.map(|_| self.desk()).collect(),
            pruned: Vec::new(),
        }
    }

    /// What a batch of `size` payments, all paid, changes: the load of the payment path.
    pub(in crate::store) fn batch_of_payments(&mut self, number: u64, size: u16) -> Changes {
        let mut changes = Changes { clock: Timestamp(number), ..Changes::default() };
        changes.batches.push((number, self.batch(size)));
        for index in 0..size {
            let mut account = self.account();
            account.id = AccountId(self.bytes());
            let id = InstrumentId(self.bytes());
            changes.payments.push((Place { batch: number, index }, self.payment()));
            changes.instruments.push((id, self.instrument()));
            changes.accounts.push(account);
        }
        for shard in 0..8 {
            let party = Party::Merchant(MerchantId([9; 16]));
            changes.balances.push((BalanceKey { party, asset: Asset::USD6, shard }, self.balance()));
        }
        changes
    }
}
