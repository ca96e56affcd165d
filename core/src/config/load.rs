//! File, environment and flags become what is declared, or a list of everything that is wrong.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::environment;
use super::fields::{self, Shape};
use super::file::{FileChannel, FileKey, FileOwner, FileProfile, FileRoute};
use super::keychain::SystemKeychain;
use super::lines::{Lines, entry_path};
use super::paths::Paths;
use super::secrets::{SecretReader, Secrets};
use crate::model::Told;
use crate::model::check::{self, Catalog, Problem};
use crate::model::{Declared, DeclaredKey, Entities, Limit, LimitSpec, Origin, Secret, SecretSource, Settings};
use crate::told;

/// What flags of the command line set, above everything else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// `--listen`, in place of all other addresses.
    pub listen: Vec<String>,
    /// The desktop app starts: what usually is otherwise there counts where nobody says anything.
    pub desktop: bool,
}

/// Reads the configuration, as often as wanted.
#[derive(Clone)]
pub struct Loader {
    path: PathBuf,
    required: bool,
    flags: Flags,
    variables: Vec<(String, String)>,
    secrets: Arc<dyn SecretReader>,
    catalog: Arc<dyn Catalog>,
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What is declared.
    pub declared: Declared,
    /// The master key, if one is named.
    pub master_key: Option<Secret>,
    /// What is surely not as meant. Things that only the store knows of count as missing here.
    pub warnings: Vec<Problem>,
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    lines: Lines,
}

/// The configuration cannot be taken. All that is wrong is told at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong; at least one error, then warnings.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors: Vec<&Problem> = self.problems.iter().filter(|problem| problem.is_error()).collect();
        // What flags alone got wrong is no fault of the file.
        if errors.iter().all(|error| error.path == FLAG) {
            let words: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
            return f.write_str(&words.join("\n"));
        }
        write!(f, "{} cannot be taken", self.path.display())?;
        for problem in errors {
            match problem.line {
                // As editors and terminals make it clickable.
                Some(line) => write!(f, "\n  {}:{line}: {}", self.path.display(), without_line(problem))?,
                None => write!(f, "\n  {problem}")?,
            }
        }
        Ok(())
    }
}

/// Where a problem is that the command line brought.
const FLAG: &str = "--listen";

fn is_listen(problem: &Problem) -> bool {
    problem.path == "listen" || problem.path.starts_with("listen[")
}

fn of_flag(problem: Problem) -> Problem {
    Problem { path: FLAG.to_owned(), line: None, ..problem }
}

fn without_line(problem: &Problem) -> Problem {
    Problem { line: None, ..problem.clone() }
}

impl std::error::Error for ConfigError {}

impl Loader {
    /// A loader of this process's environment.
    pub fn new(paths: &Paths, flags: Flags, catalog: Arc<dyn Catalog>) -> Self {
        let base = paths.config.parent().unwrap_or(Path::new(""));
        Self {
            path: paths.config.clone(),
            required: paths.config_required,
            flags,
            variables: environment::of_process(),
            secrets: Arc::new(Secrets::new(base).with_keychain(Arc::new(SystemKeychain::new()))),
            catalog,
        }
    }

