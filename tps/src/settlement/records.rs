//! What is durable of settlements.

use borsh::{BorshDeserialize, BorshSerialize};
use protocol::hash::{Purpose, tagged};
use protocol::ids::MerchantId;
use protocol::ledger::instrument::Place;
use protocol::money::Asset;
use protocol::time::Timestamp;

use crate::store::desk::{DeskKind, DeskRecord};

/// A cycle. Its range is fixed when its closing begins, so that a closing that was interrupted goes on with the same payments.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SettlementCycle {
    /// Its number, from 1.
    pub number: u64,
    /// Payments from this time on ...
    pub from: Timestamp,
    /// ... and before this time.
    pub until: Timestamp,
    after_batch: u64,
    after_index: u16,
    last_batch: u64,
    last_index: u16,
    /// Every merchant is settled.
    pub closed: bool,
}

impl SettlementCycle {
    /// A cycle over the log after `after` up to `last`.
    pub fn new(number: u64, (from, until): (Timestamp, Timestamp), after: Place, last: Place) -> Self {
        Self {
            number,
            from,
            until,
            after_batch: after.batch,
            after_index: after.index,
            last_batch: last.batch,
            last_index: last.index,
            closed: false,
        }
    }

    /// The same cycle, with every merchant settled.
    pub fn closed(self) -> Self {
        Self { closed: true, ..self }
    }

    /// The last place of the cycle before.
    pub fn after(&self) -> Place {
        Place { batch: self.after_batch, index: self.after_index }
    }

    /// Its own last place.
    pub fn last(&self) -> Place {
        Place { batch: self.last_batch, index: self.last_index }
    }
}

impl DeskRecord for SettlementCycle {
    const KIND: DeskKind = DeskKind::SettlementCycle;
    type Key = [u8; 8];

    fn key(&self) -> [u8; 8] {
        self.number.to_be_bytes()
    }
}

/// What a merchant was settled in a cycle.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Settlement {
    /// Who.
    pub merchant: MerchantId,
    /// Number of the cycle.
    pub cycle: u64,
    /// Canonical bytes of the signed [`protocol::settlement::SettlementReport`].
    pub report: Vec<u8>,
}

impl Settlement {
    /// The key of a merchant's settlement in a cycle: a merchant's lie together, in their order.
    pub fn key_of(merchant: MerchantId, cycle: u64) -> [u8; 24] {
        let mut key = [0; 24];
        key[..16].copy_from_slice(&merchant.0);
        key[16..].copy_from_slice(&cycle.to_be_bytes());
        key
    }
}

impl DeskRecord for Settlement {
    const KIND: DeskKind = DeskKind::Settlement;
    type Key = [u8; 24];

    fn key(&self) -> [u8; 24] {
        Self::key_of(self.merchant, self.cycle)
    }
}

/// How far a payout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayoutState {
    /// Waits for the funding adapter.
    Pending,
    /// Handed to the funding agency.
    Sent,
    /// Came back; the merchant has its money again.
    Returned,
    /// Came back, and was counted in a later cycle.
    Counted,
}

/// Money on its way out to a merchant.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Payout {
    /// Who.
    pub merchant: MerchantId,
    /// Number of the cycle.
    pub cycle: u64,
    /// Of what.
    pub asset: Asset,
    /// How much, in smallest units.
    pub units: i128,
    /// How far it is.
    pub state: PayoutState,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Payout {
    /// The name that the funding agency knows it by: the same for the same merchant, cycle and asset.
    pub fn id(&self) -> [u8; 16] {
        let mut named = [0; 32];
        named[..16].copy_from_slice(&self.merchant.0);
        named[16..24].copy_from_slice(&self.cycle.to_be_bytes());
        named[24..].copy_from_slice(&self.asset.0);
        let mut id = [0; 16];
        id.copy_from_slice(&tagged(Purpose::PAYOUT, &named)[..16]);
        id
    }
}

impl DeskRecord for Payout {
    const KIND: DeskKind = DeskKind::Payout;
    type Key = [u8; 32];

    /// By cycle, merchant and asset.
    fn key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.cycle.to_be_bytes());
        key[8..24].copy_from_slice(&self.merchant.0);
        key[24..].copy_from_slice(&self.asset.0);
        key
    }
}
