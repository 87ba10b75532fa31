//! Parses JSON and rejects duplicate keys. `serde_json` silently keeps the last one, so a value
//! that the user wrote would be lost.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON value whose objects have no duplicate keys at any depth.
pub(crate) struct NoDuplicateKeys(pub(crate) Value);

impl<'de> Deserialize<'de> for NoDuplicateKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(NoDuplicateKeys(value)) = seq.next_element()? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, NoDuplicateKeys(value))) = map.next_entry::<String, _>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("duplicate key {key:?}")));
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_without_duplicate_keys_parses_normally() {
        let text = r#"{"a":[null,true,-1,1,0.5,"x"],"b":{"a":{}}}"#;
        let NoDuplicateKeys(value) = serde_json::from_str(text).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn numbers_keep_all_digits() {
        let text = "[5.50883181649905e-9,0.1,18446744073709551615]";
        let NoDuplicateKeys(value) = serde_json::from_str(text).unwrap();
        assert_eq!(value.to_string(), text);
        // A test dependency enables this feature too, so check that the manifest enables it.
        let manifest: toml::Table = toml::from_str(include_str!("../../Cargo.toml")).unwrap();
        let shared = &manifest["workspace"]["dependencies"];
        let features = shared["serde_json"]["features"].as_array().unwrap();
        assert!(features.contains(&"float_roundtrip".into()));
    }

    #[test]
    fn duplicate_keys_are_rejected_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"c":2,"a":3}}]"#] {
            let Err(error) = serde_json::from_str::<NoDuplicateKeys>(text) else {
                panic!("{text}")
            };
            assert!(error.to_string().contains("duplicate key \"a\""), "{error}");
        }
    }
}
