//! What each command does.

mod resume;

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use cts_client::error::CtsError;
use cts_client::frames::Frames;
use cts_client::store::OutcomeKind;
use cts_client::{BuyOptions, Progress, Quoted, Wallet, WalletSettings, enrol, wallet};
use indicatif::{ProgressBar, ProgressStyle};
use protocol::customer::payment::Standing;
use protocol::ids::TransactionNumber;
use protocol::purchase::{Address, LoyaltyId, RefundStatus};
use serde_json::{Value, json};

use super::arguments::{Arguments, Command, KeysCommand, PinArguments};
use super::output::{self, Exit, Output};
use super::pin;

/// How often a wrong PIN can be typed again; the TPS counts to five.
const PIN_TRIES: u32 = 3;

struct Session<'a> {
    arguments: &'a Arguments,
    output: &'a Output,
}

pub(super) async fn run(arguments: Arguments, output: &Output) -> anyhow::Result<Exit> {
    let session = Session { arguments: &arguments, output };
    match &arguments.command {
        Command::Init { bundle } => session.init(bundle).await,
        Command::Quote { url, items, out } => session.quote(url, items, out.as_deref()).await,
        Command::Buy { url, items, max_amount, yes, address, loyalty_id, delivery } => {
            let address = address.as_deref().map(read_address).transpose()?;
            let loyalty_id = loyalty_id.clone().map(LoyaltyId::new).transpose()?;
            let wallet = session.open()?;
            let maximum = max_amount.as_deref().map(|text| wallet.amount(text)).transpose()?;
            let watch = (!output.is_json()).then(watch);
            let options = BuyOptions { maximum, address, loyalty_id, output: delivery.out.clone(), watch };
            session.buy(&wallet, (url, items), *yes, options, &delivery.pin).await
        }
        Command::Pay { quote, proof_out, max_amount, yes, pin } => {
            session.pay(quote, proof_out, max_amount.as_deref(), *yes, pin).await
        }
        Command::Status => session.status(),
        Command::History => session.history(),
        Command::Proof { number, out } => session.proof(*number, out),
        Command::Resume { pin } => session.resume(pin).await,
        Command::Recover { order, delivery } => {
            let wallet = session.open()?;
            let watch = (!output.is_json()).then(watch);
            let options = BuyOptions { output: delivery.out.clone(), watch, ..BuyOptions::default() };
            let receipt = session.with_pin(&wallet, &delivery.pin, || wallet.recover(*order, options.clone())).await;
            session.print_receipt(&wallet, receipt).await
        }
        Command::Refund { order } => {
            let status = session.open()?.ask_refund(*order).await?;
            let text = match status {
                RefundStatus::Requested => "requested; the merchant decides, ask again later",
                RefundStatus::Accepted => "accepted; the merchant hands it to the payment system, ask again later",
                RefundStatus::Refused => "refused by the merchant",
                RefundStatus::PutThrough => "put through; the money is back in the account that paid",
                RefundStatus::NotPutThrough => {
                    "accepted, but the payment system did not put it through; ask the merchant to see to it"
                }
            };
            output.result(&format!("refund of order {order}: {text}"), &json!({ "order": order, "refund": status }));
            Ok(Exit::Done)
        }
        Command::Abandon => {
            session.open()?.abandon().await?;
            output.result("the open payment is given up; nothing was paid", &json!({ "abandoned": true }));
            Ok(Exit::Done)
        }
        Command::NewPin { pin } => {
            let wallet = session.open()?;
            let typed = pin::read(pin, "New PIN: ")?.ok_or(CtsError::PinNeeded)?;
            session.print_standing(wallet.new_pin(typed).await?)
        }
        Command::Resync { count } => session.print_standing(session.open()?.resync(*count).await?),
        Command::KeySet { file } => {
            let number = wallet::import_key_set(&arguments.dir, &wallet::read_message_file(file)?)?;
            output.result(&format!("key set {number} is pinned"), &json!({ "key_set": number }));
            Ok(Exit::Done)
        }
        Command::Keys(KeysCommand::Show) => {
            let (text, value) = output::key_set(&wallet::pinned_key_set(&arguments.dir)?, cts_client::clock::now());
            output.result(&text, &value);
            Ok(Exit::Done)
        }
        Command::Keys(KeysCommand::Refresh) => {
            let wallet = session.open()?;
            let set = wallet.refresh_key_set().await?;
            wallet.close().await;
            let (text, value) = output::key_set(&set, cts_client::clock::now());
            output.result(&text, &value);
            Ok(Exit::Done)
        }
    }
}

fn read_address(path: &std::path::Path) -> anyhow::Result<Address> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(Address::new(text.trim_end().replace("\r\n", "\n"))?)
}

