//! Steps 9 and 10: the goods are asked for and sent, sealed.

use protocol::codec::Canonical;
use protocol::ids::TransactionNumber;
use protocol::order::OrderEvent;
use protocol::purchase::{MerchantErrorCode, SendGoods};
use protocol::quote::GoodsKind;
use protocol::session::merchant::GoodsKey;

use super::{Merchant, Refusal};
use crate::clock;
use crate::goods_file::{GoodsFileError, SealedGoods};

/// Goods being sent: chunks until `None`, then [`Merchant::delivered`].
#[derive(Debug)]
pub struct GoodsTransfer {
    /// The order.
    pub number: TransactionNumber,
    goods: SealedGoods,
}

impl GoodsTransfer {
    /// All bytes that will be sent.
    pub fn sealed_bytes(&self) -> u64 {
        self.goods.sealed_bytes()
    }
}

impl Merchant {
    /// Judges a send-goods message and opens the goods for sending; nothing is sent before a proof, to a stranger, after a
    /// refund, or of other bytes than those advised (K-86, K-109).
    ///
    /// # Errors
    /// [`MerchantErrorCode::NotPaid`], [`MerchantErrorCode::NotAuthentic`], [`MerchantErrorCode::Renegotiate`],
    /// [`MerchantErrorCode::GoodsChanged`], [`MerchantErrorCode::NotDigital`], [`MerchantErrorCode::NoSuchChunk`] and others.
    pub fn send_goods(&self, message: &[u8]) -> Result<GoodsTransfer, Refusal> {
        let message = SendGoods::decode(message)?;
        let now = clock::now();
        let (key, quote, advised): (GoodsKey, _, _) = self.step(
            message.number,
            now,
            |open| {
                if let Some(keys) = &open.order.keys {
                    message.verify(&keys.send_goods).map_err(|_| MerchantErrorCode::NotAuthentic)?;
                }
                Ok(OrderEvent::SendGoods)
            },
            |open, _| {
                if open.order.quote.goods == GoodsKind::Hard {
                    return Err(MerchantErrorCode::NotDigital.into());
                }
                let keys = open.order.keys.as_ref().ok_or(MerchantErrorCode::Renegotiate)?;
                let advised =
                    open.order.goods_digest.ok_or_else(|| Refusal::internal("an advised order has no digest"))?;
                Ok((keys.goods.clone(), open.order.quote.clone(), advised))
            },
        )?;
        let path = self.shop.goods(&quote).ok_or(MerchantErrorCode::GoodsUnavailable)?;
        let file = self.digests.open(&path)?;
        if file.digest() != advised {
            return Err(GoodsFileError::Changed { path }.into());
        }
        Ok(GoodsTransfer { number: message.number, goods: file.sealed(&key, message.first_chunk)? })
    }

    /// The next bytes of a transfer, or `None` after the last.
    ///
    /// # Errors
    /// [`Refusal`] where the file changed or cannot be read: break the connection off.
    pub fn next_chunk(&self, transfer: &mut GoodsTransfer) -> Result<Option<Vec<u8>>, Refusal> {
        transfer.goods.next_chunk().map_err(|error| {
            self.digests.forget(transfer.goods.path());
            error.into()
        })
    }

    /// Records that a transfer was handed over to the end.
    ///
    /// # Errors
    /// [`Refusal`] where the store fails.
    pub fn delivered(&self, number: TransactionNumber) -> Result<(), Refusal> {
        let now = clock::now();
        self.step(
            number,
            now,
            |_| Ok(OrderEvent::Complete),
            |open, _| {
                open.order.delivered_at.get_or_insert(now);
                Ok(())
            },
        )
    }
}
