//! Everything that is sent, from arbitrary bytes: nothing panics, and what is read is written as the same bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::certificate::{CertificateRequest, MerchantCertificate};
use protocol::codec::{Canonical, Fixed};
use protocol::desk::{DeskAnswer, DeskBatch, DeskDescription, DeskError};
use protocol::enrolment::{Activation, ActivationAnswer, EnrolmentBundle};
use protocol::error::ErrorMessage;
use protocol::frame::{FRAME_HEADER_BYTES, Frame, MessageType, frame_header};
use protocol::key_set::refresh::{KeySetPart, KeySetRequest};
use protocol::key_set::{KeySet, SignedKeySet};
use protocol::proof::{BatchHeader, Proof, Statement};
use protocol::purchase::{
    AuthenticatedQuote, Confirmation, MerchantError, QuoteOffer, QuoteRequest, Renegotiation,
    RenegotiationAcknowledgment, SendGoods, ShippingAdvice,
};
use protocol::quote::Quote;
use protocol::request::{Content, CustomerHalf, OpenHalf, ReceivedRequest};

/// Fixed messages are parts of longer ones, so the beginning is tried as well.
fn fixed<T: Fixed>(bytes: &[u8]) {
    if bytes.len() != T::BYTES {
        assert!(T::decode(bytes).is_err(), "{} of another length", T::NAME);
    }
    if let Some(start) = bytes.get(..T::BYTES)
        && let Ok(value) = T::decode(start)
    {
        assert_eq!(value.encode(), start, "{}", T::NAME);
    }
}

fn canonical<T: Canonical>(bytes: &[u8]) {
    if let Ok(value) = T::decode(bytes) {
        assert!(bytes.len() <= T::BYTES_MAX);
        assert_eq!(value.encode(), bytes, "{}", T::NAME);
    }
}

fuzz_target!(|bytes: &[u8]| {
    fixed::<BatchHeader>(bytes);
    fixed::<Content>(bytes);
    fixed::<CustomerHalf>(bytes);
    fixed::<ErrorMessage>(bytes);
    fixed::<OpenHalf>(bytes);
    fixed::<Statement>(bytes);

    canonical::<Activation>(bytes);
    canonical::<ActivationAnswer>(bytes);
    canonical::<AuthenticatedQuote>(bytes);
    canonical::<CertificateRequest>(bytes);
    canonical::<Confirmation>(bytes);
    canonical::<DeskAnswer>(bytes);
    canonical::<DeskBatch>(bytes);
    canonical::<DeskDescription>(bytes);
    canonical::<DeskError>(bytes);
    canonical::<EnrolmentBundle>(bytes);
    canonical::<KeySet>(bytes);
    canonical::<KeySetPart>(bytes);
    canonical::<KeySetRequest>(bytes);
    canonical::<MerchantCertificate>(bytes);
    canonical::<MerchantError>(bytes);
    canonical::<Quote>(bytes);
    canonical::<QuoteOffer>(bytes);
    canonical::<QuoteRequest>(bytes);
    canonical::<Renegotiation>(bytes);
    canonical::<RenegotiationAcknowledgment>(bytes);
    canonical::<SendGoods>(bytes);
    canonical::<ShippingAdvice>(bytes);
    canonical::<SignedKeySet>(bytes);

    if let Ok(proof) = Proof::decode(bytes) {
        assert_eq!(proof.encode(), bytes);
    }
    if let Ok(kind) = MessageType::of(bytes) {
        assert!(bytes.starts_with(&kind.prefix()));
    }
    if let Ok(request) = ReceivedRequest::parse(bytes) {
        let open = request.open.encode();
        assert!(bytes.starts_with(&open));
        assert_eq!(&bytes[open.len()..open.len() + 32], request.ephemeral.0);
    }
    if let Ok(Some(frame)) = Frame::first(bytes) {
        let header = frame_header(frame.request_id, frame.message.len());
        assert_eq!([&header, frame.message].concat(), bytes[..FRAME_HEADER_BYTES + frame.message.len()]);
    }
});
