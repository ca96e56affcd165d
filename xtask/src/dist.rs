//! `cargo xtask dist`: the packages that this machine can make, in `target/dist`.
//!
//! The server's are packed here by the system's own tools; the desktop app's by the Tauri bundler out of a binary that cargo has built already.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{console, desktop, installed, packaging, process, setup, trained};

/// A kind of package: its name, where it can be made, how.
struct Kind {
    name: &'static str,
    /// Made when no kind is named.
    usual: bool,
    systems: &'static [&'static str],
    make: fn(&Build) -> Result<PathBuf>,
}

const KINDS: [Kind; 7] = [
    Kind { name: "server-tar", usual: true, systems: &["linux", "macos"], make: server_tar },
    Kind { name: "server-deb", usual: true, systems: &["linux"], make: server_deb },
    Kind { name: "deb", usual: true, systems: &["linux"], make: |build| bundle(build, "deb", "deb") },
    Kind { name: "rpm", usual: true, systems: &["linux"], make: |build| bundle(build, "rpm", "rpm") },
    // Its tools are fetched from github.com.
    Kind { name: "appimage", usual: false, systems: &["linux"], make: |build| bundle(build, "appimage", "AppImage") },
    Kind { name: "dmg", usual: true, systems: &["macos"], make: |build| bundle(build, "dmg", "dmg") },
    Kind { name: "nsis", usual: true, systems: &["windows"], make: |build| bundle(build, "nsis", "exe") },
];

/// What is packed.
struct Build {
    debug: bool,
    /// Cargo has built it already.
    built: bool,
    /// Where packages go.
    out: PathBuf,
    /// What this run has built. The bundler writes into the binary that it packs, and back: cargo would link it once more for each kind.
    done: RefCell<BTreeSet<String>>,
}

impl Build {
    fn profile(&self) -> &'static str {
        if self.debug { "debug" } else { "release" }
    }

    /// Builds a package of the workspace and gives its binary.
    fn binary(&self, package: &str) -> Result<PathBuf> {
        let place = setup::built_binary(package, self.profile());
        if self.built || !self.done.borrow_mut().insert(package.to_owned()) {
            return Ok(place);
        }
        if self.debug {
            process::run(process::cargo().args(["build", "--locked", "-p", package]))?;
            return Ok(place);
        }
        let trained = trained::build(package)?;
        // The bundler takes what lies where cargo puts releases.
        if trained != place {
            make_parent(&place)?;
            fs::copy(&trained, &place).with_context(|| format!("{} to {}", trained.display(), place.display()))?;
        }
        Ok(place)
    }
}

/// Makes the kinds that are named, or the usual ones.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let debug = arguments.first().is_some_and(|word| word == "--debug");
    let named = arguments.get(usize::from(debug)..).unwrap_or_default();
    if let Some(unknown) = named.iter().find(|name| !KINDS.iter().any(|kind| kind.name == *name)) {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        bail!("there is no kind `{unknown}`: {}", known.join(", "));
    }
    setup::check_rust()?;
    setup::ensure_c_compiler()?;
    // A release without its console would be noticed by whoever installs it.
    if debug {
        console::build_if_possible()?
    } else {
        console::build_for_release()?
    }
    let build = Build { debug, built: false, out: folder(), done: RefCell::default() };
    make(&build, named)
}

/// Where packages go.
fn folder() -> PathBuf {
    process::root().join("target").join("dist")
}

fn make(build: &Build, named: &[String]) -> Result<()> {
    fs::create_dir_all(&build.out).with_context(|| build.out.display().to_string())?;
    for kind in &KINDS {
        let wanted = if named.is_empty() { kind.usual } else { named.iter().any(|name| name == kind.name) };
        if !wanted {
            continue;
        }
        if !kind.systems.contains(&std::env::consts::OS) {
            if !named.is_empty() {
                bail!("{} is made on {}", kind.name, kind.systems.join(" or "));
            }
            continue;
        }
        let made = (kind.make)(build).with_context(|| kind.name)?;
        let size = fs::metadata(&made).map_or(0, |found| found.len());
        eprintln!("{:<12} {} ({} KiB)", kind.name, made.display(), size / 1024);
    }
    Ok(())
}