/// Shows steps with their time, and a bar while goods come in.
fn watch() -> Arc<dyn Fn(Progress) + Send + Sync> {
    let state = Mutex::new((Instant::now(), None::<ProgressBar>));
    Arc::new(move |progress| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let step = match progress {
            Progress::Authenticated => "3-4   confirmed, and authenticated by the merchant",
            Progress::Decided { paid: true } => "5-6   paid: the TPS gave its proof",
            Progress::Decided { paid: false } => "5-6   denied by the TPS",
            Progress::Advised => "7-8   the merchant verified the proof and advised",
            Progress::Renegotiated => "      a fresh key was agreed by the TOKEN",
            Progress::Received => "9-10  goods received, decrypted and checked",
            Progress::Goods { bytes, of } => {
                if std::io::stderr().is_terminal() {
                    let style = ProgressStyle::with_template("      {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
                    let bar = state.1.get_or_insert_with(|| {
                        ProgressBar::new(of).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                    });
                    bar.set_position(bytes);
                }
                return;
            }
        };
        if let Some(bar) = state.1.take() {
            bar.finish_and_clear();
        }
        eprintln!("{step:<56} {:>9.1} ms", state.0.elapsed().as_secs_f64() * 1_000.0);
        state.0 = Instant::now();
    })
}

