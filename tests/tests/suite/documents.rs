//! What is generated from the registry, and held true: the README's table of checks and the sample configuration. What
//! the README claims of commands and files.

use std::path::{Path, PathBuf};

use attestd::config::{self, ConfigError};
use attestd_checks::registry::KINDS;
use attestd_core::{CheckKind, Means};
use attestd_tests::golden::{hold, repository};
use clap::CommandFactory;

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

const BEGIN: &str = "<!-- checks -->";
const END: &str = "<!-- /checks -->";

#[test]
fn the_readme_has_the_table_of_checks() {
    let readme = read("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("the README marks where the table is");
    let (_, after) = rest.split_once(END).expect("and where it ends");
    hold("README.md", &format!("{before}{BEGIN}\n{}{END}{after}", table()));
}

/// The table of checks.
fn table() -> String {
    let mut table = "| kind | watches | looks | fails on |\n|---|---|---|---|\n".to_owned();
    for kind in KINDS {
        let fails = kind.findings.iter().filter(|spec| spec.means == Means::Fail);
        let codes: Vec<String> = fails.map(|spec| format!("`{}`", spec.code)).collect();
        let rest = kind.findings.len() - codes.len();
        let summary = kind.summary.trim_end_matches('.');
        table.push_str(&format!(
            "| `{}` | {summary} | {} | {}; {rest} more are warnings and notes |\n",
            kind.name,
            looks(kind),
            codes.join(", ")
        ));
    }
    table
}

fn looks(kind: &CheckKind) -> String {
    match kind.every.contains(' ') {
        true => format!("`{}`", kind.every),
        false => format!("every {}", kind.every),
    }
}

#[test]
fn the_sample_configuration_shows_every_kind() {
    hold("systemd/attestd.toml", &sample());
}

/// The sample: what is prose begins with `# `, what can be switched on with `#` alone.
fn sample() -> String {
    let mut text = SAMPLE_HEAD.to_owned();
    for kind in KINDS {
        text.push_str(&format!("\n# {}: {}\n", kind.name, kind.summary.trim_end_matches('.')));
        for line in kind.example.trim_end().lines() {
            text.push_str(if line.is_empty() { "" } else { "#" });
            text.push_str(line);
            text.push('\n');
        }
    }
    text.push_str(SAMPLE_TAIL);
    text
}

const SAMPLE_HEAD: &str = "\
# attestd as a service: /etc/attestd/attestd.toml. What a check may set, `attestd explain KIND` says.
#
# What can be switched on begins with # alone: take it off. Then `attestd check-config` says all that is wrong, and
# `systemctl reload attestd` takes it up. This file is kept in the evidence log at each start and reload: no secrets here,
# they go into credentials (systemd/attestd.service, LoadCredential=).

# systemd says where the state is (StateDirectory=), so `state_directory` is not set, nor `key_directory`, which is the same
# path with -key added: the signing key and the newest checkpoint, outside the store and its backup.
control_socket = \"/run/attestd/control.sock\"

# The zone in which cron lines count.
#zone = \"Europe/London\"
# Runs at once.
#concurrency = 16

# Who is told, in this order, where several are: a Critical that nobody took (`attestd take`) within a working day, or a
# Warning within five, goes to the next of them too. All get mail; a check may have an order of its own.
#hand_on = [\"isms-owner\", \"isms-deputy\"]

[organisation]
name = \"Example Health Systems Ltd\"

# --- People: records name them by id only --------------------------------------------------------

[[person]]
id = \"isms-owner\"
name = \"The ISMS owner\"
email = \"isms@example.org\"

#[[person]]
#id = \"isms-deputy\"
#name = \"The deputy\"
#email = \"deputy@example.org\"

# --- Checks: at least one, or there is nothing to run ---------------------------------------------
#
# Each has an `id` of its own. All may set `schedule` (\"6h\", or a cron line in `zone`), `timeout`, `hold` (how long before
# a finding is told), `keep` (how long before it counts as over) and `labels` ({ team = \"web\" }), which alerts carry and
# rules can name. Relative paths begin at this file's directory.
";

const SAMPLE_TAIL: &str = "
# --- Sources: what checks fetch from ---------------------------------------------------------------

# More trust anchors than the system's, for sources and receivers behind a proxy that opens TLS.
#[sources]
#ca_bundle = \"/etc/ssl/certs/ca-certificates.crt\"

# A deadline that was moved, with who allowed it.
#[[deadline]]
#table = \"dspt\"
#key = \"2026-27\"
#date = 2027-07-31
#source = \"letter of NHS England of 2027-05-01\"
#authorised_by = \"isms-owner\"

# --- Maintenance: checks that pause ----------------------------------------------------------------

# While a window is open its checks do not look, and their slots are recorded as paused; they look once it is closed.
#[[maintenance]]
#name = \"patch-night\"
#checks = [\"portal-certificate\"]      # or labels = { team = \"web\" }
#schedule = \"0 2 * * SUN\"             # or from = 2026-12-24T18:00:00 and until = 2026-12-27T06:00:00
#lasts = \"2h\"

# --- Retention: how long what was seen is kept -------------------------------------------------------

# History for quick answers, and the records of the evidence log, which stay for ever where nothing says otherwise. What
# is still in force is kept all the same, and so are the hashes of all: what was proved once still is.
#[retention]
#history = \"3650d\"
#evidence = \"2557d\"                   # seven years; at least \"365d\"

# --- Time stamps: an authority outside puts its time to the log, once a day (RFC 3161) -------------------

# It is sent the SHA-256 of a checkpoint and nothing else. attestd does not check its signature; whoever verifies a pack does,
# with openssl (VERIFY.md). `ca`, `headers_file`, `credential`, `client_certificate`, `client_key` and `timeout` as for receivers.
#[timestamps]
#authority = \"https://tsa.example.org\"

# --- What is claimed: `attestd posture` holds it against what is recorded --------------------------------

# To a customer, or `public = true`. `controls = \"*\"` are all of a framework. `checks`, `targets` and `service` narrow what
# supports it. The words and the customer's name stay in the private part of the record.
#[[assertion]]
#id = \"example-trust\"
#framework = \"internet-first\"
#controls = [\"2\", \"5\"]
#customer = \"Example NHS Trust\"
#since = 2026-04-01
#wording = \"All traffic over the internet is encrypted by TLS 1.2 or better.\"
#notice_hours = 24

# --- Who is told: what nobody takes waits in the outbox ------------------------------------------------

# Every alert event, to an OTLP receiver. OTEL_EXPORTER_OTLP_* are honoured where this says nothing.
#[[otlp]]
#name = \"collector\"
#endpoint = \"https://otlp.example.org:4318\"
#protocol = \"http/protobuf\"          # or \"grpc\"
#credential = \"otlp-headers\"         # LoadCredential=otlp-headers:..., lines of NAME: VALUE
#compression = \"gzip\"
# Where it is asked each week whether a test alert arrived: a GET whose answer holds the event's id. Elsewhere a person looks each
# quarter (`attestd canary confirm`). `canary_credential` names lines of NAME: VALUE for it.
#canary_query = \"http://127.0.0.1:3100/loki/api/v1/query_range?query=%7Bservice_name%3D%22attestd%22%7D%20%7C%20attestd_event_change%3D%22canary%22&since=24h\"

# Each destination takes all alerts, or those of its rule: `severities` (from the lowest on up), `kinds`, `checks`, `labels`.

# Every change of an alert as JSON (docs/webhook.schema.json), signed as Standard Webhooks has it.
#[[webhook]]
#name = \"desk\"
#url = \"https://desk.example.org/hooks/attestd\"
#secret_credential = \"desk-secret\"   # LoadCredential=desk-secret:..., base64 of 24 to 64 bytes; two lines while it is rotated
#severities = [\"warning\", \"critical\"]

# A channel of Teams (a webhook of Workflows) or Slack: its URL is a secret.
#[[webhook]]
#name = \"channel\"
#format = \"teams\"                    # or \"slack\"
#url_credential = \"channel-url\"      # LoadCredential=channel-url:...
#severities = [\"critical\"]
#labels = { team = \"web\" }

# All that fires, each minute: grouping, repeats and silences are then Alertmanager's. A cluster gets it at each member.
#[[alertmanager]]
#name = \"alertmanager\"
#url = [\"http://127.0.0.1:9093\"]
#generator_url = \"https://wiki.example.org/attestd\"

# One structured entry an event (ATTESTD_*), on this machine.
#[[journald]]
#name = \"journal\"

# What a person must not miss: dated duties at 09:00 on working days, Critical alerts at once; `severities` adds others.
# [[mail]] for each relay, or for each rule.
#[mail]
#relay = \"smtp.example.org\"
#tls = \"starttls\"                    # or \"implicit\"; \"none\" only to this machine
#user = \"attestd\"
#credential = \"mail-password\"        # LoadCredential=mail-password:...
# auth = \"xoauth2\" says that the credential (or `token_file`) is an access token, renewed by something else.
#from = \"attestd@example.org\"
#to = [\"isms-owner\", \"isms-deputy\"]

# Who is told when another destination takes nothing: after 15 minutes where a Critical alert waits, else after 4 hours. One
# or several names, whatever their rules say; a person is \"mail:ID\". The journal is told too.
#[telling]
#second = [\"mail:isms-owner\"]

# Metrics for Prometheus, on loopback only.
#[metrics]
#listen = \"127.0.0.1:9464\"

# Each run as a span, to every [[otlp]].
#[telemetry]
#spans = true
";

#[test]
fn the_sample_configuration_waits_for_a_check_and_is_good_with_all_of_it_switched_on() {
    let path = Path::new("/etc/attestd/attestd.toml");
    let text = sample();
    let Err(ConfigError::Wrong { problems, .. }) = config::parse(path, text.clone()) else {
        panic!("without a check there is nothing to run")
    };
    let errors: Vec<&str> =
        problems.iter().filter(|p| p.fatal).map(|p| p.message.as_str()).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("at least one [[check]]"), "{errors:?}");

    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    let whole: String = text.lines().map(on).collect();
    let config = config::parse(path, whole.clone());
    let config = config.unwrap_or_else(|error| match error {
        ConfigError::Wrong { text, problems, .. } => {
            panic!("{}", attestd::problems::show(path, &text, &problems, false))
        }
        error => panic!("{error}"),
    });
    assert_eq!(config.checks.len(), KINDS.len());
    assert_eq!(config.control_socket, PathBuf::from("/run/attestd/control.sock"));
    assert_eq!(config.telling.otlp.len(), 1);
    assert_eq!(config.telling.webhooks.len(), 2);
    assert_eq!((config.telling.alertmanagers.len(), config.telling.journals.len()), (1, 1));
    assert!(!config.telling.mail.is_empty() && config.telling.metrics.is_some());
    assert!(config.telling.spans);
    assert_eq!(config.assertions.len(), 1);
    for key in ["zone", "concurrency", "history", "evidence"] {
        assert!(whole.contains(&format!("\n{key} = ")), "{key}");
    }
}

