//! The sealed mailer: a sheet to be printed and put into an envelope. It tells the customer how to call the VRU, and nothing else
//! does; nothing of the enrolment bundle is on it.

use zeroize::Zeroizing;

use super::office::NewAccess;

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
         You hear count, balance and last amounts, stop and release payments, and report problems.\n\
         With a terminal instead of a telephone:\n\n    tps vru-phone ",
    );
    sheet.push_str(call);
    sheet.push_str(&with);
    sheet.push_str(
        "\n\n\
         Keep this sheet away from the machine that pays: whoever has both can pay. Type these numbers into the telephone\n\
         and nowhere else. Several wrong passcodes lock the access; then, or if you lose this sheet, ask the operator for\n\
         another. If this envelope was open when it came, tell the operator before anything else.\n",
    );
    sheet
}
