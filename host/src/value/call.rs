//! The door: calls into an instance and out of it, with values whose types are known at run time only.

use super::lower::{Answer, Args, ImportAnswer, ImportArgs, MAX_FLAT, OwnArgs};
use super::{Value, check_args, types};
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use wasmhot_appup::interface::{FunctionName, FunctionType, Type};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Accessor, Component, ComponentExportIndex, ComponentNamedList, Func, GuestTaskId, Instance, LinkerInstance, Lower,
    TypedFunc,
};
use wasmtime::{AsContext, AsContextMut, Store, StoreContextMut};

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
        let ty = types::function_type(&ty);
        crossable(&name, &ty)?;
        Ok(PreparedFunction {
            index,
            ty: Arc::new(ty),
        })
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
        let func = self.find(&mut store, instance)?;
        Function::new(store, func, Arc::clone(&self.ty))
    }

    /// As [`PreparedFunction::bind`], for calls that run beside each other.
    ///
    /// # Errors
    /// An instance of another component.
    pub fn bind_concurrent(
        &self,
        mut store: impl AsContextMut,
        instance: &Instance,
    ) -> wasmtime::Result<ConcurrentFunction> {
        let func = self.find(&mut store, instance)?;
        Ok(ConcurrentFunction {
            door: Door::new(&store, func, flat_count(self.ty.result.iter()))?,
            ty: Arc::clone(&self.ty),
        })
    }

    fn find(&self, store: impl AsContextMut, instance: &Instance) -> wasmtime::Result<Func> {
        let func = instance.get_func(store, self.index);
        func.ok_or_else(|| wasmtime::format_err!("the instance is not one of this component"))
    }
}

/// A function of one instance, ready to be called.
#[derive(Clone)]
pub struct Function {
    door: Door<Args<'static>>,
    ty: Arc<FunctionType>,
}

impl Function {
    /// `func`, whose signature is `ty`.
    ///
    /// # Errors
    /// Its signature is another.
    pub fn new(store: impl AsContext, func: Func, ty: Arc<FunctionType>) -> wasmtime::Result<Self> {
        let door = Door::new(&store, func, flat_count(ty.result.iter()))?;
        Ok(Function { door, ty })
    }

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
        self.door.call(store.as_context_mut(), args).await
    }

    /// As [`Function::call`], of arguments that have been checked. Others fail, on the engine without concurrent calls before anything
    /// is executed.
    pub(crate) fn call_checked<T: Send>(
        &self,
        store: &mut Store<T>,
        args: &[Value],
    ) -> impl Future<Output = wasmtime::Result<Option<Value>>> + Send {
        self.door.call(store.as_context_mut(), args)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Function({})", self.ty)
    }
}

/// A function of one instance whose engine has concurrent calls: one of its calls may begin while others run.
#[derive(Clone)]
pub struct ConcurrentFunction {
    door: Door<OwnArgs>,
    ty: Arc<FunctionType>,
}

/// A call that has begun, and its guest task. It goes on whenever the store runs, whether or not its future is polled.
pub type Begun<'a> = (
    GuestTaskId,
    Pin<Box<dyn Future<Output = wasmtime::Result<Option<Value>>> + Send + 'a>>,
);

impl ConcurrentFunction {
    /// The signature.
    #[must_use]
    pub fn ty(&self) -> &Arc<FunctionType> {
        &self.ty
    }

    /// Begins a call, inside of `run_concurrent`. The arguments are checked first: a [`Mismatch`](super::Mismatch) as error means
    /// that nothing was executed.
    ///
    /// # Errors
    /// Arguments that do not fit, or a store that a trap has ended.
    pub fn begin<'a, T: Send + 'static>(
        &self,
        accessor: &'a Accessor<T>,
        args: Vec<Value>,
    ) -> wasmtime::Result<Begun<'a>> {
        check_args(&self.ty, &args)?;
        self.door.begin(accessor, OwnArgs(args))
    }
}

impl fmt::Debug for ConcurrentFunction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ConcurrentFunction({})", self.ty)
    }
}

/// Runs `$body` once for each number of flat values there can be.
macro_rules! for_each_count {
    ($body:ident) => {
        $body! {
            0 N0, 1 N1, 2 N2, 3 N3, 4 N4, 5 N5, 6 N6, 7 N7, 8 N8, 9 N9, 10 N10, 11 N11, 12 N12, 13 N13, 14 N14, 15 N15,
            16 N16, 17 N17
        }
    };
}

