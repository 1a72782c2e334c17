use super::{Change, Changed, KeyValue, PAGE, restore};
use std::sync::Arc;

fn set(key: &str, value: &[u8]) -> Change {
    Change::Set(vec![(key.to_owned(), value.to_vec())])
}

fn value(store: &KeyValue, bucket: &str, key: &str) -> Option<Vec<u8>> {
    let found = store.get(bucket, &[key.to_owned()]).expect("is read");
    found.into_iter().next().flatten().map(|(_, value)| value)
}

#[tokio::test]
async fn what_was_answered_is_there_when_the_store_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = KeyValue::new(Some(folder.path()));
    assert_eq!(store.change("carts", set("ann", b"3")).await, Ok(Changed::Done));
    assert_eq!(store.change("other", set("ann", b"4")).await, Ok(Changed::Done));
    store.close();
    assert!(store.get("carts", &[]).expect_err("is closed").contains("has stopped"));
    let again = KeyValue::new(Some(folder.path()));
    assert_eq!(value(&again, "carts", "ann"), Some(b"3".to_vec()));
    assert_eq!(value(&again, "carts", "bob"), None);
    assert_eq!(
        again.change("carts", Change::Delete(vec!["ann".to_owned()])).await,
        Ok(Changed::Done)
    );
    assert_eq!(
        (value(&again, "carts", "ann"), value(&again, "other", "ann")),
        (None, Some(b"4".to_vec()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_count_every_one_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(KeyValue::new(Some(folder.path())));
    let add = |delta| Change::Add {
        key: "n".to_owned(),
        delta,
        least: 0,
        most: i128::from(u64::MAX),
    };
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.change("b", add(2)).await })
        })
        .collect();
    for task in tasks {
        assert!(matches!(task.await.expect("ends"), Ok(Changed::Number(_))));
    }
    assert_eq!(value(&store, "b", "n"), Some(b"200".to_vec()));
    assert!(
        store
            .change("b", add(-201))
            .await
            .expect_err("is below 0")
            .contains("too large")
    );
    store.change("b", set("n", b"many")).await.expect("is set");
    let error = store.change("b", add(1)).await.expect_err("is no number");
    assert_eq!(error, "the value of \"n\" is no number");
}

#[tokio::test]
async fn a_swap_finds_out_what_was_changed_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = KeyValue::new(Some(folder.path()));
    let swap = |stamp, value: &[u8]| Change::Swap {
        key: "k".to_owned(),
        stamp,
        value: value.to_vec(),
    };
    assert_eq!(store.change("b", swap(0, b"one")).await, Ok(Changed::Done));
    let (stamp, _) = store.get("b", &["k".to_owned()]).expect("is read")[0]
        .clone()
        .expect("is there");
    // Changed, and changed back: the value is the same, the stamp is not.
    store.change("b", set("k", b"two")).await.expect("is set");
    store.change("b", set("k", b"one")).await.expect("is set");
    let Ok(Changed::Other(Some((now, found)))) = store.change("b", swap(stamp, b"three")).await else {
        panic!("it was changed meanwhile")
    };
    assert!(now > stamp && found == b"one");
    assert_eq!(store.change("b", swap(now, b"three")).await, Ok(Changed::Done));
    assert_eq!(value(&store, "b", "k"), Some(b"three".to_vec()));
    assert!(matches!(
        store.change("b", swap(0, b"four")).await,
        Ok(Changed::Other(Some(_)))
    ));
}

#[tokio::test]
async fn keys_are_listed_page_by_page_and_only_of_their_bucket() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = KeyValue::new(Some(folder.path()));
    let pairs = (0..PAGE + 1)
        .map(|number| (format!("{number:05}"), Vec::new()))
        .collect();
    store.change("b", Change::Set(pairs)).await.expect("is set");
    store.change("a", set("x", b"")).await.expect("is set");
    store.change("c", set("y", b"")).await.expect("is set");
    let (first, more) = store.keys("b", None, 0).expect("is read");
    assert!(more && first.len() == PAGE && first[0] == "00000");
    let last = first.last().expect("is there");
    for rest in [store.keys("b", Some(last), 0), store.keys("b", None, PAGE)] {
        assert_eq!(rest.expect("is read"), (vec!["01000".to_owned()], false));
    }
    assert_eq!(store.keys("b", None, usize::MAX).expect("is read"), (Vec::new(), false));
    assert_eq!(store.keys("none", None, 0).expect("is read"), (Vec::new(), false));
}

#[tokio::test]
async fn a_copy_is_made_while_it_is_open_and_opens_elsewhere() {
    let (state, backup, new) = (tempfile::tempdir(), tempfile::tempdir(), tempfile::tempdir());
    let (state, backup, new) = (
        state.expect("a folder"),
        backup.expect("a folder"),
        new.expect("a folder"),
    );
    let store = KeyValue::new(Some(state.path()));
    store.copy_to(backup.path()).expect("there is nothing to copy");
    assert!(std::fs::read_dir(backup.path()).expect("is there").next().is_none());
    store.change("b", set("k", b"v")).await.expect("is set");
    store.copy_to(backup.path()).expect("is copied");
    store.change("b", set("k", b"later")).await.expect("is set");
    restore(backup.path(), new.path()).expect("is restored");
    assert_eq!(value(&KeyValue::new(Some(new.path())), "b", "k"), Some(b"v".to_vec()));
}

#[tokio::test]
async fn without_a_folder_there_is_none() {
    let store = KeyValue::new(None);
    assert!(store.get("b", &[]).is_err());
    assert!(store.change("b", set("k", b"v")).await.is_err());
}
