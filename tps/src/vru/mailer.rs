//! The sealed mailer: a sheet to be printed and put into an envelope. It tells the customer how to call the VRU, and nothing else
//! does; nothing of the enrolment bundle is on it.

use zeroize::Zeroizing;

use super::office::NewAccess;
use crate::config::is_address;

/// The sheet. `label` is the operator's name for the instrument, `call` where the VRU is reached, `fingerprint` that of the
/// server's certificate where the line is under TLS.
pub fn text(label: &str, call: &str, fingerprint: Option<&str>, access: &NewAccess) -> Zeroizing<String> {
    let passcode = access.passcode.expose();
    let with = fingerprint.map(|fingerprint| format!(" --fingerprint {fingerprint}")).unwrap_or_default();
    // Room for all of it at once: growing would leave copies of the passcode behind.
    let mut sheet = Zeroizing::new(String::with_capacity(2_048 + label.len() + call.len() + with.len()));
    sheet.push_str("QUITTANCE: YOUR SECOND CHANNEL\n\nFor the instrument: ");
    sheet.extend(label.chars().filter(|character| !character.is_control()));
    sheet.push_str("\n\nCall:           ");
    sheet.push_str(call);
    sheet.push_str("\nAccess number:  ");
    sheet.push_str(access.number.expose());
    sheet.push_str("\nPasscode:       ");
    sheet.push_str(&passcode);
    sheet.push_str(
        "\n\n\
         There you get the PIN of your instrument, and a new one whenever you want; nothing is paid before the first.\n\
         You hear count, balance and last amounts, stop and release payments, and report problems.\n",
    );
    // A telephone number is nothing that a terminal could call.
    if is_address(call) {
        sheet.push_str("With a terminal instead of a telephone:\n\n    tps vru-phone ");
        sheet.push_str(call);
        sheet.push_str(&with);
        sheet.push('\n');
    }
    sheet.push_str(
        "\n\
         Keep this sheet away from the machine that pays: whoever has both can pay. Type these numbers into the telephone\n\
         and nowhere else. Several wrong passcodes lock the access; then, or if you lose this sheet, ask the operator for\n\
         another. If this envelope was open when it came, tell the operator before anything else.\n",
    );
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vru::credentials::{AccessNumber, Passcode};

    #[test]
    fn a_sheet_tells_how_to_call_and_holds_no_surprise() {
        let draw = &mut || Ok::<_, std::convert::Infallible>([41; 8]);
        let access =
            NewAccess { number: AccessNumber::random(draw).unwrap(), passcode: Passcode::random(draw).unwrap() };
        let sheet = text("lap\x1btop\nCall: elsewhere", "vru.example.com:4435", Some("3f9c"), &access);
        assert!(sheet.contains("tps vru-phone vru.example.com:4435 --fingerprint 3f9c\n"), "{}", *sheet);
        assert!(sheet.contains("instrument: laptopCall: elsewhere\n"), "a label breaks no line");
        assert!(sheet.contains(&format!("Access number:  {}\n", access.number.expose())));
        assert!(sheet.contains("Passcode:       11111111\n"));
        let by_telephone = text("laptop", "+1 555 0100", None, &access);
        assert!(by_telephone.contains("Call:           +1 555 0100\n") && !by_telephone.contains("vru-phone"));
    }
}
