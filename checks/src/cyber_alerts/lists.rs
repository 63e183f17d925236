//! Reads the two lists: CISA's catalogue in one file, NHS England's alerts page by page.

use attestd_core::{Date, Reason, Timestamp};
use serde::{Deserialize, Serialize};

use super::products::{Product, Words};
use crate::data;
use crate::look::json;

/// An alert that concerns a product of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// `CVE-2026-1234`, `CC-4781`.
    pub id: String,
    /// What it is, cut.
    pub title: String,
    /// When it was published.
    pub on: Date,
    /// Whose product it concerns, as the configuration has it.
    pub product: String,
    /// How severe the list says that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Whether ransomware is known to use it.
    #[serde(default)]
    pub ransomware: bool,
}

/// What of a list concerns us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// When the list, or its newest alert, was published.
    pub released: Date,
    /// What concerns us, since the day that is asked for.
    pub alerts: Vec<Alert>,
}

/// A page of NHS England's alerts.
#[derive(Debug)]
pub struct Page {
    /// How many pages there are.
    pub pages: u64,
    /// The newest and the oldest on it.
    pub range: (Date, Date),
    /// Whether each is as old as the one before it, or older.
    pub in_order: bool,
    /// What concerns us.
    pub alerts: Vec<Alert>,
}

/// Reads CISA's catalogue.
pub fn kev(bytes: &[u8], shown: &str, products: &[Product], since: Date) -> Result<Listed, Reason> {
    let rules = &data::cyber_alerts().kev;
    let catalogue: Catalogue = json::read(bytes, shown)?;
    let listed = catalogue.vulnerabilities.len();
    if listed as u64 != catalogue.count {
        let message =
            format!("{shown}: it says it has {} entries, and has {listed}", catalogue.count);
        return Err(Reason::new("list_incomplete", message));
    }
    if listed < rules.entries_min {
        let least = rules.entries_min;
        let message = format!("{shown}: {listed} entries are fewer than the {least} it always had");
        return Err(Reason::new("list_short", message));
    }
    let released: Timestamp = catalogue.released.parse().map_err(|_| {
        layout(shown, format!("{:?} is no time of release", cut(&catalogue.released)))
    })?;
    let mut alerts = Vec::new();
    for entry in catalogue.vulnerabilities {
        let on: Date = entry.added.parse().map_err(|_| {
            layout(shown, format!("{:?} is no day on which one was added", cut(&entry.added)))
        })?;
        let id = id(&entry.cve, "CVE-", shown)?;
        if on < since {
            continue;
        }
        let concerned =
            |ours: &&Product| ours.is_of(&entry.vendor, &entry.product, &rules.any_product);
        let Some(product) = products.iter().find(concerned) else { continue };
        // A word that is new is taken for the worse.
        let ransomware = !entry.ransomware.eq_ignore_ascii_case("unknown");
        let (title, product) = (cut(&entry.name), product.as_str().to_owned());
        alerts.push(Alert { id, title, on, product, severity: None, ransomware });
    }
    Ok(Listed { released: attestd_core::obligation::today(released), alerts })
}

