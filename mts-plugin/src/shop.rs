//! What a merchant sells: the trait that a merchant implements, and a shop that sells the files of a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use protocol::ids::{PaymentId, TransactionNumber};
use protocol::money::{self, Amount, Asset, MoneyError};
use protocol::purchase::{Address, LoyaltyId};
use protocol::quote::{GoodsKind, Quote};
use protocol::time::Timestamp;

/// One line of a quote as the shop prices it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShopLine {
    /// For people.
    pub description: String,
    /// Price of all pieces together.
    pub amount: Amount,
    /// Sent or shipped.
    pub goods: GoodsKind,
}

/// An order that was paid.
#[derive(Clone, Debug)]
pub struct PaidOrder {
    /// The order.
    pub number: TransactionNumber,
    /// What was sold.
    pub quote: Quote,
    /// The payment that paid for it.
    pub payment: PaymentId,
    /// When the proof was recorded.
    pub paid_at: Timestamp,
    /// Where to ship hard goods; `None` for digital goods, and where nobody has confirmed yet.
    pub address: Option<Address>,
    /// Who the customer says it is, where it chose to be known in this purchase: for bonus points and the like. Nothing vouches
    /// for it, so give nothing for it that its owner would miss.
    pub loyalty_id: Option<LoyaltyId>,
}

/// What a merchant sells. Called from blocking threads; may take its time.
pub trait Shop: Send + Sync + 'static {
    /// What all prices are in.
    fn asset(&self) -> Asset;

    /// Prices `quantity` pieces of `code`, or `None` where that is not sold.
    fn line(&self, code: &str, quantity: u32) -> Option<ShopLine>;

    /// The file that a digital quote delivers; `None` where it is not there any more.
    fn goods(&self, quote: &Quote) -> Option<PathBuf>;

    /// What customers of hard goods are told when they have paid, at most 1,024 bytes on one line.
    fn delivery_text(&self, quote: &Quote) -> String {
        let _ = quote;
        "Your order is paid and will be shipped.".to_owned()
    }

    /// An order was paid. Called at least once per order, also after a crash: be idempotent by `order.number`.
    fn paid(&self, order: &PaidOrder) {
        let _ = order;
    }
}

