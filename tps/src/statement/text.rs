//! Statements as people and programs read them: text, JSON, CSV. Pure: sums and lines in, text out.

use protocol::ledger::posting::Party;
use protocol::money::{Asset, MoneyError};
use serde_json::{Value, json};

use super::fold::{Balances, Period};
use super::sort::Line;
use crate::admin::views::Money;
use crate::data_directory::Realm;

/// How statements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
    /// One table, with a head.
    Csv,
}

impl Format {
    /// How names of files end.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

/// Writes statements of a period.
pub struct Writer<'a> {
    /// Knows the assets.
    pub realm: &'a Realm,
    /// The period.
    pub period: Period,
    /// How.
    pub format: Format,
    /// Whether lines follow the sums.
    pub with_lines: bool,
}

/// The kind and the id of a party that has statements.
pub(super) fn named(party: Party) -> (&'static str, String) {
    match party {
        Party::Customer(id) => ("account", id.to_string()),
        Party::Merchant(id) => ("merchant", id.to_string()),
        Party::Fees => ("fees", String::new()),
        Party::Funding => ("funding", String::new()),
    }
}

impl Writer<'_> {
    fn money(&self, units: i128, asset: Asset) -> Money {
        Money::new(units, asset, self.realm.exponent(asset).unwrap_or(0))
    }

    /// Everything before the lines.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn head(&self, party: Party, balances: &Balances) -> Result<String, MoneyError> {
        match self.format {
            Format::Text => self.text_head(party, balances),
            Format::Csv => self.csv_head(balances),
            Format::Json => {
                let (kind, id) = named(party);
                let head = json!({
                    "statement": kind, "id": id, "realm": self.realm.realm, "from_ms": self.period.from,
                    "until_ms": self.period.until, "assets": self.json_balances(balances)?,
                });
                let text = head.to_string();
                let open = text.strip_suffix('}').unwrap_or(&text);
                Ok(if self.with_lines { format!("{open},\"lines\":[") } else { open.to_owned() })
            }
        }
    }

    /// Balances as JSON: opening, every kind of movement, closing, by asset.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn json_balances(&self, balances: &Balances) -> Result<Value, MoneyError> {
        let assets = balances.iter().map(|(asset, balance)| {
            let movements: Vec<Value> = balance
                .moved()
                .map(|(kind, sum)| json!({ "kind": kind, "count": sum.count, "sum": self.money(sum.units, *asset) }))
                .collect();
            Ok(json!({
                "asset": asset, "opening": self.money(balance.opening, *asset), "movements": movements,
                "closing": self.money(balance.closing()?, *asset),
            }))
        });
        assets.collect()
    }

    fn text_head(&self, party: Party, balances: &Balances) -> Result<String, MoneyError> {
        let (kind, id) = named(party);
        let mut text = format!(
            "statement  {kind} {id}\nfrom       {}\nuntil      {} (not included)\n",
            self.period.from, self.period.until
        );
        for (asset, balance) in balances {
            let row = |name: &str, count: &str, units: i128| {
                format!("{name:<18}{count:>10}{:>30}\n", self.money(units, *asset).decimal)
            };
            text.push_str(&format!("\n{asset}\n{}", row("opening balance", "", balance.opening)));
            for (kind, sum) in balance.moved() {
                text.push_str(&row(kind.name(), &sum.count.to_string(), sum.units));
            }
            text.push_str(&row("closing balance", "", balance.closing()?));
        }
        if self.with_lines {
            text.push_str(&format!("\n{:<28}{:<16}{:>30} {:<8}  DETAILS\n", "TIME", "KIND", "AMOUNT", "ASSET"));
        }
        Ok(text)
    }

    /// Rows of one table: balances and sums first, then lines. No cell needs quotes.
    fn csv_head(&self, balances: &Balances) -> Result<String, MoneyError> {
        let mut text = "row,time_ms,kind,asset,count,amount,number,merchant\n".to_owned();
        let mut row = |row: &str, time: u64, kind: &str, asset: Asset, count: &str, units: i128| {
            let amount = self.money(units, asset).decimal;
            text.push_str(&format!("{row},{time},{kind},{asset},{count},{amount},,\n"));
        };
        for (asset, balance) in balances {
            row("opening", self.period.from.0, "", *asset, "", balance.opening);
            for (kind, sum) in balance.moved() {
                row("sum", self.period.until.0, kind.name(), *asset, &sum.count.to_string(), sum.units);
            }
            row("closing", self.period.until.0, "", *asset, "", balance.closing()?);
        }
        Ok(text)
    }

    /// One line; `first` where it is the first of its statement.
    pub fn line(&self, line: &Line, first: bool) -> String {
        let movement = &line.movement;
        let amount = self.money(movement.change, movement.asset);
        let number = movement.number.map(|number| number.to_string());
        let merchant = movement.merchant.map(|merchant| merchant.to_string());
        match self.format {
            Format::Text => {
                let details = [("number", &number), ("merchant", &merchant)];
                let details = details.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)));
                let details = details.collect::<Vec<_>>().join("  ");
                let row = format!(
                    "{:<28}{:<16}{:>30} {:<8}  {details}",
                    line.time.to_string(),
                    movement.kind.name(),
                    amount.decimal,
                    amount.asset.to_string()
                );
                format!("{}\n", row.trim_end())
            }
            Format::Csv => format!(
                "line,{},{},{},,{},{},{}\n",
                line.time.0,
                movement.kind.name(),
                amount.asset,
                amount.decimal,
                number.unwrap_or_default(),
                merchant.unwrap_or_default()
            ),
            Format::Json => {
                let object = json!({
                    "time_ms": line.time, "kind": movement.kind, "amount": amount, "number": number,
                    "merchant": merchant,
                });
                format!("{}{object}", if first { "\n" } else { ",\n" })
            }
        }
    }

    /// What ends a statement.
    pub fn tail(&self) -> &'static str {
        match (self.format, self.with_lines) {
            (Format::Json, true) => "\n]}\n",
            (Format::Json, false) => "}\n",
            _ => "",
        }
    }
}
