//! [`Value`] straight into and out of a guest's memory, driven by the types of the component at run time.
//!
//! # Justification
//! Wasmtime's own dynamic value takes 40 bytes and one branch for each *element* of a list: echoing a kibibyte of bytes
//! through it costs a hundred times a typed call, and one call's allowance is spent by 3.3 MB. Its typed calls are fast, and
//! open to types of our own through the traits `ComponentType`, `Lower` and `Lift`, which are `unsafe` to implement
//! because Wasmtime lays out the stack and reads results by what they say. This file implements them for arguments and an
//! answer whose types are known at run time only. All `unsafe` of the values is in this file; the work is done by safe code
//! in `store.rs` and `lift.rs`.
//!
//! # Why it is sound
//! Wasmtime asks three things of an implementation:
//! - *`Lower` is a row of `ValRaw`*: it is `[ValRaw; N]` everywhere.
//! - *What is read was written*: flat values are lowered into a zeroed array that is then written as a whole.
//! - *`typecheck` lets nothing through that `Lower` does not fit*: it compares `N` with the true number of flat values.
//!
//! Sizes in memory are never taken from the constant `ABI`: they are looked up in the component's types, and every access is
//! a checked slice of Wasmtime's. A value that does not fit its type is an error in the middle of lowering, never a wrong
//! write; the callers check before. The support module that this builds on is exempt from semantic versioning: the
//! LTS release is pinned.

#![allow(
    unsafe_code,
    reason = "implements Wasmtime's traits for values typed at run time; see the top of the file"
)]

use super::Value;
use super::lift::{Source, lift_flat, load_parts};
use super::store::{Slots, lower_flat, store_parts};
use std::mem::MaybeUninit;
use wasmtime::component::__internal::wasmtime_environ::component::{TypeTuple, TypeTupleIndex};
use wasmtime::component::__internal::{
    CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};
use wasmtime::{Result, ValRaw, bail};

/// So many flat values go on the stack; more lie in the guest's memory.
pub(super) const MAX_FLAT: usize = 16;

/// For what is always a list of arguments or results, never a part of something: Wasmtime takes a window of this size out of
/// memory, of which only the start matters here.
const WINDOW: CanonicalAbiInfo = CanonicalAbiInfo {
    size32: 1,
    align32: 1,
    size64: 1,
    align64: 1,
    flat_count: None,
};

/// The arguments of a call into a guest.
#[derive(Clone, Copy)]
pub(super) struct Args<'a>(pub(super) &'a [Value]);

/// The arguments of a call that begins while others run: they are lowered when the guest is ready for it, so they are its own.
pub(super) struct OwnArgs(pub(super) Vec<Value>);

/// The answer of a guest, whose type takes `N` flat values; [`MAX_FLAT`] + 1 stands for more.
pub(super) struct Answer<const N: usize>(pub(super) Option<Value>);

/// The arguments of a call out of a guest, whose types take `N` flat values; [`MAX_FLAT`] + 1 stands for more.
pub(super) struct ImportArgs<const N: usize>(pub(super) Vec<Value>);

/// The answer to a guest: `N` is 0 for none, 1 for one that fits a flat value or lies in memory.
pub(super) struct ImportAnswer<const N: usize>(pub(super) Option<Value>);

/// The flat values of a list of types.
fn flat_count(types: &ComponentTypes, list: TypeTupleIndex) -> usize {
    types[list].abi.flat_count(MAX_FLAT).unwrap_or(MAX_FLAT + 1)
}

fn index(ty: &InterfaceType) -> Result<TypeTupleIndex> {
    match ty {
        InterfaceType::Tuple(index) => Ok(*index),
        other => bail!("expected a list of arguments, found {other:?}"),
    }
}

fn expect_flat(wanted: usize, found: usize) -> Result<()> {
    if wanted != found {
        bail!("expected {wanted} flat values, found {found}");
    }
    Ok(())
}