/// Reads one page of NHS England's alerts.
pub fn nhs(
    bytes: &[u8],
    (shown, number): (&str, u64),
    products: &[Product],
    since: Date,
) -> Result<Page, Reason> {
    let rules = &data::cyber_alerts().nhs;
    let page: RawPage = json::read(bytes, shown)?;
    if page.current != number {
        return Err(layout(
            shown,
            format!("it is page {}, and {number} was asked for", page.current),
        ));
    }
    if page.total < rules.total_min {
        let (total, least) = (page.total, rules.total_min);
        let message =
            format!("{shown}: {total} alerts are fewer than the {least} there always were");
        return Err(Reason::new("list_short", message));
    }
    if page.items.is_empty() || page.items.len() > ITEMS_MAX {
        let count = page.items.len();
        return Err(layout(shown, format!("{count} alerts are none that a page has")));
    }
    let (mut days, mut alerts) = (Vec::new(), Vec::new());
    for item in &page.items {
        let on = day(item.published).ok_or_else(|| {
            layout(shown, format!("{} is no time of publication", item.published))
        })?;
        let id = id(&item.id, "CC-", shown)?;
        days.push(on);
        if on < since {
            continue;
        }
        let mut texts = vec![Words::of(&item.title)];
        texts.extend(item.affects.iter().map(|affects| Words::of(&affects.platform)));
        if item.affects.is_empty() {
            texts.push(Words::of(&item.summary));
        }
        let concerned = |ours: &&Product| texts.iter().any(|text| ours.is_in(text));
        let Some(product) = products.iter().find(concerned) else { continue };
        let (title, product) = (cut(&item.title), product.as_str().to_owned());
        let severity = Some(cut(&item.severity));
        alerts.push(Alert { id, title, on, product, severity, ransomware: false });
    }
    let newest = days.iter().max().copied().expect("a page has an alert");
    let oldest = days.iter().min().copied().expect("a page has an alert");
    let in_order = days.is_sorted_by(|a, b| a >= b);
    let range = (newest, oldest);
    Ok(Page { pages: page.pages, range, in_order, alerts })
}

/// The day of a time since 1970, in milliseconds, or in seconds where that is what makes sense of it.
fn day(published: i64) -> Option<Date> {
    let at = match published {
        MILLISECONDS_MIN.. => Timestamp::from_millisecond(published).ok()?,
        _ => Timestamp::from_second(published).ok()?,
    };
    let day = attestd_core::obligation::today(at);
    (Date::constant(2000, 1, 1)..Date::constant(2100, 1, 1)).contains(&day).then_some(day)
}

/// An alert's id is what findings are told apart by.
fn id(text: &str, begins: &str, shown: &str) -> Result<String, Reason> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let id = text.to_ascii_uppercase();
    match plain && id.starts_with(begins) && id.len() <= ID_MAX {
        true => Ok(id),
        false => Err(layout(shown, format!("{:?} is no id of an alert ({begins}...)", cut(text)))),
    }
}

fn layout(shown: &str, what: String) -> Reason {
    Reason::new("layout_changed", format!("{shown}: {what}"))
}

fn cut(text: &str) -> String {
    attestd_core::text::plain(text.trim(), TEXT_MAX)
}

#[derive(Deserialize)]
struct Catalogue {
    #[serde(rename = "dateReleased")]
    released: String,
    count: u64,
    vulnerabilities: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "cveID")]
    cve: String,
    #[serde(rename = "vendorProject")]
    vendor: String,
    product: String,
    #[serde(rename = "vulnerabilityName")]
    name: String,
    #[serde(rename = "dateAdded")]
    added: String,
    #[serde(rename = "knownRansomwareCampaignUse")]
    ransomware: String,
}

#[derive(Deserialize)]
struct RawPage {
    total: u64,
    #[serde(rename = "totalPages")]
    pages: u64,
    #[serde(rename = "currentPage")]
    current: u64,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "threatId")]
    id: String,
    #[serde(rename = "publishedDate")]
    published: i64,
    title: String,
    #[serde(rename = "shortsummary", default)]
    summary: String,
    severity: String,
    #[serde(rename = "threatAffects")]
    affects: Vec<Affects>,
}

#[derive(Deserialize)]
struct Affects {
    #[serde(rename = "platformText")]
    platform: String,
}

/// From here on a number is milliseconds since 1970: as seconds it would be the year 5138.
const MILLISECONDS_MIN: i64 = 100_000_000_000;
/// Alerts on one page; it has 10.
const ITEMS_MAX: usize = 100;
/// An id, in bytes: a CVE has 13 to 16.
const ID_MAX: usize = 32;
/// Characters of a title that are kept.
const TEXT_MAX: usize = 120;
