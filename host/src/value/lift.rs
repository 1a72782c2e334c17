//! Values out of a guest: from flat results, or from its memory. Safe code; see `lower.rs` for what surrounds it.
//!
//! A guest is not trusted: every offset and length it gives is checked here or by the functions of Wasmtime that are called,
//! and what the host allocates for it is counted against the call's allowance (`Store::set_hostcall_fuel`).

use super::check::flag_words;
use super::{FlatList, Value};
use wasmtime::component::__internal::wasmtime_environ::component::{TypeListIndex, VariantInfo};
use wasmtime::component::__internal::{ComponentTypes, InterfaceType, LiftContext};
use wasmtime::component::Lift;
use wasmtime::{Result, ValRaw, bail, format_err};

/// Flat values being read, one after another.
pub(super) struct Source<'a> {
    slots: &'a [ValRaw],
    next: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(slots: &'a [ValRaw]) -> Self {
        Source { slots, next: 0 }
    }

    fn pull(&mut self) -> Result<ValRaw> {
        let raw = self
            .slots
            .get(self.next)
            .ok_or_else(|| format_err!("fewer flat values than the type has"))?;
        self.next += 1;
        Ok(*raw)
    }
}

/// Reads a value of type `ty` from its flat values.
#[expect(
    clippy::cast_possible_truncation,
    reason = "narrow integers are the low bits of a slot"
)]
pub(super) fn lift_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, from: &mut Source<'_>) -> Result<Value> {
    Ok(match ty {
        InterfaceType::Bool => Value::Bool(from.pull()?.get_u32() != 0),
        InterfaceType::S8 => Value::S8(from.pull()?.get_i32() as i8),
        InterfaceType::U8 => Value::U8(from.pull()?.get_u32() as u8),
        InterfaceType::S16 => Value::S16(from.pull()?.get_i32() as i16),
        InterfaceType::U16 => Value::U16(from.pull()?.get_u32() as u16),
        InterfaceType::S32 => Value::S32(from.pull()?.get_i32()),
        InterfaceType::U32 => Value::U32(from.pull()?.get_u32()),
        InterfaceType::S64 => Value::S64(from.pull()?.get_i64()),
        InterfaceType::U64 => Value::U64(from.pull()?.get_u64()),
        InterfaceType::Float32 => Value::F32(f32::from_bits(from.pull()?.get_f32())),
        InterfaceType::Float64 => Value::F64(f64::from_bits(from.pull()?.get_f64())),
        InterfaceType::Char => Value::Char(char::try_from(from.pull()?.get_u32())?),
        InterfaceType::String => Value::String(String::linear_lift_from_flat(cx, ty, &[from.pull()?, from.pull()?])?),
        InterfaceType::List(index) => lift_list(cx, index, [from.pull()?, from.pull()?])?,
        InterfaceType::Record(index) => {
            let fields = &cx.types[index].fields;
            cx.consume_fuel_array(fields.len(), size_of::<Value>())?;
            Value::Record(
                fields
                    .iter()
                    .map(|field| lift_flat(cx, field.ty, from))
                    .collect::<Result<_>>()?,
            )
        }
        InterfaceType::Tuple(index) => {
            let types = &cx.types[index].types;
            cx.consume_fuel_array(types.len(), size_of::<Value>())?;
            Value::Tuple(types.iter().map(|of| lift_flat(cx, *of, from)).collect::<Result<_>>()?)
        }
        InterfaceType::Flags(index) => {
            let names = cx.types[index].names.len();
            let words = (0..flag_words(names))
                .map(|_| Ok(from.pull()?.get_u32()))
                .collect::<Result<_>>()?;
            Value::Flags(masked(words, names))
        }
        _ => {
            let types = cx.types;
            let end = from.next + types.canonical_abi(&ty).flat_count(usize::MAX).unwrap_or_default();
            let number = from.pull()?.get_u32();
            let payload = match payload_type(types, ty, number)? {
                Some(of) => {
                    cx.consume_fuel(size_of::<Value>())?;
                    Some(Box::new(lift_flat(cx, of, from)?))
                }
                None => None,
            };
            from.next = end;
            case(ty, number, payload)?
        }
    })
}

