//! A purchase from the confirmed quote to the goods. Which step is next follows from the stored state alone, so that buying,
//! resuming and recovering are one and the same loop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::codec::Canonical as _;
use protocol::customer::purchase::{Purchase, PurchaseError, PurchaseState};
use protocol::ids::{Digest, TransactionNumber};
use protocol::money::Amount;
use protocol::purchase::{Address, AdviceStatus, LoyaltyId, MerchantErrorCode, OrderData, RefundStatus};
use protocol::quote::{GoodsKind, Quote};
use protocol::response::Reason;

use super::{Quoted, Wallet, default_output};
use crate::clock;
use crate::crash;
use crate::error::CtsError;
use crate::merchant::{MerchantClient, MerchantFault, fetch};
use crate::skew::ClockSkew;
use crate::store::{OutcomeKind, PurchaseRecord};

/// What a purchase is doing, for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Steps 3 and 4 are done: the merchant authenticated the quote.
    Authenticated,
    /// Steps 5 and 6 are done: the TPS decided.
    Decided {
        /// Whether it is paid.
        paid: bool,
    },
    /// Steps 7 and 8 are done: the merchant verified the proof and advised.
    Advised,
    /// Step 10: goods are coming in.
    Goods {
        /// Bytes that are here.
        bytes: u64,
        /// Bytes in all.
        of: u64,
    },
    /// Step 10 is done.
    Received,
    /// A new key was agreed by the TOKEN.
    Renegotiated,
}

/// Hears of the progress of a purchase.
pub type Watch = Arc<dyn Fn(Progress) + Send + Sync>;

/// Choices of a buyer.
#[derive(Clone, Default)]
pub struct BuyOptions {
    /// Refuse to pay more than this.
    pub maximum: Option<Amount>,
    /// Where hard goods go.
    pub address: Option<Address>,
    /// Who the customer wants to be for this merchant, in this purchase alone. Without one the merchant cannot tell this
    /// purchase from anybody's (K-37, K-43).
    pub loyalty_id: Option<LoyaltyId>,
    /// Where digital goods go; `None` for the item's code as a file name.
    pub output: Option<PathBuf>,
    /// Hears of progress.
    pub watch: Option<Watch>,
}

impl std::fmt::Debug for BuyOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BuyOptions(maximum {:?}, output {:?})", self.maximum, self.output)
    }
}

/// What became of a purchase.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The order.
    pub number: TransactionNumber,
    /// What it waits for, or how it ended.
    pub state: PurchaseState,
    /// Why the TPS denied it.
    pub reason: Option<Reason>,
    /// The quote.
    pub quote: Quote,
    /// Where digital goods are.
    pub output: Option<PathBuf>,
    /// Digest of the goods.
    pub digest: Option<Digest>,
    /// How hard goods come.
    pub delivery_text: Option<String>,
    /// Somebody had paid the order before: this payment can be refunded.
    pub surplus: bool,
}

/// What one step needs.
struct Run<'a> {
    wallet: &'a Wallet,
    client: MerchantClient,
    number: TransactionNumber,
    record: PurchaseRecord,
    watch: Option<Watch>,
    /// What the quote suggests of this machine's clock.
    supposed: Option<ClockSkew>,
    renegotiated: bool,
    /// Bytes of an earlier download are of other goods.
    restart: bool,
}

