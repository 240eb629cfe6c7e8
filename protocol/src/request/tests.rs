//! Requests-for-payment: what they hide, and that no part of them can be changed or exchanged.

use super::*;
use crate::pin::{Modifier, Pin};

fn processor_secret() -> AgreementSecret {
    AgreementSecret::from_random([8; 32])
}

fn processor() -> ProcessorKey {
    ProcessorKey { id: KeyId([3; 8]), public: processor_secret().public(), route: 0 }
}

fn keys() -> InstrumentKeys {
    InstrumentKeys {
        instrument: InstrumentId([0xa1; 16]),
        signing: Some(SigningKey::from_seed([6; 32])),
        device: Zeroizing::new([0xd4; 32]),
    }
}

fn content(amount: u64) -> Content {
    Content {
        merchant: MerchantId([0x11; 16]),
        number: TransactionNumber([0x22; 16]),
        amount: Amount::new(amount).unwrap(),
        asset: Asset::USD6,
        quote_digest: QuoteDigest([0x33; 32]),
        valid_until: Timestamp(1_800_000_000_000),
        kind: PaymentKind::PLAIN,
        terms: TermsDigest::ZERO,
        customer_part: ModifierPart(0x4444_5555_6666_7777),
    }
}

fn pin() -> ModifiedPin {
    Pin::parse("271828").unwrap().modified(Modifier(99))
}

fn sealed(amount: u64, ephemeral: u8) -> SealedRequest {
    seal(&content(amount), 7, &keys(), pin(), &processor(), AgreementSecret::from_random([ephemeral; 32])).unwrap()
}

fn session_of(request: &ReceivedRequest) -> PaymentSession {
    PaymentSession::for_processor(&processor_secret(), &processor().public, &request.ephemeral).unwrap()
}

/// Whether the TPS would take the request as authentic, with every check it has.
fn accepted(bytes: &[u8]) -> bool {
    let Ok(request) = ReceivedRequest::parse(bytes) else { return false };
    let Ok(session) = PaymentSession::for_processor(&processor_secret(), &processor().public, &request.ephemeral)
    else {
        return false;
    };
    let Ok(half) = request.open(&session) else { return false };
    let signed = request.signed_bytes(&half);
    let key = crate::signature::CustomerKey::parse(&keys().signing.unwrap().public()).unwrap();
    half.device_tag_holds(&keys().device, &signed)
        && half.opens_with(pin(), &session, &signed)
        && half.signature().is_some_and(|signature| {
            crate::signature::verify(&key, Domain::REQUEST_FOR_PAYMENT, &signed, &signature).is_ok()
        })
}

// spec: K-66
#[test]
fn the_tps_reads_what_the_customer_wrote() {
    let sealed = sealed(500, 1);
    assert_eq!(sealed.bytes.len(), REQUEST_BYTES);
    assert!(accepted(&sealed.bytes));
    let request = ReceivedRequest::parse(&sealed.bytes).unwrap();
    let half = request.open(&session_of(&request)).unwrap();
    assert_eq!((half.instrument, half.count), (keys().instrument, 7));
    assert_eq!(request.open.content(half.customer_part), content(500));
    assert_eq!(request.hash, sealed.hash);
    let other =
        PaymentSession::for_processor(&AgreementSecret::from_random([9; 32]), &processor().public, &request.ephemeral)
            .unwrap();
    assert_eq!(request.open(&other).err(), Some(ErrorCode::DoesNotOpen));
}

#[test]
fn requests_keep_their_documented_size() {
    assert_eq!((OPEN_BYTES, CUSTOMER_BYTES, REQUEST_BYTES), (134, 144, 326));
}

// spec: K-51, K-58
#[test]
fn any_altered_bit_is_noticed() {
    let bytes = sealed(500, 1).bytes;
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[index] ^= 1 << bit;
            assert!(!accepted(&altered), "byte {index} bit {bit}");
        }
    }
    assert!(!accepted(&bytes[1..]));
    assert!(!accepted(&[&bytes[..], &[0]].concat()));
}

// spec: K-52
#[test]
fn halves_of_two_requests_cannot_be_exchanged() {
    let (left, right) = (sealed(500, 1).bytes, sealed(900, 2).bytes);
    for cut in [OPEN_BYTES, ASSOCIATED_BYTES] {
        assert!(!accepted(&[&left[..cut], &right[cut..]].concat()));
        assert!(!accepted(&[&right[..cut], &left[cut..]].concat()));
    }
}

