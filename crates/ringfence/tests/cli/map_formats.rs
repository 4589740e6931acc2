//! `ringfence map -o ...`: each format on the small shop, and what may not be drawn.

use crate::{run, run_with};

#[test]
fn csv() {
    insta::assert_snapshot!(run("map shop.yaml -o csv").out.replace("\r\n", "\n"));
}

#[test]
fn markdown() {
    insta::assert_snapshot!(run("map shop.yaml -o markdown").out);
    assert_eq!(run("map shop.yaml -o md").out, run("map shop.yaml -o markdown").out);
}

#[test]
fn mermaid() {
    insta::assert_snapshot!(run("map shop.yaml -o mermaid").out);
}

#[test]
fn dot() {
    insta::assert_snapshot!(run("map shop.yaml -o dot").out);
    assert_eq!(run("map shop.yaml -o graphviz").out, run("map shop.yaml -o dot").out);
}

#[test]
fn svg() {
    let run = run("map shop.yaml -o svg --denied");
    assert_eq!(run.status, 0);
    insta::assert_snapshot!(run.out);
}

#[test]
fn rules() {
    insta::assert_snapshot!(run("map shop.yaml -o rules").out);
}

#[test]
fn rules_csv() {
    insta::assert_snapshot!(run("map shop.yaml -o rules-csv --to shop/web").out.replace("\r\n", "\n"), @r#"
    source,destination,service,action,by,default
    192.0.2.0/24,shop/web,TCP 8080,allow,"shop/web ingress rule 0, shop.yaml:141",no
    any,shop/web,any,deny,"default: isolated by shop/default-deny (shop.yaml:123), shop/web (shop.yaml:132)",yes
    "#);
}

#[test]
fn rules_of_a_part_leave_out_what_denies_everybody() {
    let destinations = |arguments: &str| -> Vec<String> {
        let out = run(&format!("map shop.yaml -o rules-csv {arguments}")).out;
        let mut found: Vec<String> =
            out.lines().skip(1).filter_map(|line| line.split(',').nth(1)).map(str::to_owned).collect();
        found.dedup();
        found
    };
    let all = destinations("");
    assert!(all.contains(&"shop/db".to_owned()), "{all:?}");
    let of_web = destinations("--from shop/web");
    assert!(!of_web.contains(&"shop/db".to_owned()) && of_web.contains(&"shop/api".to_owned()), "{of_web:?}");
    assert_eq!(destinations("--from shop/web --to shop/db"), ["shop/db"]);
}

#[test]
fn rules_of_every_tier() {
    insta::assert_snapshot!(run("map tiers.yaml -o rules").out);
}

#[test]
fn a_namespace_is_drawn_with_its_neighbours() {
    let run = run("map shop.yaml -o mermaid -n monitoring");
    assert!(run.out.contains("<br/>web<br/>"), "{}", run.out);
    assert!(!run.out.contains("TCP 9000"), "{}", run.out);
}

#[test]
fn denials_are_drawn_dashed_and_only_in_diagrams() {
    let mermaid = run("map shop.yaml -o mermaid --denied").out;
    assert!(mermaid.contains("-.->") && mermaid.contains("linkStyle"), "{mermaid}");
    assert!(run("map shop.yaml -o dot --denied").out.contains("style=dashed, color=\"#c62828\""));
    let refused = run("map shop.yaml -o csv --denied");
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("error: --denied is for diagrams, not for -o csv\n"), "{}", refused.err);
}

#[test]
fn too_much_is_not_drawn() {
    let pods: String = (0..201)
        .map(|n| format!("{{kind: Pod, apiVersion: v1, metadata: {{name: p{n}}}, spec: {{}}}}\n---\n"))
        .collect();
    for (format, status) in [("svg", 2), ("mermaid", 2), ("dot", 0)] {
        let run = run_with(&format!("map - -o {format}"), &pods);
        assert_eq!(run.status, status, "{}", run.err);
        if status == 2 {
            let message = format!("error: 201 are too many for -o {format}: it draws up to 200\n");
            assert!(run.err.starts_with(&message) && run.err.contains("--focus"), "{}", run.err);
        }
    }
}
