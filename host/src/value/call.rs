//! The door: calls into an instance and out of it, with values whose types are known at run time only.

use super::{Value, check_args, types, val};
use std::sync::Arc;
use wasmhot_appup::interface::{FunctionName, FunctionType};
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Func, Instance, LinkerInstance, Val};
use wasmtime::{AsContextMut, StoreContextMut};

/// An exported function of a component: looked up once per version, then bound to each of its instances.
#[derive(Clone, Debug)]
pub struct PreparedFunction {
    index: ComponentExportIndex,
    ty: Arc<FunctionType>,
}

impl PreparedFunction {
    /// Looks `name` up in `component`.
    ///
    /// # Errors
    /// No such export, an export that is not a function, or one whose signature has resources or streams in it.
    pub fn new(component: &Component, name: &FunctionName) -> wasmtime::Result<Self> {
        let missing = || wasmtime::format_err!("no exported function `{name}`");
        let parent = match &name.interface {
            Some(interface) => Some(
                component
                    .get_export_index(None, interface.as_str())
                    .ok_or_else(missing)?,
            ),
            None => None,
        };
        let (item, index) = component
            .get_export(parent.as_ref(), name.name.as_str())
            .ok_or_else(missing)?;
        let ComponentItem::ComponentFunc(ty) = item else {
            return Err(missing());
        };
        let ty = Arc::new(types::function_type(&ty));
        if ty.cannot_cross() {
            wasmtime::bail!("`{name}` has a type that values cannot be built for: {ty}");
        }
        Ok(PreparedFunction { index, ty })
    }

    /// The signature.
    #[must_use]
    pub fn ty(&self) -> &Arc<FunctionType> {
        &self.ty
    }

    /// The function in `instance`, which must be an instance of the same component.
    ///
    /// # Errors
    /// An instance of another component.
    pub fn bind(&self, mut store: impl AsContextMut, instance: &Instance) -> wasmtime::Result<Function> {
        let func = instance.get_func(&mut store, self.index);
        let func = func.ok_or_else(|| wasmtime::format_err!("the instance is not one of this component"))?;
        Ok(Function {
            func,
            ty: Arc::clone(&self.ty),
        })
    }
}

/// A function of one instance, ready to be called.
#[derive(Clone, Debug)]
pub struct Function {
    func: Func,
    ty: Arc<FunctionType>,
}

impl Function {
    /// The signature.
    #[must_use]
    pub fn ty(&self) -> &Arc<FunctionType> {
        &self.ty
    }

    /// Calls it. The arguments are checked first: a [`Mismatch`](super::Mismatch) as error means that nothing was executed.
    ///
    /// Dropping the future while the call is suspended ends the whole store (R10): give it a task of its own.
    ///
    /// # Errors
    /// Arguments that do not fit, a trap, or what the host's functions failed with.
    pub async fn call(
        &self,
        mut store: impl AsContextMut<Data: Send>,
        args: &[Value],
    ) -> wasmtime::Result<Option<Value>> {
        check_args(&self.ty, args)?;
        let params: Vec<Val> = self
            .ty
            .params
            .iter()
            .zip(args)
            .map(|((_, of), arg)| val::to_val(arg, of))
            .collect();
        let Some(of) = &self.ty.result else {
            self.func.call_async(&mut store, &params, &mut []).await?;
            return Ok(None);
        };
        let mut results = [Val::Bool(false)];
        self.func.call_async(&mut store, &params, &mut results).await?;
        Ok(Some(val::from_val(&results[0], of).ok_or_else(unlike)?))
    }
}

fn unlike() -> wasmtime::Error {
    wasmtime::format_err!("a value from the guest is not of the type that its component declares")
}

/// What an imported function does for one call: the answer, or an error that *traps the caller*.
pub type ImportFuture<'a> = Box<dyn Future<Output = wasmtime::Result<Option<Value>>> + Send + 'a>;

/// Defines a function that guests import. The guest's call waits for the future; nothing else runs in its store meanwhile.
///
/// An `Err` of the future, and an answer that does not fit the type, trap the calling instance, for good: ordinary failures
/// belong into a `result`.
///
/// # Errors
/// The name is taken, or the type is one that values cannot be built for.
pub fn define_import<T, F>(
    linker: &mut LinkerInstance<'_, T>,
    name: &str,
    ty: &FunctionType,
    function: F,
) -> wasmtime::Result<()>
where
    T: Send + 'static,
    F: Fn(StoreContextMut<'_, T>, Vec<Value>) -> ImportFuture<'_> + Send + Sync + 'static,
{
    if ty.cannot_cross() {
        wasmtime::bail!("`{name}` has a type that values cannot be built for: {ty}");
    }
    let (ty, function) = (Arc::new(ty.clone()), Arc::new(function));
    linker.func_new_async(name, move |store, _: ComponentFunc, params, results| {
        let (ty, function) = (Arc::clone(&ty), Arc::clone(&function));
        Box::new(async move {
            let args = params
                .iter()
                .zip(&ty.params)
                .map(|(param, (_, of))| val::from_val(param, of));
            let args = args.collect::<Option<Vec<_>>>().ok_or_else(unlike)?;
            let answer = Box::into_pin(function(store, args)).await?;
            match (results, answer, &ty.result) {
                ([], None, None) => {}
                ([result], Some(answer), Some(of)) => {
                    answer.conforms(of)?;
                    *result = val::to_val(&answer, of);
                }
                _ => wasmtime::bail!("the host's answer is not of the declared type"),
            }
            Ok(())
        })
    })
}