/// Why a folder is no shop.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The file cannot be read.
    #[error("cannot read the catalogue {path}: {source}; write one as the manual of `mts serve` shows")]
    Unreadable {
        /// The catalogue.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or not a catalogue.
    #[error("the catalogue {path} is not well formed: {message}")]
    Malformed {
        /// The catalogue.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A price.
    #[error("item `{code}` of the catalogue has no usable price: {error}")]
    Price {
        /// The item.
        code: String,
        /// Why.
        error: MoneyError,
    },
    /// A file name that leaves the folder, or that is not there.
    #[error("item `{code}` names the file {file:?}, which is not a file directly below the folder")]
    File {
        /// The item.
        code: String,
        /// The name given.
        file: PathBuf,
    },
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    #[serde(default = "default_asset")]
    asset: Asset,
    #[serde(default = "default_exponent")]
    exponent: u8,
    #[serde(default)]
    delivery_text: Option<String>,
    #[serde(default)]
    item: Vec<ItemEntry>,
}

fn default_asset() -> Asset {
    Asset::USD6
}

fn default_exponent() -> u8 {
    Asset::USD6_EXPONENT
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemEntry {
    code: String,
    description: String,
    price: String,
    /// A file of the folder makes it a digital item.
    file: Option<PathBuf>,
}

/// One thing in a [`FolderShop`].
#[derive(Clone, Debug, serde::Serialize)]
pub struct CatalogueItem {
    /// Its code.
    pub code: String,
    /// What it is.
    pub description: String,
    /// Price of one piece, in smallest units.
    pub price: Amount,
    /// The price as a decimal number of the asset.
    pub price_text: String,
    /// Sent or shipped.
    pub goods: GoodsKind,
    #[serde(skip)]
    file: Option<PathBuf>,
}

/// A shop that sells the files of a folder, and hard goods, at the prices of its `catalogue.toml`.
#[derive(Debug)]
pub struct FolderShop {
    asset: Asset,
    delivery_text: Option<String>,
    items: BTreeMap<String, CatalogueItem>,
}

impl FolderShop {
    /// Reads `catalogue.toml` of a folder:
    ///
    /// ```toml
    /// asset = "USD6"            # the default
    /// exponent = 6              # decimal places of the asset, the default
    /// delivery_text = "Ships on the next working day."
    ///
    /// [[item]]
    /// code = "song"
    /// description = "A song"
    /// price = "0.05"
    /// file = "song.flac"        # a file of the folder: sent over the network
    ///
    /// [[item]]
    /// code = "mug"              # no file: shipped
    /// description = "A mug"
    /// price = "9.50"
    /// ```
    ///
    /// # Errors
    /// [`CatalogueError`].
    pub fn open(folder: &Path) -> Result<Self, CatalogueError> {
        let path = folder.join("catalogue.toml");
        let text = std::fs::read_to_string(&path)
            .map_err(|source| CatalogueError::Unreadable { path: path.clone(), source })?;
        let file: CatalogueFile = toml::from_str(&text)
            .map_err(|error| CatalogueError::Malformed { path: path.clone(), message: error.to_string() })?;
        let mut items = BTreeMap::new();
        for entry in file.item {
            let price = money::parse(&entry.price, file.asset, file.exponent)
                .map_err(|error| CatalogueError::Price { code: entry.code.clone(), error })?;
            let goods_path = entry.file.map(|name| resolve(folder, &entry.code, name)).transpose()?;
            let item = CatalogueItem {
                code: entry.code.clone(),
                description: entry.description,
                price,
                price_text: money::format(price.signed(), file.exponent),
                goods: if goods_path.is_some() { GoodsKind::Digital } else { GoodsKind::Hard },
                file: goods_path,
            };
            if items.insert(entry.code.clone(), item).is_some() {
                let message = format!("item `{}` stands there twice", entry.code);
                return Err(CatalogueError::Malformed { path, message });
            }
        }
        Ok(Self { asset: file.asset, delivery_text: file.delivery_text, items })
    }

    /// Everything sold.
    pub fn items(&self) -> impl Iterator<Item = &CatalogueItem> {
        self.items.values()
    }
}

/// Only files directly in the folder are sold: a name with a parent, or a link out of the folder, sells nothing else.
fn resolve(folder: &Path, code: &str, name: PathBuf) -> Result<PathBuf, CatalogueError> {
    let wrong = || CatalogueError::File { code: code.to_owned(), file: name.clone() };
    let folder = folder.canonicalize().map_err(|_| wrong())?;
    let path = folder.join(&name).canonicalize().map_err(|_| wrong())?;
    if path.parent() == Some(&*folder) && path.is_file() { Ok(path) } else { Err(wrong()) }
}

impl Shop for FolderShop {
    fn asset(&self) -> Asset {
        self.asset
    }

    fn line(&self, code: &str, quantity: u32) -> Option<ShopLine> {
        let item = self.items.get(code)?;
        let amount = Amount::new(item.price.units().checked_mul(u64::from(quantity))?).ok()?;
        Some(ShopLine { description: item.description.clone(), amount, goods: item.goods })
    }

    fn goods(&self, quote: &Quote) -> Option<PathBuf> {
        let code = &quote.items.first()?.code;
        self.items.get(code)?.file.clone()
    }

    fn delivery_text(&self, _: &Quote) -> String {
        self.delivery_text.clone().unwrap_or_else(|| "Your order is paid and will be shipped.".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> Result<FolderShop, CatalogueError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("song.flac"), b"la la").unwrap();
        std::fs::write(folder.path().join("catalogue.toml"), text).unwrap();
        FolderShop::open(folder.path())
    }

    #[test]
    fn a_catalogue_prices_files_and_hard_goods() {
        let text = "[[item]]\ncode='song'\ndescription='A song'\nprice='0.05'\nfile='song.flac'\n\
                    [[item]]\ncode='mug'\ndescription='A mug'\nprice='9.50'\n";
        let shop = open(text).unwrap();
        let song = shop.line("song", 2).unwrap();
        assert_eq!((song.amount.units(), song.goods), (100_000, GoodsKind::Digital));
        assert_eq!(shop.line("mug", 1).unwrap().goods, GoodsKind::Hard);
        assert_eq!(shop.line("mug", u32::MAX), None, "more than can be paid at once");
        assert_eq!(shop.line("car", 1), None);
    }

    #[test]
    fn mistakes_are_named() {
        let item = |rest: &str| format!("[[item]]\ncode='song'\ndescription='A song'\n{rest}\n");
        for (text, expected) in [
            ("item = 3".to_owned(), "not well formed"),
            (item("price='0.0000001'"), "decimal places"),
            (item("price='1'\nfile='../song.flac'"), "not a file directly below"),
            (item("price='1'\nfile='/etc/hostname'"), "not a file directly below"),
            (item("price='1'\nfile='missing'"), "not a file directly below"),
            (item("price='1'\ncolour='red'"), "unknown field"),
            (item("price='1'") + &item("price='1'"), "twice"),
        ] {
            let error = open(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let missing = FolderShop::open("no-such-folder".as_ref()).unwrap_err().to_string();
        assert!(missing.contains("cannot read the catalogue"));
    }
}
