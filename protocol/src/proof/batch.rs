//! The TPS's side: one tree and one signature for a batch, both outcomes of every request prepared, none revealed.

use std::sync::LazyLock;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::tree::Tree;
use super::{BatchHeader, Claim, Outcome, Proof, Statement, commitment, leaf};
use crate::codec::Fixed;
use crate::hash::{Derivation, Purpose};
use crate::ids::{KeyId, PaymentId, RealmId};
use crate::limits::BATCH_REQUESTS_MAX;
use crate::pin::ModifierPart;
use crate::signature::{Domain, ProofRole, SigningKey};
use crate::time::Timestamp;

static PLACE_SECRETS: LazyLock<Derivation> = LazyLock::new(|| Derivation::new(Purpose::BATCH_SECRETS));

/// Fresh randomness of one batch, drawn from the operating system after its requests are fixed. Everything secret or
/// random about the batch comes from it; it is overwritten when the batch is done and never leaves memory.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct BatchSeed([u8; 32]);

impl BatchSeed {
    /// A seed out of 32 bytes that nobody else knows.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Payment id, both openings and the TPS's modifier part of one request.
    fn place(&self, position: usize) -> PlaceSecrets {
        let mut bytes = Zeroizing::new([0; 16 + 32 + 32 + 8]);
        PLACE_SECRETS.fill(&[&self.0, &(position as u32).to_le_bytes()], &mut bytes[..]);
        let mut secrets = PlaceSecrets { payment: [0; 16], opening_paid: [0; 32], opening_unpaid: [0; 32], part: 0 };
        secrets.payment.copy_from_slice(&bytes[..16]);
        secrets.opening_paid.copy_from_slice(&bytes[16..48]);
        secrets.opening_unpaid.copy_from_slice(&bytes[48..80]);
        let mut part = [0; 8];
        part.copy_from_slice(&bytes[80..]);
        secrets.part = u64::from_le_bytes(part);
        secrets
    }
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct PlaceSecrets {
    payment: [u8; 16],
    opening_paid: [u8; 32],
    opening_unpaid: [u8; 32],
    part: u64,
}

/// One request of a prepared batch, undecided: it holds the openings of both outcomes. Releasing one uses it up and
/// destroys the other, so that no proof of the opposite can ever be made (K-68).
pub struct PreparedPlace {
    statement: Statement,
    secrets: PlaceSecrets,
    /// Place of the leaf among the sorted leaves.
    index: u16,
}

/// The signed part of a batch, shared by its requests: header, signature and tree. Nothing in it is secret.
pub struct SignedBatch {
    header: BatchHeader,
    signature: [u8; 64],
    tree: Tree,
}

/// The one opening that a decision released, with all that its proof needs beyond the batch's leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Released {
    /// What is stated.
    pub statement: Statement,
    /// What was decided.
    pub outcome: Outcome,
    /// The opening of that outcome.
    pub opening: [u8; 32],
    /// Commitment to the other opening, which stays secret for ever.
    pub other_commitment: [u8; 32],
    /// Place of the leaf among the sorted leaves.
    pub index: u16,
}

/// Prepares and signs a batch of 1 to 1024 claims. The places come in the order of the claims.
///
/// # Panics
/// With no claims or more than [`BATCH_REQUESTS_MAX`]: a mistake of our own code.
pub fn prepare(
    claims: &[Claim],
    realm: RealmId,
    time: Timestamp,
    seed: BatchSeed,
    key: &SigningKey<ProofRole>,
    key_id: KeyId,
) -> (SignedBatch, Vec<PreparedPlace>) {
    assert!((1..=BATCH_REQUESTS_MAX).contains(&claims.len()), "batches are bounded");
    let mut places: Vec<PreparedPlace> = claims
        .iter()
        .enumerate()
        .map(|(position, claim)| {
            let secrets = seed.place(position);
            let statement = Statement::new(claim, realm, PaymentId(secrets.payment), time);
            PreparedPlace { statement, secrets, index: 0 }
        })
        .collect();

    // Sorted by a random name, the position of a leaf tells nothing about the order of arrival.
    let mut order: Vec<u16> = (0..places.len() as u16).collect();
    order.sort_unstable_by_key(|position| places[usize::from(*position)].secrets.payment);
    let mut leaves = Vec::with_capacity(places.len());
    for (index, position) in order.into_iter().enumerate() {
        let place = &mut places[usize::from(position)];
        place.index = index as u16;
        let paid = commitment(Outcome::Paid, &place.secrets.opening_paid);
        let unpaid = commitment(Outcome::NotPaid, &place.secrets.opening_unpaid);
        leaves.push(leaf(&place.statement, &paid, &unpaid));
    }
    let tree = Tree::new(leaves);
    let header = BatchHeader::new(realm, key_id, time, places.len() as u16, tree.root());
    let signature = key.sign(Domain::BATCH_ROOT, &header.encode()).0;
    (SignedBatch { header, signature, tree }, places)
}

impl SignedBatch {
    /// What was signed.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The signature over the header.
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// Leaf hashes, sorted by payment id: what is stored to rebuild paths later.
    pub fn leaves(&self) -> &[[u8; 32]] {
        self.tree.leaves()
    }

    /// The proof or denial of something released from this batch.
    pub fn proof(&self, released: &Released) -> Proof {
        assemble(released, &self.header, &self.signature, self.tree.path(usize::from(released.index)))
    }
}

impl PreparedPlace {
    /// The TPS's modifier part, should the request be authenticated.
    pub fn processor_part(&self) -> ModifierPart {
        ModifierPart(self.secrets.part)
    }

    /// What is stated.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Place of the leaf in the batch.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Decides: gives out the opening of `outcome`; the other one is overwritten here and now.
    pub fn release(self, outcome: Outcome) -> Released {
        let (opening, other_commitment) = match outcome {
            Outcome::Paid => (self.secrets.opening_paid, commitment(Outcome::NotPaid, &self.secrets.opening_unpaid)),
            Outcome::NotPaid => (self.secrets.opening_unpaid, commitment(Outcome::Paid, &self.secrets.opening_paid)),
        };
        Released { statement: self.statement, outcome, opening, other_commitment, index: self.index }
    }
}

/// The proof of something released long ago, from the stored header, signature and leaves of its batch.
pub fn rebuild(released: &Released, header: &BatchHeader, signature: &[u8; 64], leaves: Vec<[u8; 32]>) -> Proof {
    assemble(released, header, signature, Tree::new(leaves).path(usize::from(released.index)))
}

fn assemble(released: &Released, header: &BatchHeader, signature: &[u8; 64], path: Vec<[u8; 32]>) -> Proof {
    Proof {
        statement: released.statement,
        outcome: released.outcome,
        opening: released.opening,
        other_commitment: released.other_commitment,
        index: released.index,
        size: header.size,
        key: header.key,
        signature: *signature,
        path,
    }
}