// SAFETY: `Lower` is an array of `ValRaw` as long as Wasmtime ever passes on the stack, and callees read no more of it than their
// own number of parameters; that arguments beyond it lie in memory is seen to in `linear_lower_to_flat`.
unsafe impl ComponentType for Args<'_> {
    type Lower = [ValRaw; MAX_FLAT];
    const ABI: CanonicalAbiInfo = WINDOW;

    fn typecheck(ty: &InterfaceType, _: &InstanceType<'_>) -> Result<()> {
        index(ty).map(|_| ())
    }
}

// SAFETY: writes all of `dst`; memory is written through checked slices only.
unsafe impl Lower for Args<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let TypeTuple { types, abi } = &cx.types[index(&ty)?];
        let mut slots = [ValRaw::u64(0); MAX_FLAT];
        if abi.flat_count(MAX_FLAT).is_some() {
            lower_all(cx, types, self.0, &mut slots)?;
        } else {
            // Too many for the stack: one pointer to where they lie.
            let start = cx.realloc(0, 0, abi.align32, abi.size32 as usize)?;
            store_parts(cx, types.iter().copied(), self.0, start)?;
            slots[0] = ValRaw::u64(start as u64);
        }
        dst.write(slots);
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        let types = &cx.types[index(&ty)?].types;
        store_parts(cx, types.iter().copied(), self.0, offset)
    }
}

// SAFETY: a list of arguments, as `typecheck` has it.
unsafe impl ComponentNamedList for Args<'_> {}

// SAFETY: as `Args`, to which it leaves everything.
unsafe impl ComponentType for OwnArgs {
    type Lower = [ValRaw; MAX_FLAT];
    const ABI: CanonicalAbiInfo = WINDOW;

    fn typecheck(ty: &InterfaceType, cx: &InstanceType<'_>) -> Result<()> {
        Args::typecheck(ty, cx)
    }
}

// SAFETY: as `Args`, to which it leaves everything.
unsafe impl Lower for OwnArgs {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        Args(&self.0).linear_lower_to_flat(cx, ty, dst)
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        Args(&self.0).linear_lower_to_memory(cx, ty, offset)
    }
}

// SAFETY: a list of arguments, as `typecheck` has it.
unsafe impl ComponentNamedList for OwnArgs {}

// SAFETY: `Lower` is an array of `ValRaw` of the length that `typecheck` compares with the component's type. Above one flat value
// (or 16, for functions lifted as async) Wasmtime passes a pointer instead, and calls `linear_lift_from_memory`.
unsafe impl<const N: usize> ComponentType for Answer<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = WINDOW;

    fn typecheck(ty: &InterfaceType, cx: &InstanceType<'_>) -> Result<()> {
        expect_flat(N, flat_count(cx.types, index(ty)?))
    }
}

// SAFETY: reads only what it is given; memory is read through checked slices only.
unsafe impl<const N: usize> Lift for Answer<N> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &Self::Lower) -> Result<Self> {
        // No list on the way: a function has one result at most.
        let types = &cx.types[index(&ty)?].types;
        let answer = types.first().map(|of| lift_flat(cx, *of, &mut Source::new(src)));
        Ok(Answer(answer.transpose()?))
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        Ok(Answer(load_all(cx, ty, bytes)?.pop()))
    }
}

// SAFETY: a list of results, as `typecheck` has it.
unsafe impl<const N: usize> ComponentNamedList for Answer<N> {}

// SAFETY: `Lower` is an array of `ValRaw` of the length that `typecheck` compares with the component's type. Above 16 flat values
// (or 4, for imports lowered as async) Wasmtime passes a pointer instead, and calls `linear_lift_from_memory`.
unsafe impl<const N: usize> ComponentType for ImportArgs<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = WINDOW;

    fn typecheck(ty: &InterfaceType, cx: &InstanceType<'_>) -> Result<()> {
        expect_flat(N, flat_count(cx.types, index(ty)?))
    }
}

