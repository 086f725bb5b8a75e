//! `quaywatch profile …`: what is learned about workloads, from a terminal.

mod oci;
mod registry;

use std::{
    io::{Read as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use qw_profile::{Document, MAX_DOCUMENT};
use serde_json::{Value, json};

use crate::{
    Usage,
    arguments::{BranchName, Output, Place, Profile, ProfileCommand, ProfileState, ProfileTask},
    cli::{
        client::{Client, encode},
        path_with, print, say, text_of,
    },
    config::Config,
    wiring::now,
};

/// Profiles of a page.
const PAGE: &str = "1000";

/// Does what is asked with profiles.
pub(crate) async fn run(config: Config, arguments: Profile) -> Result<()> {
    match arguments.task {
        ProfileTask::AtServer(command) => {
            let client = Client::new(&config, &arguments.server)?;
            at_server(client, command, arguments.output).await
        }
        ProfileTask::Copy { from, to, access } => {
            let (Place::Registry(from), Place::Registry(to)) = (from, to) else {
                return Err(Usage("copies go from one `oci://…` to another".to_owned()).into());
            };
            let document = registry::pull(&from, &access).await?;
            print(&registry::push(&to, &access, &document, now()).await?)?;
            Ok(())
        }
    }
}

/// Talks to the running server about profiles.
async fn at_server(client: Client, command: ProfileCommand, output: Output) -> Result<()> {
    match command {
        ProfileCommand::List { state, search } => {
            list(&client, state, search.as_deref(), output).await
        }
        ProfileCommand::Show {
            key,
            branch,
            search,
            deviating,
        } => {
            let state = deviating.then_some("deviating");
            let parameters = [
                ("branch", branch.map(branch_name)),
                ("search", search.as_deref()),
                ("state", state),
            ];
            show(&client, &key, &parameters, output).await
        }
        ProfileCommand::Diff { key, with, at } => {
            let parameters = [("with", with.as_deref()), ("at", at.as_deref())];
            let path = path_with(&path_of(&key, "/diff"), &parameters);
            let diff = client.send("GET", &path, None).await?;
            print_diff(&diff, output)
        }
        ProfileCommand::Export {
            key,
            place,
            oci,
            tag,
            subject,
            subject_size,
            access,
        } => {
            let document = client.download(&path_of(&key, "/export")).await?;
            match (oci, place) {
                (Some(folder), _) => {
                    let subject = subject
                        .map(|subject| oci::subject(&subject, subject_size))
                        .transpose()?;
                    let digest = oci::write(&folder, &document, &tag, subject.as_ref(), now())?;
                    say(&format!(
                        "wrote `{0}`; push it with `skopeo copy oci:{0}:{tag} docker://…`",
                        folder.display(),
                    ));
                    print(digest.as_str())?;
                }
                (None, Some(Place::Registry(image))) => {
                    print(&registry::push(&image, &access, &document, now()).await?)?;
                }
                (None, Some(Place::File(file))) => write(Some(&file), &document)?,
                (None, None) => write(None, &document)?,
            }
            Ok(())
        }
        ProfileCommand::Import {
            place,
            oci,
            tag,
            key,
            access,
        } => {
            let document = match (oci, place) {
                (Some(folder), _) => oci::read(&folder, tag.as_deref())?,
                (None, Some(Place::File(file))) => read(&file, MAX_DOCUMENT)?,
                (None, Some(Place::Registry(named))) => registry::pull(&named, &access).await?,
                (None, None) => return Err(Usage("name a file, or --oci".to_owned()).into()),
            };
            // What is no profile is told with its place before it is sent anywhere.
            Document::parse(&document).context("this is no profile that can be imported")?;
            let path = path_with("/api/profiles/import", &[("key", key.as_deref())]);
            let imported = client.upload(&path, document).await?;
            print(&line(&imported, output))?;
            Ok(())
        }
        ProfileCommand::Learn { key, branch } => {
            steer(&client, &path_of(&key, "/learn"), branch, output).await
        }
        ProfileCommand::Freeze { key, branch } => {
            steer(&client, &path_of(&key, "/freeze"), branch, output).await
        }
        ProfileCommand::Accept { key, path } => {
            let body = json!({ "path": path });
            let accepted = client
                .send("POST", &path_of(&key, "/accept"), Some(&body))
                .await?;
            if output == Output::Json {
                print(&accepted.to_string())?;
            } else {
                print(&line(&accepted["profile"], output))?;
                say(&format!("{} are known now", accepted["accepted"]));
            }
            Ok(())
        }
    }
}

fn path_of(key: &str, rest: &str) -> String {
    format!("/api/profiles/{}{rest}", encode(key))
}

const fn branch_name(branch: BranchName) -> &'static str {
    match branch {
        BranchName::Process => "process",
        BranchName::Network => "network",
        BranchName::File => "file",
        BranchName::Lineage => "lineage",
    }
}

async fn list(
    client: &Client,
    state: Option<ProfileState>,
    search: Option<&str>,
    output: Output,
) -> Result<()> {
    let state = state.map(|state| match state {
        ProfileState::Learning => "learning",
        ProfileState::Detecting => "detecting",
        ProfileState::Frozen => "frozen",
    });
    let mut cursor: Option<String> = None;
    loop {
        let path = path_with(
            "/api/profiles",
            &[
                ("state", state),
                ("search", search),
                ("limit", Some(PAGE)),
                ("cursor", cursor.as_deref()),
            ],
        );
        let page = client.send("GET", &path, None).await?;
        for profile in page["items"].as_array().into_iter().flatten() {
            print(&line(profile, output))?;
        }
        cursor = page["next_cursor"].as_str().map(ToOwned::to_owned);
        if cursor.is_none() {
            return Ok(());
        }
    }
}

fn line(profile: &Value, output: Output) -> String {
    if output == Output::Json {
        return profile.to_string();
    }
    let frozen = profile["frozen"].as_bool().unwrap_or_default();
    let nodes = profile["nodes"].as_u64().unwrap_or_default();
    let deviating = profile["deviating_nodes"].as_u64().unwrap_or_default();
    let branches: Vec<String> = ["process", "network", "file", "lineage"]
        .into_iter()
        .map(|branch| {
            format!(
                "{branch} {}",
                text_of(&profile["branches"][branch], "nodes")
            )
        })
        .collect();
    format!(
        "{:<40} {:<17} {:>3.0} % {:>9} events {:>4} containers {:>5} nodes ({}) {:>4} deviating",
        text_of(profile, "key"),
        format!(
            "{}{}",
            text_of(profile, "state"),
            if frozen { ", frozen" } else { "" }
        ),
        profile["progress"].as_f64().unwrap_or_default() * 100.0,
        text_of(profile, "events"),
        text_of(profile, "containers"),
        nodes.saturating_sub(deviating),
        branches.join(", "),
        deviating,
    )
}

async fn show(
    client: &Client,
    key: &str,
    parameters: &[(&str, Option<&str>)],
    output: Output,
) -> Result<()> {
    let mut profile = client.send("GET", &path_of(key, ""), None).await?;
    let tree = path_with(&format!("/api/hbt/{}", encode(key)), parameters);
    let tree = client.send("GET", &tree, None).await?;
    if output == Output::Json {
        profile["tree"] = tree;
        print(&profile.to_string())?;
        return Ok(());
    }
    print(&line(&profile, output))?;
    for image in profile["images"].as_array().into_iter().flatten() {
        print(&format!("  image {}", image.as_str().unwrap_or_default()))?;
    }
    for (branch, state) in profile["branches"].as_object().into_iter().flatten() {
        print(&format!(
            "  {branch:<8} {:<10} {:>3.0} %  {}",
            text_of(state, "state"),
            state["progress"].as_f64().unwrap_or_default() * 100.0,
            text_of(state, "reason"),
        ))?;
    }
    print_tree(&tree)
}

/// Prints a tree depth first, without recursion: whoever answers decides on its depth.
fn print_tree(tree: &Value) -> Result<()> {
    let mut waiting = vec![(0_usize, tree)];
    while let Some((depth, node)) = waiting.pop() {
        let state = text_of(&node["metadata"], "state");
        let mark = match state.as_str() {
            "deviating" => '!',
            "seen" => '?',
            "accepted" => '+',
            _ => ' ',
        };
        let accepted = &node["metadata"]["accepted"];
        let accepted = match text_of(accepted, "by") {
            by if by.is_empty() => String::new(),
            by => match text_of(accepted, "alert") {
                alert if alert.is_empty() => format!("  (accepted by {by})"),
                alert => format!("  (accepted by {by}, alert {alert})"),
            },
        };
        print(&format!(
            "{mark} {:>10} {:indent$}{}{accepted}",
            text_of(node, "events_count"),
            "",
            text_of(node, "name"),
            indent = 2 * depth.min(20),
        ))?;
        let children = node["children"].as_array().into_iter().flatten().rev();
        waiting.extend(children.map(|child| (depth + 1, child)));
    }
    Ok(())
}

fn print_diff(diff: &Value, output: Output) -> Result<()> {
    if output == Output::Json {
        print(&diff.to_string())?;
        return Ok(());
    }
    for (sign, list) in [('+', "added"), ('-', "removed")] {
        for entry in diff[list].as_array().into_iter().flatten() {
            let path: Vec<String> = entry["path"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|part| crate::cli::plain(part.as_str().unwrap_or_default()))
                .collect();
            print(&format!(
                "{sign} {:>10} {}",
                text_of(entry, "events_count"),
                path.join(" → ")
            ))?;
        }
    }
    say(&format!("{} are the same", diff["common"]));
    if diff["not_listed"].as_u64().is_some_and(|count| count > 0) {
        say(&format!("{} more differ", diff["not_listed"]));
    }
    Ok(())
}

async fn steer(
    client: &Client,
    path: &str,
    branch: Option<BranchName>,
    output: Output,
) -> Result<()> {
    let body = json!({ "branch": branch.map(branch_name) });
    let profile = client.send("POST", path, Some(&body)).await?;
    print(&line(&profile, output))?;
    Ok(())
}

/// Writes `bytes` to a file, or to standard output.
fn write(file: Option<&Path>, bytes: &[u8]) -> Result<()> {
    match file.filter(|file| *file != Path::new("-")) {
        Some(file) => fs_err::write(file, bytes)?,
        None => std::io::stdout().lock().write_all(bytes)?,
    }
    Ok(())
}

/// Reads a file of at most `most` bytes; `-` is standard input.
fn read(file: &Path, most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let bound = most as u64 + 1;
    if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(bound)
            .read_to_end(&mut bytes)?;
    } else {
        fs_err::File::open(file)?
            .take(bound)
            .read_to_end(&mut bytes)?;
    }
    anyhow::ensure!(
        bytes.len() <= most,
        "`{}` is longer than {most} bytes",
        file.display()
    );
    Ok(bytes)
}
