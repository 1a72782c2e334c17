//! Values into a guest: as flat arguments, or into its memory. Safe code; see `lower.rs` for what surrounds it.

use super::lower::{number_pair, unfit};
use super::{FlatList, Value};
use wasmtime::component::__internal::wasmtime_environ::component::{TypeListIndex, VariantInfo};
use wasmtime::component::__internal::{CanonicalAbiInfo, ComponentTypes, InterfaceType, LowerContext};
use wasmtime::{Result, ValRaw, bail, format_err};

/// Flat values being written, one after another. Those that are skipped stay zero.
pub(super) struct Slots<'a> {
    slots: &'a mut [ValRaw],
    next: usize,
}

impl<'a> Slots<'a> {
    pub(super) fn new(slots: &'a mut [ValRaw]) -> Self {
        Slots { slots, next: 0 }
    }

    fn push(&mut self, raw: ValRaw) -> Result<()> {
        let slot = self
            .slots
            .get_mut(self.next)
            .ok_or_else(|| format_err!("more flat values than the type has"))?;
        *slot = raw;
        self.next += 1;
        Ok(())
    }
}

/// Writes `value` as the flat values of `ty`.
pub(super) fn lower_flat<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &Value,
    to: &mut Slots<'_>,
) -> Result<()> {
    match (value, ty) {
        (Value::Bool(it), InterfaceType::Bool) => to.push(ValRaw::u32(u32::from(*it))),
        (Value::S8(it), InterfaceType::S8) => to.push(ValRaw::i32(i32::from(*it))),
        (Value::U8(it), InterfaceType::U8) => to.push(ValRaw::u32(u32::from(*it))),
        (Value::S16(it), InterfaceType::S16) => to.push(ValRaw::i32(i32::from(*it))),
        (Value::U16(it), InterfaceType::U16) => to.push(ValRaw::u32(u32::from(*it))),
        (Value::S32(it), InterfaceType::S32) => to.push(ValRaw::i32(*it)),
        (Value::U32(it), InterfaceType::U32) => to.push(ValRaw::u32(*it)),
        (Value::S64(it), InterfaceType::S64) => to.push(ValRaw::i64(*it)),
        (Value::U64(it), InterfaceType::U64) => to.push(ValRaw::u64(*it)),
        (Value::F32(it), InterfaceType::Float32) => to.push(ValRaw::f32(it.to_bits())),
        (Value::F64(it), InterfaceType::Float64) => to.push(ValRaw::f64(it.to_bits())),
        (Value::Char(it), InterfaceType::Char) => to.push(ValRaw::u32(u32::from(*it))),
        (_, InterfaceType::String | InterfaceType::List(_)) => {
            // 64 bits wide, as Wasmtime does it: what a wider slot of a joined variant reads is then zero-extended.
            let (start, len) = pair(cx, ty, value)?;
            to.push(ValRaw::u64(u64::from(start)))?;
            to.push(ValRaw::u64(u64::from(len)))
        }
        (Value::Flags(words), InterfaceType::Flags(index)) => {
            let wanted = flat_count(&cx.types[index].abi)?;
            same_length(words.len(), wanted)?;
            words.iter().try_for_each(|word| to.push(ValRaw::u32(*word)))
        }
        (Value::Record(parts), InterfaceType::Record(index)) => {
            let fields = &cx.types[index].fields;
            same_length(parts.len(), fields.len())?;
            parts
                .iter()
                .zip(fields)
                .try_for_each(|(part, field)| lower_flat(cx, field.ty, part, to))
        }
        (Value::Tuple(parts), InterfaceType::Tuple(index)) => {
            let types = &cx.types[index].types;
            same_length(parts.len(), types.len())?;
            parts
                .iter()
                .zip(types)
                .try_for_each(|(part, of)| lower_flat(cx, *of, part, to))
        }
        _ => {
            let case = case(cx.types, ty, value)?;
            let end = to.next + flat_count(case.abi)?;
            to.push(ValRaw::u32(case.number))?;
            if let Some((payload, of)) = case.payload {
                lower_flat(cx, of, payload, to)?;
            }
            to.next = end;
            Ok(())
        }
    }
}