// SAFETY: reads only what it is given; memory is read through checked slices only.
unsafe impl<const N: usize> Lift for ImportArgs<N> {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &Self::Lower) -> Result<Self> {
        lift_all(cx, ty, src).map(ImportArgs)
    }

    fn linear_lift_from_memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Self> {
        load_all(cx, ty, bytes).map(ImportArgs)
    }
}

// SAFETY: a list of arguments, as `typecheck` has it.
unsafe impl<const N: usize> ComponentNamedList for ImportArgs<N> {}

// SAFETY: `Lower` is an array of `ValRaw`: none for no answer, else one. An answer of more than one flat value goes to memory, by
// `linear_lower_to_memory`, and the flat form is never asked for.
unsafe impl<const N: usize> ComponentType for ImportAnswer<N> {
    type Lower = [ValRaw; N];
    const ABI: CanonicalAbiInfo = WINDOW;

    fn typecheck(ty: &InterfaceType, cx: &InstanceType<'_>) -> Result<()> {
        expect_flat(N, flat_count(cx.types, index(ty)?).min(1))
    }
}

// SAFETY: writes all of `dst`; memory is written through checked slices only.
unsafe impl<const N: usize> Lower for ImportAnswer<N> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let types = &cx.types[index(&ty)?].types;
        let mut slots = [ValRaw::u64(0); N];
        lower_all(cx, types, self.0.as_slice(), &mut slots)?;
        dst.write(slots);
        Ok(())
    }

    fn linear_lower_to_memory<T>(&self, cx: &mut LowerContext<'_, T>, ty: InterfaceType, offset: usize) -> Result<()> {
        let types = &cx.types[index(&ty)?].types;
        store_parts(cx, types.iter().copied(), self.0.as_slice(), offset)
    }
}

// SAFETY: a list of results, as `typecheck` has it.
unsafe impl<const N: usize> ComponentNamedList for ImportAnswer<N> {}

fn lower_all<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    types: &[InterfaceType],
    values: &[Value],
    slots: &mut [ValRaw],
) -> Result<()> {
    if types.len() != values.len() {
        bail!("expected {} values, found {}", types.len(), values.len());
    }
    let mut to = Slots::new(slots);
    values
        .iter()
        .zip(types)
        .try_for_each(|(value, of)| lower_flat(cx, *of, value, &mut to))
}

fn lift_all(cx: &mut LiftContext<'_>, ty: InterfaceType, slots: &[ValRaw]) -> Result<Vec<Value>> {
    let types = &cx.types[index(&ty)?].types;
    let mut from = Source::new(slots);
    types.iter().map(|of| lift_flat(cx, *of, &mut from)).collect()
}

/// `bytes` is a window of the guest's memory that begins where the values do.
fn load_all(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Vec<Value>> {
    let TypeTuple { types, abi } = &cx.types[index(&ty)?];
    let start = bytes.as_ptr().addr().wrapping_sub(cx.memory().as_ptr().addr());
    let end = start.checked_add(abi.size32 as usize);
    if end.is_none_or(|end| end > cx.memory().len()) {
        bail!("pointer out of bounds of memory");
    }
    if !start.is_multiple_of(abi.align32 as usize) {
        bail!("return pointer not aligned");
    }
    load_parts(cx, types.iter().copied(), start)
}

/// Copies a string or a list of numbers, by Wasmtime's own lowering: where it starts, and how long it is.
pub(super) fn number_pair<T: 'static, L>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    list: &L,
) -> Result<(u32, u32)>
where
    L: Lower<Lower = [ValRaw; 2]> + ?Sized,
{
    let mut pair = MaybeUninit::uninit();
    list.linear_lower_to_flat(cx, ty, &mut pair)?;
    // SAFETY: Wasmtime's implementations write all of it when they return `Ok`.
    let pair = unsafe { pair.assume_init() };
    Ok((pair[0].get_u32(), pair[1].get_u32()))
}

/// Never seen where values are checked before the call.
#[cold]
pub(super) fn unfit<T>(ty: InterfaceType, value: &Value) -> Result<T> {
    bail!("type mismatch: expected {ty:?}, found {}", value.describe())
}
