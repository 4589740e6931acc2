//! What can be read, and where errors are said to be.

use ringfence_policy::model::{PolicyKey, Protocol};

use super::{Denial, Level, Place, Traffic, Verdict, parse};

const GOOD: &str = "\
# Title

## First

Prose.

```yaml
a: 1
## no heading
```

```yaml
---
b: 2
```

```verdicts
# a remark
web -> shop/db:5432/TCP  denied by shop/db-in, shop/other

external -> [2001:db8::1]:53/UDP  allowed by shop/db-in ingress#2
shop/Deployment/web -> 10.0.0.1:ICMP  allowed by default
```

## Second

```options
pod-cidr 10.0.0.0/8
node one 192.168.0.1 role=worker fd00::1 zone=
node two role=worker
name api.example.com 203.0.113.1 2001:db8::1
```

```verdicts
web -> db:1  denied by ClusterNetworkPolicy/closed ingress#0, default/db-in
web -> db:2  allowed by AdminNetworkPolicy/open egress#1, default/db-in ingress#3
```

```findings
error 3:5 no such field
warning 4:* `x`
```
";

#[test]
fn reads_everything() {
    let cases = parse(GOOD).unwrap();
    let names: Vec<_> = cases.iter().map(|case| (case.name.as_str(), case.line)).collect();
    assert_eq!(names, [("First", 3), ("Second", 25)]);
    let [first, second] = cases.as_slice() else { panic!("two cases") };
    assert_eq!(first.yaml, "a: 1\n## no heading\n---\nb: 2\n");
    assert_eq!([1, 4, 5, 0].map(|line| first.markdown_line(line)), [Some(8), Some(14), None, None]);
    let [denied, allowed, default] = first.verdicts.as_slice() else { panic!("three verdicts") };
    let web = Place::Named { namespace: "default".to_owned(), kind: None, name: "web".to_owned() };
    assert_eq!((denied.line, &denied.from), (19, &web));
    assert_eq!(denied.traffic, Traffic::Port(Protocol::Tcp, 5432));
    assert!(matches!(&denied.verdict, Verdict::Denied { by } if by.len() == 2));
    assert_eq!(
        (&allowed.from, &allowed.to),
        (&Place::External, &Place::Address("2001:db8::1".parse().unwrap()))
    );
    let Verdict::Allowed { by } = &allowed.verdict else { panic!("allowed") };
    assert_eq!(
        by.iter().map(|r| (r.policy.to_string(), r.egress, r.rule)).collect::<Vec<_>>(),
        [("shop/db-in".to_owned(), false, 2)]
    );
    assert_eq!((default.traffic, &default.verdict), (Traffic::Other, &Verdict::AllowedByDefault));
    assert!(first.findings.is_none());
    let options = &second.options;
    let nodes: Vec<_> = options.nodes.iter().map(|n| (n.addresses.len(), n.labels.len())).collect();
    assert_eq!((nodes.as_slice(), options.pod_cidrs.len()), ([(2, 2), (0, 1)].as_slice(), 1));
    let names: Vec<_> = options.names.iter().map(|n| (n.name.as_str(), n.addresses.len())).collect();
    assert_eq!(names, [("api.example.com", 2)]);
    let [denied, allowed] = second.verdicts.as_slice() else { panic!("two verdicts") };
    let Verdict::Denied { by } = &denied.verdict else { panic!("denied") };
    let [Denial::Rule(rule), Denial::Isolated(policy)] = by.as_slice() else { panic!("{by:?}") };
    assert_eq!(
        (rule.policy.to_string(), rule.egress, rule.rule),
        ("ClusterNetworkPolicy/closed".to_owned(), false, 0)
    );
    assert_eq!(policy.to_string(), "default/db-in");
    let Verdict::Allowed { by } = &allowed.verdict else { panic!("allowed") };
    let kinds: Vec<_> =
        by.iter().map(|rule| (matches!(rule.policy, PolicyKey::Cluster(_)), rule.rule)).collect();
    assert_eq!(kinds, [(true, 1), (false, 3)]);
    let findings = second.findings.as_ref().unwrap();
    let places: Vec<_> = findings.iter().map(|f| (f.level, f.place, f.message.as_str())).collect();
    assert_eq!(places, [(Level::Error, (3, Some(5)), "no such field"), (Level::Warning, (4, None), "`x`")]);
}

#[test]
fn errors_name_the_line() {
    let check = |markdown: &str, expect: &str| {
        let error = parse(markdown).unwrap_err();
        assert!(error.starts_with(expect), "{markdown:?}: {error}");
    };
    let verdict = |line: &str| format!("## A\n```verdicts\n{line}\n```\n");
    check("## A\nprose\n", "line 1: \"A\" asserts nothing");
    check("## A\n```verdicts\n", "line 2: this block has no end");
    check("```yaml\n```\n", "line 1: a block before");
    check("## A\n```verdict\na -> b:1 allowed\n```\n", "line 2: unknown kind of block \"verdict\"");
    check("## A\n```yaml\na: 1\n```\n```yaml\nb: 1\n```\n", "line 5: a further yaml block");
    check("## A\n```findings\n```\n## A\n", "line 4: a second test");
    for wrong in [
        "a b:1 allowed",
        "a -> b allowed",
        "a -> b:70000 allowed",
        "a -> b:1/ICMP allowed",
        "a -> b:1",
        "a -> b:1 maybe",
        "a -> b:1 allowed because",
        "a -> b:1 allowed by x/y",
        "a -> b:1 allowed by x/y ingress#x",
        "a -> b:1 denied by x",
        "a -> b:1 denied by ClusterNetworkPolicy/x",
        "a -> b:1 denied by x/y ingress#0",
        "a -> b:1 allowed by ClusterNetworkPolicy/x",
        "a/b/c/d -> b:1 denied",
        "/b -> b:1 denied",
    ] {
        check(&verdict(wrong), "line 3: ");
    }
    for wrong in ["note 1:1 x", "error x:1 x", "error 1:1", "error 1 x", "error 0:1 x"] {
        check(&format!("## A\n```findings\n{wrong}\n```\n"), "line 3: ");
    }
    for wrong in [
        "pod-cidr 10.0.0.0",
        "node",
        "node a",
        "node a b",
        "name a.example.com",
        "name *.example.com ::1",
        "other",
    ] {
        check(&format!("## A\n```options\n{wrong}\n```\n"), "line 3: ");
    }
}
