//! Compare and swap: a handle knows the stamp that its key had, and the swap fails if that is another one by then.

use super::{Bucket, Bytes, Error, Future, Interface, Store, bucket, changes, check_pairs, get_one, keep};
use crate::store::keyvalue::{Change, Changed};
use std::sync::Arc;
use wasmtime::component::{ComponentType, Lower, Resource, ResourceType};

/// A swap that a guest has begun.
pub(super) struct Cas {
    bucket: String,
    key: String,
    stamp: u64,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum CasError {
    #[component(name = "store-error")]
    Store(Error),
    #[component(name = "cas-failed")]
    Failed((Resource<Cas>, Option<Vec<u8>>)),
}

/// Begins a swap: what is there now, and the handle that knows its stamp.
async fn begin(
    store: &mut Store<'_>,
    of: Resource<Bucket>,
    key: String,
) -> Result<(Resource<Cas>, Option<Bytes>), Error> {
    let (store_of, name) = bucket(store, &of)?;
    let found = get_one(Ok((store_of, name.clone())), key.clone()).await?;
    let stamp = found.as_ref().map_or(0, |(stamp, _)| *stamp);
    let cas = keep(
        store,
        Cas {
            bucket: name,
            key,
            stamp,
        },
    )?;
    Ok((cas, found.map(|(_, value)| value)))
}

async fn swap(store: &mut Store<'_>, cas: Resource<Cas>, value: Bytes) -> Result<(), CasError> {
    let other = |why: String| CasError::Store(Error::Other(why));
    let cas = store
        .data_mut()
        .resources_mut()
        .delete(cas)
        .map_err(|error| other(error.to_string()))?;
    let access = store.data().reach().keyvalue();
    access.may(&cas.bucket).map_err(CasError::Store)?;
    let keyvalue = Arc::clone(access.store);
    let Cas { bucket, key, stamp } = cas;
    check_pairs(&[(String::new(), value.clone())]).map_err(CasError::Store)?;
    let change = Change::Swap {
        key: key.clone(),
        stamp,
        value,
    };
    match changes(&keyvalue, &bucket, change).await.map_err(CasError::Store)? {
        Changed::Other(found) => {
            let stamp = found.as_ref().map_or(0, |(stamp, _)| *stamp);
            let again = keep(store, Cas { bucket, key, stamp }).map_err(CasError::Store)?;
            Err(CasError::Failed((again, found.map(|(_, value)| value))))
        }
        Changed::Done | Changed::Number(_) => Ok(()),
    }
}

pub(super) fn add_swap(interface: &mut Interface<'_>) -> wasmtime::Result<()> {
    interface.resource("cas", ResourceType::host::<Cas>(), |mut store, rep| {
        store.data_mut().resources_mut().delete(Resource::<Cas>::new_own(rep))?;
        Ok(())
    })?;
    interface.func_wrap_async(
        "[static]cas.new",
        |mut store: Store<'_>, (of, key): (Resource<Bucket>, String)| -> Future<'_, Resource<Cas>> {
            Box::new(async move { Ok((begin(&mut store, of, key).await.map(|(cas, _)| cas),)) })
        },
    )?;
    interface.func_wrap_async(
        "[static]cas.new-with-read",
        |mut store: Store<'_>, (of, key): (Resource<Bucket>, String)| -> Future<'_, (Resource<Cas>, Option<Bytes>)> {
            Box::new(async move { Ok((begin(&mut store, of, key).await,)) })
        },
    )?;
    interface.func_wrap_async("swap", |mut store: Store<'_>, (cas, value): (Resource<Cas>, Bytes)| {
        let work = async move { Ok((swap(&mut store, cas, value).await,)) };
        Box::new(work) as Box<dyn std::future::Future<Output = wasmtime::Result<(Result<(), CasError>,)>> + Send + '_>
    })
}
