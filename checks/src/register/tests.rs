use std::collections::BTreeSet;

use attestd_core::PersonId;
use jiff::civil::date;
use proptest::prelude::*;

use super::*;
use crate::foreign::sheet::{SheetCell, SheetRow};

fn people() -> BTreeSet<PersonId> {
    ["alex-owner", "sam-deputy"].iter().map(|p| p.parse().expect("an id")).collect()
}

fn csv(text: &str) -> Result<Register, Reason> {
    parse(text.as_bytes(), true, "register.csv", &people())
}

fn toml(text: &str) -> Result<Register, Reason> {
    parse(text.as_bytes(), false, "register.toml", &people())
}

fn reasons(register: &Register) -> Vec<String> {
    let bad = |entry: &Entry| match entry {
        Entry::Bad(bad) => Some(bad.reason.message.clone()),
        Entry::Good(_) => None,
    };
    register.rows.iter().filter_map(bad).collect()
}

fn only(register: &Register) -> &Row {
    match register.rows.as_slice() {
        [Entry::Good(row)] => row,
        other => panic!("one good row expected: {other:?}"),
    }
}

#[test]
fn a_row_is_read_from_csv_with_a_mark_quotes_and_both_dates() {
    let text = "\u{feff}ID,Kind,Title,Owner,Last-Done,by,expires,period,reference\r\n\
                ce,cyber_essentials,\"Cert, whole\",alex-owner,12/06/2026,sam-deputy,2027-06-12,12 months,ABC\r\n\
                ,,,,,,,,\r\n";
    let register = csv(text).expect("a register");
    let row = only(&register);
    assert_eq!(row.last_done, Done::On(date(2026, 6, 12)));
    assert_eq!(row.expires, Some(date(2027, 6, 12)));
    assert_eq!(row.owner.as_ref().map(PersonId::as_str), Some("alex-owner"));
    assert_eq!(register.ignored, Ignored::default());
}

fn sheet(rows: &[(u32, &[&str])]) -> Result<Register, Reason> {
    let numbered = |cells: &[&str]| -> Vec<(u32, SheetCell)> {
        let cell = |(at, text): (usize, &&str)| {
            let at = u32::try_from(at).expect("small");
            let cell = match text.strip_prefix('#') {
                Some(_) => SheetCell::Failed((*text).to_owned()),
                None => SheetCell::Text((*text).to_owned()),
            };
            (at + 1, cell)
        };
        cells.iter().enumerate().filter(|(_, text)| !text.is_empty()).map(cell).collect()
    };
    let header = (1..).zip(["id", "kind", "owner", "Last done"].map(str::to_owned)).collect();
    let row =
        |(number, cells): &(u32, &[&str])| SheetRow { number: *number, cells: numbered(cells) };
    let rows = rows.iter().map(row).collect();
    of_sheet(Sheet { name: "Duties".to_owned(), header, rows }, "register.xlsx", &people())
}

#[test]
fn a_mistake_in_a_sheet_names_its_sheet_row_column_and_cell() {
    let register = sheet(&[
        (2, &["good", "policy_review", "alex-owner", "2026-06-12"]),
        (7, &["a", "policy_review", "nobody", "46185"]),
        (8, &["b", "policy_review", "", "#REF!"]),
        (9, &["A b", "policy_review"]),
        (10, &["c", "policy_review"]),
        (12, &["c", "policy_review"]),
    ])
    .expect("a register");
    let told = reasons(&register);
    for (at, parts) in [
        (
            0,
            &["row 7 of register.xlsx, sheet Duties", "`owner` (D7)", "`last_done` (E7)", "46185"]
                [..],
        ),
        (1, &["row 8", "`last_done` (E8): it holds the error #REF!"][..]),
        (2, &["row 9", "`id` (B9): expected 1 to 64"][..]),
        (3, &["`id` (B10)", "rows 10, 12"][..]),
    ] {
        for part in parts {
            assert!(told[at].contains(part), "{part}: {}", told[at]);
        }
    }
    let claimed = register.claimed(&["policy_review"]);
    assert!(claimed[0].row.as_ref().is_ok_and(|row| row.last_done == Done::On(date(2026, 6, 12))));
    assert_eq!(claimed.len(), 5, "the others stand, as they are");
}

