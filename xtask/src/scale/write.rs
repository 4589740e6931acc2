//! A world as manifests, which the project's own reader reads back as the same world.

mod cluster_policy;
mod manifest;
#[cfg(test)]
mod needless;
mod yaml;

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use ringfence_policy::World;
use serde_json::Value;

/// How many objects a file holds at most.
const OBJECTS_OF_A_FILE: usize = 5_000;

/// Makes the folder, which must be empty if it is there: what another world left there would be read as a part of this.
pub(crate) fn prepare(folder: &Path) -> anyhow::Result<()> {
    let place = || folder.display().to_string();
    fs::create_dir_all(folder).with_context(place)?;
    if fs::read_dir(folder).with_context(place)?.next().is_some() {
        bail!("{} is not empty: name another folder, or empty it", folder.display());
    }
    Ok(())
}

/// Writes a world into a folder. How many bytes that were.
pub(crate) fn write(world: &World, folder: &Path) -> anyhow::Result<usize> {
    let mut bytes = 0;
    files(world, &mut |name, text| {
        let path = folder.join(name);
        bytes += text.len();
        fs::write(&path, text).with_context(|| path.display().to_string())
    })?;
    Ok(bytes)
}

/// Gives the files of a world one after the other, each by name and content.
fn files(world: &World, give: &mut dyn FnMut(String, String) -> anyhow::Result<()>) -> anyhow::Result<()> {
    type Objects<'w> = Box<dyn Iterator<Item = anyhow::Result<Value>> + 'w>;
    let kinds: [(&str, Objects<'_>); 5] = [
        ("namespaces", Box::new(world.namespaces.iter().map(|n| Ok(manifest::namespace(n))))),
        ("nodes", Box::new(world.nodes.iter().map(|n| Ok(manifest::node(n))))),
        ("pods", Box::new(world.pods.iter().map(|p| Ok(manifest::pod(p))))),
        ("networkpolicies", Box::new(world.policies.iter().map(|p| Ok(manifest::network_policy(p))))),
        (
            "clusternetworkpolicies",
            Box::new(world.cluster_policies.iter().map(cluster_policy::cluster_policy)),
        ),
    ];
    for (kind, objects) in kinds {
        let mut objects = objects.peekable();
        let mut number = 0;
        while objects.peek().is_some() {
            number += 1;
            let mut text = String::new();
            for object in objects.by_ref().take(OBJECTS_OF_A_FILE) {
                yaml::document(&mut text, &object?);
            }
            give(format!("{kind}-{number:03}.yaml"), text)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ringfence_k8s::{ReadOptions, Reading, normalize, read, to_yaml};
    use ringfence_oracle::worlds;

    use super::*;
    use crate::scale::profile::Profile;

    /// What is left to compare: order and places mean nothing.
    fn bare(mut world: World) -> World {
        world.namespaces.sort_by(|a, b| a.name.cmp(&b.name));
        world.nodes.sort_by(|a, b| a.name.cmp(&b.name));
        world.pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        world.policies.sort_by(|a, b| a.name.cmp(&b.name));
        world.cluster_policies.sort_by(|a, b| a.name.cmp(&b.name));
        for policy in &mut world.policies {
            policy.source = None;
            policy.ingress.iter_mut().chain(&mut policy.egress).flatten().for_each(|r| r.source = None);
        }
        for policy in &mut world.cluster_policies {
            policy.source = None;
            policy.ingress.iter_mut().chain(&mut policy.egress).for_each(|r| r.source = None);
        }
        world
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (profile, divisor) in
            [(Profile::Real, 10), (Profile::Xl, 250), (Profile::Dense, 50), (Profile::Wide, 100)]
        {
            let world = profile.world(1, divisor);
            let mut texts = Vec::new();
            let collect = &mut |name, text| {
                texts.push((name, text));
                Ok(())
            };
            files(&world, collect).unwrap();
            let reading = read(texts, &ReadOptions::default());
            assert_eq!(reading.findings, [], "{profile}");
            let (expect, got) = (bare(world), bare(reading.inventory.world()));
            assert_eq!(got.namespaces, expect.namespaces, "{profile}");
            assert_eq!(got.nodes, expect.nodes, "{profile}");
            assert_eq!(got.pods, expect.pods, "{profile}");
            assert_eq!(got.policies, expect.policies, "{profile}");
            assert_eq!(got.cluster_policies, expect.cluster_policies, "{profile}");
            assert_eq!(got.cluster_policies, expect.cluster_policies, "{profile}");
        }
    }

    /// Random worlds keep their meaning when they are written as the API server would store them.
    #[test]
    fn what_is_normalised_is_read_back_too() {
        let options = ReadOptions { keep_manifests: true, ..ReadOptions::default() };
        let (mut network, mut cluster) = (0, 0);
        for seed in 0..200 {
            let mut world = worlds::world(seed, &worlds::Size::manifests());
            // Rules that fail closed hold something that nobody can write.
            world.cluster_policies.retain(|policy| cluster_policy::cluster_policy(policy).is_ok());
            let mut texts = Vec::new();
            let collect = &mut |name, text| {
                texts.push((name, text));
                Ok(())
            };
            files(&world, collect).unwrap();
            let before = read(texts, &options);
            let normal = |reading: &Reading| {
                let manifests = normalize(&reading.inventory, &reading.manifests);
                to_yaml(manifests.iter().map(|m| &m.node))
            };
            let once = normal(&before);
            let after = read([("normal.yaml", once.as_str())], &options);
            assert!(!after.has_errors(), "seed {seed}: {:#?}", after.findings);
            let (got, expect) = (bare(after.inventory.world()), bare(before.inventory.world()));
            assert_eq!(got.policies, expect.policies, "seed {seed}");
            assert_eq!(got.cluster_policies, expect.cluster_policies, "seed {seed}");
            assert_eq!(normal(&after), once, "seed {seed}");
            (network, cluster) = (network + got.policies.len(), cluster + got.cluster_policies.len());
        }
        assert!(network > 500 && cluster > 100, "{network} and {cluster}");
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("ringfence-xtask-{}", std::process::id()));
        let world = Profile::Wide.world(1, 500);
        prepare(&folder).unwrap();
        let bytes = write(&world, &folder).unwrap();
        let error = prepare(&folder).unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();
        assert!(bytes > 10_000, "{bytes}");
        assert!(error.contains("not empty"), "{error}");
    }
}