    /// With another way to read secrets.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Arc<dyn SecretReader>) -> Self {
        self.secrets = secrets;
        self
    }

    /// With variables (`MYELIN__…`) other than the process's.
    #[must_use]
    pub fn with_variables(mut self, variables: Vec<(String, String)>) -> Self {
        self.variables = variables;
        self
    }

    /// The file that is read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How secrets are read.
    pub fn secrets(&self) -> &Arc<dyn SecretReader> {
        &self.secrets
    }

    /// Reads everything. Without a file (and none asked for) there are environment and flags alone.
    ///
    /// # Errors
    /// Everything that is wrong, with lines and keys.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => self.read(&text, true),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound && !self.required => self.read("", false),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
                let why = told!("no-file", "there is no such file: create it, or leave out --config and MYELIN_CONFIG");
                Err(self.refuse(vec![Problem::error("", why)]))
            }
            Err(why) => Err(self.refuse(vec![Problem::error("", told!("unreadable", "{why}", why = why))])),
        }
    }

    fn refuse(&self, problems: Vec<Problem>) -> ConfigError {
        ConfigError { path: self.path.clone(), problems }
    }

    fn read(&self, text: &str, there: bool) -> Result<Loaded, ConfigError> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let lines = Lines::of(text, &DeTable::new());
            let problems = errors.iter().map(|error| syntax(text, &lines, error)).collect();
            return Err(self.refuse(problems));
        }
        let mut table = table.into_inner();
        let mut problems = Vec::new();
        let mut lines = Lines::of(text, &table);
        unknown_keys(&mut table, "", "", &mut problems);
        environment::set(&mut table, &self.variables, &mut lines, &mut problems);
        let mut reader = Reader { text, lines: &lines, problems };
        let (mut declared, key_sources) = reader.declared(table);
        let mut problems = reader.problems;
        if !self.flags.listen.is_empty() {
            declared.settings.listen.clone_from(&self.flags.listen);
            declared.fixed_settings.insert("listen".to_owned());
        }
        if self.flags.desktop {
            declared.settings.take_desktop_defaults(&declared.fixed_settings);
        }
        self.read_key_secrets(&mut declared, key_sources, &mut problems);
        let master_key = self.secret("master_key", declared.settings.master_key.as_ref(), &mut problems);
        problems.extend(check::all(&alone(&declared), self.catalog.as_ref()));
        self.missing_credentials(&declared, &mut problems);
        let flagged = !self.flags.listen.is_empty();
        let mut problems: Vec<Problem> = problems
            .into_iter()
            .map(|problem| if flagged && is_listen(&problem) { of_flag(problem) } else { lines.locate(problem) })
            .collect();
        problems.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.line.cmp(&b.line)));
        problems.dedup();
        if problems.iter().any(Problem::is_error) {
            return Err(self.refuse(problems));
        }
        let file = there.then(|| self.path.clone());
        Ok(Loaded { declared, master_key, warnings: problems, file, lines })
    }

    fn read_key_secrets(
        &self,
        declared: &mut Declared,
        sources: Vec<Option<SecretSource>>,
        problems: &mut Vec<Problem>,
    ) {
        for (key, source) in declared.keys.iter_mut().zip(sources) {
            key.secret = self.secret(&format!("keys.{}.secret", key.key.name), source.as_ref(), problems);
        }
    }

    fn secret(&self, path: &str, source: Option<&SecretSource>, problems: &mut Vec<Problem>) -> Option<Secret> {
        match self.secrets.read(source?) {
            Ok(secret) => Some(secret),
            Err(why) => {
                problems.push(Problem::error(path, why.told()));
                None
            }
        }
    }

    /// A credential that is not there keeps one channel from working, not the gateway.
    fn missing_credentials(&self, declared: &Declared, problems: &mut Vec<Problem>) {
        for channel in &declared.channels {
            for (index, credential) in channel.credentials.iter().enumerate() {
                if let Err(why) = self.secrets.read(&credential.secret) {
                    let path = format!("channels.{}.credentials[{index}]", channel.name);
                    problems.push(Problem::warning(path, why.told()));
                }
            }
        }
    }
}

impl Loaded {
    /// Adds lines of the file to problems that were found elsewhere (by the store, once everything is together).
    pub fn locate(&self, problems: Vec<Problem>) -> Vec<Problem> {
        problems.into_iter().map(|problem| self.lines.locate(problem)).collect()
    }
}

fn file_limit(index: usize, spec: LimitSpec, problems: &mut Vec<Problem>) -> Option<Limit> {
    let path = spec.name.as_ref().map_or_else(|| format!("limits[{index}]"), |name| format!("limits.{name}"));
    spec.into_limit(&path, Origin::File).map_err(|wrong| problems.extend(wrong)).ok()
}

