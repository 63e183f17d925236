use std::path::Path;

use super::*;
use crate::fixtures::{hold, try_build};

#[tokio::test]
async fn every_fixture_holds() {
    hold(&KIND, include_str!("../../fixtures/cyber_essentials.toml"), 40).await;
}

#[test]
fn every_mistake_in_the_settings_is_told() {
    for (settings, part) in [
        ("", "needs `register`"),
        ("register = 3", "text in quotes"),
        ("register = \"r.xlsx\"", ".csv or .toml"),
        ("register = \"r.csv\"\nclaims = [3]", "text in quotes"),
        ("register = \"r.csv\"\nclaim = [\"x\"]", "did you mean `claims`?"),
    ] {
        let (_, errors) = try_build(&KIND, settings, Path::new("/nowhere"), None);
        assert!(errors.iter().any(|error| error.contains(part)), "{settings}: {errors:?}");
    }
}

#[test]
fn from_sixty_days_on_it_says_book_and_then_certify() {
    for (tier, action) in
        [(120, "book"), (90, "book"), (60, "book"), (30, "certify"), (14, "certify")]
    {
        let book_from = data::cyber_essentials().book_from;
        assert_eq!(if tier >= book_from { "book" } else { "certify" }, action, "{tier}");
    }
}