/// Reads a value of type `ty` from memory.
pub(super) fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, offset: usize) -> Result<Value> {
    let memory = cx.memory();
    Ok(match ty {
        InterfaceType::Bool => Value::Bool(read::<1>(memory, offset)? != [0]),
        InterfaceType::S8 => Value::S8(i8::from_le_bytes(read(memory, offset)?)),
        InterfaceType::U8 => Value::U8(u8::from_le_bytes(read(memory, offset)?)),
        InterfaceType::S16 => Value::S16(i16::from_le_bytes(read(memory, offset)?)),
        InterfaceType::U16 => Value::U16(u16::from_le_bytes(read(memory, offset)?)),
        InterfaceType::S32 => Value::S32(i32::from_le_bytes(read(memory, offset)?)),
        InterfaceType::U32 => Value::U32(u32::from_le_bytes(read(memory, offset)?)),
        InterfaceType::S64 => Value::S64(i64::from_le_bytes(read(memory, offset)?)),
        InterfaceType::U64 => Value::U64(u64::from_le_bytes(read(memory, offset)?)),
        InterfaceType::Float32 => Value::F32(f32::from_le_bytes(read(memory, offset)?)),
        InterfaceType::Float64 => Value::F64(f64::from_le_bytes(read(memory, offset)?)),
        InterfaceType::Char => Value::Char(char::try_from(u32::from_le_bytes(read(memory, offset)?))?),
        InterfaceType::String => Value::String(String::linear_lift_from_flat(cx, ty, &read_pair(memory, offset)?)?),
        InterfaceType::List(index) => lift_list(cx, index, read_pair(memory, offset)?)?,
        InterfaceType::Record(index) => {
            let fields = &cx.types[index].fields;
            Value::Record(load_parts(cx, fields.iter().map(|field| field.ty), offset)?)
        }
        InterfaceType::Tuple(index) => {
            let types = &cx.types[index].types;
            Value::Tuple(load_parts(cx, types.iter().copied(), offset)?)
        }
        InterfaceType::Flags(index) => {
            let flags = &cx.types[index];
            let size = flags.abi.size32.min(4);
            let words = (0..flag_words(flags.names.len())).map(|place| number(memory, size, offset + place * 4));
            Value::Flags(masked(words.collect::<Result<_>>()?, flags.names.len()))
        }
        _ => {
            let types = cx.types;
            let info = variant_info(types, ty)?;
            let number = number(memory, info.size.byte_size(), offset)?;
            let payload = match payload_type(types, ty, number)? {
                Some(of) => {
                    cx.consume_fuel(size_of::<Value>())?;
                    Some(Box::new(load(cx, of, offset + info.payload_offset32 as usize)?))
                }
                None => None,
            };
            case(ty, number, payload)?
        }
    })
}

/// Reads the parts of a record, or the arguments of a call, one after another.
pub(super) fn load_parts(
    cx: &mut LiftContext<'_>,
    types: impl ExactSizeIterator<Item = InterfaceType>,
    mut offset: usize,
) -> Result<Vec<Value>> {
    cx.consume_fuel_array(types.len(), size_of::<Value>())?;
    types
        .map(|of| {
            let at = cx.types.canonical_abi(&of).next_field32_size(&mut offset);
            load(cx, of, at)
        })
        .collect()
}

/// A list, from where it starts and how long it is.
fn lift_list(cx: &mut LiftContext<'_>, list: TypeListIndex, pair: [ValRaw; 2]) -> Result<Value> {
    fn numbers<N: Lift>(cx: &mut LiftContext<'_>, list: TypeListIndex, pair: &[ValRaw; 2]) -> Result<Vec<N>> {
        Vec::<N>::linear_lift_from_flat(cx, InterfaceType::List(list), pair)
    }
    Ok(match cx.types[list].element {
        InterfaceType::U8 => Value::Bytes(numbers(cx, list, &pair)?),
        InterfaceType::S8 => Value::Numbers(FlatList::S8(numbers(cx, list, &pair)?)),
        InterfaceType::S16 => Value::Numbers(FlatList::S16(numbers(cx, list, &pair)?)),
        InterfaceType::U16 => Value::Numbers(FlatList::U16(numbers(cx, list, &pair)?)),
        InterfaceType::S32 => Value::Numbers(FlatList::S32(numbers(cx, list, &pair)?)),
        InterfaceType::U32 => Value::Numbers(FlatList::U32(numbers(cx, list, &pair)?)),
        InterfaceType::S64 => Value::Numbers(FlatList::S64(numbers(cx, list, &pair)?)),
        InterfaceType::U64 => Value::Numbers(FlatList::U64(numbers(cx, list, &pair)?)),
        InterfaceType::Float32 => Value::Numbers(FlatList::F32(numbers(cx, list, &pair)?)),
        InterfaceType::Float64 => Value::Numbers(FlatList::F64(numbers(cx, list, &pair)?)),
        of => Value::List(load_list(
            cx,
            of,
            pair[0].get_u32() as usize,
            pair[1].get_u32() as usize,
        )?),
    })
}

