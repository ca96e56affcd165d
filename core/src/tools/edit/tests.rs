use serde_json::json;

use super::*;

fn set(format: Format, text: &str, path: &str, value: Value) -> String {
    let out = apply(format, text.as_bytes(), &[Edit::Set(Path::parse(path), value.clone())]);
    let out = out
        .unwrap_or_else(|why| panic!("{why} in {text:?}: {:?}", super::set(format, text, &Path::parse(path), &value)));
    String::from_utf8(out).unwrap()
}

fn remove(format: Format, text: &str, path: &str) -> String {
    let path = Path::parse(path);
    let prune = path.containers().map(Edit::Prune).collect::<Vec<_>>();
    let edits = [vec![Edit::Remove(path)], prune].concat();
    String::from_utf8(apply(format, text.as_bytes(), &edits).unwrap()).unwrap()
}

/// What a text becomes when a value is set, and whether taking it out again gives the first text back.
const SETS: &[(Format, &str, &str, &str, &str, bool)] = &[
    (Format::Json, "{\"a\":1}", "b", "2", "{\"a\":1, \"b\": 2}", true),
    (Format::Json, "{}", "a/b", "true", "{\n  \"a\": {\n    \"b\": true\n  }\n}", false),
    (Format::Json, "", "a", "1", "{\n  \"a\": 1\n}\n", false),
    (Format::Json, "{\n\t\"a\": 1 // one\n}\n", "b", "2", "{\n\t\"a\": 1, // one\n\t\"b\": 2\n}\n", true),
    (
        Format::Json,
        "{\r\n    \"a\": 1,\r\n}\r\n",
        "b",
        "\"x\"",
        "{\r\n    \"a\": 1,\r\n    \"b\": \"x\",\r\n}\r\n",
        true,
    ),
    (Format::Json, "{\n  // nothing yet\n}\n", "a", "1", "{\n  // nothing yet\n  \"a\": 1\n}\n", false),
    (
        Format::Json,
        "\u{feff}{ \"env\": { \"X\": \"1\" } }",
        "env/Y",
        "\"2\"",
        "\u{feff}{ \"env\": { \"X\": \"1\", \"Y\": \"2\" } }",
        true,
    ),
    (Format::Json, "{\"a\": 1, /* two */ \"b\": 2}", "a", "3", "{\"a\": 3, /* two */ \"b\": 2}", false),
    (Format::Json, "[]", "[name=M]", r#"{"name":"M"}"#, "[\n  {\n    \"name\": \"M\"\n  }\n]", false),
    (
        Format::Json,
        "{\n \"l\": [\n  {\"name\":\"o\"}\n ]\n}",
        "l/[name=M]",
        r#"{"name":"M"}"#,
        "{\n \"l\": [\n  {\"name\":\"o\"},\n  {\n   \"name\": \"M\"\n  }\n ]\n}",
        true,
    ),
    (
        Format::Toml,
        "# top\nmodel = \"o\" # mine\n\n[tui]\nx = 1\n",
        "model_provider",
        "\"myelin\"",
        "# top\nmodel = \"o\" # mine\nmodel_provider = \"myelin\"\n\n[tui]\nx = 1\n",
        true,
    ),
    (
        Format::Toml,
        "a = 1\r\n[b]\r\nc = 'x'\r\n",
        "p/m/url",
        "\"u\"",
        "a = 1\r\n[b]\r\nc = 'x'\r\n\r\n[p.m]\r\nurl = \"u\"\r\n",
        true,
    ),
    (Format::Toml, "model = 'old'   # why\r\n", "model", "\"new\"", "model = \"new\"   # why\r\n", false),
    (Format::Toml, "a = 1", "b", "2", "a = 1\nb = 2\n", false),
    (
        Format::Yaml,
        "# c\nmodel: gpt\n",
        "openai-api-base",
        "\"http://127.0.0.1:6935/v1\"",
        "# c\nmodel: gpt\nopenai-api-base: http://127.0.0.1:6935/v1\n",
        true,
    ),
    (
        Format::Yaml,
        "model: gpt # why\r\nx: |\r\n  model: no\r\n",
        "model",
        "\"openai/m\"",
        "model: openai/m # why\r\nx: |\r\n  model: no\r\n",
        false,
    ),
    (Format::Yaml, "", "a/b", "1", "a:\n  b: 1\n", true),
    (Format::Yaml, "a: |\n    text\n\n  # far\nb: 1\n", "a", "2", "  # far\nb: 1\na: 2\n", false),
    (
        Format::Yaml,
        "models:\n  - name: a\n    roles: [chat]\n  # tail\nother: 1\n",
        "models/[name=M]",
        r#"{"name":"M","roles":["edit"]}"#,
        "models:\n  - name: a\n    roles: [chat]\n  - name: M\n    roles:\n      - edit\n  # tail\nother: 1\n",
        true,
    ),
    (
        Format::Yaml,
        "models:\n- name: a\nother: 1\n",
        "models/[name=M]",
        r#"{"name":"M"}"#,
        "models:\n- name: a\n- name: M\nother: 1\n",
        true,
    ),
    (
        Format::Yaml,
        "models: []\nother: 1\n",
        "models/[name=M]",
        r#"{"name":"M"}"#,
        "models:\n  - name: M\nother: 1\n",
        false,
    ),
    (
        Format::Yaml,
        "models:\nother: 1\n",
        "models/[name=M]",
        r#"{"name":"M"}"#,
        "models:\n  - name: M\nother: 1\n",
        false,
    ),
    (Format::Yaml, "{a: 1}\n", "b", "2", "{a: 1, \"b\": 2}\n", true),
    (Format::Yaml, "a:\n", "a", "\"yes\"", "a: \"yes\"\n", false),
    (Format::Yaml, "a: 1", "b", "\"x y\"", "a: 1\nb: \"x y\"\n", false),
    (Format::Env, "# k\nexport A='1' # one\n", "B", "\"http://h:1\"", "# k\nexport A='1' # one\nB=http://h:1\n", true),
    (Format::Env, "export A='1' # one\r\nB=2\r\n", "A", "\"x y\"", "export A=\"x y\" # one\r\nB=2\r\n", false),
    (Format::Env, "A=\"line\nB=no\"\n", "B", "\"2\"", "A=\"line\nB=no\"\nB=2\n", true),
];

#[test]
fn a_value_is_set_where_it_belongs_and_taken_out_again() {
    for (format, before, path, value, after, back) in SETS {
        let value: Value = serde_json::from_str(value).unwrap();
        let new = set(*format, before, path, value.clone());
        assert_eq!(&new, after, "{format:?} {before:?}");
        assert_eq!(&set(*format, &new, path, value), after, "a second time: {before:?}");
        if *back {
            assert_eq!(&remove(*format, &new, path), before, "{format:?} back from {after:?}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_its_line() {
    let broken: &[(Format, &str, usize)] = &[
        (Format::Json, "{\n \"a\": 1\n \"b\": 2\n}", 3),
        (Format::Json, "{\"a\": ", 1),
        (Format::Json, "{\"a\": 1} x", 1),
        (Format::Json, "{'a': 1}", 1),
        (Format::Json, "\"text\"", 1),
        (Format::Json, "{\n/* open", 2),
        (Format::Toml, "a = 1\nb = \n", 2),
        (Format::Toml, "a = 1\na = 2\n", 2),
        (Format::Yaml, "a: 1\nb: [\n", 2),
        (Format::Yaml, "a: 1\n---\nb: 2\n", 2),
        (Format::Env, "A=1\nB='open\n", 2),
    ];
    for (format, text, at) in broken {
        match apply(*format, text.as_bytes(), &[Edit::Set(Path::parse("z"), json!("1"))]) {
            Err(EditError::Unreadable { line, .. }) => assert!(line.abs_diff(*at) <= 1, "{text:?}: line {line}"),
            other => panic!("{text:?}: {other:?}"),
        }
    }
    assert_eq!(read(Format::Json, b"{\"a\": \"\xff\"}"), Err(EditError::NotText));
    assert_eq!(read(Format::Json, b"\xff\xfe{\0}\0"), Err(EditError::NotText));
    let deep = "[".repeat(5_000);
    assert!(matches!(read(Format::Json, deep.as_bytes()), Err(EditError::Unreadable { .. })));
    assert!(read(Format::Yaml, deep.as_bytes()).is_err());
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    assert!(read(Format::Yaml, laughs.as_bytes()).is_err());
}

#[test]
fn what_stands_in_the_way_is_not_overwritten() {
    let edit = [Edit::Set(Path::parse("env/X"), json!("1"))];
    for (format, text) in [(Format::Json, "{\"env\": 3}"), (Format::Toml, "env = 3\n"), (Format::Yaml, "env: 3\n")] {
        assert_eq!(apply(format, text.as_bytes(), &edit), Err(EditError::Shape("env".to_owned())), "{text}");
    }
}

#[test]
fn the_last_of_several_members_counts_and_all_go() {
    let text = "{\"a\": 1, \"a\": 2}";
    assert_eq!(set(Format::Json, text, "a", json!(3)), "{\"a\": 1, \"a\": 3}");
    assert_eq!(remove(Format::Json, text, "a"), "{}");
}
