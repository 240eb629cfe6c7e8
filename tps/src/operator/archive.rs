//! The archive: what lies in it, and whether it is whole.

use super::Operator;
use crate::admin::{AdminError, AdminResponse};

impl Operator {
    #[cfg(feature = "rocksdb")]
    pub(super) fn archive(&self, verify: bool) -> Result<AdminResponse, AdminError> {
        use crate::admin::views::SegmentView;
        use crate::archive::{SegmentHeader, WholeLog, signers};
        use crate::keys::KeyRing;

        let directory = self.data.archive();
        let log = WholeLog::open(&self.engine, &directory, &signers(&KeyRing::load(&self.data)?))?;
        let view = |header: &SegmentHeader| SegmentView {
            segment: header.number,
            from_ms: header.from,
            until_ms: header.until,
            payments: header.payments,
            journal: header.journal,
            file_bytes: SegmentHeader::BYTES as u64 + header.body_bytes,
            record_bytes: header.record_bytes,
            digest: header.body.to_string(),
            problem: verify.then(|| log.check(header).err()).flatten().map(|error| error.to_string()),
        };
        let segments = log.segments().iter().map(view).collect();
        Ok(AdminResponse::Archive { directory, segments })
    }

    #[cfg(not(feature = "rocksdb"))]
    pub(super) fn archive(&self, _verify: bool) -> Result<AdminResponse, AdminError> {
        Err(AdminError::refused("this `tps` was built without a database: it has no archive"))
    }
}