/// The version of the workspace.
fn version() -> Result<String> {
    let manifest: toml::Table = fs::read_to_string(process::root().join("Cargo.toml"))?.parse()?;
    let version =
        manifest.get("workspace").and_then(|table| table.get("package")).and_then(|table| table.get("version"));
    Ok(version.and_then(toml::Value::as_str).context("the workspace has no version")?.to_owned())
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Files of the server beside its binary: source in the project, place in the file system, mode.
const SERVER_FILES: [(&str, &str, u32); 8] = [
    ("packaging/systemd/myelin.service", "lib/systemd/system/myelin.service", 0o644),
    ("packaging/systemd/myelin.user.service", "usr/lib/systemd/user/myelin.service", 0o644),
    // For everyone to read: the service's user is made anew at each start and owns no files.
    ("packaging/systemd/myelin.toml", "etc/myelin/myelin.toml", 0o644),
    ("LICENSE", "usr/share/doc/myelin/LICENSE", 0o644),
    // Where Debian's own tools look for it.
    ("LICENSE", "usr/share/doc/myelin/copyright", 0o644),
    ("LICENSE-APACHE", "usr/share/doc/myelin/LICENSE-APACHE", 0o644),
    ("LICENSE-MIT", "usr/share/doc/myelin/LICENSE-MIT", 0o644),
    ("docs/reference/config.md", "usr/share/doc/myelin/config.md", 0o644),
];

/// Completions: shell, place.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/myelin"),
    ("zsh", "usr/share/zsh/vendor-completions/_myelin"),
    ("fish", "usr/share/fish/vendor_completions.d/myelin.fish"),
];

/// The server's files, laid out as they will lie.
fn server_tree(build: &Build, name: &str) -> Result<PathBuf> {
    let tree = build.out.join(name);
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| tree.display().to_string())?;
    }
    let binary = build.binary("myelin")?;
    place(&binary, &tree.join("usr/bin/myelin"), 0o755)?;
    // Symbols are of no use to who installs it, and large.
    if setup::on_path(&"strip").is_some() {
        process::run_quietly(process::command("strip").arg(tree.join("usr/bin/myelin")))?;
    }
    for (source, to, mode) in SERVER_FILES {
        place(&process::root().join(source), &tree.join(to), mode)?;
    }
    for (shell, to) in COMPLETIONS {
        let script = process::run_quietly(process::command(&binary).args(["completions", shell]))?;
        let to = tree.join(to);
        make_parent(&to)?;
        fs::write(&to, script).with_context(|| to.display().to_string())?;
    }
    Ok(tree)
}

/// Whoever packs may have closed his files to others: what is packed is for all.
fn readable_for_all(tree: &Path) -> Result<()> {
    process::run_quietly(process::command("chmod").args(["-R", "u+rwX,go+rX,go-w"]).arg(tree)).map(drop)
}

fn server_tar(build: &Build) -> Result<PathBuf> {
    let name = format!("myelin-{}-{}-{}", version()?, std::env::consts::OS, std::env::consts::ARCH);
    readable_for_all(&server_tree(build, &name)?)?;
    let made = build.out.join(format!("{name}.tar.gz"));
    let mut tar = process::command("tar");
    tar.current_dir(&build.out).args(["--owner=0", "--group=0", "-czf"]).arg(&made).arg(&name);
    process::run_quietly(&mut tar)?;
    fs::remove_dir_all(build.out.join(name))?;
    Ok(made)
}

