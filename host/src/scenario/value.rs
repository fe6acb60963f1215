//! Data as a file writes it, and as it is compared: JSON, with signs for what JSON or TOML cannot say.
//!
//! | sign | stands for |
//! | --- | --- |
//! | `{ "$json" = "null" }` | this JSON text |
//! | `{ "$text" = "…" }`, `{ "$base64" = "…" }` | data that is no JSON |
//! | `{ "$none" = true }` | nothing is there |
//! | `{ "$any" = true }` | whatever comes |

use anyhow::{Context, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// How the TOML reader names a date.
const DATE: &str = "$__toml_private_datetime";

/// What a file says, with JSON texts and dates in place of their signs.
pub fn resolved(value: Value) -> Result<Value> {
    if let Some(text) = signed(&value, "$json") {
        return serde_json::from_str(text).with_context(|| format!("`{text}` is no JSON"));
    }
    if let Some(date) = signed(&value, DATE) {
        return Ok(date.into());
    }
    Ok(match value {
        Value::Array(items) => items.into_iter().map(resolved).collect::<Result<_>>()?,
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| Ok((name, resolved(value)?)));
            Value::Object(fields.collect::<Result<_>>()?)
        }
        value => value,
    })
}

/// Data as bytes.
pub fn bytes(value: &Value) -> Result<Vec<u8>> {
    let value = resolved(value.clone())?;
    if let Some(text) = signed(&value, "$text") {
        return Ok(text.as_bytes().to_vec());
    }
    if let Some(text) = signed(&value, "$base64") {
        return STANDARD.decode(text).with_context(|| format!("`{text}` is no base64"));
    }
    Ok(serde_json::to_vec(&value)?)
}

/// Bytes as data.
pub fn shown(bytes: &[u8]) -> Value {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return value;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "$text": text }),
        Err(_) => json!({ "$base64": STANDARD.encode(bytes) }),
    }
}

/// What stands for nothing.
pub fn none() -> Value {
    json!({ "$none": true })
}

/// True where a value stands for nothing.
pub fn is_none(value: &Value) -> bool {
    is_sign(value, "$none")
}

/// True where a value stands for whatever comes.
pub fn is_any(value: &Value) -> bool {
    is_sign(value, "$any")
}

/// True where two values are the same; numbers are compared as numbers.
pub fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

fn is_sign(value: &Value, sign: &str) -> bool {
    value.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key(sign))
}

fn signed<'a>(value: &'a Value, sign: &str) -> Option<&'a str> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.get(sign)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_say_what_toml_cannot() {
        let written: Value = toml::from_str(
            r#"a = { "$json" = "null" }
               b = [{ "$json" = "{\"c\": null}" }]
               d = 2026-01-01T00:00:00Z"#,
        )
        .unwrap();
        let said = resolved(written).unwrap();
        assert_eq!(said, json!({ "a": null, "b": [{ "c": null }], "d": "2026-01-01T00:00:00Z" }));
    }

    #[test]
    fn data_that_is_no_json_comes_back() {
        for data in [&b"two words"[..], b"\xff\0", b"{\"a\":1}", b"null", b""] {
            let value = shown(data);
            assert_eq!(bytes(&value).unwrap(), data, "{value}");
        }
    }

    #[test]
    fn numbers_are_numbers() {
        assert!(is_same(&json!(5), &json!(5.0)) && !is_same(&json!(5), &json!(5.5)));
        assert!(!is_same(&json!(u64::MAX), &json!("18446744073709551615")));
    }
}
