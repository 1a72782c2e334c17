//! `wasi:keyvalue`: buckets that the release grants, shared by all modules that are granted them, durable.
//!
//! The drafts differ in two things: the cursor of `list-keys` is a number in the first and a text in the second, and the second has
//! `swap` and signed numbers.

mod swap;

use super::super::guest::Guest;
use super::super::outside::{Denied, Reach};
use super::versions;
use crate::store::KeyValue;
use crate::store::keyvalue::{Change, Changed, KEY_MAX, VALUE_MAX};
use std::sync::Arc;
use wasmhot_appup::Capability;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType};

/// The second of the two versions that there are of all three interfaces.
const SECOND: &str = "0.2.0-draft2";

/// A bucket that a guest has opened.
pub(crate) struct Bucket(String);

/// `variant error` of the interface.
#[derive(Debug, ComponentType, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "no-such-store")]
    #[expect(dead_code, reason = "part of the type; a bucket that is granted always is there")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct KeyResponse<C> {
    keys: Vec<String>,
    cursor: Option<C>,
}

type Bytes = Vec<u8>;
type Answer<T> = wasmtime::Result<(Result<T, Error>,)>;
type Future<'a, T> = Box<dyn std::future::Future<Output = Answer<T>> + Send + 'a>;

/// The store, as one instance sees it.
pub(in super::super) struct KeyValueAccess<'a> {
    pub(in super::super) reach: &'a Reach,
    pub(in super::super) store: &'a Arc<KeyValue>,
}

impl KeyValueAccess<'_> {
    /// A bucket may be opened at any time: that has no effect.
    fn open(&self, name: &str) -> Result<(), Error> {
        if self.reach.effects_refused().is_some() && self.reach.grants.keyvalue.contains(name) {
            return Ok(());
        }
        self.may(name)
    }

    fn may(&self, bucket: &str) -> Result<(), Error> {
        let is_granted = self.reach.grants.keyvalue.contains(bucket);
        let (target, grant) = (
            || format!("the bucket {bucket:?}"),
            || format!("keyvalue = [{bucket:?}]"),
        );
        match self.reach.may(Capability::Keyvalue, is_granted, target, grant) {
            Ok(()) => Ok(()),
            Err(Denied::NotGranted) => Err(Error::AccessDenied),
            Err(Denied::During(phase)) => Err(Error::Other(format!("outside effects are refused during `{phase}`"))),
        }
    }
}

/// The store and the name of a bucket, if it may be used now.
fn bucket(store: &StoreContextMut<'_, Guest>, bucket: &Resource<Bucket>) -> Result<(Arc<KeyValue>, String), Error> {
    let guest = store.data();
    let name = guest
        .resources()
        .get(bucket)
        .map_err(|error| Error::Other(error.to_string()))?
        .0
        .clone();
    let access = guest.reach().keyvalue();
    access.may(&name)?;
    Ok((Arc::clone(access.store), name))
}

fn check_key(key: &str) -> Result<(), Error> {
    match key.len() {
        ..=KEY_MAX => Ok(()),
        length => Err(Error::Other(format!("a key has at most {KEY_MAX} bytes, not {length}"))),
    }
}

fn check_pairs(pairs: &[(String, Bytes)]) -> Result<(), Error> {
    pairs.iter().try_for_each(|(key, value)| {
        check_key(key)?;
        match value.len() {
            ..=VALUE_MAX => Ok(()),
            length => Err(Error::Other(format!(
                "a value has at most {VALUE_MAX} bytes, not {length}"
            ))),
        }
    })
}

/// Reads off the threads on which guests run.
async fn reads<T: Send + 'static>(
    store: Arc<KeyValue>,
    read: impl FnOnce(&KeyValue) -> Result<T, String> + Send + 'static,
) -> Result<T, Error> {
    let read = tokio::task::spawn_blocking(move || read(&store)).await;
    read.map_err(|error| error.to_string())
        .and_then(|read| read)
        .map_err(Error::Other)
}

async fn changes(store: &KeyValue, bucket: &str, change: Change) -> Result<Changed, Error> {
    store.change(bucket, change).await.map_err(Error::Other)
}

