//! A new app: a workspace, a manifest, one handler.

use std::{fs, path::Path};

use anyhow::{Result, bail};
use serde::Serialize;

use super::{
    Files, Name, Sdk, Template,
    handler::{self, Made},
    manifest,
    template::{Words, render},
    workspace::Workspace,
};

const MANIFEST: &str = include_str!("../../templates/app/waxwing.toml");
const README: &str = include_str!("../../templates/app/README.md");
const IGNORED: &str = include_str!("../../templates/app/gitignore");

/// What the app's own templates speak of.
#[derive(Serialize)]
struct AppWords<'a> {
    app: &'a str,
    /// The subjects of its log, as TOML has them in a list.
    events: String,
    next: String,
}

/// What makes an app of this name in `parent`.
pub fn app(parent: &Path, name: &Name, template: Template, sdk: &Sdk) -> Result<Made> {
    let folder = parent.join(name.as_str());
    let is_taken = match fs::read_dir(&folder) {
        Ok(mut inside) => inside.next().is_some(),
        Err(_) => folder.symlink_metadata().is_ok(),
    };
    if is_taken {
        bail!("{} is there already: choose another name, or move it away", folder.display());
    }
    let handler = template.handler_name();
    let (module, package) = (format!("handlers/{handler}"), format!("{name}-{handler}"));
    let words = Words { app: name.as_str(), name: handler, package: &package, module: &module };
    let next = render(template.texts().next, &words)?;
    let subjects: Vec<String> =
        template.events(handler).iter().map(|subject| format!("\"{subject}\"")).collect();
    let own = AppWords { app: name.as_str(), events: subjects.join(", "), next: next.trim_end().to_owned() };
    let section = render(template.texts().section, &words)?;
    let text = format!("{}\n{section}", render(MANIFEST, &own)?);
    manifest::check("waxwing.toml", handler, &text)?;

    let mut files = Files::default();
    let mut workspace = Workspace::new(folder.clone())?;
    workspace.join(&folder.join(&module))?;
    workspace.provide(Some(sdk), &mut files)?;
    workspace.write(&mut files);
    files.add(folder.join("waxwing.toml"), text);
    files.add(folder.join("README.md"), render(README, &own)?);
    files.add(folder.join(".gitignore"), IGNORED.to_owned());
    handler::add_crate(&mut files, &folder.join(&module), template, &words)?;
    Ok(Made {
        app: name.to_string(),
        handler: handler.to_owned(),
        template,
        next: next.lines().map(str::to_owned).collect(),
        folder,
        files,
    })
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::{config, scaffold::handler};

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn each_template_makes_an_app_and_joins_one() {
        for template in Template::value_variants() {
            let parent = tempfile::tempdir().unwrap();
            app(parent.path(), &name("one"), *template, &Sdk::Vendored).unwrap().files.write().unwrap();
            let manifest = parent.path().join("one/waxwing.toml");
            let loaded = config::load(&manifest, []).unwrap();
            assert_eq!(loaded.warnings, Vec::<String>::new());
            assert_eq!(loaded.config.handlers[0].spec.name.as_str(), template.handler_name());

            for joined in Template::value_variants() {
                let called = format!("{}-2", joined.handler_name());
                let made = handler(&manifest, &name(&called), *joined, None).unwrap();
                // The workspace takes it in as it is, and has the SDK.
                assert_eq!(made.files.changed_paths().count(), 1);
                assert_eq!(made.files.new_paths().count(), 2);
                made.files.write().unwrap();
            }
            let loaded = config::load(&manifest, []).unwrap();
            assert_eq!((loaded.config.handlers.len(), loaded.warnings), (6, Vec::new()));
        }
    }

    #[test]
    fn a_handler_lies_beside_the_others_and_joins_the_workspace_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let text = "[workspace]\nmembers = [\n    \"shop/parts/old\", # the first\n]\n";
        write("Cargo.toml", text);
        write("shop/parts/old/Cargo.toml", "[package]\nname = \"old\"\n");
        write(
            "shop/waxwing.toml",
            "[app]\nname = \"shop\"\nevents = [\"old.>\"]\n\n[handlers.old]\nmodule = \"parts/old\"\non = [\"old.a\"]\n",
        );
        let made =
            handler(&folder.path().join("shop/waxwing.toml"), &name("new"), Template::Handler, None).unwrap();
        made.files.write().unwrap();
        assert!(folder.path().join("shop/parts/new/src/lib.rs").is_file());
        assert!(folder.path().join("vendor/waxwing-sdk/guest-sdk/Cargo.toml").is_file());
        let workspace = fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
        let start =
            "[workspace]\nmembers = [\n    \"shop/parts/old\", # the first\n    \"shop/parts/new\",\n]\n";
        assert!(workspace.starts_with(start), "{workspace}");
    }
}
