use std::os::unix::fs::PermissionsExt;

use protocol::request::REQUEST_BYTES;
use protocol::session::AgreementSecret;

use super::records::Meta;
use super::*;
use crate::mix::Kind;

/// A world that no server has.
pub(crate) fn world() -> World {
    World {
        realm: RealmId([1; 16]),
        data: PathBuf::from("/nowhere"),
        address: "127.0.0.1:1".to_owned(),
        server_certificate: "00".to_owned(),
        processor: PinnedProcessor {
            id: KeyId([2; 8]),
            public: AgreementSecret::from_random([3; 32]).public(),
            route: 0,
        },
        proof_keys: Vec::new(),
        merchant: MerchantId([4; 16]),
        asset: Asset::USD6,
        exponent: 6,
        shards: 1,
        seed: Seed::from_random([5; 32]),
        per_account: 1,
        opening_units: 1_000,
        amount_units: 1,
    }
}

fn make(path: &Path, requests: u8) -> Header {
    let standings: Vec<Standing> =
        (0..5).map(|number| Standing { last_count: number, ..Standing::default() }).collect();
    let new = NewLoadFile::create(path, &standings).unwrap();
    // In any order, as threads come.
    for number in (0..requests).rev() {
        let mut batch = Batch::default();
        batch.push(&[number; REQUEST_BYTES], Meta { shared: [7; 32], instrument: u32::from(number), kind: Kind::Paid });
        new.write_requests(u64::from(number), &batch).unwrap();
    }
    let made = Requests { count: requests.into(), next: 0, valid_until: Timestamp(5_000), mix: Mix::default() };
    let header = Header::new(world(), 5, made);
    new.finish(&header).unwrap();
    header
}

#[test]
fn files_round_trip_and_are_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("load.bin");
    let header = make(&path, 3);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    let mut file = LoadFile::open(&path).unwrap();
    assert_eq!(file.header.requests, header.requests);
    assert_eq!(file.standings().unwrap()[4].last_count, 4);
    let batch = file.requests(1, 2).unwrap();
    assert_eq!((batch.request(0)[0], batch.metas[1].instrument), (1, 2));

    file.begin_run(3).unwrap();
    assert!(matches!(LoadFile::open(&path), Err(FileError::RunUnfinished(_))), "a run that was killed is noticed");
    let after = [Standing { lost: true, ..Standing::default() }; 5];
    file.end_run(&after, 1).unwrap();
    let file = LoadFile::open(&path).unwrap();
    assert_eq!((file.left(), file.standings().unwrap()), (1, after.to_vec()));

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(LoadFile::open(&path), Err(FileError::Private(_))));
}

#[test]
fn what_cannot_be_used_is_refused_with_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("load.bin");
    make(&path, 3);
    let file = LoadFile::open(&path).unwrap();
    assert!(file.check(Timestamp(5_000), 3).is_ok());
    let expired = file.check(Timestamp(5_001), 3).unwrap_err();
    assert!(matches!(expired, FileError::Expired { .. }) && expired.to_string().contains("loadgen prepare --out"));
    assert!(matches!(file.check(Timestamp(0), 4), Err(FileError::TooFew { left: 3, needed: 4, .. })));

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(LoadFile::open(&path), Err(FileError::Damaged(_))));
    for wrong in [&b""[..], b"QTLOAD", &[0; 100_000]] {
        std::fs::write(&path, wrong).unwrap();
        assert!(matches!(LoadFile::open(&path), Err(FileError::NotALoadFile(_))));
    }
}