#[test]
fn a_row_is_read_from_toml() {
    let text = "[[row]]\nid = \"portal\"\nkind = \"service\"\n\n[[row]]\nid = \"ce\"\nkind = \"cyber_essentials\"\n\
                last_done = 2026-06-12\nscope = [\"portal\"]\n";
    let register = toml(text).expect("a register");
    let claimed = register.claimed(&["cyber_essentials"]);
    let row = claimed[0].row.as_ref().expect("a good row");
    assert_eq!(row.last_done, Done::On(date(2026, 6, 12)));
    assert!(row.scope.as_ref().is_some_and(|scope| scope.covers("portal") && !scope.covers("app")));
}

#[test]
fn dates_are_read_in_one_order_only() {
    for (text, in_csv, expected, why) in [
        ("2026-11-22", true, Some(date(2026, 11, 22)), "ISO"),
        ("22/11/2026", true, Some(date(2026, 11, 22)), "as the British write it"),
        ("05/06/2026", true, Some(date(2026, 6, 5)), "day first, always"),
        ("11/22/2026", true, None, "month first is refused, not guessed"),
        ("22/11/2026", false, None, "TOML has dates of its own"),
        ("22/11/26", true, None, "two digits are no year"),
        ("2/11/2026", true, None, "one digit is no day"),
        ("2026-02-29", true, None, "there is no such day"),
        ("1926-02-21", true, None, "a typing error"),
        ("22-11-2026", true, None, "neither form"),
        ("2026/11/22", true, None, "neither form"),
        ("45000", true, None, "a spreadsheet's serial number"),
        ("", true, None, "nothing"),
    ] {
        assert_eq!(row::parse_date(text, in_csv).ok(), expected, "{text}: {why}");
    }
}

#[test]
fn a_mistake_names_its_row_and_column_and_leaves_the_others() {
    let head = "id,kind,owner,last_done,period,evidence,scope,applicable,notes\n";
    let good = "good,policy_review,alex-owner,2026-01-05,12 months,,,,\n";
    for (row, parts) in [
        (
            "a,policy_review,,06/25/2026,,,,,",
            &["row 3 of register.csv", "column `last_done`", "22/11/2026"][..],
        ),
        (
            "a,policy_review,Mrs Jane Roe,,,,,,",
            &["column `owner`: expected the id of a [[person]]"][..],
        ),
        ("a,policy_review,,2026-13-01,1 moon,,,,", &["`last_done`", "`period`"][..]),
        ("a,policy_review,,,,http://x.example/,,,", &["`evidence`", "https"][..]),
        ("a,cyber_essentials,,,,,portal,,", &["`scope`", "rows of kind service", "\"portal\""][..]),
        ("a,policy_review,,,,,,no: because,", &["`applicable`", "the day of review"][..]),
        ("a,policy_review,,,,,,no: small; someone; 2027-01-01,", &["`applicable`"][..]),
        ("a,policy_revew,,,,,,,", &["`kind`", "did you mean `policy_review`"][..]),
        ("a,,,,,,,,", &["`kind`: expected a kind of row"][..]),
        ("A b,policy_review,,,,,,,", &["`id`: expected 1 to 64"][..]),
        ("a,policy_review,,,,,,,x,y", &["10 cells and the header 9"][..]),
        ("a,policy_review,\"alex\nowner\",,,,,,", &["`owner`: it holds a line break"][..]),
    ] {
        let register = csv(&format!("{head}{good}{row}\n")).expect(row);
        let [reason] = reasons(&register).try_into().expect("one bad row");
        for part in parts {
            assert!(reason.contains(part), "{row}: {reason}");
        }
        assert!(!reason.contains("Roe"), "a name is not repeated: {reason}");
        let claimed = register.claimed(&["policy_review", "cyber_essentials"]);
        assert_eq!(
            claimed.iter().filter(|c| c.row.is_ok()).count(),
            1,
            "{row}: the other row stands"
        );
        assert_eq!(claimed.len(), 2, "{row}: the bad row is still a target");
    }
}

#[test]
fn foreign_bytes_in_a_row_trouble_only_that_row() {
    let bytes = b"id,kind,reference\na,policy_review,caf\xe9\nb,policy_review,x\n";
    let register = parse(bytes, true, "r.csv", &people()).expect("a register");
    assert!(reasons(&register)[0].contains("`reference`: it is not UTF-8"));
    let notes = b"id,kind,notes\na,policy_review,caf\xe9\n";
    assert_eq!(reasons(&parse(notes, true, "r.csv", &people()).expect("read")).len(), 1);
}

