//! What the survey alone shows: ids and content directories that do not match (§20.1).

use std::collections::{HashMap, HashSet};

use oxcrypt_core::{Cryptor, DirId, DirIdError};
use oxcrypt_store::StoreError;

use super::finding::{Code, Finding, Fix};
use super::survey::{DirFile, DirFileFault, NodePlace, Survey};
use crate::layout::{ContentPath, lossy};

/// Longest id that other readers of `dirid.c9r` and the official check accept.
const MAX_USUAL_ID_LEN: usize = 36;

pub(super) fn findings(survey: &Survey, cryptor: &Cryptor) -> Vec<Finding> {
    let mut found = Vec::new();
    // The nodes that are the way to a directory come before others with its id.
    let owners = survey.contents.iter().filter_map(|content| {
        let owner = content.owner.as_ref()?;
        Some((&owner.id, owner.node.as_ref()?))
    });
    let mut first_of: HashMap<&DirId, &NodePlace> = owners.collect();
    for dir_file in &survey.dir_files {
        match &dir_file.id {
            Err(fault) => found.push(fault_finding(survey, dir_file, *fault)),
            Ok(id) => {
                if id.as_bytes().len() > MAX_USUAL_ID_LEN {
                    found.push(at_dir_file(
                        survey,
                        &dir_file.place,
                        Code::ObeseDirFile,
                        format!(
                            "{} bytes long; some readers refuse more than 36",
                            id.as_bytes().len()
                        ),
                    ));
                }
                let first = *first_of.entry(id).or_insert(&dir_file.place);
                if *first != dir_file.place {
                    found.push(collision(survey, cryptor, dir_file, id, first));
                }
            }
        }
    }
    found.extend(missing_contents(survey, cryptor, &first_of));
    found.extend(content_findings(survey));
    found.extend(rings(survey));
    found.extend(survey.strays.iter().map(|path| {
        let is_dir_file = path.ends_with("/dir.c9r");
        Finding {
            code: if is_dir_file {
                Code::LooseDirFile
            } else {
                Code::ForeignFile
            },
            cipher_path: path.clone(),
            path: None,
            chunk: None,
            detail: "not part of the vault".to_owned(),
            fix: None,
        }
    }));
    found.extend(
        survey
            .unreadable
            .iter()
            .map(|(path, error)| unreadable(path.clone(), *error)),
    );
    found
}

pub(super) fn unreadable(cipher_path: String, error: StoreError) -> Finding {
    let detail = format!("cannot be read: {error}");
    Finding {
        code: Code::Unreadable,
        cipher_path,
        path: None,
        chunk: None,
        detail,
        fix: None,
    }
}

fn node_path(survey: &Survey, place: &NodePlace) -> String {
    format!(
        "{}/{}",
        survey.contents[place.content].path,
        lossy(&place.name)
    )
}

fn at_dir_file(survey: &Survey, place: &NodePlace, code: Code, detail: String) -> Finding {
    let cipher_path = format!("{}/dir.c9r", node_path(survey, place));
    Finding {
        code,
        cipher_path,
        path: None,
        chunk: None,
        detail,
        fix: None,
    }
}

/// A node that holds the id of another one, `first`.
fn collision(
    survey: &Survey,
    cryptor: &Cryptor,
    dir_file: &DirFile,
    id: &DirId,
    first: &NodePlace,
) -> Finding {
    let place = &dir_file.place;
    let other = node_path(survey, first);
    let target = ContentPath::of(cryptor, id);
    // Which of two names is the right one nobody knows; but below itself a directory has none.
    if !is_below(survey, place.content, &target) {
        let detail = format!("{other} holds the same id: both show one directory");
        return at_dir_file(survey, place, Code::Collision, detail);
    }
    let detail = format!("{other} holds the same id: the directory lies inside itself");
    let mut finding = at_dir_file(survey, place, Code::Collision, detail);
    finding.fix = Some(Fix::RemoveSecondWay {
        content: survey.contents[place.content].path.clone(),
        node: place.name.clone(),
        other: (
            survey.contents[first.content].path.clone(),
            first.name.clone(),
        ),
    });
    finding
}

/// Whether a content directory is `top` or lies below it, as far as a way from the root leads there.
fn is_below(survey: &Survey, mut content: usize, top: &ContentPath) -> bool {
    for _ in 0..survey.contents.len() {
        if survey.contents[content].path == *top {
            return true;
        }
        let owner = survey.contents[content].owner.as_ref();
        match owner.and_then(|owner| owner.node.as_ref()) {
            Some(place) => content = place.content,
            None => return false,
        }
    }
    // A ring, cut off from the root: the one that is told as such is mended first.
    false
}

fn fault_finding(survey: &Survey, dir_file: &DirFile, fault: DirFileFault) -> Finding {
    let place = &dir_file.place;
    let (code, detail) = match fault {
        DirFileFault::Loose => (Code::LooseDirFile, "its directory is no node".to_owned()),
        DirFileFault::Id(DirIdError::Empty) => (
            Code::EmptyDirFile,
            "empty: the directory's id is lost".to_owned(),
        ),
        DirFileFault::Id(error) => (Code::ObeseDirFile, error.to_string()),
        DirFileFault::Unreadable(error) => (Code::Unreadable, format!("cannot be read: {error}")),
    };
    let mut finding = at_dir_file(survey, place, code, detail);
    if code == Code::LooseDirFile {
        let content = survey.contents[place.content].path.clone();
        finding.fix = Some(Fix::SetLooseFileAside {
            content,
            node: place.name.clone(),
        });
    }
    finding
}

