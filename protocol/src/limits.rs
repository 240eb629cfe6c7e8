//! Every bound of the protocol, with its unit in its name and its reason beside it.

use crate::time::{DAY_MS, MINUTE_MS};

/// Version of every message on the wire.
pub const PROTOCOL_VERSION: u8 = 1;
/// The one cryptographic suite: X25519, Ed25519, BLAKE3, AES-256-GCM and AES-256-GCM-SIV.
pub const SUITE: u8 = 1;
/// Version of the proof format; proofs outlive wire versions.
pub const PROOF_VERSION: u8 = 1;
/// QUIC application protocol of CTS and TPS.
pub const ALPN: &[u8] = b"quittance/1";
/// UDP port of a TPS, unless configured.
pub const TPS_PORT: u16 = 4433;
/// Largest UDP payload that both sides take: what a jumbo frame of 9,000 bytes carries over IPv6. Each side finds out by
/// itself whether the path has room for it; a packet costs about the same whatever its size.
pub const UDP_PAYLOAD_BYTES_MAX: u16 = 8_952;

/// Largest amount of one payment, in smallest units: balances of `i128` then hold any number of them.
pub const AMOUNT_MAX: u64 = 1_000_000_000_000_000;
/// Most decimal places of an asset.
pub const ASSET_EXPONENT_MAX: u8 = 18;

/// Most requests under one signature: the path stays at ten hashes, and a response within one packet.
pub const BATCH_REQUESTS_MAX: usize = 1024;
/// Longest Merkle path in a proof: log2 of [`BATCH_REQUESTS_MAX`].
pub const PROOF_PATH_NODES_MAX: usize = 10;

/// Consecutive failures of the PIN that lock an instrument (K-125).
pub const PIN_FAILURES_MAX: u8 = 5;
/// Fewest decimal digits of a PIN.
pub const PIN_DIGITS_MIN: usize = 4;
/// Most decimal digits of a PIN.
pub const PIN_DIGITS_MAX: usize = 12;
/// Digits of a PIN that the TPS makes, unless configured.
pub const PIN_DIGITS: usize = 6;

/// How long a quote stands, unless the merchant configures otherwise.
pub const QUOTE_LIFETIME_MS: u64 = 10 * MINUTE_MS;
/// How far ahead of the TPS's time `valid-until` may lie: it bounds how long a captured request could matter.
pub const VALID_UNTIL_AHEAD_MAX_MS: u64 = 15 * MINUTE_MS;
/// Longest life of a merchant's session key; then it is destroyed.
pub const MERCHANT_KEY_LIFETIME_MAX_MS: u64 = 90 * DAY_MS;
/// Longest life of a TPS session key, without the overlap of a rotation.
pub const SESSION_KEY_LIFETIME_MAX_MS: u64 = 7 * DAY_MS;

/// Items of one quote: more belongs in several purchases.
pub const QUOTE_ITEMS_MAX: usize = 64;
/// Bytes of an item's code.
pub const ITEM_CODE_BYTES_MAX: usize = 128;
/// Bytes of an item's description.
pub const ITEM_DESCRIPTION_BYTES_MAX: usize = 512;
/// Bytes of a merchant's name.
pub const MERCHANT_NAME_BYTES_MAX: usize = 128;
/// Bytes of an encoded merchant certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 1_024;
/// Bytes of an encoded quote.
pub const QUOTE_BYTES_MAX: usize = 64 * 1_024;
/// Bytes of a shipping address in clear.
pub const ADDRESS_BYTES_MAX: usize = 2_048;
/// Bytes of a loyalty id in clear: any card number or name fits, and its room is sent in every purchase.
pub const LOYALTY_ID_BYTES_MAX: usize = 64;
/// Bytes of the delivery text in a shipping advice.
pub const DELIVERY_TEXT_BYTES_MAX: usize = 1_024;
/// Bytes of one message between CTS and MTS, goods apart.
pub const MERCHANT_MESSAGE_BYTES_MAX: usize = 128 * 1_024;
/// Bytes of goods in clear in one chunk: each is checked before the next is held.
pub const GOODS_CHUNK_BYTES: usize = 64 * 1_024;
/// Bytes of goods of one order.
pub const GOODS_BYTES_MAX: u64 = 64 * 1_024 * 1_024 * 1_024;
/// Keys in one key set.
pub const KEY_SET_KEYS_MAX: usize = 64;
/// Bytes of an encoded key set.
pub const KEY_SET_BYTES_MAX: usize = 16 * 1_024;
/// Merchants in an instrument's list of permitted merchants.
pub const PERMITTED_MERCHANTS_MAX: usize = 64;

/// Entries of one batch for the desk: more belongs in several batches.
pub const DESK_BATCH_ENTRIES_MAX: usize = 4_096;
/// Bytes of an encoded batch for the desk: the most entries fit, and a certificate request.
pub const DESK_BATCH_BYTES_MAX: usize = 256 * 1_024;
/// Bytes of an encoded answer of the desk: the longest settlement report fits, and the totals of every refund.
pub const DESK_ANSWER_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Bytes of a settlement report: every asset of a registry, and the most pages.
pub const SETTLEMENT_REPORT_BYTES_MAX: usize = 256 + 64 * 128 + 32 * SETTLEMENT_PAGES_MAX;
/// Bytes of a page of a settlement report: the most lines.
pub const SETTLEMENT_PAGE_BYTES_MAX: usize = 128 + 128 * SETTLEMENT_PAGE_LINES_MAX;
/// Settlement cycles listed in an answer of the desk.
pub const SETTLEMENT_CYCLES_MAX: usize = 4_096;

/// Bytes of one message in a frame between CTS and TPS: a response with the longest path stays below it.
pub const FRAME_MESSAGE_BYTES_MAX: usize = 2_048;

/// Payments and refunds on one page of a settlement report.
pub const SETTLEMENT_PAGE_LINES_MAX: usize = 10_000;
/// Pages of one settlement report.
pub const SETTLEMENT_PAGES_MAX: usize = 65_536;