async fn get_many(
    found: Result<(Arc<KeyValue>, String), Error>,
    keys: Vec<String>,
) -> Result<Vec<Option<(u64, Bytes)>>, Error> {
    let (store, name) = found?;
    keys.iter().try_for_each(|key| check_key(key))?;
    reads(store, move |store| store.get(&name, &keys)).await
}

async fn get_one(found: Result<(Arc<KeyValue>, String), Error>, key: String) -> Result<Option<(u64, Bytes)>, Error> {
    Ok(get_many(found, vec![key]).await?.pop().flatten())
}

async fn set(found: Result<(Arc<KeyValue>, String), Error>, pairs: Vec<(String, Bytes)>) -> Result<(), Error> {
    let (store, name) = found?;
    check_pairs(&pairs)?;
    changes(&store, &name, Change::Set(pairs)).await.map(drop)
}

async fn delete(found: Result<(Arc<KeyValue>, String), Error>, keys: Vec<String>) -> Result<(), Error> {
    let (store, name) = found?;
    changes(&store, &name, Change::Delete(keys)).await.map(drop)
}

async fn add<N: TryFrom<i128>>(
    found: Result<(Arc<KeyValue>, String), Error>,
    (key, delta): (String, i128),
    (least, most): (i128, i128),
) -> Result<N, Error> {
    let (store, name) = found?;
    check_key(&key)?;
    match changes(
        &store,
        &name,
        Change::Add {
            key,
            delta,
            least,
            most,
        },
    )
    .await?
    {
        Changed::Number(number) => N::try_from(number).map_err(|_| Error::Other("the number does not fit".to_owned())),
        Changed::Done | Changed::Other(_) => Err(Error::Other("the store gave no number".to_owned())),
    }
}

/// One page of keys.
async fn page(
    found: Result<(Arc<KeyValue>, String), Error>,
    after: Option<String>,
    skip: u64,
) -> Result<(Vec<String>, bool), Error> {
    let (store, name) = found?;
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    reads(store, move |store| store.keys(&name, after.as_deref(), skip)).await
}

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for name in versions("wasi:keyvalue/store") {
        let mut interface = linker.instance(&name)?;
        add_store(&mut interface)?;
        if name.ends_with(SECOND) {
            list_by_text(&mut interface)?;
        } else {
            list_by_number(&mut interface)?;
        }
    }
    for name in versions("wasi:keyvalue/batch") {
        add_batch(&mut linker.instance(&name)?)?;
    }
    for name in versions("wasi:keyvalue/atomics") {
        let mut interface = linker.instance(&name)?;
        if name.ends_with(SECOND) {
            swap::add_swap(&mut interface)?;
            add_signed(&mut interface)?;
        } else {
            add_unsigned(&mut interface)?;
        }
    }
    Ok(())
}

type Interface<'a> = LinkerInstance<'a, Guest>;
type Store<'a> = StoreContextMut<'a, Guest>;

fn add_store(interface: &mut Interface<'_>) -> wasmtime::Result<()> {
    interface.resource("bucket", ResourceType::host::<Bucket>(), |mut store, rep| {
        store
            .data_mut()
            .resources_mut()
            .delete(Resource::<Bucket>::new_own(rep))?;
        Ok(())
    })?;
    interface.func_wrap("open", |mut store: Store<'_>, (name,): (String,)| {
        let may = store.data().reach().keyvalue().open(&name);
        Ok((may.and_then(|()| keep(&mut store, Bucket(name))),))
    })?;
    interface.func_wrap_async(
        "[method]bucket.get",
        |store: Store<'_>, (of, key): (Resource<Bucket>, String)| -> Future<'_, Option<Bytes>> {
            let found = bucket(&store, &of);
            Box::new(async { Ok((get_one(found, key).await.map(|found| found.map(|(_, value)| value)),)) })
        },
    )?;
    interface.func_wrap_async(
        "[method]bucket.exists",
        |store: Store<'_>, (of, key): (Resource<Bucket>, String)| -> Future<'_, bool> {
            let found = bucket(&store, &of);
            Box::new(async { Ok((get_one(found, key).await.map(|found| found.is_some()),)) })
        },
    )?;
    interface.func_wrap_async(
        "[method]bucket.set",
        |store: Store<'_>, (of, key, value): (Resource<Bucket>, String, Bytes)| -> Future<'_, ()> {
            let found = bucket(&store, &of);
            Box::new(async { Ok((set(found, vec![(key, value)]).await,)) })
        },
    )?;
    interface.func_wrap_async(
        "[method]bucket.delete",
        |store: Store<'_>, (of, key): (Resource<Bucket>, String)| -> Future<'_, ()> {
            let found = bucket(&store, &of);
            Box::new(async { Ok((delete(found, vec![key]).await,)) })
        },
    )
}

