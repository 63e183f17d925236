//! Which alerts concern which of our products: by the words of vendor and product, erring to more.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A product of ours, or something that we run: `Fortinet: FortiOS`, or `Citrix: *` for all of a vendor's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Product {
    vendor: Words,
    /// None for all of the vendor's.
    product: Option<Words>,
    shown: String,
}

/// Words in lower case, without what stands between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Words(Vec<String>);

impl Words {
    /// The words of a text.
    pub fn of(text: &str) -> Words {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        Words(words.map(str::to_lowercase).collect())
    }

    /// Whether all of `other` stands within this, in its order and without a gap.
    pub fn holds(&self, other: &Words) -> bool {
        !other.0.is_empty() && self.0.windows(other.0.len()).any(|part| part == other.0)
    }

    /// Whether one of them stands within the other: `Exchange` and `Exchange Server`.
    fn meets(&self, other: &Words) -> bool {
        self.holds(other) || other.holds(self)
    }
}

impl Product {
    /// Whether an entry of this vendor and product concerns it; `any` are products that stand for all of a vendor's.
    pub fn is_of(&self, vendor: &str, product: &str, any: &[String]) -> bool {
        let named = Words::of(product);
        let whole = any.iter().any(|any| Words::of(any) == named) || named.0.is_empty();
        self.vendor.meets(&Words::of(vendor))
            && (whole || self.product.as_ref().is_none_or(|product| product.meets(&named)))
    }

    /// Whether a text speaks of it.
    pub fn is_in(&self, text: &Words) -> bool {
        text.holds(self.product.as_ref().unwrap_or(&self.vendor))
    }

    /// As the configuration has it.
    pub fn as_str(&self) -> &str {
        &self.shown
    }
}

impl FromStr for Product {
    type Err = String;
    fn from_str(text: &str) -> Result<Product, String> {
        let bad = || {
            let shown: String = text.chars().take(80).collect();
            format!(
                "{shown:?} is no product: expected VENDOR: PRODUCT, such as \"Fortinet: FortiOS\" or \"Citrix: *\""
            )
        };
        let (vendor, product) = text.split_once(':').ok_or_else(bad)?;
        let (vendor, words) = (Words::of(vendor), Words::of(product));
        let product = match product.trim() {
            "*" => None,
            _ => Some(words),
        };
        let empty = product.as_ref().is_some_and(|words| words.0.is_empty());
        if vendor.0.is_empty()
            || empty
            || text.len() > PRODUCT_MAX
            || text.chars().any(char::is_control)
        {
            return Err(bad());
        }
        Ok(Product { vendor, product, shown: text.trim().to_owned() })
    }
}

impl TryFrom<String> for Product {
    type Error = String;
    fn try_from(text: String) -> Result<Product, String> {
        text.parse()
    }
}

impl From<Product> for String {
    fn from(product: Product) -> String {
        product.shown
    }
}

/// A product's name, in bytes.
const PRODUCT_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_product_is_found_by_its_words_and_rather_once_too_often() {
        let any = ["multiple products".to_owned()];
        for (ours, vendor, product, concerned, why) in [
            ("Fortinet: FortiOS", "Fortinet", "FortiOS", true, "the same"),
            ("fortinet: fortios", "Fortinet", "FortiOS", true, "in other letters"),
            ("Fortinet: FortiOS", "Fortinet", "FortiOS and FortiProxy", true, "with another"),
            ("Fortinet: FortiOS", "Fortinet", "FortiWeb", false, "another of the vendor's"),
            ("Fortinet: FortiOS", "Palo Alto", "FortiOS", false, "another vendor's"),
            ("Fortinet: FortiOS", "Fortinet", "Multiple Products", true, "any of the vendor's"),
            ("Fortinet: FortiOS", "Fortinet", "", true, "a product that is not named"),
            ("Citrix: *", "Citrix", "NetScaler ADC", true, "all of the vendor's"),
            ("Microsoft: Exchange Server", "Microsoft", "Exchange", true, "a shorter name"),
            ("Microsoft: Exchange", "Microsoft", "Exchange Server", true, "a longer name"),
            (
                "Apache: Log4j",
                "Apache Software Foundation",
                "Log4j2",
                false,
                "log4j2 is another word",
            ),
            (
                "Apache: HTTP Server",
                "Apache Software Foundation",
                "HTTP Server",
                true,
                "a longer vendor",
            ),
            ("Microsoft: Office", "Microsoft", "Officescan", false, "within a word is no match"),
            ("D-Link: DIR-820", "D-Link", "DIR-820 Router", true, "hyphens part words"),
        ] {
            let ours: Product = ours.parse().expect("a product");
            assert_eq!(ours.is_of(vendor, product, &any), concerned, "{why}: {ours:?}");
        }
        let text = Words::of("Critical Vulnerability in Fortinet FortiOS 7.4 (CVE-2026-1)");
        let is_in = |ours: &str| ours.parse::<Product>().expect("a product").is_in(&text);
        assert!(
            is_in("Fortinet: FortiOS") && is_in("Fortinet: *") && is_in("Fortinet: FortiOS 7.4")
        );
        assert!(!is_in("Fortinet: FortiWeb") && !is_in("Citrix: *"));
    }

    #[test]
    fn what_is_no_product_says_what_was_expected() {
        for text in
            ["", ":", "Fortinet", "Fortinet:", ": FortiOS", "a: -", "a:b\n", &"x:y ".repeat(40)]
        {
            let refused = text.parse::<Product>().expect_err(text);
            assert!(refused.contains("expected VENDOR: PRODUCT"), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(a in ".{0,40}", b in ".{0,40}") {
            if let Ok(product) = a.parse::<Product>() {
                let _ = (product.is_of(&b, &a, &[]), product.is_in(&Words::of(&b)));
            }
            let _ = Words::of(&a).holds(&Words::of(&b));
        }
    }
}