/// The code of a document: what stands between backticks, and every line of its blocks.
fn code(text: &str) -> Vec<String> {
    let mut code = Vec::new();
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 1 {
            code.extend(part.lines().skip(1).map(str::to_owned));
        } else {
            code.extend(part.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    code
}

#[test]
fn the_verbs_that_documents_name_are_there_and_the_readme_names_all() {
    let cli = attestd::cli::Cli::command();
    let verbs: Vec<&clap::Command> = cli.get_subcommands().collect();
    let is_verb = |word: &str| verbs.iter().any(|verb| verb.get_name() == word);
    let mut named = Vec::new();
    for document in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        for line in code(&read(document)) {
            let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "$").collect();
            let program = words
                .iter()
                .position(|word| *word == "attestd" || *word == "--" || word.ends_with("/attestd"));
            let Some(program) =
                program.filter(|at| words[*at] != "--" || line.starts_with("cargo run"))
            else {
                continue;
            };
            let Some(verb) = words.get(program + 1) else { continue };
            let looks = verb.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            if verb.starts_with('-') || !looks {
                continue;
            }
            assert!(is_verb(verb), "{document} names `attestd {verb}`, which is no verb: {line}");
            if document == "README.md" {
                named.push((*verb).to_owned());
            }
        }
    }
    for verb in verbs.iter().filter(|verb| !verb.is_hide_set()) {
        let name = verb.get_name();
        assert!(
            named.iter().any(|named| named == name),
            "the README does not name `attestd {name}`"
        );
    }
}