/// Ids without a content directory, the root's among them.
fn missing_contents(
    survey: &Survey,
    cryptor: &Cryptor,
    ids: &HashMap<&DirId, &NodePlace>,
) -> Vec<Finding> {
    let existing: HashSet<&ContentPath> = survey.contents.iter().map(|c| &c.path).collect();
    let is_missing = |id: &DirId| !existing.contains(&ContentPath::of(cryptor, id));
    let strays: HashSet<&str> = survey.strays.iter().map(String::as_str).collect();
    // What stands in the way belongs to nobody here, and is not moved.
    let state_of = |id: &DirId| {
        let path = ContentPath::of(cryptor, id).to_string();
        let outer = path.rsplit_once('/').map_or("", |(outer, _)| outer);
        if strays.contains(&*path) || strays.contains(outer) {
            return (format!("{path} is no directory; move it away"), None);
        }
        let fix = Fix::CreateContentDir { id: id.clone() };
        (format!("{path} is missing"), Some(fix))
    };
    let mut found = Vec::new();
    if is_missing(&DirId::ROOT) {
        let (detail, fix) = state_of(&DirId::ROOT);
        let detail = format!("the top directory has no content: {detail}");
        let cipher_path = ContentPath::of(cryptor, &DirId::ROOT).to_string();
        let path = Some("/".to_owned());
        let code = Code::MissingContentDir;
        found.push(Finding {
            code,
            cipher_path,
            path,
            chunk: None,
            detail,
            fix,
        });
    }
    let mut missing: Vec<_> = ids.iter().filter(|(id, _)| is_missing(id)).collect();
    missing.sort_unstable_by_key(|(_, place)| *place);
    for (id, place) in missing {
        let (detail, fix) = state_of(id);
        let mut finding = at_dir_file(survey, place, Code::MissingContentDir, detail);
        // A longer id was not made by any writer: it is damaged, and its true content elsewhere.
        finding.fix = fix.filter(|_| id.as_bytes().len() <= MAX_USUAL_ID_LEN);
        found.push(finding);
    }
    found
}

/// Content directories without an id or without their `dirid.c9r`.
fn content_findings(survey: &Survey) -> Vec<Finding> {
    let mut found = Vec::new();
    for content in &survey.contents {
        let finding = |code, detail: &str, fix| Finding {
            code,
            cipher_path: content.path.to_string(),
            path: None,
            chunk: None,
            detail: detail.to_owned(),
            fix,
        };
        match content.owner.as_ref().filter(|_| content.is_reached) {
            None => {
                let fix = Fix::AdoptOrphan {
                    content: content.path.clone(),
                };
                let detail = "no directory of the vault leads here";
                found.push(finding(Code::OrphanContentDir, detail, Some(fix)));
            }
            Some(owner) if !content.has_backup => {
                let fix = (owner.id.as_bytes().len() <= MAX_USUAL_ID_LEN).then(|| {
                    let (content, id) = (content.path.clone(), owner.id.clone());
                    Fix::WriteDirIdBackup { content, id }
                });
                let detail = "dirid.c9r is missing; without it a lost directory cannot be named";
                found.push(finding(Code::MissingDirIdBackup, detail, fix));
                // Old programs make no such file; but this one's directory was made by a new one.
                let above = owner.node.as_ref();
                if content.is_empty
                    && above.is_some_and(|place| survey.contents[place.content].has_backup)
                {
                    let detail = "empty, even of its dirid.c9r: what was in it may be lost";
                    found.push(finding(Code::Emptied, detail, None));
                }
            }
            Some(_) => {}
        }
    }
    found
}

/// Directories that lie below themselves: the chain of their parents never ends. Each ring is
/// told once, at the node whose removal from it opens it.
fn rings(survey: &Survey) -> Vec<Finding> {
    let parent = |index: usize| {
        let owner = survey.contents[index].owner.as_ref()?;
        owner.node.as_ref()
    };
    // Contents whose chain of parents was followed before; by which start.
    let mut seen_from = vec![usize::MAX; survey.contents.len()];
    let mut found = Vec::new();
    for start in 0..survey.contents.len() {
        let mut index = start;
        while seen_from[index] == usize::MAX {
            seen_from[index] = start;
            let Some(place) = parent(index) else { break };
            if seen_from[place.content] == start {
                let detail = "lies below itself, so that nothing in it can be reached".to_owned();
                let content = survey.contents[place.content].path.clone();
                found.push(Finding {
                    code: Code::Unreachable,
                    cipher_path: node_path(survey, place),
                    path: None,
                    chunk: None,
                    detail,
                    fix: Some(Fix::AdoptNode {
                        content,
                        node: place.name.clone(),
                    }),
                });
                break;
            }
            index = place.content;
        }
    }
    found
}