impl Wallet {
    /// Steps 3 to 10: the customer has seen the quote and wants it.
    ///
    /// # Errors
    /// [`CtsError::AboveMaximum`], [`CtsError::Purchase`], [`CtsError::Merchant`]: nothing was paid. [`CtsError::OrderExists`]
    /// for a quote that was confirmed before, whatever became of it.
    /// [`CtsError::Unresolved`], [`CtsError::WrongPin`]: call [`Self::resume`]. [`CtsError::PaidNotDelivered`]: call
    /// [`Self::recover`]. A denial is no error, but a receipt that says [`PurchaseState::Denied`].
    pub async fn buy(&self, quoted: &Quoted, options: BuyOptions) -> Result<Receipt, CtsError> {
        quoted.at_most(options.maximum)?;
        let quote = quoted.quote();
        let output =
            (quote.goods == GoodsKind::Digital).then(|| options.output.unwrap_or_else(|| default_output(quote)));
        if let Some(output) = output.as_ref().filter(|output| output.exists()) {
            return Err(CtsError::OutputExists(output.clone()));
        }
        // What can be known before confirming is found out before confirming.
        self.0.payer.state().await.may_pay()?;
        let client = MerchantClient::new(&quoted.url, self.0.frames.clone())?;
        let mut purchase = Purchase::new(&quoted.offer);
        let now = self.0.payer.clock.now_for(quoted.supposed);
        let order_data = OrderData { address: options.address, loyalty_id: options.loyalty_id };
        purchase.confirm(&quoted.offer, clock::ephemeral(), &order_data, now)?;
        let output = output.map(|output| std::path::absolute(&output).unwrap_or(output));
        let record = PurchaseRecord { url: quoted.url.clone(), output, begun_at: clock::now(), purchase };
        let (number, watch) = (quote.number, options.watch);
        let supposed = quoted.supposed;
        let mut run =
            Run { wallet: self, client, number, record, watch, supposed, renegotiated: false, restart: false };
        if !self.0.directory.begin_purchase(number, &run.record)? {
            return Err(CtsError::OrderExists(number));
        }
        crash::point("after-confirmation-stored");
        run.finish().await
    }

    fn run(&self, number: TransactionNumber, options: &BuyOptions) -> Result<Run<'_>, CtsError> {
        let mut record = self.0.directory.purchase(number)?.ok_or(CtsError::NoSuchOrder(number))?;
        if let Some(output) = &options.output {
            record.output = Some(std::path::absolute(output).unwrap_or_else(|_| output.clone()));
        }
        let client = MerchantClient::new(&record.url, self.0.frames.clone())?;
        Ok(Run {
            wallet: self,
            client,
            number,
            record,
            watch: options.watch.clone(),
            supposed: None,
            renegotiated: false,
            restart: false,
        })
    }

    /// Goes on with a purchase at whatever step it was interrupted. Does nothing for one that has ended.
    ///
    /// # Errors
    /// As [`Self::buy`]; [`CtsError::NoSuchOrder`].
    pub async fn resume(&self, number: TransactionNumber, options: BuyOptions) -> Result<Receipt, CtsError> {
        self.run(number, &options)?.finish().await
    }

    /// As [`Self::resume`], and asks again for goods that were delivered before, under a fresh key (K-90).
    ///
    /// # Errors
    /// As [`Self::resume`].
    pub async fn recover(&self, number: TransactionNumber, options: BuyOptions) -> Result<Receipt, CtsError> {
        let mut run = self.run(number, &options)?;
        if run.record.purchase.state() == PurchaseState::Received {
            run.renegotiate().await.map_err(|error| run.not_delivered(error))?;
        }
        run.finish().await
    }

    /// Asks the merchant for the money back, or how an earlier request stands. The decision is the merchant's (K-96, K-104).
    ///
    /// # Errors
    /// [`CtsError::Merchant`], [`CtsError::Purchase`], [`CtsError::NoSuchOrder`].
    pub async fn ask_refund(&self, number: TransactionNumber) -> Result<RefundStatus, CtsError> {
        let run = self.run(number, &BuyOptions::default())?;
        let purchase = &run.record.purchase;
        let certificate = run.client.certificate().await?;
        let (keys, now) = (self.0.payer.key_sets.current(), self.0.payer.clock.now());
        let certificate = purchase.check_certificate(&certificate, &keys, now)?;
        let (asked, session) = purchase.ask_refund(&certificate, clock::ephemeral())?;
        let answer = run.client.post("renegotiate", &asked.encode()).await?;
        Ok(Purchase::refund_status(&answer, &asked, &session)?)
    }

    /// Takes a proof that somebody else got for an order of ours (K-83), and goes on.
    ///
    /// # Errors
    /// As [`Self::resume`].
    pub async fn present(
        &self,
        number: TransactionNumber,
        proof: &[u8],
        options: BuyOptions,
    ) -> Result<Receipt, CtsError> {
        let mut run = self.run(number, &options)?;
        run.record.purchase.paid_elsewhere(proof)?;
        run.store()?;
        run.finish().await
    }
}

