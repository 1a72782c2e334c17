//! A codec turns a state into bytes and back, and never panics on bytes that it did not write.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A format of saved state.
pub trait Codec {
    /// Its media type, in the state description.
    const MEDIA_TYPE: &'static str;

    /// # Errors
    /// If the value cannot be written in this format.
    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String>;

    /// [`Codec::encode`] to the end of other bytes.
    ///
    /// # Errors
    /// If the value cannot be written in this format.
    fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<(), String> {
        bytes.extend_from_slice(&Self::encode(value)?);
        Ok(())
    }

    /// Takes all of the bytes: some left over are an error.
    ///
    /// # Errors
    /// If the bytes are not a `T` in this format.
    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String>;
}

/// CBOR (RFC 8949), the default: structs are maps with named fields, so that other languages and `#[serde(default)]` work.
pub struct Cbor;

impl Codec for Cbor {
    const MEDIA_TYPE: &'static str = "application/cbor";

    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
        minicbor_serde::to_vec(value).map_err(|error| error.to_string())
    }

    fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<(), String> {
        let mut serializer = minicbor_serde::Serializer::new(bytes);
        value.serialize(&mut serializer).map_err(|error| error.to_string())
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
        let mut decoder = minicbor_serde::Deserializer::new(bytes);
        let value = T::deserialize(&mut decoder).map_err(|error| error.to_string())?;
        all_read(bytes.len() - decoder.decoder().position())?;
        Ok(value)
    }
}

/// Postcard: smaller and faster than CBOR; every change of the type is another format.
#[cfg(feature = "postcard")]
pub struct Postcard;

#[cfg(feature = "postcard")]
impl Codec for Postcard {
    const MEDIA_TYPE: &'static str = "application/x-postcard";

    fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
        postcard::to_stdvec(value).map_err(|error| error.to_string())
    }

    fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
        let (value, rest) = postcard::take_from_bytes(bytes).map_err(|error| error.to_string())?;
        all_read(rest.len())?;
        Ok(value)
    }
}

fn all_read(left: usize) -> Result<(), String> {
    match left {
        0 => Ok(()),
        left => Err(format!("{left} bytes are left over")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn there_and_back<C: Codec>() {
        let value = (
            7_i64,
            String::from("ü"),
            BTreeMap::from([(String::from("a"), vec![1_u8, 255])]),
            Some(1.5_f64),
        );
        let bytes = C::encode(&value).expect("encodes");
        let mut more = vec![7];
        C::encode_into(&value, &mut more).expect("encodes");
        assert_eq!(more, [&[7], bytes.as_slice()].concat());
        assert_eq!(C::decode(&bytes), Ok(value));
        for cut in 0..bytes.len() {
            assert!(C::decode::<(i64, String, BTreeMap<String, Vec<u8>>, Option<f64>)>(&bytes[..cut]).is_err());
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(C::decode::<(i64, String, BTreeMap<String, Vec<u8>>, Option<f64>)>(&longer).is_err());
    }

    #[test]
    fn cbor_there_and_back() {
        there_and_back::<Cbor>();
    }

    #[cfg(feature = "postcard")]
    #[test]
    fn postcard_there_and_back() {
        there_and_back::<Postcard>();
    }

    #[test]
    fn a_length_that_lies_reserves_no_memory() {
        let array_of_2_to_the_62 = [0x9b, 0x40, 0, 0, 0, 0, 0, 0, 0];
        assert!(Cbor::decode::<Vec<u64>>(&array_of_2_to_the_62).is_err());
        let text_of_2_to_the_62 = [0x7b, 0x40, 0, 0, 0, 0, 0, 0, 0];
        assert!(Cbor::decode::<String>(&text_of_2_to_the_62).is_err());
    }
}
