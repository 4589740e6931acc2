//! What YAML texts become: values, places, and faults.

use super::*;
use crate::node::Value;

/// The documents in a short notation, and the findings as `line:column code`.
fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let mut sources = Sources::default();
    let file = sources.add("f", text);
    let mut findings = Vec::new();
    let nodes = parse(file, &sources, &mut findings);
    let places = findings
        .iter()
        .map(|f| {
            let place = f.place.as_ref().unwrap();
            format!("{}:{} {}", place.line, place.column, f.code)
        })
        .collect();
    (nodes.iter().map(show).collect(), places)
}

fn show(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => format!("{f:?}"),
        Value::String(s) => format!("{s:?}"),
        Value::Sequence(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(",")),
        Value::Mapping(entries) => {
            let list: Vec<_> = entries.iter().map(|e| format!("{}:{}", e.key, show(&e.value))).collect();
            format!("{{{}}}", list.join(","))
        }
    }
}

fn check(text: &str, documents: &[&str], findings: &[&str]) {
    let (d, f) = read(text);
    assert_eq!(
        (d, f),
        (documents.iter().map(|s| s.to_string()).collect(), findings.iter().map(|s| s.to_string()).collect()),
        "{text:?}"
    );
}

#[test]
fn documents() {
    check("", &[], &[]);
    check("---\n", &[], &[]);
    check("---\n---\n---\n", &[], &[]);
    check("# only a comment\n", &[], &[]);
    check("--- # c\n# c\n...\n", &[], &[]);
    check("null\n", &[], &[]);
    check("a: 1\n---\nb: 2\n", &["{a:1}", "{b:2}"], &[]);
    check("a: 1\n...\n---\nb: 2\n...\n", &["{a:1}", "{b:2}"], &[]);
    check("\u{feff}a: 1\n", &["{a:1}"], &[]);
    check("a: 1\r\nb:\r\n- x\r\n", &["{a:1,b:[\"x\"]}"], &[]);
    check("%YAML 1.1\n---\na: 1\n", &["{a:1}"], &[]);
    check("{\"a\": [1, null], \"b\": {}}", &["{a:[1,null],b:{}}"], &[]);
}

#[test]
fn absent_null_and_empty_stay_apart() {
    check("a:\nb: null\nc: ''\nd: []\ne: {}\nf: ~\n", &["{a:null,b:null,c:\"\",d:[],e:{},f:null}"], &[]);
    check("-\n- \n- {}\n", &["[null,null,{}]"], &[]);
}

#[test]
fn tags_and_quotes() {
    check(
        "a: \"80\"\nb: '80'\nc: !!str 80\nd: !!int \"80\"\ne: !foo 80\nf: |\n  80\n",
        &["{a:\"80\",b:\"80\",c:\"80\",d:80,e:\"80\",f:\"80\\n\"}"],
        &[],
    );
    check("a: !!int x\n", &[], &["1:4 syntax"]);
    check("a: !!float 1\n", &["{a:1}"], &[]);
}

#[test]
fn keys_become_strings() {
    check("80: a\nyes: b\n1.5: c\n'<<': d\n", &["{80:\"a\",true:\"b\",1.5:\"c\",<<:\"d\"}"], &[]);
    check("? [a]\n: b\n", &[], &["1:3 syntax"]);
    check("name: {{ .Values.name }}\n", &[], &["1:8 syntax"]);
    check(": a\n", &[], &["1:1 syntax"]);
}

#[test]
fn duplicate_keys_are_refused() {
    check("a: 1\nb: 2\na: 3\n", &[], &["3:1 duplicate-key"]);
    check("x:\n  a: 1\n  a: 1\n---\nb: 1\n", &["{b:1}"], &["3:3 duplicate-key"]);
    check("yes: 1\ntrue: 1\n", &[], &["2:1 duplicate-key"]);
}

