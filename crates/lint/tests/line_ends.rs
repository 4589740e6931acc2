//! A line that a fix inserts ends as the file's lines do.

use ringfence_k8s::{ReadOptions, read};
use ringfence_lint::{Context, Options, apply, check};
use ringfence_policy::Engine;

const POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: db
  namespace: shop
spec:
  podSelector: {}
  ingress: []
";

#[test]
fn an_inserted_line_ends_as_the_others_do() {
    let fixed = |text: &str| {
        let options = ReadOptions { default_namespace: "default".to_owned(), keep_manifests: true };
        let read = read([("a.yaml", text)], &options);
        let engine = Engine::new(read.inventory.world());
        let findings = check(&Context::new(&read, &engine, Options::default()));
        let (id, file) = read.sources.all().next().unwrap();
        apply(id, &file.text, &findings).text
    };
    let unix = fixed(POLICY);
    assert!(unix.lines().count() > POLICY.lines().count(), "nothing is inserted: {unix}");
    assert_eq!(fixed(&POLICY.replace('\n', "\r\n")), unix.replace('\n', "\r\n"));
}
