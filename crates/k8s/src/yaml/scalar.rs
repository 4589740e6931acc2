//! What an unquoted YAML word means, as Kubernetes' own toolchain decides it.
//!
//! That is YAML 1.1 as `sigs.k8s.io/yaml` reads it (a fork of go-yaml 2.4), not the YAML 1.2 of most libraries: `yes`,
//! `on` and `y` are booleans, `010` is eight, `0o10` too. Base 60 numbers are strings, dates are strings.
//!
//! <https://github.com/kubernetes-sigs/yaml/blob/master/goyaml.v2/resolve.go>

use std::borrow::Cow;

use crate::node::Value;

/// The value of a plain scalar without a tag.
pub(super) fn resolve(text: Cow<'_, str>) -> Value {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let number = match text.as_bytes().first() {
        Some(b'.') => float(&text),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let plain = text.replace('_', "");
            integer(&plain).or_else(|| float(&plain))
        }
        _ => None,
    };
    number.unwrap_or_else(|| Value::String(text.into_owned()))
}

/// A whole number in Go's notation: an optional sign, then `0x`, `0o`, `0b`, a leading `0` for octal, or decimal.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixed = |lower, upper| digits.strip_prefix(lower).or_else(|| digits.strip_prefix(upper));
    let (radix, digits) = if let Some(rest) = prefixed("0x", "0X") {
        (16, rest)
    } else if let Some(rest) = prefixed("0o", "0O") {
        (8, rest)
    } else if let Some(rest) = prefixed("0b", "0B") {
        (2, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, digits)
    } else {
        (10, digits)
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok();
    let value = magnitude.map(|m| if negative { -m } else { m });
    Some(match value.and_then(|v| i64::try_from(v).ok()) {
        Some(v) => Value::Int(v),
        // No field of ours holds such a number; what matters is that it stays a number.
        None => Value::Float(if negative { f64::MIN } else { f64::MAX }),
    })
}

fn float(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty()),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    if !(mantissa_ok && exponent_ok) {
        return None;
    }
    text.parse::<f64>().ok().filter(|v| v.is_finite()).map(Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    #[test]
    fn words_resolve_as_kubectl_resolves_them() {
        let check = |text: &str, expect: Value| assert_eq!(resolve(text.into()), expect, "{text:?}");
        for text in ["", "~", "null", "Null", "NULL"] {
            check(text, Value::Null);
        }
        for text in ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"] {
            check(text, Value::Bool(true));
        }
        for text in ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"] {
            check(text, Value::Bool(false));
        }
        for text in
            ["yEs", "nULL", "tRUE", "oN", "x", "0x", "0b2", "1.2.3", "10:30", "2001-01-01", "-", "+", "_1"]
        {
            check(text, string(text));
        }
        check("80", Value::Int(80));
        check("+80", Value::Int(80));
        check("-80", Value::Int(-80));
        check("010", Value::Int(8));
        check("0o10", Value::Int(8));
        check("0x1F", Value::Int(31));
        check("-0x1F", Value::Int(-31));
        check("0b101", Value::Int(5));
        check("1_000", Value::Int(1000));
        check("0", Value::Int(0));
        check("08", Value::Float(8.0));
        check("1.5", Value::Float(1.5));
        check("8e1", Value::Float(80.0));
        check(".5", Value::Float(0.5));
        check("5.", Value::Float(5.0));
        check(".", string("."));
        check("1e", string("1e"));
        check("1e999", string("1e999"));
        check("9223372036854775807", Value::Int(i64::MAX));
        check("9223372036854775808", Value::Float(f64::MAX));
        check("-99999999999999999999999999999999999999999999999999", Value::Float(f64::MIN));
        check(".inf", Value::Float(f64::INFINITY));
        assert!(matches!(resolve(".nan".into()), Value::Float(v) if v.is_nan()));
    }
}
