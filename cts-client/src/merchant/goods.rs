//! Step 10: goods, chunk by chunk into a file beside their destination. What is interrupted goes on where it stopped.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use protocol::customer::purchase::Purchase;
use protocol::goods::{ChunkPlan, GoodsError, GoodsHasher, GoodsOpener};
use protocol::ids::{Digest, TransactionNumber};
use protocol::limits::GOODS_CHUNK_BYTES;

use super::{FIRST_PAUSE, MerchantClient, MerchantFault, fault_of, read_bounded, reason};
use crate::crash;
use crate::error::CtsError;
use crate::frames::Link;

/// Downloads without a single new chunk, after which the merchant is left alone.
const FRUITLESS_DOWNLOADS_MAX: u32 = 4;

/// Opened goods that wait to be moved to their destination.
#[derive(Debug)]
pub struct FetchedGoods {
    file: File,
    part: PathBuf,
    /// Digest of all that was opened.
    pub digest: Digest,
    /// Length in bytes.
    pub length_bytes: u64,
}

impl FetchedGoods {
    /// Moves them to `output`, durably.
    ///
    /// # Errors
    /// [`CtsError::File`].
    pub fn finish(self, output: &Path) -> Result<(), CtsError> {
        let moved = crate::store::finish_file(&self.file, &self.part, output);
        moved.map_err(|source| CtsError::File { path: output.to_owned(), source })
    }

    /// Throws them away: they are not what was advised.
    pub fn discard(self) {
        // Left over, they would only be overwritten next time.
        let _left = std::fs::remove_file(&self.part);
    }
}

/// Where goods grow until they are whole: beside their destination, so that moving them is one step.
fn part_path(output: &Path, number: TransactionNumber) -> PathBuf {
    let name = output.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    output.with_file_name(format!(".{name}.{number}.part"))
}

/// Asks for the goods of `purchase` and opens them. `restart` forgets what an earlier download left, for goods that were
/// sealed again. `progress` hears how many bytes are there of how many.
///
/// # Errors
/// [`CtsError::Merchant`], [`CtsError::Goods`] for goods that do not open, [`CtsError::File`].
pub async fn fetch(
    client: &MerchantClient,
    purchase: &Purchase,
    output: &Path,
    restart: bool,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<FetchedGoods, CtsError> {
    let number = purchase.number()?;
    let advised = purchase.advised().and_then(|advised| advised.goods.clone());
    let advised = advised.ok_or(MerchantFault::Refused(protocol::purchase::MerchantErrorCode::NotDigital))?;
    let plan = ChunkPlan::new(advised.length_bytes)?;
    let part = part_path(output, number);
    let file_error = |source| CtsError::File { path: part.clone(), source };
    let mut file =
        File::options().create(true).truncate(false).read(true).write(true).open(&part).map_err(file_error)?;
    let mut partial = Partial::of(&mut file, &plan, restart).map_err(file_error)?;
    progress(partial.bytes(), advised.length_bytes);

    let mut fruitless = 0;
    let mut pause = FIRST_PAUSE;
    while partial.next_chunk < plan.chunks() {
        let before = partial.next_chunk;
        let message = purchase.send_goods(before)?;
        let mut opener = GoodsOpener::new(&purchase.goods_key()?, plan, before)?;
        let tell = |bytes| progress(bytes, advised.length_bytes);
        match download(client, &advised.path, &message, &mut opener, &mut file, &mut partial, &tell).await {
            Ok(()) => {}
            Err(CtsError::Merchant(fault)) if fault.is_transient() => {
                fruitless = if partial.next_chunk > before { 0 } else { fruitless + 1 };
                if fruitless >= FRUITLESS_DOWNLOADS_MAX {
                    return Err(fault.into());
                }
                tokio::time::sleep(pause).await;
                pause = if fruitless == 0 { FIRST_PAUSE } else { pause * 2 };
            }
            Err(error) => return Err(error),
        }
    }
    Ok(FetchedGoods { digest: partial.hasher.finish(), length_bytes: partial.hasher.length_bytes(), file, part })
}

/// What of the goods is in the file: whole chunks, hashed.
struct Partial {
    next_chunk: u64,
    hasher: GoodsHasher,
}

impl Partial {
    fn of(file: &mut File, plan: &ChunkPlan, restart: bool) -> std::io::Result<Self> {
        let present = if restart { 0 } else { file.metadata()?.len() };
        // The last chunk is always asked for again: its end is what says that nothing follows.
        let whole = (present / GOODS_CHUNK_BYTES as u64).min(plan.chunks() - 1);
        file.set_len(whole * GOODS_CHUNK_BYTES as u64)?;
        file.seek(SeekFrom::Start(0))?;
        let mut hasher = GoodsHasher::default();
        let mut chunk = vec![0; GOODS_CHUNK_BYTES];
        for _ in 0..whole {
            file.read_exact(&mut chunk)?;
            hasher.update(&chunk);
        }
        Ok(Self { next_chunk: whole, hasher })
    }

    fn bytes(&self) -> u64 {
        self.hasher.length_bytes()
    }
}

async fn download(
    client: &MerchantClient,
    path: &str,
    message: &[u8],
    opener: &mut GoodsOpener,
    file: &mut File,
    partial: &mut Partial,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), CtsError> {
    let unreachable = |error: reqwest::Error| MerchantFault::Unreachable(reason(&error));
    client.frames.sent(Link::Merchant, message);
    let response = client.http.post(client.route(path)?).body(message.to_vec()).send().await.map_err(unreachable)?;
    let status = response.status();
    if !status.is_success() {
        let bytes = read_bounded(response).await?;
        client.frames.received(Link::Merchant, &bytes);
        return Err(fault_of(status, &bytes).unwrap_or(MerchantFault::Status(status.as_u16())).into());
    }
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(unreachable)?;
        opener.push::<CtsError>(&piece, |chunk| {
            file.write_all(chunk).map_err(|source| CtsError::File { path: PathBuf::from("goods"), source })?;
            partial.hasher.update(chunk);
            partial.next_chunk += 1;
            crash::point("during-goods");
            Ok(())
        })?;
        progress(partial.bytes());
    }
    if opener.is_complete() {
        client.frames.goods(partial.bytes());
        return Ok(());
    }
    Err(MerchantFault::Unreachable(GoodsError::Truncated.to_string()).into())
}