#[test]
fn anchors_and_merge_keys() {
    check("a: &x {b: 1}\nc: *x\n", &["{a:{b:1},c:{b:1}}"], &[]);
    check("a: &x {b: 1, d: 2}\nc:\n  <<: *x\n  b: 3\n", &["{a:{b:1,d:2},c:{b:3,d:2}}"], &[]);
    check(
        "a: &x {b: 1}\nc: &y {b: 2, d: 2}\ne:\n  <<: [*x, *y]\n",
        &["{a:{b:1},c:{b:2,d:2},e:{b:1,d:2}}"],
        &[],
    );
    check("a: &x {b: 1}\nc:\n  b: 3\n  <<: *x\n", &[], &["4:3 duplicate-key"]);
    check("a: &x {b: 1}\nc:\n  <<: *x\n  <<: *x\n", &[], &["4:3 duplicate-key"]);
    check("a:\n  <<: 1\n", &[], &["2:3 syntax"]);
    check("a: &x [*x]\n", &[], &["1:8 syntax"]);
    check("a: *nowhere\n", &[], &["1:4 syntax"]);
    check("a: &x 1\n---\nb: *x\n", &["{a:1}"], &["3:4 syntax"]);
}

#[test]
fn bounds_hold() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        laughs.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    let (documents, findings) = read(&laughs);
    assert_eq!((documents.len(), findings.len()), (0, 1));
    assert!(findings[0].ends_with("too-large"), "{findings:?}");

    for deep in [
        "[".repeat(50_000),
        "- ".repeat(50_000),
        "{a: ".repeat(50_000),
        "a:\n".to_owned() + &(0..500).map(|i| " ".repeat(i + 1) + "a:\n").collect::<String>(),
    ] {
        let (documents, findings) = read(&deep);
        assert_eq!((documents.len(), findings.len()), (0, 1), "{:?}", &deep[..8]);
    }
}

#[test]
fn broken_documents_do_not_hide_the_others() {
    check("a: 1\n---\nb: [1\n---\nc: 3\n", &["{a:1}", "{c:3}"], &["4:1 syntax"]);
    check("a: 'x\n---\nc: 3\n", &["{c:3}"], &["1:4 syntax"]);
    check("a: b: c\n", &[], &["1:5 syntax"]);
    check("a:\n\tb: 1\n", &[], &["2:2 syntax"]);
    check("a: 1\u{0}\nb: 2\n", &[], &["1:5 syntax"]);
    check("a:\n  b: 1\n c: 2\n", &[], &["3:2 syntax"]);
}

#[test]
fn spans_are_the_words() {
    let text = "é: ä\nspec:\n  list:\n  - one\n  - {two: 3}\n  text: |\n    x\n";
    let mut sources = Sources::default();
    let file = sources.add("f", text);
    let nodes = parse(file, &sources, &mut Vec::new());
    let mut found = Vec::new();
    collect(&nodes[0], &sources, &mut found);
    assert_eq!(found, ["é=ä", "spec=list:…", "list=one…", "[]=one", "[]={two: 3}", "two=3", "text=x…"]);
}

fn collect(node: &Node, sources: &Sources, found: &mut Vec<String>) {
    let text = |span: Option<Span>| {
        let text = sources.text(span.unwrap());
        text.split_once('\n').map_or(text.to_owned(), |(first, _)| format!("{first}…"))
    };
    match &node.value {
        Value::Sequence(items) => {
            for item in items {
                found.push(format!("[]={}", text(item.span)));
                collect(item, sources, found);
            }
        }
        Value::Mapping(entries) => {
            for entry in entries {
                found.push(format!("{}={}", text(entry.key_span), text(entry.value.span)));
                collect(&entry.value, sources, found);
            }
        }
        _ => {}
    }
}

#[test]
fn odd_line_breaks_are_reported() {
    check("a: b\u{2028}c\n", &["{a:\"b\\u{2028}c\"}"], &["1:5 odd-line-break"]);
}

#[test]
fn very_many_broken_documents_are_cut_short() {
    let (documents, findings) = read(&"a: [\n---\n".repeat(1000));
    assert_eq!((documents.len(), findings.len()), (0, MAX_BROKEN + 1));
}
