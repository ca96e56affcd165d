//! What must hold for any text: an edit changes nothing else, and taking it back leaves the bytes that were there.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Spaces and comments as they may stand between the words of JSON.
fn gap() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just(" ".to_owned()),
        Just("\n\t ".to_owned()),
        Just("\r\n".to_owned()),
        Just(" /* , \" } */ ".to_owned()),
        Just(" // ] }, \"x\"\n".to_owned())
    ]
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-d]{1,2}", Just("é\\\"\u{1f600} //".to_owned()), Just("a b".to_owned())]
        .prop_map(|text| text.replace('\\', ""))
}

fn quoted_word() -> impl Strategy<Value = String> {
    word().prop_map(|text| Value::from(text).to_string())
}

/// JSON as anyone may write it.
fn jsonc() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        quoted_word(),
        Just("1.50e2".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("{}".to_owned()),
        Just("[ ]".to_owned())
    ];
    let inner = leaf.prop_recursive(3, 24, 4, |inner| {
        let member = (gap(), quoted_word(), gap(), inner.clone(), gap())
            .prop_map(|(a, key, b, value, c)| format!("{a}{key}{b}:{value}{c}"));
        let entry = (gap(), inner, gap()).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        let comma = any::<bool>();
        prop_oneof![
            (prop::collection::vec(member, 1..4), comma).prop_map(|(parts, comma)| format!(
                "{{{}{}}}",
                parts.join(","),
                if comma { "," } else { "" }
            )),
            (prop::collection::vec(entry, 1..4), any::<bool>()).prop_map(|(parts, comma)| format!(
                "[{}{}]",
                parts.join(","),
                if comma { "," } else { "" }
            )),
        ]
    });
    let member =
        (gap(), quoted_word(), gap(), inner, gap()).prop_map(|(a, key, b, value, c)| format!("{a}{key}{b}:{value}{c}"));
    (gap(), prop::collection::vec(member, 0..4), any::<bool>(), gap()).prop_map(|(before, parts, comma, after)| {
        format!("{before}{{{}{}}}{after}", parts.join(","), if comma && !parts.is_empty() { "," } else { "" })
    })
}

/// YAML in blocks, with all that its lines may hold.
fn yaml() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("plain".to_owned()),
        Just("\"a: b # c\"".to_owned()),
        Just("'it''s'".to_owned()),
        Just("12".to_owned()),
        Just("".to_owned()),
        Just("{x: 1, y: [2]}".to_owned()),
        Just("[a, {b: c}]".to_owned()),
        Just("|\n      model: no\n\n      - x".to_owned()),
        Just(">-\n      folded\n      text".to_owned()),
        Just("# only a comment".to_owned()),
    ];
    let comment = prop_oneof![
        Just(String::new()),
        Just("# note: x\n".to_owned()),
        Just("\n".to_owned()),
        Just("   # far\n".to_owned())
    ];
    let list = prop::collection::vec(
        prop_oneof![Just("name: o".to_owned()), Just("plain".to_owned()), Just("name: p\n    model: q".to_owned())],
        1..3,
    );
    let value = prop_oneof![
        scalar.prop_map(|scalar| format!(" {scalar}\n")),
        (list.clone(), any::<bool>()).prop_map(|(list, deep)| {
            let indent = if deep { "  " } else { "" };
            let lines: String = list
                .iter()
                .map(|entry| format!("{indent}- {}\n", if deep { entry.clone() } else { entry.replace("    ", "  ") }))
                .collect();
            format!("\n{lines}")
        }),
        Just("\n  in: 1\n  on: {z: 1}\n".to_owned()),
    ];
    prop::collection::vec((comment, "[a-d]{2}", value), 0..5).prop_map(|parts| {
        let mut seen = std::collections::HashSet::new();
        parts
            .into_iter()
            .filter(|(_, key, _)| seen.insert(key.clone()))
            .map(|(comment, key, value)| format!("{comment}{key}:{value}"))
            .collect()
    })
}

