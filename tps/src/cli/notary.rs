//! `tps notary`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use protocol::codec::Canonical;
use protocol::ids::Digest;
use protocol::key_set::{Audience, KeySetError, PinnedKeySet, SignedKeySet};
use protocol::notary::{NotaryReceipt, RECEIPT_BYTES};
use serde_json::json;

use super::output::{NewFile, table};
use super::{Context, backend};
use crate::admin::notary::{DIGESTS_MAX, NotaryAnswer, NotaryCommand as Asked, ReceiptView};
use crate::admin::{AdminError, AdminErrorCode, AdminRequest, AdminResponse};
use crate::data_directory::{DataError, read_text};
use crate::pipeline::clock::wall_clock;

/// Longest file of receipts that is verified at once, in bytes: some four hundred thousand receipts as hexadecimal digits.
const RECEIPTS_FILE_BYTES_MAX: u64 = 128 << 20;
/// Longest key set file as hexadecimal digits.
const KEY_SET_FILE_BYTES_MAX: u64 = 2 * protocol::limits::KEY_SET_BYTES_MAX as u64 + 2;

#[derive(Debug, Subcommand)]
pub(super) enum NotaryCommand {
    /// Attest digests now: signed receipts, which anybody verifies offline with a key set
    Attest {
        #[command(flatten)]
        presented: Presented,
        /// Write the receipts into this new file, one directly after the other, instead of printing them
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show or write receipts that were made before
    Receipts {
        /// Number of the first
        first: u64,
        /// How many
        #[arg(long, default_value_t = 1, value_name = "NUMBER")]
        most: usize,
        /// Write them into this new file, one directly after the other, instead of printing them
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Verify receipts, each and as a chain, without asking a server
    Verify {
        /// A file with one receipt or several, in their order
        receipts: PathBuf,
        /// What one of them must attest
        #[command(flatten)]
        presented: PresentedAgain,
        /// The key set of a merchant or customer [default: this TPS's own]
        #[arg(long, value_name = "FILE", requires = "root")]
        key_set: Option<PathBuf>,
        /// The TPS's root key, 64 hexadecimal digits, for --key-set
        #[arg(long, value_name = "HEX", requires = "key_set")]
        root: Option<Digest>,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Presented {
    /// Digests of 64 hexadecimal digits
    digests: Vec<Digest>,
    /// Attest the BLAKE3 hash of this file, as b3sum prints it; may be given several times
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Attest every digest of this text file: one a line
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct PresentedAgain {
    /// This digest
    #[arg(long, value_name = "HEX")]
    digest: Option<Digest>,
    /// The BLAKE3 hash of this file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl NotaryCommand {
    pub(super) fn run(self, context: &Context) -> Result<(), AdminError> {
        match self {
            Self::Attest { presented, out } => {
                let digests = presented.digests()?;
                written(context, out.as_deref(), |call| {
                    let mut receipts = Vec::with_capacity(digests.len());
                    for part in digests.chunks(DIGESTS_MAX) {
                        receipts.extend(asked(call, Asked::Attest { digests: part.to_vec() })?);
                    }
                    Ok(receipts)
                })
            }
            Self::Receipts { first, most, out } => written(context, out.as_deref(), |call| {
                let mut receipts: Vec<ReceiptView> = Vec::new();
                while receipts.len() < most {
                    let first = receipts.last().map_or(first, |last| last.number + 1);
                    let part = (most - receipts.len()).min(DIGESTS_MAX);
                    match asked(call, Asked::Receipts { first, most: part }) {
                        Ok(more) => receipts.extend(more),
                        // The chain ends here.
                        Err(error) if error.code == AdminErrorCode::NotFound && !receipts.is_empty() => break,
                        Err(error) => return Err(error),
                    }
                }
                Ok(receipts)
            }),
            Self::Verify { receipts, presented, key_set, root } => {
                let keys = match key_set.zip(root) {
                    Some((path, root)) => pinned(&path, &root.0)?,
                    None => own_key_set(context)?,
                };
                verify(context, &receipts, &presented, &keys)
            }
        }
    }
}

impl Presented {
    fn digests(&self) -> Result<Vec<Digest>, AdminError> {
        let mut digests = self.digests.clone();
        for path in &self.file {
            digests.push(digest_of(path)?);
        }
        if let Some(path) = &self.list {
            for (number, line) in (1..).zip(read_text(path)?.lines()) {
                let digest = line.trim().parse().map_err(|_| {
                    AdminError::bad_input(format!(
                        "line {number} of {} is no digest of 64 hexadecimal digits; nothing was attested",
                        path.display()
                    ))
                })?;
                digests.push(digest);
            }
        }
        Ok(digests)
    }
}

/// The plain BLAKE3 hash of a file.
fn digest_of(path: &Path) -> Result<Digest, AdminError> {
    let file = std::fs::File::open(path).map_err(DataError::system("read", path))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(DataError::system("read", path))?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

type Call<'a> = &'a mut dyn FnMut(AdminRequest) -> Result<AdminResponse, AdminError>;

fn asked(call: Call<'_>, command: Asked) -> Result<Vec<ReceiptView>, AdminError> {
    match call(AdminRequest::Notary(command))? {
        AdminResponse::Notary(NotaryAnswer { receipts }) => Ok(receipts),
        _ => Err(AdminError::bad_input(
            "the server answered something else than asked: use the `tps` it was started with",
        )),
    }
}

/// Gets receipts and writes or prints them.
fn written(
    context: &Context,
    out: Option<&Path>,
    get: impl FnOnce(Call<'_>) -> Result<Vec<ReceiptView>, AdminError>,
) -> Result<(), AdminError> {
    // The file first: no receipt is made that could not be written.
    let file = out.map(NewFile::create).transpose()?;
    let receipts = backend::call_many(context, get)?;
    if let Some(file) = file {
        let bytes: Result<Vec<Vec<u8>>, _> = receipts.iter().map(|view| hex::decode(&view.receipt)).collect();
        file.keep(&bytes.map_err(|error| AdminError::bad_input(error.to_string()))?.concat())?;
    }
    let mut rows = vec![["NUMBER", "TIME", "DIGEST"].map(str::to_owned).to_vec()];
    rows.extend(
        receipts.iter().map(|view| vec![view.number.to_string(), view.time_ms.to_string(), view.digest.to_string()]),
    );
    let mut text = table(&rows);
    match out {
        Some(path) => text.push_str(&format!("\nreceipts  {}\n", path.display())),
        None => receipts.iter().for_each(|view| text.push_str(&format!("\n{}\n", view.receipt))),
    }
    context.output.told(&json!({ "result": "receipts", "file": out, "receipts": receipts }), &text);
    Ok(())
}

/// Bytes of a file that holds bytes or hexadecimal digits.
fn bytes_of(path: &Path, bytes_max: u64) -> Result<Vec<u8>, AdminError> {
    let file = std::fs::File::open(path).map_err(DataError::system("read", path))?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(DataError::system("read", path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(AdminError::bad_input(format!("{} is longer than {bytes_max} bytes", path.display())));
    }
    let digits: Option<String> =
        std::str::from_utf8(&bytes).ok().map(|text| text.split_ascii_whitespace().collect::<String>());
    Ok(digits.and_then(|digits| hex::decode(digits).ok()).unwrap_or(bytes))
}

fn own_key_set(context: &Context) -> Result<PinnedKeySet, AdminError> {
    let data = context.data()?;
    Ok(crate::keys::load_key_set(&data, &data.realm()?, Audience::Merchant, wall_clock())?.1)
}

/// The key set in a file, for whichever audience it is.
fn pinned(path: &Path, root: &[u8; 32]) -> Result<PinnedKeySet, AdminError> {
    let wrong = |error: &dyn std::fmt::Display| {
        AdminError::new(AdminErrorCode::Keys, format!("the key set {} cannot be used: {error}", path.display()))
    };
    let signed = SignedKeySet::decode(&bytes_of(path, KEY_SET_FILE_BYTES_MAX)?).map_err(|error| wrong(&error))?;
    let of = |audience| signed.verify(root, None, audience, wall_clock(), 0);
    match of(Audience::Merchant) {
        Err(KeySetError::WrongAudience { .. }) => of(Audience::Customer),
        other => other,
    }
    .map_err(|error| wrong(&error))
}

fn verify(context: &Context, path: &Path, presented: &PresentedAgain, keys: &PinnedKeySet) -> Result<(), AdminError> {
    let wrong = |detail: String| AdminError::refused(format!("{}: {detail}", path.display()));
    let bytes = bytes_of(path, RECEIPTS_FILE_BYTES_MAX)?;
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECEIPT_BYTES) {
        return Err(wrong(format!("it holds no whole number of receipts, which have {RECEIPT_BYTES} bytes each")));
    }
    let mut receipts: Vec<NotaryReceipt> = Vec::with_capacity(bytes.len() / RECEIPT_BYTES);
    for bytes in bytes.chunks(RECEIPT_BYTES) {
        let receipt = NotaryReceipt::decode(bytes).map_err(|error| wrong(error.to_string()))?;
        let believed = receipt.verify(keys).and_then(|()| match receipts.last() {
            Some(before) => receipt.follows(&before.chain_end()),
            None => Ok(()),
        });
        believed.map_err(|error| wrong(error.to_string()))?;
        receipts.push(receipt);
    }
    let expected = match (&presented.digest, &presented.file) {
        (Some(digest), _) => Some(*digest),
        (None, Some(file)) => Some(digest_of(file)?),
        (None, None) => None,
    };
    if let Some(expected) = expected.filter(|digest| !receipts.iter().any(|receipt| receipt.digest == *digest)) {
        return Err(wrong(format!("it is genuine, but attests another digest than {expected}")));
    }
    let views: Vec<ReceiptView> = receipts.iter().map(ReceiptView::from).collect();
    let mut rows = vec![["NUMBER", "TIME", "DIGEST"].map(str::to_owned).to_vec()];
    rows.extend(
        views.iter().map(|view| vec![view.number.to_string(), view.time_ms.to_string(), view.digest.to_string()]),
    );
    let text = format!("{}\ngenuine: realm {}\n", table(&rows), keys.realm());
    context.output.told(&json!({ "result": "genuine", "realm": keys.realm(), "receipts": views }), &text);
    Ok(())
}
