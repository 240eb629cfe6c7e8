//! The prompts in English. Another language is another file like this one.

use zeroize::Zeroizing;

use super::prompts::{PastAmount, PastAmounts, Prompt, Reading};
use crate::admin::views::PinStage;
use crate::store::holds::Holder;

/// What the voice says; one line, overwritten when dropped, since a PIN may be in it.
pub fn text(prompt: &Prompt) -> Zeroizing<String> {
    let fixed = match prompt {
        Prompt::Welcome => "Welcome to the second channel.",
        Prompt::AskNumber => "Please enter the ten digits of your access number.",
        Prompt::Mistyped => "That was mistyped.",
        Prompt::AskPasscode => "Please enter the eight digits of your passcode.",
        Prompt::Refused => {
            "The access number or the passcode is not right. After several wrong passcodes an access is locked, and only the \
             operator can unlock it."
        }
        Prompt::Busy => "All lines are busy. Please call again later.",
        Prompt::Menu => {
            "For a new PIN press 1. For count and balance press 2. For the last amounts press 3. To stop or release payments \
             press 4. To report a problem press 5. To end the call press 0."
        }
        Prompt::UnknownKey => "There is nothing under that key.",
        Prompt::ConfirmPin => {
            "A PIN that you have will end. To get a new one press 1. To go back press any other key. Have something to write at hand."
        }
        Prompt::NewPin(pin) => return new_pin(&pin.expose()),
        Prompt::OfferRepeat => "To hear it once more press 1. To go on press any other key.",
        Prompt::Account(reading) => return account(reading),
        Prompt::Amounts(amounts) => return past_amounts(amounts),
        Prompt::HoldMenu => {
            "To stop all payments press 1. To let payments go on press 2. To go back press any other key."
        }
        Prompt::Held => "Payments are stopped.",
        Prompt::Released => "Payments go on.",
        Prompt::StillHeld => "Your hold is lifted, but the operator has stopped payments too. Please ask the operator.",
        Prompt::ReportMenu => {
            "For a payment that you do not know press 1. If count or balance differ from what your client shows press 2. If your \
             machine is lost or stolen press 3. For goods or a merchant press 4. For anything else press 5. To go back press any \
             other key."
        }
        Prompt::Filed(number) => {
            return Zeroizing::new(format!("Thank you. The number of your report is {}.", spoken(&number.to_string())));
        }
        Prompt::EnoughReports => "There were enough reports in this call.",
        Prompt::EnoughDone => "That was enough for one call. Please call again.",
        Prompt::Revoked => "This instrument was revoked. Please ask the operator for a new one.",
        Prompt::Unavailable => "That is not possible now. Please try again later.",
        Prompt::AccessEnded => "This access has ended.",
        Prompt::Goodbye => "Goodbye.",
    };
    Zeroizing::new(fixed.to_owned())
}

/// Digits one by one, as they are to be written down.
fn spoken(digits: &str) -> String {
    let mut text = String::with_capacity(2 * digits.len());
    for digit in digits.chars() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn new_pin(digits: &str) -> Zeroizing<String> {
    // Room for all of it at once: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(128));
    text.push_str("Your new PIN is ");
    text.push_str(&Zeroizing::new(spoken(digits)));
    text.push_str(". Your client wants it with the command new-pin.");
    text
}

fn account(reading: &Reading) -> Zeroizing<String> {
    let mut text =
        format!("The count of the last transaction is {}. The balance is {}.", reading.count, reading.balance);
    for holder in &reading.held_by {
        text.push_str(match holder {
            Holder::Customer => " You have stopped payments.",
            Holder::Operator => " The operator has stopped payments.",
            Holder::Job => " Payments are stopped because something was found.",
        });
    }
    if reading.account_held {
        text.push_str(" The operator has stopped the account.");
    }
    match reading.pin {
        PinStage::None => text.push_str(" There is no PIN yet."),
        PinStage::Locked => text.push_str(" The PIN is locked after too many wrong ones; a new PIN unlocks it."),
        PinStage::Set => {}
    }
    Zeroizing::new(text)
}

fn past_amounts(PastAmounts { amounts, more }: &PastAmounts) -> Zeroizing<String> {
    let one = |past: &PastAmount| {
        let what = if past.paid { "paid" } else { "denied" };
        let at = past.at.to_string();
        let minute = at.get(..16).unwrap_or(&at);
        format!("Number {}: {}, {what}, on {minute} UTC.", past.count, past.amount)
    };
    let mut sentences: Vec<String> = amounts.iter().map(one).collect();
    if sentences.is_empty() {
        sentences.push("There was no transaction yet.".to_owned());
    }
    if *more {
        sentences.push("Earlier ones stand in your client's history.".to_owned());
    }
    Zeroizing::new(sentences.join(" "))
}

#[cfg(test)]
mod tests {
    use protocol::money::Asset;
    use protocol::pin::Pin;
    use protocol::time::Timestamp;

    use super::*;
    use crate::admin::views::Money;

    #[test]
    fn numbers_are_spoken_digit_by_digit() {
        assert!(text(&Prompt::NewPin(Pin::parse("004215").unwrap())).contains("is 0 0 4 2 1 5."));
        assert!(text(&Prompt::Filed(12_345_678)).ends_with("1 2 3 4 5 6 7 8."));
    }

    #[test]
    fn a_reading_says_what_is_wrong_and_nothing_else() {
        let reading = Reading {
            count: 7,
            balance: Money::new(9_950_000, Asset::USD6, 6),
            held_by: vec![],
            account_held: false,
            pin: PinStage::Set,
        };
        assert_eq!(*account(&reading), "The count of the last transaction is 7. The balance is 9.950000 USD6.");
        let stopped = Reading { held_by: vec![Holder::Operator], pin: PinStage::Locked, ..reading };
        assert!(account(&stopped).contains("operator has stopped") && account(&stopped).contains("locked"));
        let past = PastAmount { count: 7, amount: stopped.balance, paid: false, at: Timestamp(0) };
        let told = past_amounts(&PastAmounts { amounts: vec![past], more: true });
        assert!(told.starts_with("Number 7: 9.950000 USD6, denied, on 1970-01-01 00:00 UTC. Earlier"), "{}", *told);
    }
}
