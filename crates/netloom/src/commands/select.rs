//! Which running topology, and which node of it, a command speaks of.

use crate::failure::Failure;
use netloom_compile::object::{Behind, Space, Spec};
use netloom_control::realm::Realm;
use netloom_control::store;
use std::path::{Path, PathBuf};

/// The names of the topologies that have a state in this realm, sorted.
///
/// # Errors
/// When the state directory can't be read.
pub fn topologies(realm: &Realm) -> Result<Vec<String>, Failure> {
    let entries = match std::fs::read_dir(&realm.state_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::new(format!("can't read {}: {error}", realm.state_dir.display()))),
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// The topology that is meant: by name, by file, or the only one.
///
/// # Errors
/// When there is none, several, or another one than was named.
pub fn topology(realm: &Realm, wanted: Option<&str>) -> Result<String, Failure> {
    let up = topologies(realm)?;
    let listed = || if up.is_empty() { "nothing is up".to_owned() } else { format!("up: {}", up.join(", ")) };
    match wanted {
        Some(wanted) => {
            let name =
                if looks_like_file(wanted) { name_in_file(Path::new(wanted))? } else { wanted.to_owned() };
            if up.contains(&name) {
                Ok(name)
            } else {
                Err(Failure::new(format!("no topology `{name}` is up")).help(listed()))
            }
        }
        None => match up.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(Failure::new("nothing is up").help("netloom apply FILE makes a network")),
            _ => Err(Failure::new("several topologies are up; say which one").help(listed())),
        },
    }
}

/// Whether an argument names a file rather than a topology.
#[must_use]
pub fn looks_like_file(text: &str) -> bool {
    text.contains('/') || Path::new(text).extension().is_some()
}

/// The name of the topology that a file describes.
///
/// # Errors
/// When the file can't be read or is wrong.
pub fn name_in_file(path: &Path) -> Result<String, Failure> {
    super::load::read(path, &[]).map(|loaded| loaded.name().to_owned())
}

/// The namespace file of a node, given as NODE or TOPOLOGY.NODE.
///
/// # Errors
/// When no such node is up.
pub fn node(realm: &Realm, node: &str, wanted: Option<&str>) -> Result<(String, String, PathBuf), Failure> {
    let (topology, node) = match node.split_once('.') {
        Some((prefix, rest)) if wanted.is_none() => (topology(realm, Some(prefix))?, rest.to_owned()),
        _ => {
            let topology = match wanted {
                Some(_) => self::topology(realm, wanted)?,
                None => only_with_node(realm, node)?,
            };
            (topology, node.to_owned())
        }
    };
    let path = realm.netns_dir.join(format!("{topology}.{node}"));
    if path.exists() {
        return Ok((topology, node, path));
    }
    if is_machine(realm, &topology, &node) {
        return Err(Failure::new(format!("`{node}` is a virtual machine: nothing of this system is inside"))
            .help(format!("netloom vm show {topology}.{node} tells how it is reached")));
    }
    let nodes = nodes(realm, &topology);
    let near = near(&nodes, &node);
    Err(Failure::new(format!("topology `{topology}` has no node `{node}` that is up")).help(near))
}

/// Whether a node of a topology that is up is a virtual machine.
fn is_machine(realm: &Realm, topology: &str, node: &str) -> bool {
    let generation = topology.parse().ok().and_then(|name| store::peek(&realm.state_dir, &name).ok()?);
    generation.is_some_and(|generation| {
        generation.desired.objects.iter().any(|(key, object)| {
            let behind = match &object.spec {
                Spec::SwitchPort(port) => &port.behind,
                _ => return false,
            };
            matches!(key.space(), Space::Node(name) if name.as_str() == node)
                && matches!(behind, Behind::Socket(_))
        })
    })
}

/// The name that was probably meant, or all that there are.
#[must_use]
pub fn near(names: &[String], wanted: &str) -> String {
    names
        .iter()
        .map(|name| (strsim::jaro_winkler(name, wanted), name))
        .filter(|(near, _)| *near > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(
            || format!("its nodes: {}", shortened(names)),
            |(_, name)| format!("did you mean `{name}`?"),
        )
}

fn shortened(names: &[String]) -> String {
    let shown = names.iter().take(12).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 12 { format!("{shown} and {} more", names.len() - 12) } else { shown }
}

/// The one topology that has `node`, when no topology was named.
fn only_with_node(realm: &Realm, node: &str) -> Result<String, Failure> {
    let up = topologies(realm)?;
    let having: Vec<&String> =
        up.iter().filter(|topology| realm.netns_dir.join(format!("{topology}.{node}")).exists()).collect();
    match having.as_slice() {
        [only] => Ok((*only).clone()),
        _ => topology(realm, None),
    }
}

/// The nodes of a topology that are up, sorted.
#[must_use]
pub fn nodes(realm: &Realm, topology: &str) -> Vec<String> {
    let prefix = format!("{topology}.");
    let mut names: Vec<String> = std::fs::read_dir(&realm.netns_dir)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| {
            entry.file_name().to_str().and_then(|name| name.strip_prefix(&prefix)).map(str::to_owned)
        })
        .collect();
    names.sort();
    names
}