fn server_deb(build: &Build) -> Result<PathBuf> {
    let (version, architecture) = (version()?, architecture());
    let tree = server_tree(build, "server-deb")?;
    let size = fs::metadata(tree.join("usr/bin/myelin"))?.len() / 1024 + 100;
    let source = process::root().join("packaging").join("debian");
    let control = fs::read_to_string(source.join("control"))?
        .replace("{{version}}", &version)
        .replace("{{architecture}}", architecture)
        .replace("{{size}}", &size.to_string());
    let about = tree.join("DEBIAN");
    fs::create_dir_all(&about)?;
    fs::write(about.join("control"), control)?;
    fs::write(about.join("conffiles"), "/etc/myelin/myelin.toml\n")?;
    for script in ["postinst", "prerm", "postrm"] {
        place(&source.join(script), &about.join(script), 0o755)?;
    }
    readable_for_all(&tree)?;
    // What `dpkg --verify` goes by; of configuration it knows by itself.
    let sums = "find . -type f ! -path './etc/*' ! -path './DEBIAN/*' -printf '%P\\0' | sort -z | xargs -0 md5sum > DEBIAN/md5sums";
    process::run_quietly(process::command("sh").args(["-c", sums]).current_dir(&tree))?;
    let made = build.out.join(format!("myelin_{version}_{architecture}.deb"));
    let mut pack = process::command("dpkg-deb");
    pack.args(["--build", "--root-owner-group", "-Zgzip"]).arg(&tree).arg(&made);
    process::run_quietly(&mut pack)?;
    fs::remove_dir_all(&tree)?;
    Ok(made)
}

/// The desktop app, packed by the bundler out of what cargo has built.
fn bundle(build: &Build, kind: &str, ending: &str) -> Result<PathBuf> {
    desktop::ensure_build()?;
    let tauri = packaging::tauri()?;
    let binary = build.binary(desktop::PACKAGE)?;
    let mut pack = Command::new(tauri);
    pack.current_dir(process::root().join("src-tauri")).args(["bundle", "--bundles", kind]);
    if build.debug {
        pack.arg("--debug");
    }
    process::run_quietly(&mut pack)?;
    let folder = binary.parent().unwrap_or(Path::new("")).join("bundle").join(kind);
    let found =
        fs::read_dir(&folder).with_context(|| folder.display().to_string())?.flatten().map(|entry| entry.path());
    let version = version()?;
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.contains(&version) && name.ends_with(&format!(".{ending}"))
    };
    let made =
        found.filter(named).max().with_context(|| format!("the bundler left nothing in {}", folder.display()))?;
    let to = build.out.join(made.file_name().unwrap_or_default());
    fs::copy(&made, &to).with_context(|| to.display().to_string())?;
    Ok(to)
}

fn make_parent(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    Ok(())
}

fn place(source: &Path, to: &Path, mode: u32) -> Result<()> {
    make_parent(to)?;
    fs::copy(source, to).with_context(|| format!("{} to {}", source.display(), to.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    }
    #[cfg(not(unix))]
    let _ = mode;
    Ok(())
}

/// Packs the debug builds that the tests have made, looks into the packages, and where it may installs both, starts them, and takes them away again.
pub(crate) fn test() -> Result<()> {
    if setup::on_path(&"dpkg-deb").is_none() {
        eprintln!("packages: skipped, this is no Debian");
        return Ok(());
    }
    let out = folder();
    let build = Build { debug: true, built: true, out: out.clone(), done: RefCell::default() };
    make(&build, &["server-tar", "server-deb", "deb", "rpm"].map(str::to_owned))?;
    let (version, architecture) = (version()?, architecture());
    let server = out.join(format!("myelin_{version}_{architecture}.deb"));
    let app = out.join(format!("myelin-desktop_{version}_{architecture}.deb"));
    for (package, wanted) in [
        (
            &server,
            &[
                "usr/bin/myelin",
                "lib/systemd/system/myelin.service",
                "usr/lib/systemd/user/myelin.service",
                "etc/myelin/myelin.toml",
            ][..],
        ),
        (
            &app,
            &[
                "usr/bin/myelin-desktop",
                "usr/share/applications/myelin-desktop.desktop",
                "/icons/hicolor/128x128/apps/",
                "usr/share/doc/myelin-desktop/LICENSE",
            ][..],
        ),
    ] {
        let listing = process::run_quietly(process::command("dpkg-deb").arg("-c").arg(package))?;
        // Bundlers differ in whether paths begin with a dot.
        if let Some(missing) = wanted.iter().find(|path| !listing.contains(**path)) {
            bail!("{} holds no {missing}:\n{listing}", package.display());
        }
    }
    let sums = process::run_quietly(process::command("dpkg-deb").arg("-I").arg(&server).arg("md5sums"))?;
    if !sums.lines().any(|line| line.ends_with("  usr/bin/myelin")) {
        bail!("`dpkg --verify` would not see that the server was changed:\n{sums}");
    }
    let depends = process::run_quietly(process::command("dpkg-deb").args(["-f"]).arg(&app).arg("Depends"))?;
    if !depends.contains("libwebkit2gtk-4.1-0") || !depends.contains("appindicator") {
        bail!("the app's package does not ask for what it needs: {depends}");
    }
    tarball(&out.join(format!("myelin-{version}-{}-{}.tar.gz", std::env::consts::OS, std::env::consts::ARCH)), &out)?;
    installed::rpm(&out.join(format!("myelin-desktop-{version}-1.{}.rpm", std::env::consts::ARCH)), &out)?;
    install_and_start(&server, &app, &out)
}

/// Unpacks the server's tarball, and has what lies there serve and answer.
fn tarball(package: &Path, out: &Path) -> Result<()> {
    let folder = out.join("untarred");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    fs::create_dir_all(&folder)?;
    process::run_quietly(
        process::command("tar").args(["--strip-components=1", "-xzf"]).arg(package).arg("-C").arg(&folder),
    )?;
    if let Some((_, missing, _)) = SERVER_FILES.iter().find(|(_, to, _)| !folder.join(to).is_file()) {
        bail!("{} holds no {missing}", package.display());
    }
    installed::Service::of(&folder.join("usr/bin/myelin"), &folder.join("home"))?.check()?;
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())
}