impl Session<'_> {
    fn frames(&self) -> Frames {
        if self.arguments.frames { Frames::shown_to(|text| eprintln!("{text}")) } else { Frames::default() }
    }

    fn open(&self) -> Result<Wallet, CtsError> {
        Wallet::open(&self.arguments.dir, WalletSettings { frames: self.frames(), ..WalletSettings::default() })
    }

    async fn init(&self, bundle: &std::path::Path) -> anyhow::Result<Exit> {
        let bundle = enrol::read_bundle(bundle)?;
        let enrolment = enrol::initialise(&self.arguments.dir, &bundle, &self.frames()).await?;
        let text = format!(
            "instrument {} is active in {}\nIts PIN comes through the second channel; nothing is paid before it is set.",
            enrolment.instrument,
            self.arguments.dir.display()
        );
        self.output.result(&text, &json!({ "instrument": enrolment.instrument, "directory": self.arguments.dir }));
        Ok(Exit::Done)
    }

    async fn quote(&self, url: &str, items: &[(String, u32)], out: Option<&std::path::Path>) -> anyhow::Result<Exit> {
        let quoted = self.open()?.quote(url, items.to_vec()).await?;
        if let Some(out) = out {
            std::fs::write(out, quoted.to_bytes()).with_context(|| out.display().to_string())?;
        }
        let (text, value) = output::quote(&quoted);
        self.output.result(&text, &value);
        Ok(Exit::Done)
    }

    /// Shows a quote and asks, unless `yes`. Whoever cannot be asked has not confirmed (K-26).
    fn confirmed(&self, quoted: &Quoted, yes: bool) -> anyhow::Result<bool> {
        if !self.output.is_json() {
            eprintln!("{}", output::quote(quoted).0);
        }
        if yes {
            return Ok(true);
        }
        if !std::io::stdin().is_terminal() {
            return Ok(false);
        }
        eprint!("Buy this? [y/N] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    fn declined(&self) -> Exit {
        let text = "declined: nothing was confirmed or paid (give --yes to confirm without being asked)";
        self.output.result(text, &json!({ "declined": true, "exit_code": Exit::Declined as u8 }));
        Exit::Declined
    }

    /// Runs `pay` with a PIN, which can be typed again where it was wrong. An action that needs no PIN is not asked for one.
    async fn with_pin<T, F: Future<Output = Result<T, CtsError>>>(
        &self,
        wallet: &Wallet,
        arguments: &PinArguments,
        mut pay: impl FnMut() -> F,
    ) -> Result<T, anyhow::Error> {
        if arguments.pin_fd.is_some()
            && let Some(pin) = pin::read(arguments, "")?
        {
            wallet.enter_pin(pin);
        }
        let mut tries = 0;
        loop {
            let error = match pay().await {
                Err(error @ (CtsError::PinNeeded | CtsError::WrongPin)) if pin::is_interactive(arguments) => error,
                result => return Ok(result?),
            };
            if matches!(error, CtsError::WrongPin) {
                eprintln!("The PIN was wrong.");
            }
            tries += 1;
            if tries > PIN_TRIES {
                return Err(error.into());
            }
            match pin::read(arguments, "PIN: ")? {
                Some(pin) => wallet.enter_pin(pin),
                None => return Err(error.into()),
            }
        }
    }

    async fn buy(
        &self,
        wallet: &Wallet,
        (url, items): (&str, &[(String, u32)]),
        yes: bool,
        options: BuyOptions,
        pin: &PinArguments,
    ) -> anyhow::Result<Exit> {
        let quoted = wallet.quote(url, items.to_vec()).await?;
        quoted.at_most(options.maximum)?;
        if !self.confirmed(&quoted, yes)? {
            return Ok(self.declined());
        }
        if let Some(pin) = pin::read(pin, "PIN: ")? {
            wallet.enter_pin(pin);
        }
        let number = quoted.quote().number;
        let mut result = wallet.buy(&quoted, options.clone()).await;
        let mut tries = 1;
        while matches!(result, Err(CtsError::WrongPin)) && pin::is_interactive(pin) && tries < PIN_TRIES {
            eprintln!("The PIN was wrong.");
            if let Some(pin) = pin::read(pin, "PIN: ")? {
                wallet.enter_pin(pin);
            }
            result = wallet.resume(number, options.clone()).await;
            tries += 1;
        }
        self.print_receipt(wallet, result.map_err(Into::into)).await
    }

    async fn print_receipt(
        &self,
        wallet: &Wallet,
        result: anyhow::Result<cts_client::Receipt>,
    ) -> anyhow::Result<Exit> {
        wallet.close().await;
        self.output.clock(wallet.clock_skew());
        let receipt = result?;
        let exponent = wallet.status().await.map_or(0, |status| status.exponent);
        let (text, value, exit) = output::receipt(&receipt, exponent);
        self.output.result(&text, &value);
        Ok(exit)
    }

    async fn pay(
        &self,
        quote: &std::path::Path,
        proof_out: &std::path::Path,
        max_amount: Option<&str>,
        yes: bool,
        pin: &PinArguments,
    ) -> anyhow::Result<Exit> {
        let wallet = self.open()?;
        let quoted = wallet.check_offer("", &wallet::read_message_file(quote)?)?;
        quoted.at_most(max_amount.map(|text| wallet.amount(text)).transpose()?)?;
        let outcome = match wallet.paid_before(&quoted)? {
            // Killed after paying and before keeping the proof: the proof once more, not the payment.
            Some(outcome) => outcome,
            None if !self.confirmed(&quoted, yes)? => return Ok(self.declined()),
            None => {
                if pin.pin_fd.is_none()
                    && let Some(pin) = pin::read(pin, "PIN: ")?
                {
                    wallet.enter_pin(pin);
                }
                self.with_pin(&wallet, pin, || wallet.pay(&quoted)).await?
            }
        };
        wallet.close().await;
        self.output.clock(wallet.clock_skew());
        if let OutcomeKind::Decided { proof, .. } = &outcome.kind {
            std::fs::write(proof_out, proof.expose()).with_context(|| proof_out.display().to_string())?;
        }
        let (text, value, exit) = output::outcome(&outcome, quoted.exponent);
        self.output.result(&text, &value);
        Ok(exit)
    }

    fn status(&self) -> anyhow::Result<Exit> {
        let (status, ..) = wallet::look(&self.arguments.dir)?;
        let (text, value) = output::status(&status);
        self.output.result(&text, &value);
        Ok(if status.standing.is_breached() { Exit::Breach } else { Exit::Done })
    }

    fn history(&self) -> anyhow::Result<Exit> {
        let (status, outcomes, purchases) = wallet::look(&self.arguments.dir)?;
        let outcomes: Vec<_> = outcomes.iter().map(|outcome| output::outcome(outcome, status.exponent)).collect();
        let purchases = purchases.iter().map(output::purchase).collect::<anyhow::Result<Vec<_>>>()?;
        let lines = |heading: &str, lines: Vec<&str>| format!("{heading}\n{}", lines.join("\n"));
        let text = [
            lines("payments", outcomes.iter().map(|(text, ..)| text.as_str()).collect()),
            lines("orders", purchases.iter().map(|(text, _)| text.as_str()).collect()),
        ];
        let value = json!({
            "payments": outcomes.iter().map(|(_, value, _)| value).collect::<Vec<&Value>>(),
            "orders": purchases.iter().map(|(_, value)| value).collect::<Vec<&Value>>(),
        });
        self.output.result(&text.join("\n"), &value);
        Ok(Exit::Done)
    }

    /// A proof is kept with the outcome; the merchant's copy may be lost, or another merchant's system may want it.
    fn proof(&self, number: TransactionNumber, out: &std::path::Path) -> anyhow::Result<Exit> {
        let (status, outcomes, _) = wallet::look(&self.arguments.dir)?;
        let of_number = outcomes.iter().filter(|outcome| outcome.content.number == number);
        let decided = of_number.filter_map(|outcome| match &outcome.kind {
            OutcomeKind::Decided { proof, .. } => Some((outcome, proof)),
            _ => None,
        });
        let (outcome, proof) = decided
            .max_by_key(|(outcome, _)| outcome.count)
            .with_context(|| format!("no payment of {number} was decided: `cts history` lists those that were"))?;
        std::fs::write(out, proof.expose()).with_context(|| out.display().to_string())?;
        let (text, value, _) = output::outcome(outcome, status.exponent);
        self.output.result(&text, &value);
        Ok(Exit::Done)
    }

    fn print_standing(&self, standing: Standing) -> anyhow::Result<Exit> {
        let text = match standing {
            Standing::Ready => "the instrument is ready",
            Standing::PinLocked => "the instrument is locked: a new PIN is needed (`cts new-pin`)",
            Standing::Breached => {
                "a copy may be in use: a new PIN and the count are needed (`cts new-pin`, `cts resync`)"
            }
            Standing::BreachedPinRenewed => "the new PIN is noted; the count is still needed (`cts resync --count N`)",
            Standing::BreachedCountEntered => "the count is noted; a new PIN is still needed (`cts new-pin`)",
        };
        self.output.result(text, &json!({ "standing": standing }));
        Ok(if standing.is_breached() { Exit::Breach } else { Exit::Done })
    }
}
