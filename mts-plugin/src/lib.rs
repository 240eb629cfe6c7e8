//! Quittance's Merchant Transaction Subsystem (MTS): sell from your own web server, verify payments offline.
//!
//! A merchant implements [`Shop`] (what is sold, where the goods lie), opens a [`Merchant`] over its private directory and
//! mounts [`http::router`] in its existing axum server. During a purchase the MTS talks to nobody but the customer: proofs of
//! payment are verified against pinned keys (paper section 3; K-14, K-81).
//!
//! ```no_run
//! use std::sync::Arc;
//! use mts_plugin::{FolderShop, Home, Merchant, Settings};
//!
//! # async fn serve() -> anyhow::Result<()> {
//! let home = Home::open("merchant".as_ref())?;
//! let shop = FolderShop::open("goods".as_ref())?;
//! let merchant = Arc::new(Merchant::open(home, Arc::new(shop), Settings::default())?);
//! let application = axum::Router::new().nest("/quittance", mts_plugin::http::router(merchant));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, application).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | Where | What |
//! |---|---|
//! | [`merchant`] | the service: bytes in, bytes out, every step of a purchase |
//! | [`store`] | the durable orders (SQLite), shared by any number of web processes |
//! | [`http`] | the service as a tower/axum router |
//! | [`home`] | keys, certificates and the pinned key set on disk |
//! | [`desk`] | refunds, certificates and key sets, in batches with the TPS |
//! | [`reconcile`] | settlement reports against orders, proofs and refunds |
//! | [`shop`] | what is sold |
//! | [`goods_file`] | goods on disk: digested once, read in chunks, checked again while sent |
//! | [`frames`] | messages as text for people |
//! | [`fixtures`] | a realm in memory for a merchant's own tests |

pub mod clock;
pub mod crash;
pub mod desk;
pub mod fixtures;
pub mod frames;
pub mod goods_file;
pub mod home;
pub mod http;
pub mod merchant;
pub mod proofs;
pub mod reconcile;
pub mod shop;
pub mod store;

pub use home::{Home, HomeError};
pub use merchant::{Merchant, MerchantOpenError, Refusal, Settings};
pub use shop::{FolderShop, PaidOrder, Shop, ShopLine};