impl Run<'_> {
    fn store(&self) -> Result<(), CtsError> {
        Ok(self.wallet.0.directory.store_purchase(self.number, &self.record)?)
    }

    fn tell(&self, progress: Progress) {
        if let Some(watch) = &self.watch {
            watch(progress);
        }
    }

    fn not_delivered(&self, cause: CtsError) -> CtsError {
        if self.record.purchase.state().is_paid() && !matches!(cause, CtsError::PaidNotDelivered { .. }) {
            CtsError::PaidNotDelivered { number: self.number, cause: Box::new(cause) }
        } else {
            cause
        }
    }

    async fn finish(&mut self) -> Result<Receipt, CtsError> {
        loop {
            let step = match self.record.purchase.state() {
                PurchaseState::AwaitingAuthentication => self.confirm().await,
                PurchaseState::AwaitingPayment => self.begin_payment(),
                PurchaseState::AwaitingOutcome => self.pay().await,
                PurchaseState::AwaitingAdvice => self.present_proof().await,
                PurchaseState::AwaitingGoods => self.fetch().await,
                PurchaseState::OutcomeUnknown => Err(CtsError::OutcomeUnknown),
                PurchaseState::Offered
                | PurchaseState::Declined
                | PurchaseState::Stopped
                | PurchaseState::Denied
                | PurchaseState::Received
                | PurchaseState::Shipped => return self.receipt(),
            };
            step.map_err(|error| self.not_delivered(error))?;
        }
    }

    fn receipt(&self) -> Result<Receipt, CtsError> {
        let purchase = &self.record.purchase;
        let advised = purchase.advised();
        Ok(Receipt {
            number: self.number,
            state: purchase.state(),
            reason: purchase.reason(),
            quote: purchase.quote()?,
            output: self.record.output.clone().filter(|_| purchase.state() == PurchaseState::Received),
            digest: advised.and_then(|advised| advised.goods.as_ref()).map(|goods| goods.digest),
            delivery_text: advised.map(|advised| advised.delivery_text.clone()).filter(|text| !text.is_empty()),
            surplus: advised.is_some_and(|advised| advised.status == AdviceStatus::Surplus),
        })
    }

    /// Steps 3 and 4. Whatever is not the authenticated quote ends the purchase before any payment.
    async fn confirm(&mut self) -> Result<(), CtsError> {
        let message = self.record.purchase.confirmation_bytes().unwrap_or_default().to_vec();
        let answer = self.client.post("confirm", &message).await;
        crash::point("after-confirmation-sent");
        let result = match answer {
            Ok(answer) => self.record.purchase.authenticated(&answer).map_err(CtsError::from),
            Err(fault) if fault.is_transient() => return Err(fault.into()),
            Err(fault) => Err(fault.into()),
        };
        if result.is_err() {
            self.record.purchase.stop()?;
        } else {
            self.tell(Progress::Authenticated);
        }
        self.store()?;
        result
    }

    /// Step 5, first half: what will be asked of the TPS is stored with the purchase.
    fn begin_payment(&mut self) -> Result<(), CtsError> {
        // Without a PIN nothing is begun: somebody else may still pay this order.
        self.wallet.0.payer.pin()?;
        let now = self.wallet.0.payer.clock.now_for(self.supposed);
        match self.record.purchase.begin_payment(clock::modifier_part(), now) {
            Ok(_) => {
                self.store()?;
                crash::point("after-content-stored");
                Ok(())
            }
            Err(error @ PurchaseError::QuoteExpired(_)) => {
                self.record.purchase.stop()?;
                self.store()?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Steps 5 and 6. The payment's own record says whether it was begun, is open or is decided.
    async fn pay(&mut self) -> Result<(), CtsError> {
        let content = *self.record.purchase.content().ok_or(PurchaseError::NotAuthentic)?;
        let outcome = self.wallet.0.payer.pay(&content).await?;
        match outcome.kind {
            OutcomeKind::Decided { resolution, proof } => {
                self.record.purchase.resolved(&resolution, proof.expose())?;
                self.tell(Progress::Decided { paid: resolution.reason == Reason::Paid });
            }
            OutcomeKind::GivenUp => {
                self.record.purchase.dropped(false)?;
                self.record.purchase.stop()?;
            }
            OutcomeKind::Unknown => self.record.purchase.dropped(true)?,
        }
        self.store()
    }

    /// Steps 7 and 8.
    async fn present_proof(&mut self) -> Result<(), CtsError> {
        let proof = self.record.purchase.proof_bytes().unwrap_or_default().to_vec();
        let answer = self.client.post("proof", &proof).await;
        crash::point("after-proof-forwarded");
        match answer {
            Ok(answer) => {
                self.record.purchase.advised_by(&answer)?;
                self.store()?;
                crash::point("after-advice-stored");
                self.tell(Progress::Advised);
                Ok(())
            }
            Err(fault) => self.renegotiate_after(fault).await,
        }
    }

    /// Steps 9 and 10.
    async fn fetch(&mut self) -> Result<(), CtsError> {
        let quote = self.record.purchase.quote()?;
        let output = self.record.output.clone().unwrap_or_else(|| default_output(&quote));
        let watch = self.watch.clone();
        let progress = move |bytes, of| {
            if let Some(watch) = &watch {
                watch(Progress::Goods { bytes, of });
            }
        };
        let restart = std::mem::take(&mut self.restart);
        let fetched = match fetch(&self.client, &self.record.purchase, &output, restart, &progress).await {
            Ok(fetched) => fetched,
            Err(CtsError::Merchant(fault)) => return self.renegotiate_after(fault).await,
            Err(error) => return Err(error),
        };
        let mut received = self.record.purchase.clone();
        if let Err(error) = received.received(fetched.digest) {
            fetched.discard();
            return Err(error.into());
        }
        self.keep_goods(fetched, &output)?;
        crash::point("after-goods-stored");
        self.record.purchase = received;
        self.record.output = Some(output);
        self.store()?;
        self.tell(Progress::Received);
        Ok(())
    }

    fn keep_goods(&self, fetched: crate::merchant::FetchedGoods, output: &Path) -> Result<(), CtsError> {
        fetched.finish(output)
    }

    /// The keys of the session are gone at the merchant, or its goods are others by now: a fresh key by the TOKEN, once.
    async fn renegotiate_after(&mut self, fault: MerchantFault) -> Result<(), CtsError> {
        let helps = matches!(
            fault.code(),
            Some(MerchantErrorCode::Renegotiate | MerchantErrorCode::NotAuthentic | MerchantErrorCode::GoodsChanged)
        );
        if !helps || self.renegotiated {
            return Err(fault.into());
        }
        self.renegotiate().await
    }

    async fn renegotiate(&mut self) -> Result<(), CtsError> {
        self.renegotiated = true;
        let certificate = self.client.certificate().await?;
        let keys = self.wallet.0.payer.key_sets.current();
        let certificate =
            self.record.purchase.check_certificate(&certificate, &keys, self.wallet.0.payer.clock.now())?;
        let message = self.record.purchase.renegotiate(&certificate, clock::ephemeral())?;
        self.store()?;
        crash::point("after-renegotiation-stored");
        let answer = self.client.post("renegotiate", &message).await?;
        let changed = self.record.purchase.acknowledged(&answer)?;
        self.restart = changed;
        self.store()?;
        self.tell(Progress::Renegotiated);
        Ok(())
    }
}