#[test]
fn two_rows_of_one_id_are_both_unknown() {
    let register = csv("id,kind\na,policy_review\nb,dspt\na,cyber_essentials\na,policy_review\n")
        .expect("read");
    let claimed = register.claimed(&["policy_review"]);
    assert_eq!(claimed.len(), 1);
    let reason = claimed[0].row.as_ref().expect_err("bad");
    assert!(reason.message.contains("rows 2, 4, 5"), "{}", reason.message);
    assert!(register.claimed(&["cyber_essentials"])[0].row.is_err());
    assert!(register.claimed(&["dspt"])[0].row.is_ok());
}

#[test]
fn what_nobody_reads_is_named() {
    let register =
        csv("id,kind,expirse,colour\na,dspt,,\nb,pentest,,\nc,iso27001,,\n").expect("read");
    let finding = partly_read(&register.ignored).expect("a finding");
    let message = PARTLY_READ.message(&finding.key, &finding.values);
    assert!(message.contains("`expirse`, did you mean `expires`?, `colour`"), "{message}");
    assert!(message.contains("kinds 3, 4"), "{message}");
    assert!(register.claimed(&["policy_review"]).is_empty());
}

#[test]
fn what_makes_all_rows_doubtful_is_refused_whole() {
    let rows: String = (0..=2_000).map(|n| format!("a{n},dspt\n")).collect();
    for (text, code, why) in [
        ("", "bad_header", "an empty file"),
        ("id;kind\na;dspt\n", "bad_header", "semicolons"),
        ("id,owner\na,b\n", "bad_header", "no kind"),
        ("id,kind,ID\na,dspt,b\n", "bad_header", "a column twice"),
        ("id,kind\na,\"dspt\nb,dspt\n", "quote_open", "an open quote swallows rows"),
        (&format!("id,kind\n{rows}"), "limit_rows", "too many rows"),
        ("\u{feff}", "bad_header", "only a mark"),
    ] {
        assert_eq!(csv(text).expect_err(why).code, code, "{why}");
    }
    let utf16 = b"\xff\xfei\0d\0";
    assert_eq!(parse(utf16, true, "r", &people()).expect_err("UTF-16").code, "not_utf8");
    for (text, code) in [
        ("id = 1", "bad_header"),
        ("[[row]]\nid =", "register_unreadable"),
        ("row = 3", "bad_header"),
        ("[[rows]]\nid = \"a\"", "bad_header"),
    ] {
        assert_eq!(toml(text).expect_err(text).code, code, "{text}");
    }
}

#[test]
fn a_duty_that_does_not_apply_names_its_decider_and_review() {
    let text = "id,kind,applicable\na,policy_review,\"no: no staff; of our own; decided by alex-owner; review on 01/05/2027\"\n";
    let row = csv(text).expect("read");
    let given = only(&row).not_applicable.clone().expect("not applicable");
    assert_eq!((given.decided_by.as_str(), given.review_on), ("alex-owner", date(2027, 5, 1)));
    for (today, code) in [
        (date(2026, 11, 22), "not_applicable"),
        (date(2027, 4, 20), "applicability_review_due"),
        (date(2027, 5, 1), "applicability_review_due"),
        (date(2027, 5, 2), "applicability_review_overdue"),
    ] {
        let found = not_applicable(&given, today, crate::data::working_days());
        assert_eq!(found.key.code.0, code, "{today}");
        assert_ne!(found.means, Means::Note, "never a pass");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, true, "r.csv", &people());
        let _ = parse(&bytes, false, "r.toml", &people());
    }

    #[test]
    fn no_cell_panics(cells in proptest::collection::vec("[ -~\u{e9}\n]{0,20}", 18)) {
        let quoted: Vec<String> = cells.iter().map(|c| format!("\"{}\"", c.replace('"', "\"\""))).collect();
        let text = format!("{}\n{}\n", table::COLUMNS.join(","), quoted.join(","));
        let register = csv(&text).expect("quotes are even");
        prop_assert!(register.rows.len() + register.ignored.rows.len() <= 1);
    }

    #[test]
    fn a_date_reads_back(days in 0..36_000_i32) {
        let day = date(2000, 1, 1).saturating_add(jiff::ToSpan::days(days));
        prop_assert_eq!(row::parse_date(&day.to_string(), true), Ok(day));
        prop_assert_eq!(row::parse_date(&day.strftime("%d/%m/%Y").to_string(), true), Ok(day));
    }
}
