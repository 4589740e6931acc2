//! What an API server serves: its answers about itself, read strictly, for what is not known to be there is not asked for.
//!
//! Newer servers tell all at once (<https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery>),
//! older ones the groups first, then each version by itself. Nothing is asked here.

use serde_json::Value;

/// What is asked for at `/apis`: everything at once, or else the groups.
pub(crate) const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                                 application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
                                 application/json";

/// A kind in a version of which all objects can be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    /// The API version, such as `apps/v1`.
    pub(crate) version: String,
    /// The kind.
    pub(crate) kind: String,
    /// The kind in the plural, as in URLs.
    pub(crate) plural: String,
    /// Whether objects of it are in namespaces.
    pub(crate) namespaced: bool,
}

/// An answer at `/apis`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Apis {
    /// Everything, the version that the server prefers first in each group; and the versions that it cannot tell
    /// everything about at present.
    All(Vec<Served>, Vec<String>),
    /// The versions, those that the server prefers first in each group: their kinds are asked for one by one.
    Versions(Vec<String>),
}

/// Reads the answer at `/apis`; `None` for what is no such answer.
pub(crate) fn apis(answer: &Value) -> Option<Apis> {
    match text(answer, "kind")? {
        "APIGroupDiscoveryList" => {
            answer.get("items")?;
            let (mut all, mut stale) = (Vec::new(), Vec::new());
            for group in list(answer, "items")? {
                let name = text(group.get("metadata")?, "name")?;
                for of_group in list(group, "versions")? {
                    let version = format!("{name}/{}", text(of_group, "version")?);
                    for resource in list(of_group, "resources")? {
                        all.extend(aggregated(&version, resource)?);
                    }
                    if text(of_group, "freshness") == Some("Stale") {
                        stale.push(version);
                    }
                }
            }
            Some(Apis::All(all, stale))
        }
        "APIGroupList" => {
            answer.get("groups")?;
            let mut versions = Vec::new();
            for group in list(answer, "groups")? {
                let preferred = group.get("preferredVersion").and_then(|v| text(v, "groupVersion"));
                let mut of_group = Vec::new();
                for version in list(group, "versions")? {
                    of_group.push(text(version, "groupVersion")?.to_owned());
                }
                of_group.sort_by_key(|version| Some(version.as_str()) != preferred);
                versions.append(&mut of_group);
            }
            Some(Apis::Versions(versions))
        }
        _ => None,
    }
}

/// Reads the answer at `/apis/GROUP/VERSION`; `None` for what is no such answer.
pub(crate) fn resources(version: &str, answer: &Value) -> Option<Vec<Served>> {
    text(answer, "kind").filter(|kind| *kind == "APIResourceList")?;
    answer.get("resources")?;
    let mut all = Vec::new();
    for resource in list(answer, "resources")? {
        let (plural, kind) = (text(resource, "name")?, text(resource, "kind")?);
        let namespaced = resource.get("namespaced")?.as_bool()?;
        // `deployments/scale` is a part of another.
        if !plural.contains('/') && can_be_listed(resource)? {
            let (version, kind, plural) = (version.to_owned(), kind.to_owned(), plural.to_owned());
            all.push(Served { version, kind, plural, namespaced });
        }
    }
    Some(all)
}

/// A resource of an answer that tells all at once; `Some(None)` where it is none that can be listed.
fn aggregated(version: &str, resource: &Value) -> Option<Option<Served>> {
    let plural = text(resource, "resource")?.to_owned();
    if !can_be_listed(resource)? {
        return Some(None);
    }
    let kind = text(resource.get("responseKind")?, "kind")?.to_owned();
    let namespaced = text(resource, "scope")? == "Namespaced";
    Some(Some(Served { version: version.to_owned(), kind, plural, namespaced }))
}

/// What only holds the subresources of something has no verbs.
fn can_be_listed(resource: &Value) -> Option<bool> {
    Some(list(resource, "verbs")?.iter().any(|verb| verb == "list"))
}

/// A list; one that is left out or null is empty, as Go writes it.
fn list<'v>(value: &'v Value, key: &str) -> Option<&'v [Value]> {
    match value.get(key) {
        None | Some(Value::Null) => Some(&[]),
        Some(list) => list.as_array().map(Vec::as_slice),
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn served(version: &str, kind: &str, plural: &str, namespaced: bool) -> Served {
        Served { version: version.to_owned(), kind: kind.to_owned(), plural: plural.to_owned(), namespaced }
    }

    #[test]
    fn all_at_once() {
        let resource = |plural: &str, kind: &str, scope: &str, verbs: &[&str]| {
            json!({"resource": plural, "responseKind": {"group": "", "version": "", "kind": kind}, "scope": scope,
                   "verbs": verbs, "subresources": [{"subresource": "status", "verbs": ["get"]}]})
        };
        let answer = json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": [
            {"metadata": {"name": "cilium.io"}, "versions": [
                {"version": "v2", "freshness": "Current", "resources": [
                    resource("ciliumnetworkpolicies", "CiliumNetworkPolicy", "Namespaced", &["list", "get"]),
                    resource("ciliumnodes", "CiliumNode", "Cluster", &["list"])]},
                {"version": "v2alpha1", "resources": [resource("ciliumreviews", "CiliumReview", "Cluster", &["create"]),
                    {"resource": "holders", "scope": "Cluster", "verbs": null}]}]},
            {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]}]});
        assert_eq!(
            apis(&answer),
            Some(Apis::All(
                vec![
                    served("cilium.io/v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies", true),
                    served("cilium.io/v2", "CiliumNode", "ciliumnodes", false)
                ],
                vec!["metrics.k8s.io/v1beta1".to_owned()]
            ))
        );
    }

    #[test]
    fn one_by_one() {
        let version = |version: &str| json!({"groupVersion": version, "version": version});
        let answer = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
            {"name": "apps", "versions": [version("apps/v1beta1"), version("apps/v1")],
             "preferredVersion": version("apps/v1")}]});
        assert_eq!(
            apis(&answer),
            Some(Apis::Versions(vec!["apps/v1".to_owned(), "apps/v1beta1".to_owned()]))
        );
        let resource = |plural: &str, verbs: &[&str]| json!({"name": plural, "singularName": "", "namespaced": true, "kind": "Deployment", "verbs": verbs});
        let answer = json!({"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": [
            resource("deployments", &["get", "list"]), resource("deployments/status", &["get"]), resource("scales", &["create"])]});
        assert_eq!(
            resources("apps/v1", &answer),
            Some(vec![served("apps/v1", "Deployment", "deployments", true)])
        );
    }

    #[test]
    fn no_such_answers() {
        for answer in [
            json!({}),
            json!([]),
            json!({"kind": "NamespaceList", "items": []}),
            json!({"kind": "APIGroupDiscoveryList"}),
            json!({"kind": "APIGroupDiscoveryList", "items": {}}),
            json!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {}}]}),
            json!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": "a.b"}, "versions": [
                {"version": "v1", "resources": [{"resource": "cs", "verbs": ["list"], "scope": "Cluster"}]}]}]}),
            json!({"kind": "APIGroupList", "groups": [{"name": "a.b", "versions": [{}]}]}),
        ] {
            assert_eq!(apis(&answer), None, "{answer}");
        }
        assert_eq!(resources("a.b/v1", &json!({"kind": "APIGroupList"})), None);
        assert_eq!(
            resources("a.b/v1", &json!({"kind": "APIResourceList", "resources": [{"name": "cs"}]})),
            None
        );
    }
}