/// What is declared as if there were nothing else, for the checks.
fn alone(declared: &Declared) -> Entities {
    Entities {
        version: 0,
        settings: declared.settings.clone(),
        fixed_settings: declared.fixed_settings.clone(),
        channels: declared.channels.clone(),
        keys: declared.keys.iter().map(|key| key.key.clone()).collect(),
        routes: declared.routes.clone(),
        profiles: declared.profiles.clone(),
        owners: declared.owners.clone(),
        limits: declared.limits.clone(),
        active_profile: declared.settings.active_profile.clone(),
        ..Entities::default()
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn syntax(text: &str, lines: &Lines, error: &toml::de::Error) -> Problem {
    let span = error.span();
    let path = span.as_ref().and_then(|span| lines.path_at(span)).unwrap_or_default();
    Problem { line: span.map(|span| line_of(text, span.start)), ..Problem::error(path, message(error)) }
}

/// The parser's words on one line.
fn message(error: &toml::de::Error) -> Told {
    told!("unreadable", "{why}", why = error.message().split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Tells every key that is not in the table of keys, and takes it out, so that what stands beside it is checked too.
fn unknown_keys(table: &mut DeTable<'_>, section: &str, path: &str, problems: &mut Vec<Problem>) {
    let mut unknown = Vec::new();
    for (key, value) in table.iter_mut() {
        let name = key.get_ref();
        let below = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        let Some(field) = fields::find(section, name) else {
            problems.push(Problem::error(below, environment::unknown(section, name)));
            unknown.push(name.to_string());
            continue;
        };
        let section = fields::below(section, name);
        match (field.shape, value.get_mut()) {
            (Shape::Table, DeValue::Table(inner)) => unknown_keys(inner, &section, &below, problems),
            (Shape::Tables | Shape::Mixed, DeValue::Array(entries)) => {
                for (index, entry) in entries.iter_mut().enumerate() {
                    let path = entry_path(&section, &below, index, entry.get_ref());
                    if let DeValue::Table(inner) = entry.get_mut() {
                        unknown_keys(inner, &section, &path, problems);
                    }
                }
            }
            _ => {}
        }
    }
    for name in unknown {
        table.remove(name.as_str());
    }
}

struct Reader<'a> {
    text: &'a str,
    lines: &'a Lines,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn declared(&mut self, mut table: DeTable<'_>) -> (Declared, Vec<Option<SecretSource>>) {
        let channels: Vec<FileChannel> = self.entries(&mut table, "channels");
        let keys: Vec<FileKey> = self.entries(&mut table, "keys");
        let routes: Vec<FileRoute> = self.entries(&mut table, "routes");
        let profiles: Vec<FileProfile> = self.entries(&mut table, "profiles");
        let owners: Vec<FileOwner> = self.entries(&mut table, "owners");
        let limits: Vec<LimitSpec> = self.entries(&mut table, "limits");
        let fixed_settings = table
            .iter()
            .flat_map(|(key, value)| match value.get_ref() {
                DeValue::Table(inner) => {
                    inner.keys().map(|below| format!("{}.{}", key.get_ref(), below.get_ref())).collect()
                }
                _ => vec![key.get_ref().to_string()],
            })
            .collect();
        let key_sources = keys.iter().map(|key| key.secret.as_deref().map(SecretSource::parse)).collect();
        let settings = self.one::<Settings>("", Spanned::new(0..0, DeValue::Table(table))).unwrap_or_default();
        let problems = &mut self.problems;
        let declared = Declared {
            settings,
            fixed_settings,
            channels: channels.into_iter().map(|channel| channel.into_channel(problems)).collect(),
            keys: keys.into_iter().map(|key| DeclaredKey { key: key.into_key(problems), secret: None }).collect(),
            routes: routes.into_iter().map(|route| route.into_route(problems)).collect(),
            profiles: profiles.into_iter().map(|profile| profile.into_profile(problems)).collect(),
            owners: owners.into_iter().map(FileOwner::into_owner).collect(),
            limits: limits
                .into_iter()
                .enumerate()
                .filter_map(|(index, spec)| file_limit(index, spec, problems))
                .collect(),
        };
        (declared, key_sources)
    }

    /// The entries of a list of tables; each wrong one is told, the others go on.
    fn entries<T: DeserializeOwned>(&mut self, table: &mut DeTable<'_>, section: &str) -> Vec<T> {
        let Some(value) = table.remove(section) else {
            return Vec::new();
        };
        let span = value.span();
        let DeValue::Array(entries) = value.into_inner() else {
            let why = told!("must-be-list", "must be a list of tables: write [[{section}]]", section = section);
            self.problems.push(Problem { line: self.line(&span), ..Problem::error(section, why) });
            return Vec::new();
        };
        let mut names = std::collections::HashSet::new();
        let mut out = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let path = entry_path(section, section, index, entry.get_ref());
            if !names.insert(path.clone()) {
                let twice = Problem::error(&path, told!("entry-twice", "is declared twice"));
                self.problems.push(Problem { line: self.line(&entry.span()), ..twice });
            }
            out.extend(self.one(&path, entry));
        }
        out
    }

    fn one<T: DeserializeOwned>(&mut self, path: &str, value: Spanned<DeValue<'_>>) -> Option<T> {
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(value),
            Err(error) => {
                let span = error.span().filter(|span| !span.is_empty());
                let found = span.as_ref().and_then(|span| self.lines.path_at(span)).unwrap_or(path);
                let line = span.as_ref().and_then(|span| self.line(span));
                self.problems.push(Problem { line, ..Problem::error(found, message(&error)) });
                None
            }
        }
    }

    fn line(&self, span: &std::ops::Range<usize>) -> Option<usize> {
        (!span.is_empty()).then(|| line_of(self.text, span.start))
    }
}
