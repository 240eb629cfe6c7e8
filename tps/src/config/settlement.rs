//! How merchants are settled.

use std::collections::BTreeMap;

use protocol::money::{Asset, parse};

use super::ConfigError;
use crate::data_directory::Realm;
use crate::settlement::fees::FeeSchedule;
use crate::settlement::{Schedule, Settings};

/// Cycles, fees and payouts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettlementConfig {
    /// Hours between two cut-offs.
    pub cycle_hours: u64,
    /// Minutes of the cut-off after midnight UTC.
    pub cut_off_minutes: u64,
    /// Per asset.
    pub fees: Vec<AssetFees>,
}

/// Fees and payout unit of one asset.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetFees {
    /// The asset.
    pub asset: Asset,
    /// Share of payments, in millionths.
    #[serde(default)]
    pub share_ppm: u32,
    /// For every payment, decimal.
    #[serde(default)]
    pub per_payment: Option<String>,
    /// Payouts are multiples of it, decimal; the smallest unit unless said.
    #[serde(default)]
    pub payout_unit: Option<String>,
}

impl Default for SettlementConfig {
    fn default() -> Self {
        Self { cycle_hours: 24, cut_off_minutes: 0, fees: Vec::new() }
    }
}

impl SettlementConfig {
    fn schedule(&self) -> Result<Schedule, ConfigError> {
        Schedule::new(self.cycle_hours, self.cut_off_minutes).ok_or(ConfigError::OutOfRange {
            key: "settlement",
            range: "1 to 8784 `cycle_hours`, and 0 to 1439 `cut_off_minutes`",
        })
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.schedule()?;
        let wrong = |range| Err(ConfigError::OutOfRange { key: "settlement.fees", range });
        if self.fees.iter().any(|fees| fees.share_ppm > 1_000_000) {
            return wrong("at most 1000000 `share_ppm`");
        }
        let mut assets: Vec<Asset> = self.fees.iter().map(|fees| fees.asset).collect();
        assets.sort_unstable_by_key(|asset| asset.0);
        if assets.windows(2).any(|pair| pair[0] == pair[1]) { wrong("one table per asset") } else { Ok(()) }
    }

    /// What settlement works with, amounts in smallest units of `realm`'s assets.
    ///
    /// # Errors
    /// [`ConfigError`], naming the asset.
    pub fn settings(&self, realm: &Realm) -> Result<Settings, ConfigError> {
        let mut fees = BTreeMap::new();
        for entry in &self.fees {
            let asset = entry.asset;
            let exponent = realm.exponent(asset).ok_or_else(|| {
                ConfigError::Value(format!("`settlement.fees` names {asset}, which is not in this TPS's registry"))
            })?;
            let units = |key: &str, text: &Option<String>| match text {
                None => Ok(None),
                Some(text) => match parse(text, asset, exponent) {
                    Ok(amount) => Ok(Some(amount.signed())),
                    Err(error) => Err(ConfigError::Value(format!("`settlement.fees.{key}`: {error}"))),
                },
            };
            let per_payment = units("per_payment", &entry.per_payment)?.unwrap_or(0);
            let payout_unit = units("payout_unit", &entry.payout_unit)?.unwrap_or(1);
            fees.insert(asset, FeeSchedule { share_ppm: entry.share_ppm, per_payment, payout_unit });
        }
        Ok(Settings { schedule: self.schedule()?, fees })
    }
}