/// Puts something into the guest's table.
fn keep<T: Send + 'static>(store: &mut Store<'_>, value: T) -> Result<Resource<T>, Error> {
    let table = store.data_mut().resources_mut();
    table.push(value).map_err(|error| Error::Other(error.to_string()))
}

fn list_by_number(interface: &mut Interface<'_>) -> wasmtime::Result<()> {
    interface.func_wrap_async(
        "[method]bucket.list-keys",
        |store: Store<'_>, (of, cursor): (Resource<Bucket>, Option<u64>)| -> Future<'_, KeyResponse<u64>> {
            let found = bucket(&store, &of);
            Box::new(async move {
                let skip = cursor.unwrap_or(0);
                let page = page(found, None, skip).await;
                let next = |keys: &Vec<String>| skip.saturating_add(keys.len() as u64);
                Ok((page.map(|(keys, more)| KeyResponse {
                    cursor: more.then(|| next(&keys)),
                    keys,
                }),))
            })
        },
    )
}

fn list_by_text(interface: &mut Interface<'_>) -> wasmtime::Result<()> {
    interface.func_wrap_async(
        "[method]bucket.list-keys",
        |store: Store<'_>, (of, cursor): (Resource<Bucket>, Option<String>)| -> Future<'_, KeyResponse<String>> {
            let found = bucket(&store, &of);
            Box::new(async move {
                let page = page(found, cursor, 0).await;
                let next = |keys: &Vec<String>| keys.last().cloned();
                Ok((page.map(|(keys, more)| KeyResponse {
                    cursor: next(&keys).filter(|_| more),
                    keys,
                }),))
            })
        },
    )
}

fn add_batch(interface: &mut Interface<'_>) -> wasmtime::Result<()> {
    interface.func_wrap_async(
        "get-many",
        |store: Store<'_>, (of, keys): (Resource<Bucket>, Vec<String>)| -> Future<'_, Vec<Option<(String, Bytes)>>> {
            let found = bucket(&store, &of);
            Box::new(async {
                let values = get_many(found, keys.clone()).await;
                let pair = |(key, found): (String, Option<(u64, Bytes)>)| Some((key, found?.1));
                Ok((values.map(|values| keys.into_iter().zip(values).map(pair).collect()),))
            })
        },
    )?;
    interface.func_wrap_async(
        "set-many",
        |store: Store<'_>, (of, pairs): (Resource<Bucket>, Vec<(String, Bytes)>)| -> Future<'_, ()> {
            let found = bucket(&store, &of);
            Box::new(async { Ok((set(found, pairs).await,)) })
        },
    )?;
    interface.func_wrap_async(
        "delete-many",
        |store: Store<'_>, (of, keys): (Resource<Bucket>, Vec<String>)| -> Future<'_, ()> {
            let found = bucket(&store, &of);
            Box::new(async { Ok((delete(found, keys).await,)) })
        },
    )
}

fn add_unsigned(interface: &mut Interface<'_>) -> wasmtime::Result<()> {
    interface.func_wrap_async(
        "increment",
        |store: Store<'_>, (of, key, delta): (Resource<Bucket>, String, u64)| -> Future<'_, u64> {
            let found = bucket(&store, &of);
            let bounds = (0, i128::from(u64::MAX));
            Box::new(async move { Ok((add(found, (key, i128::from(delta)), bounds).await,)) })
        },
    )
}

fn add_signed(interface: &mut Interface<'_>) -> wasmtime::Result<()> {
    interface.func_wrap_async(
        "increment",
        |store: Store<'_>, (of, key, delta): (Resource<Bucket>, String, i64)| -> Future<'_, i64> {
            let found = bucket(&store, &of);
            let bounds = (i128::from(i64::MIN), i128::from(i64::MAX));
            Box::new(async move { Ok((add(found, (key, i128::from(delta)), bounds).await,)) })
        },
    )
}