fn path() -> impl Strategy<Value = Path> {
    prop_oneof![
        Just("a"),
        Just("zz"),
        Just("b/zz"),
        Just("zz/y/x"),
        Just("aa"),
        Just("zz/[name=M]"),
        Just("ab/[name=M]"),
        Just("aa/zz")
    ]
    .prop_map(Path::parse)
}

/// Nothing, an empty list and an empty object are one: where nothing stood and something was put below it, nothing is left in it.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(members) if !members.is_empty() => {
            Value::Object(members.iter().map(|(key, value)| (key.clone(), bare(value))).collect())
        }
        Value::Array(entries) if !entries.is_empty() => entries.iter().map(bare).collect(),
        Value::Object(_) | Value::Array(_) => Value::Null,
        plain => plain.clone(),
    }
}

/// Sets, looks, and takes out what was new.
fn holds(format: Format, text: &str, path: &Path) -> Result<(), TestCaseError> {
    let Ok(before) = read(format, text.as_bytes()) else { return Ok(()) };
    let value = match path.0.last() {
        Some(Step::Entry { .. }) => json!({"name": "M", "url": "http://127.0.0.1:6935/v1"}),
        _ => json!("http://127.0.0.1:6935/v1"),
    };
    let new = match apply(format, text.as_bytes(), &[Edit::Set(path.clone(), value.clone())]) {
        Ok(new) => new,
        // Something else stands there, or it cannot be done with care: nothing was changed.
        Err(EditError::Shape(_) | EditError::Unsafe(_)) => return Ok(()),
        Err(why) => return Err(TestCaseError::fail(format!("{why}: {text:?}"))),
    };
    let after = read(format, &new).map_err(|why| TestCaseError::fail(format!("{why}: {text:?}")))?;
    prop_assert_eq!(at(&after, path), Some(&value));
    let again = apply(format, &new, &[Edit::Set(path.clone(), value)]).unwrap();
    prop_assert_eq!(&again, &new, "a second time changes nothing");
    // Every line that is a comment is still there.
    let shown = String::from_utf8(new.clone()).unwrap();
    for comment in text.lines().map(str::trim).filter(|line| line.starts_with("//") || line.starts_with('#')) {
        prop_assert!(shown.contains(comment), "{comment:?} is lost: {shown:?} from {text:?}");
    }
    if at(&before, path).is_none() {
        let made = path.containers().filter(|container| at(&before, container).is_none()).map(Edit::Prune);
        let edits: Vec<Edit> = std::iter::once(Edit::Remove(path.clone())).chain(made).collect();
        match apply(format, &new, &edits) {
            Ok(back) => prop_assert_eq!(
                bare(&read(format, &back).unwrap()),
                bare(&before),
                "{:?} from {:?}",
                String::from_utf8_lossy(&back),
                text
            ),
            Err(EditError::Unsafe(_)) => {}
            Err(why) => return Err(TestCaseError::fail(format!("{why}: {text:?}"))),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn an_edit_of_json_changes_nothing_else(text in jsonc(), path in path(), bom in any::<bool>()) {
        prop_assert!(read(Format::Json, text.as_bytes()).is_ok(), "it is JSON: {text}");
        let text = if bom { format!("\u{feff}{text}") } else { text };
        holds(Format::Json, &text, &path)?;
    }

    #[test]
    fn an_edit_of_yaml_changes_nothing_else(text in yaml(), path in path(), crlf in any::<bool>()) {
        let text = if crlf { text.replace('\n', "\r\n") } else { text };
        holds(Format::Yaml, &text, &path)?;
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), path in path()) {
        for format in [Format::Json, Format::Toml, Format::Yaml, Format::Env] {
            let _ = apply(format, &bytes, &[Edit::Set(path.clone(), json!("v")), Edit::Remove(path.clone())]);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}:,\"'#\\-|>&*! \n\t/a-c\\\\=]{0,60}", path in path()) {
        for format in [Format::Json, Format::Toml, Format::Yaml, Format::Env] {
            holds(format, &text, &path)?;
        }
    }
}