/// Writes `value` into memory at `offset`.
pub(super) fn store<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &Value,
    offset: usize,
) -> Result<()> {
    match (value, ty) {
        (Value::Bool(it), InterfaceType::Bool) => *cx.get(offset) = [u8::from(*it)],
        (Value::S8(it), InterfaceType::S8) => *cx.get(offset) = it.to_le_bytes(),
        (Value::U8(it), InterfaceType::U8) => *cx.get(offset) = it.to_le_bytes(),
        (Value::S16(it), InterfaceType::S16) => *cx.get(offset) = it.to_le_bytes(),
        (Value::U16(it), InterfaceType::U16) => *cx.get(offset) = it.to_le_bytes(),
        (Value::S32(it), InterfaceType::S32) => *cx.get(offset) = it.to_le_bytes(),
        (Value::U32(it), InterfaceType::U32) => *cx.get(offset) = it.to_le_bytes(),
        (Value::S64(it), InterfaceType::S64) => *cx.get(offset) = it.to_le_bytes(),
        (Value::U64(it), InterfaceType::U64) => *cx.get(offset) = it.to_le_bytes(),
        (Value::F32(it), InterfaceType::Float32) => *cx.get(offset) = it.to_bits().to_le_bytes(),
        (Value::F64(it), InterfaceType::Float64) => *cx.get(offset) = it.to_bits().to_le_bytes(),
        (Value::Char(it), InterfaceType::Char) => *cx.get(offset) = u32::from(*it).to_le_bytes(),
        (_, InterfaceType::String | InterfaceType::List(_)) => {
            let (start, len) = pair(cx, ty, value)?;
            *cx.get(offset) = start.to_le_bytes();
            *cx.get(offset + 4) = len.to_le_bytes();
        }
        (Value::Flags(words), InterfaceType::Flags(index)) => {
            let abi = &cx.types[index].abi;
            same_length(words.len(), flat_count(abi)?)?;
            store_flags(cx, words, abi.size32, offset);
        }
        (Value::Record(parts), InterfaceType::Record(index)) => {
            let fields = &cx.types[index].fields;
            return store_parts(cx, fields.iter().map(|field| field.ty), parts, offset);
        }
        (Value::Tuple(parts), InterfaceType::Tuple(index)) => {
            let types = &cx.types[index].types;
            return store_parts(cx, types.iter().copied(), parts, offset);
        }
        _ => {
            let case = case(cx.types, ty, value)?;
            store_number(cx, case.number, case.info.size.byte_size(), offset);
            if let Some((payload, of)) = case.payload {
                return store(cx, of, payload, offset + case.info.payload_offset32 as usize);
            }
        }
    }
    Ok(())
}

/// Writes the parts of a record, or the arguments of a call, one after another.
pub(super) fn store_parts<T: 'static>(
    cx: &mut LowerContext<'_, T>,
    types: impl ExactSizeIterator<Item = InterfaceType>,
    parts: &[Value],
    mut offset: usize,
) -> Result<()> {
    same_length(parts.len(), types.len())?;
    for (part, of) in parts.iter().zip(types) {
        let at = cx.types.canonical_abi(&of).next_field32_size(&mut offset);
        store(cx, of, part, at)?;
    }
    Ok(())
}

/// The low `size` bytes of a number.
fn store_number<T: 'static>(cx: &mut LowerContext<'_, T>, number: u32, size: u32, offset: usize) {
    let bytes = number.to_le_bytes();
    match size {
        0 => {}
        1 => *cx.get(offset) = [bytes[0]],
        2 => *cx.get(offset) = [bytes[0], bytes[1]],
        _ => *cx.get(offset) = bytes,
    }
}

fn store_flags<T: 'static>(cx: &mut LowerContext<'_, T>, words: &[u32], size: u32, offset: usize) {
    for (place, word) in words.iter().enumerate() {
        store_number(cx, *word, size.min(4), offset + place * 4);
    }
}

