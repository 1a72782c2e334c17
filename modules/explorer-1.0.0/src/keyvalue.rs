//! Buckets, by both drafts of `wasi:keyvalue`.

use crate::bindings::wasi::keyvalue0_2_0_draft as first;
use crate::bindings::wasi::keyvalue0_2_0_draft2::atomics::{self, Cas, CasError};
use crate::bindings::wasi::keyvalue0_2_0_draft2::batch as many;
use crate::bindings::wasi::keyvalue0_2_0_draft2::store::{self, Bucket};
use crate::said;

fn open(bucket: &str) -> Result<Bucket, String> {
    store::open(bucket).map_err(said)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn get(bucket: &str, key: &str) -> Result<Option<String>, String> {
    Ok(open(bucket)?.get(key).map_err(said)?.map(text))
}

pub(crate) fn set(bucket: &str, key: &str, value: &str) -> Result<(), String> {
    open(bucket)?.set(key, value.as_bytes()).map_err(said)
}

pub(crate) fn delete(bucket: &str, key: &str) -> Result<(), String> {
    let bucket = open(bucket)?;
    bucket.delete(key).map_err(said)?;
    match bucket.exists(key) {
        Ok(false) => Ok(()),
        other => Err(said(other)),
    }
}

pub(crate) fn keys(bucket: &str) -> Result<Vec<String>, String> {
    let bucket = open(bucket)?;
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = bucket.list_keys(cursor.as_deref()).map_err(said)?;
        all.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

pub(crate) fn increment(bucket: &str, key: &str, by: i64) -> Result<i64, String> {
    atomics::increment(&open(bucket)?, key, by).map_err(said)
}

pub(crate) fn swap(bucket: &str, key: &str, value: &str, meddle: bool) -> Result<(), String> {
    let bucket = open(bucket)?;
    let (cas, _) = Cas::new_with_read(&bucket, key).map_err(said)?;
    if meddle {
        bucket.set(key, b"meddled").map_err(said)?;
    }
    match atomics::swap(cas, value.as_bytes()) {
        Ok(()) => Ok(()),
        Err(CasError::StoreError(error)) => Err(said(error)),
        Err(CasError::CasFailed((again, found))) => {
            // The handle that comes back knows what is there now.
            atomics::swap(again, value.as_bytes()).map_err(|_| "twice".to_owned())?;
            Err(format!("it was {:?} meanwhile", found.map(text)))
        }
    }
}

pub(crate) fn batch(bucket: &str) -> Result<Vec<String>, String> {
    let bucket = open(bucket)?;
    let pair = |key: &str, value: &str| (key.to_owned(), value.as_bytes().to_vec());
    many::set_many(&bucket, &[pair("a", "1"), pair("b", "2"), pair("c", "3")]).map_err(said)?;
    many::delete_many(&bucket, &["b".to_owned(), "none".to_owned()]).map_err(said)?;
    let found = many::get_many(&bucket, &["a".to_owned(), "b".to_owned(), "c".to_owned()]).map_err(said)?;
    let shown = |found: Option<(String, Vec<u8>)>| {
        found.map_or("none".to_owned(), |(key, value)| format!("{key}={}", text(value)))
    };
    Ok(found.into_iter().map(shown).collect())
}

pub(crate) fn first_draft(bucket: &str) -> Result<Vec<String>, String> {
    let bucket = first::store::open(bucket).map_err(said)?;
    bucket.set("first", b"draft").map_err(said)?;
    let sum = first::atomics::increment(&bucket, "number", 2).map_err(said)?;
    let value = bucket.get("first").map_err(said)?.map(text);
    let (mut all, mut cursor) = (vec![sum.to_string(), value.unwrap_or_default()], None);
    loop {
        let page = bucket.list_keys(cursor).map_err(said)?;
        all.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}