macro_rules! door {
    ($($count:literal $name:ident),*) => {
        /// A function by how many flat values its answer takes: a constant of the type, in Wasmtime.
        enum Door<A> {
            $($name(TypedFunc<A, Answer<$count>>),)*
        }

        impl<A> Clone for Door<A> {
            fn clone(&self) -> Self {
                match self {
                    $(Door::$name(func) => Door::$name(*func),)*
                }
            }
        }

        impl<A: ComponentNamedList + Lower> Door<A> {
            fn new(store: impl AsContext, func: Func, count: usize) -> wasmtime::Result<Self> {
                Ok(match count {
                    $($count => Door::$name(func.typed(store)?),)*
                    _ => unreachable!("flat values are counted up to {}", MAX_FLAT + 1),
                })
            }
        }

        impl Door<Args<'static>> {
            async fn call<T: Send>(
                &self,
                store: StoreContextMut<'_, T>,
                args: &[Value],
            ) -> wasmtime::Result<Option<Value>> {
                match self {
                    $(Door::$name(func) => {
                        // Made where it stays: it is a kilobyte large.
                        let call = pin!(func.call_async(store, Args(args)));
                        Ok(call.await?.0)
                    })*
                }
            }
        }

        impl Door<OwnArgs> {
            fn begin<'a, T: Send + 'static>(&self, accessor: &'a Accessor<T>, args: OwnArgs) -> wasmtime::Result<Begun<'a>> {
                match self {
                    $(Door::$name(func) => {
                        let func = *func;
                        let begun = accessor.with(|store| func.start_call_concurrent(store, args))?;
                        let task = begun.task();
                        let end = async move { Ok(func.finish_call_concurrent(accessor, begun).await?.0) };
                        Ok((task, Box::pin(end)))
                    })*
                }
            }
        }
    };
}
for_each_count!(door);

/// The answer of an imported function, or an error that *traps the caller*.
type ImportResult = wasmtime::Result<Option<Value>>;

/// What an imported function does for one call.
pub enum Answered {
    /// It has answered.
    Now(ImportResult),
    /// Its caller has to wait.
    Later(Pin<Box<dyn Future<Output = ImportResult> + Send>>),
}

type Import<T> = Arc<dyn Fn(StoreContextMut<'_, T>, Vec<Value>) -> Answered + Send + Sync>;

impl Answered {
    async fn answer<const ANSWER: usize>(self) -> wasmtime::Result<ImportAnswer<ANSWER>> {
        Ok(ImportAnswer(match self {
            Answered::Now(answer) => answer?,
            Answered::Later(answer) => answer.await?,
        }))
    }
}

/// Defines a function that guests import.
///
/// The guest's call waits for the answer. Of a function that is not async, nothing else runs in its store meanwhile; of an `async
/// func`, which only an engine with concurrent calls has, the store goes on.
///
/// An `Err`, and an answer that does not fit the type, trap the calling instance, for good: ordinary failures
/// belong into a `result`.
///
/// # Errors
/// The name is taken, the type is one that values cannot be built for, or an `async func` on an engine without concurrent calls.
pub fn define_import<T, F>(
    linker: &mut LinkerInstance<'_, T>,
    name: &str,
    ty: &FunctionType,
    function: F,
) -> wasmtime::Result<()>
where
    T: Send + 'static,
    F: Fn(StoreContextMut<'_, T>, Vec<Value>) -> Answered + Send + Sync + 'static,
{
    crossable(&name, ty)?;
    let function: Import<T> = Arc::new(function);
    if ty.result.is_some() {
        define::<T, 1>(linker, name, ty, function)
    } else {
        define::<T, 0>(linker, name, ty, function)
    }
}

fn define<T: Send + 'static, const ANSWER: usize>(
    linker: &mut LinkerInstance<'_, T>,
    name: &str,
    ty: &FunctionType,
    function: Import<T>,
) -> wasmtime::Result<()> {
    let params = flat_count(ty.params.iter().map(|(_, of)| of));
    macro_rules! wrap {
        ($($count:literal $name:ident),*) => {
            match params {
                $($count => linker.func_wrap_async(name, move |store, ImportArgs::<$count>(args)| {
                    Box::new(function(store, args).answer::<ANSWER>())
                }),)*
                _ => unreachable!("flat values are counted up to {}", MAX_FLAT + 1),
            }
        };
    }
    macro_rules! wrap_concurrent {
        ($($count:literal $name:ident),*) => {
            match params {
                $($count => linker.func_wrap_concurrent(name, move |accessor, ImportArgs::<$count>(args)| {
                    let answer = accessor.with(|mut store| function(store.as_context_mut(), args));
                    Box::pin(answer.answer::<ANSWER>())
                }),)*
                _ => unreachable!("flat values are counted up to {}", MAX_FLAT + 1),
            }
        };
    }
    if ty.is_async {
        for_each_count!(wrap_concurrent)
    } else {
        for_each_count!(wrap)
    }
}

fn crossable(name: &dyn fmt::Display, ty: &FunctionType) -> wasmtime::Result<()> {
    if ty.cannot_cross() {
        wasmtime::bail!("`{name}` has a type that values cannot be built for: {ty}");
    }
    Ok(())
}

/// The flat values that a list of types takes in the canonical ABI; [`MAX_FLAT`] + 1 for more.
fn flat_count<'a>(types: impl Iterator<Item = &'a Type>) -> usize {
    fn count(of: &Type) -> usize {
        match of {
            Type::String | Type::List(_) => 2,
            Type::Record(fields) => flat_count(fields.iter().map(|(_, of)| of)),
            Type::Tuple(types) => flat_count(types.iter()),
            Type::Variant(cases) => {
                1 + cases
                    .iter()
                    .filter_map(|(_, of)| of.as_ref())
                    .map(count)
                    .max()
                    .unwrap_or(0)
            }
            Type::Option(of) => 1 + count(of),
            Type::Result { ok, err } => 1 + [ok, err].into_iter().flatten().map(|of| count(of)).max().unwrap_or(0),
            Type::Flags(names) => names.len().div_ceil(32),
            _ => 1,
        }
    }
    types.map(count).sum::<usize>().min(MAX_FLAT + 1)
}
