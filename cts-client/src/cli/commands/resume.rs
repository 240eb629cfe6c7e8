//! `cts resume`.

use cts_client::{BuyOptions, wallet};
use protocol::customer::purchase::PurchaseState;
use serde_json::json;

use super::{Exit, PinArguments, Session, output};

impl Session<'_> {
    /// The open payment first, then every purchase that waits for something; each is tried, the worst exit code is told.
    pub(super) async fn resume(&self, pin: &PinArguments) -> anyhow::Result<Exit> {
        let wallet = self.open()?;
        let settled = self.with_pin(&wallet, pin, || wallet.settle()).await;
        let exponent = wallet.status().await?.exponent;
        // What is paid already needs neither PIN nor TPS, and does not wait for them.
        let waits = |state: PurchaseState| !state.is_final() && (settled.is_ok() || state.is_paid());
        let (_, _, purchases) = wallet::look(&self.arguments.dir)?;
        let waiting: Vec<_> = purchases.iter().filter(|record| waits(record.purchase.state())).collect();
        let (mut exit, mut texts, mut values) = (Exit::Done, Vec::new(), Vec::new());
        match settled {
            Err(error) if waiting.is_empty() => return Err(error),
            Err(error) => {
                exit = Exit::of(&error);
                texts.push(format!("open payment: {error:#}"));
                values.push(json!({ "error": format!("{error:#}"), "exit_code": exit as u8 }));
            }
            Ok(Some(outcome)) => {
                let (text, value, decided) = output::outcome(&outcome, exponent);
                exit = decided;
                texts.push(text);
                values.push(value);
            }
            Ok(None) => {}
        }
        for record in waiting {
            let number = record.purchase.number()?;
            match wallet.resume(number, BuyOptions::default()).await {
                Ok(receipt) => {
                    let (text, value, ended) = output::receipt(&receipt, exponent);
                    exit = exit.worse(ended);
                    texts.push(text);
                    values.push(value);
                }
                Err(error) => {
                    let error = error.into();
                    let failed = Exit::of(&error);
                    exit = exit.worse(failed);
                    texts.push(format!("order {number}: {error:#}"));
                    values.push(json!({ "order": number, "error": format!("{error:#}"), "exit_code": failed as u8 }));
                }
            }
        }
        wallet.close().await;
        if texts.is_empty() {
            texts.push("nothing is open".to_owned());
        }
        self.output.result(&texts.join("\n"), &json!({ "resumed": values, "exit_code": exit as u8 }));
        Ok(exit)
    }
}