#[test]
fn the_options_that_the_readme_names_are_there() {
    let cli = attestd::cli::Cli::command();
    let mut options: Vec<String> = vec!["--help".to_owned(), "--version".to_owned()];
    let verbs = cli.get_subcommands().flat_map(|verb| verb.get_subcommands().chain([verb]));
    let commands = std::iter::once(&cli).chain(verbs);
    for argument in commands.flat_map(clap::Command::get_arguments) {
        options.extend(argument.get_long().map(|long| format!("--{long}")));
    }
    let ours = |line: &&String| line.contains("attestd") && !line.starts_with("cargo ");
    let lines = code(&read("README.md"));
    for line in lines.iter().filter(ours).filter(|line| !line.starts_with("systemctl")) {
        for word in line.split(|c: char| c.is_whitespace() || "[]=|".contains(c)) {
            let option = word.len() > 2 && word.starts_with("--");
            assert!(!option || options.iter().any(|o| o == word), "README: {word} in {line}");
        }
    }
}

#[test]
fn the_files_that_documents_name_are_there() {
    let mut held = 0;
    for document in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        let text = read(document);
        let links = text.split("](").skip(1).filter_map(|part| part.split(')').next());
        let links = links.filter(|link| !link.contains("://")).map(str::to_owned);
        for name in code(&text).into_iter().flat_map(|line| files(&line)).chain(links) {
            let path =
                name.trim_start_matches("./").split('#').next().unwrap_or_default().to_owned();
            assert!(is_there(&repository(), &path), "{document} names {name}, which is not there");
            held += 1;
        }
    }
    assert!(held > 20, "{held}");
}

/// The words of a line of code that name files of the repository.
fn files(line: &str) -> Vec<String> {
    const TOPS: [&str; 7] =
        ["daemon/", "checks/", "storage/", "tests/", "systemd/", "examples/", "./"];
    let words = line.split(|c: char| c.is_whitespace() || "()=,;\"".contains(c));
    let ours = |word: &&str| TOPS.iter().any(|top| word.starts_with(top)) && word.len() > 2;
    words.filter(ours).map(str::to_owned).collect()
}

/// Whether a path or pattern names something below `base`.
pub(crate) fn is_there(base: &Path, path: &str) -> bool {
    match path.split_once('*') {
        None => base.join(path).exists(),
        Some((before, after)) => {
            let (directory, start) = before.rsplit_once('/').unwrap_or(("", before));
            let entries = std::fs::read_dir(base.join(directory)).into_iter().flatten().flatten();
            let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.any(|name| name.starts_with(start) && name.ends_with(after))
        }
    }
}