fn install_and_start(server: &Path, app: &Path, out: &Path) -> Result<()> {
    // Nor where a service of the machine had its data or its configuration: a purge takes both away.
    let there = ["/usr/bin/myelin", "/usr/bin/myelin-desktop"].iter().chain(&installed::PURGED);
    let there = there.copied().find(|path| Path::new(path).symlink_metadata().is_ok());
    if !installed::is_superuser() || there.is_some() {
        let why = there.map_or("only the superuser installs".to_owned(), |there| format!("{there} is there"));
        eprintln!("packages: not installed, {why}; they are started where they are unpacked");
        // Unpacked they start as well; only dpkg's part is not tried.
        let folder = out.join("unpacked");
        for package in [server, app] {
            process::run_quietly(process::command("dpkg-deb").arg("-x").arg(package).arg(&folder))?;
        }
        return start(&folder.join("usr/bin"));
    }
    let laid = process::run_quietly(process::command("dpkg").arg("-i").args([server, app]));
    let outcome = laid.map(drop).and_then(|()| {
        installed::desktop_entry(Path::new("/usr/share/applications/myelin-desktop.desktop"))?;
        installed::units()?;
        installed::Service::start(out)?.check()?;
        start(Path::new("/usr/bin"))
    });
    let removed = process::run_quietly(process::command("dpkg").args(["--purge", "myelin", "myelin-desktop"]));
    outcome?;
    removed?;
    installed::purged()
}

/// The installed app on its own display, and the installed server beside it.
fn start(programs: &Path) -> Result<()> {
    let python = setup::python_environment("desktop")?;
    let tests = process::root().join("src-tauri").join("tests");
    let folder = process::root().join("target").join("desktop-installed");
    let mut session = process::command("dbus-run-session");
    session.arg("--").arg(python).arg(tests.join("desktop.py"));
    session
        .arg(programs.join("myelin-desktop"))
        .arg(programs.join("myelin"))
        .arg(folder)
        .args(["strangers", "packaged"]);
    process::run(&mut session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_there() {
        for (source, ..) in SERVER_FILES {
            assert!(process::root().join(source).is_file(), "{source}");
        }
    }

    #[test]
    fn files_beside_the_workspace_say_its_version() {
        let version = version().unwrap();
        for file in ["homebrew/myelin-desktop.rb", "homebrew/myelin.rb", "winget/myelin-gateway.myelin.yaml"] {
            let text = fs::read_to_string(process::root().join("packaging").join(file)).unwrap();
            assert!(text.contains(&version), "{file} does not say {version}");
        }
    }

    #[test]
    fn an_unknown_kind_is_refused_with_the_known_ones() {
        let error = run(&["flatpak".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("flatpak") && error.contains("server-deb"), "{error}");
    }
}
