//! Validated JSON text → [`RawValue`] without validating it once more.
//!
//! `RawValue::from_string` would cost a third as much as parsing the whole line. Its `Deserialize`
//! accepts a text from any deserializer that follows serde_json's own way of handing it over; should
//! that way ever change, the slow way still works.

use serde::{
    Deserialize, Deserializer,
    de::{IntoDeserializer, MapAccess, Visitor, value::Error},
    forward_to_deserialize_any,
};
use serde_json::value::RawValue;

/// `json`, which must be one valid JSON value without white space around it.
pub(super) fn raw_value(json: String) -> Box<RawValue> {
    debug_assert!(
        serde_json::from_str::<&RawValue>(&json).is_ok(),
        "not JSON: {json}"
    );
    let mut json = Some(json);
    match Box::deserialize(Handover(&mut json)) {
        Ok(raw) => raw,
        Err(_) => RawValue::from_string(json.take().unwrap_or_default()).unwrap_or_default(),
    }
}

/// Hands the text over to whoever asks for it first.
struct Handover<'a>(&'a mut Option<String>);

impl<'de> Deserializer<'de> for Handover<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(OneEntry {
            name: Some(name),
            json: self.0,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A map of the name that was asked for to the text.
struct OneEntry<'a> {
    name: Option<&'static str>,
    json: &'a mut Option<String>,
}

impl<'de> MapAccess<'de> for OneEntry<'_> {
    type Error = Error;

    fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        match self.name.take() {
            Some(name) => seed.deserialize(name.into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Error> {
        seed.deserialize(self.json.take().unwrap_or_default().into_deserializer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_handed_over_as_it_is() {
        for json in ["{}", "{ \"a\" : [1, null] }", "null", "{\"é\":\"\\u00e9\"}"] {
            assert_eq!(raw_value(json.to_owned()).get(), json);
        }
    }

    #[test]
    fn no_copy_is_made() {
        let json = String::from("{\"a\":1}");
        let before = json.as_ptr();
        let json = json.into_boxed_str().into_string();
        assert_eq!(raw_value(json).get().as_ptr(), before);
    }
}
