//! Quittance's Customer Transaction Subsystem (CTS): pay from a person's machine or from an agent, in one round trip.
//!
//! ```no_run
//! use cts_client::{BuyOptions, Wallet, WalletSettings};
//! use protocol::pin::Pin;
//!
//! # async fn buy() -> Result<(), Box<dyn std::error::Error>> {
//! let wallet = Wallet::open("cts".as_ref(), WalletSettings::default())?;
//! wallet.enter_pin(Pin::parse("123456")?);
//! let quoted = wallet.quote("https://shop.example/quittance", vec![("song".into(), 1)]).await?;
//! let maximum = Some(wallet.amount("0.05")?);
//! let receipt = wallet.buy(&quoted, BuyOptions { maximum, ..BuyOptions::default() }).await?;
//! println!("{:?}: {:?}", receipt.state, receipt.output);
//! # Ok(())
//! # }
//! ```
//!
//! | Where | What |
//! |---|---|
//! | [`wallet`] | the handle: quotes, purchases, bare payments, PIN and count |
//! | [`enrol`] | from a bundle to an active instrument |
//! | [`transport`] | QUIC to the TPS |
//! | [`merchant`] | HTTP to merchants, without anything that links two purchases |
//! | [`store`] | the customer's directory |
//! | [`frames`] | messages as text for people |
//!
//! The rules are in `protocol::customer`; here is only what touches network, disk, clock and randomness.

pub mod clock;
pub mod crash;
pub mod enrol;
pub mod error;
pub mod frames;
mod key_set;
pub mod merchant;
mod payer;
pub mod skew;
pub mod store;
pub mod transport;
pub mod wallet;

pub use error::CtsError;
pub use payer::Patience;
pub use wallet::{BuyOptions, Progress, Quoted, Receipt, Status, Wallet, WalletSettings};