fn load_list(cx: &mut LiftContext<'_>, of: InterfaceType, start: usize, len: usize) -> Result<Vec<Value>> {
    let abi = cx.types.canonical_abi(&of);
    let width = abi.size32 as usize;
    // Before anything is allocated: the length is the guest's word.
    let end = len.checked_mul(width).and_then(|size| start.checked_add(size));
    if end.is_none_or(|end| end > cx.memory().len()) {
        bail!("list pointer/length out of bounds of memory");
    }
    if !start.is_multiple_of(abi.align32 as usize) {
        bail!("list pointer is not aligned");
    }
    cx.consume_fuel_array(len, size_of::<Value>())?;
    (0..len).map(|place| load(cx, of, start + place * width)).collect()
}

/// What case `number` of a variant, enum, option or result carries.
fn payload_type(types: &ComponentTypes, ty: InterfaceType, number: u32) -> Result<Option<InterfaceType>> {
    let place = number as usize;
    let payload = match ty {
        InterfaceType::Variant(index) => types[index].cases.get_index(place).map(|(_, of)| *of),
        InterfaceType::Enum(index) => (place < types[index].names.len()).then_some(None),
        InterfaceType::Option(index) => [None, Some(types[index].ty)].get(place).copied(),
        InterfaceType::Result(index) => [types[index].ok, types[index].err].get(place).copied(),
        _ => bail!("no values can be built for {ty:?}"),
    };
    payload.ok_or_else(|| format_err!("discriminant {number} out of range"))
}

fn variant_info(types: &ComponentTypes, ty: InterfaceType) -> Result<&VariantInfo> {
    Ok(match ty {
        InterfaceType::Variant(index) => &types[index].info,
        InterfaceType::Enum(index) => &types[index].info,
        InterfaceType::Option(index) => &types[index].info,
        InterfaceType::Result(index) => &types[index].info,
        _ => bail!("no values can be built for {ty:?}"),
    })
}

fn case(ty: InterfaceType, number: u32, payload: Option<Box<Value>>) -> Result<Value> {
    Ok(match (ty, number) {
        (InterfaceType::Variant(_), case) => Value::Variant { case, payload },
        (InterfaceType::Enum(_), case) => Value::Enum(case),
        (InterfaceType::Option(_), _) => Value::Option(payload),
        (InterfaceType::Result(_), 0) => Value::Result(Ok(payload)),
        (InterfaceType::Result(_), _) => Value::Result(Err(payload)),
        _ => bail!("no values can be built for {ty:?}"),
    })
}

/// Flags without the bits that have no name.
fn masked(mut words: Vec<u32>, names: usize) -> Vec<u32> {
    if let (Some(last), used @ 1..) = (words.last_mut(), names % 32) {
        *last &= (1 << used) - 1;
    }
    words
}

fn read<const N: usize>(memory: &[u8], offset: usize) -> Result<[u8; N]> {
    let bytes = memory.get(offset..).and_then(<[u8]>::first_chunk);
    bytes
        .copied()
        .ok_or_else(|| format_err!("pointer out of bounds of memory"))
}

fn read_pair(memory: &[u8], offset: usize) -> Result<[ValRaw; 2]> {
    let word = |offset| -> Result<ValRaw> { Ok(ValRaw::u32(u32::from_le_bytes(read(memory, offset)?))) };
    Ok([word(offset)?, word(offset + 4)?])
}

/// A number of `size` bytes.
fn number(memory: &[u8], size: u32, offset: usize) -> Result<u32> {
    Ok(match size {
        0 => 0,
        1 => u32::from(read::<1>(memory, offset)?[0]),
        2 => u32::from(u16::from_le_bytes(read(memory, offset)?)),
        _ => u32::from_le_bytes(read(memory, offset)?),
    })
}