/// Copies a string or a list into newly allocated memory: where it starts, and how long it is.
fn pair<T: 'static>(cx: &mut LowerContext<'_, T>, ty: InterfaceType, value: &Value) -> Result<(u32, u32)> {
    let index = match (value, ty) {
        (Value::String(text), InterfaceType::String) => return number_pair(cx, ty, text.as_str()),
        (_, InterfaceType::List(index)) => index,
        _ => return unfit(ty, value),
    };
    match (value, cx.types[index].element) {
        (Value::Bytes(list), InterfaceType::U8) => number_pair(cx, ty, list.as_slice()),
        (Value::Numbers(FlatList::S8(list)), InterfaceType::S8) => number_pair(cx, ty, list.as_slice()),
        (Value::Numbers(FlatList::S16(list)), InterfaceType::S16) => number_pair(cx, ty, list.as_slice()),
        (Value::Numbers(FlatList::U16(list)), InterfaceType::U16) => number_pair(cx, ty, list.as_slice()),
        (Value::Numbers(FlatList::S32(list)), InterfaceType::S32) => number_pair(cx, ty, list.as_slice()),
        (Value::Numbers(FlatList::U32(list)), InterfaceType::U32) => number_pair(cx, ty, list.as_slice()),
        (Value::Numbers(FlatList::S64(list)), InterfaceType::S64) => number_pair(cx, ty, list.as_slice()),
        (Value::Numbers(FlatList::U64(list)), InterfaceType::U64) => number_pair(cx, ty, list.as_slice()),
        (Value::Numbers(FlatList::F32(list)), InterfaceType::Float32) => number_pair(cx, ty, list.as_slice()),
        (Value::Numbers(FlatList::F64(list)), InterfaceType::Float64) => number_pair(cx, ty, list.as_slice()),
        (Value::List(items), _) => store_list(cx, index, items),
        _ => unfit(ty, value),
    }
}

/// A list of anything but numbers.
fn store_list<T: 'static>(cx: &mut LowerContext<'_, T>, list: TypeListIndex, items: &[Value]) -> Result<(u32, u32)> {
    let of = cx.types[list].element;
    let abi = cx.types.canonical_abi(&of);
    let width = abi.size32 as usize;
    let size = items
        .len()
        .checked_mul(width)
        .ok_or_else(|| format_err!("a list too long for the guest's memory"))?;
    let start = cx.realloc(0, 0, abi.align32, size)?;
    for (place, item) in items.iter().enumerate() {
        store(cx, of, item, start + place * width)?;
    }
    Ok((u32::try_from(start)?, u32::try_from(items.len())?))
}

/// One case of a variant, enum, option or result.
struct Case<'v, 't> {
    number: u32,
    payload: Option<(&'v Value, InterfaceType)>,
    abi: &'t CanonicalAbiInfo,
    info: &'t VariantInfo,
}

fn case<'v, 't>(types: &'t ComponentTypes, ty: InterfaceType, value: &'v Value) -> Result<Case<'v, 't>> {
    let (number, payload, of, abi, info) = match (value, ty) {
        (Value::Option(some), InterfaceType::Option(index)) => {
            let option = &types[index];
            let of = some.is_some().then_some(option.ty);
            (u32::from(some.is_some()), some, of, &option.abi, &option.info)
        }
        (Value::Result(Ok(payload)), InterfaceType::Result(index)) => {
            let result = &types[index];
            (0, payload, result.ok, &result.abi, &result.info)
        }
        (Value::Result(Err(payload)), InterfaceType::Result(index)) => {
            let result = &types[index];
            (1, payload, result.err, &result.abi, &result.info)
        }
        (Value::Variant { case, payload }, InterfaceType::Variant(index)) => {
            let variant = &types[index];
            let Some((_, of)) = variant.cases.get_index(*case as usize) else {
                return unfit(ty, value);
            };
            (*case, payload, *of, &variant.abi, &variant.info)
        }
        (Value::Enum(case), InterfaceType::Enum(index)) if (*case as usize) < types[index].names.len() => {
            (*case, &None, None, &types[index].abi, &types[index].info)
        }
        _ => return unfit(ty, value),
    };
    let payload = match (payload.as_deref(), of) {
        (Some(payload), Some(of)) => Some((payload, of)),
        (None, None) => None,
        _ => return unfit(ty, value),
    };
    Ok(Case {
        number,
        payload,
        abi,
        info,
    })
}

/// Flat values of a type; too many for the stack never comes up where this is asked.
fn flat_count(abi: &CanonicalAbiInfo) -> Result<usize> {
    abi.flat_count(usize::MAX)
        .ok_or_else(|| format_err!("a type too large for the stack"))
}

fn same_length(found: usize, wanted: usize) -> Result<()> {
    if found != wanted {
        bail!("expected {wanted} parts, found {found}");
    }
    Ok(())
}
