use super::*;

fn directory() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cts");
    (folder, path)
}

#[test]
fn one_process_at_a_time_and_anybody_may_look() {
    let (_folder, path) = directory();
    let held = Directory::open(&path).unwrap();
    assert!(matches!(Directory::open(&path), Err(StoreError::InUse(_))));
    assert!(matches!(Directory::look(&path), Err(StoreError::NotInitialised(_))));
    // What a child of another thread holds between its start and its program: a copy of the descriptor.
    let copy = held.lock.as_ref().unwrap().try_clone().unwrap();
    drop(held);
    Directory::open(&path).unwrap();
    drop(copy);
}

// spec: K-64
#[test]
fn everything_is_private_and_what_is_not_is_refused() {
    let (_folder, path) = directory();
    let store = Directory::open(&path).unwrap();
    store.store_payment_state(&PaymentState::new(3).unwrap()).unwrap();
    assert_eq!(store.payment_state().unwrap().next_count(), 4);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join(PAYMENT))), (0o700, 0o600));
    std::fs::set_permissions(path.join(PAYMENT), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(store.payment_state(), Err(StoreError::Permissions { mode: 0o640, .. })));
    drop(store);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = Directory::open(&path).unwrap_err().to_string();
    assert!(refused.contains("chmod 700"), "{refused}");
}

#[test]
fn what_begins_replaces_nothing() {
    let (_folder, path) = directory();
    Directory::open(&path).unwrap();
    let file = path.join("begun");
    assert!(write_private_once(&file, b"first").unwrap());
    assert!(!write_private_once(&file, b"second").unwrap());
    assert_eq!(std::fs::read(&file).unwrap(), b"first");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let names = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with(".unfinished-")));
}

#[test]
fn damaged_files_are_named_and_leftovers_removed() {
    let (_folder, path) = directory();
    let store = Directory::open(&path).unwrap();
    assert!(matches!(store.payment_state(), Err(StoreError::NotInitialised(_))));
    for damaged in [&b""[..], b"{", b"{\"next_count\":0}", &[0xff; 100]] {
        write_private(&path.join(PAYMENT), damaged).unwrap();
        assert!(matches!(store.payment_state(), Err(StoreError::Unreadable { .. })));
    }
    drop(store);
    std::fs::write(path.join(".unfinished-abc"), b"half").unwrap();
    Directory::open(&path).unwrap();
    assert!(!path.join(".unfinished-abc").exists());
}