// spec: K-46, K-47, K-118
#[test]
fn the_merchants_data_is_readable_and_the_customers_is_not() {
    let bytes = sealed(500, 1).bytes;
    let contains = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(
        contains(&content(500).merchant.0)
            && contains(&content(500).number.0)
            && contains(&content(500).quote_digest.0)
    );
    assert!(contains(&500u64.to_le_bytes()));
    assert!(!contains(&keys().instrument.0));
    assert!(!contains(&keys().device[..]));
    assert!(!contains(&content(500).customer_part.0.to_le_bytes()));
    assert!(!contains(&keys().signing.unwrap().public()));
    assert!(!contains(&pin().0.to_le_bytes()));
}

// spec: K-45, K-47
#[test]
fn two_requests_of_one_instrument_share_nothing_but_the_open_half() {
    let (left, right) = (sealed(500, 1).bytes, sealed(500, 2).bytes);
    assert_eq!(left[..OPEN_BYTES], right[..OPEN_BYTES]);
    let (left, right) = (&left[OPEN_BYTES..], &right[OPEN_BYTES..]);
    for length in [6, 8] {
        for window in left.windows(length) {
            assert!(!right.windows(length).any(|other| other == window), "a constant of {length} bytes");
        }
    }
}

// spec: K-53
#[test]
fn pin_and_modifier_both_count() {
    let request = ReceivedRequest::parse(&sealed(500, 1).bytes).unwrap();
    let session = session_of(&request);
    let half = request.open(&session).unwrap();
    let signed = request.signed_bytes(&half);
    let opens =
        |pin: &str, modifier| half.opens_with(Pin::parse(pin).unwrap().modified(Modifier(modifier)), &session, &signed);
    assert!(opens("271828", 99));
    assert!(!opens("271828", 98));
    assert!(!opens("271829", 99));
}

#[test]
fn bad_fields_get_typed_errors() {
    let good = sealed(500, 1).bytes;
    let with = |index: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[index] = value;
        ReceivedRequest::parse(&bytes).err()
    };
    assert_eq!(with(0, 9), Some(ErrorCode::UnsupportedVersion));
    assert_eq!(with(1, 9), Some(ErrorCode::UnsupportedSuite));
    assert_eq!(with(2, 2), Some(ErrorCode::Malformed));
    assert_eq!(with(OPEN_BYTES - 33, 1), Some(ErrorCode::UnsupportedKind));
    assert_eq!(with(OPEN_BYTES - 1, 1), Some(ErrorCode::UnsupportedKind));
    // Amount: eight bytes after prefix, key, route, merchant and number.
    let amount_at = 3 + 8 + 2 + 16 + 16;
    assert_eq!(good[amount_at..amount_at + 8], 500u64.to_le_bytes());
    let mut zero = good.clone();
    zero[amount_at..amount_at + 8].fill(0);
    assert_eq!(ReceivedRequest::parse(&zero).err(), Some(ErrorCode::Malformed));
    zero[amount_at..amount_at + 8].fill(0xff);
    assert_eq!(ReceivedRequest::parse(&zero).err(), Some(ErrorCode::Malformed));
    assert_eq!(with(amount_at + 8, b'u'), Some(ErrorCode::Malformed));
    for length in [0, 1, 3, 100, REQUEST_BYTES - 1] {
        assert!(ReceivedRequest::parse(&good[..length]).is_err());
    }
}

#[test]
fn contents_are_equal_only_if_every_field_is() {
    let base = content(500);
    let changes: [fn(&mut Content); 9] = [
        |c| c.merchant.0[0] ^= 1,
        |c| c.number.0[0] ^= 1,
        |c| c.amount = Amount::new(501).unwrap(),
        |c| c.asset = Asset(*b"EUR2\0\0\0\0"),
        |c| c.quote_digest.0[31] ^= 1,
        |c| c.valid_until.0 += 1,
        |c| c.kind.0 = 1,
        |c| c.terms.0[0] = 1,
        |c| c.customer_part.0 ^= 1,
    ];
    for change in changes {
        let mut other = base;
        change(&mut other);
        assert_ne!(base.hash(), other.hash());
    }
}
